//! One record seen through: handed to the handler as often as it takes, until it has an outcome.
//!
//! Runs in a task of its own, and knows neither partitions nor commits.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use ottla_connection::{Backoff, BoxFuture};
use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::events::StopReason;
use super::failure::{BoxError, Failure, FailureCause, Verdict};
use crate::client::Core;
use crate::consumer::ConsumedRecord;
use crate::record::RecordMetadata;

pub(super) type Handler =
    Box<dyn Fn(ConsumedRecord) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;
pub(super) type Judge = Box<dyn Fn(&Failure) -> Verdict + Send + Sync>;

/// What all records are handled with.
pub(super) struct Bench {
    pub(super) handler: Handler,
    pub(super) judge: Judge,
    pub(super) attempt_timeout: Duration,
    pub(super) backoff: Backoff,
    pub(super) group: String,
    pub(super) core: Arc<Core>,
}

/// What became of a record.
#[derive(Debug)]
pub(super) enum Outcome {
    Done {
        attempts: u32,
    },
    Skipped(Failure),
    DeadLettered(Failure, RecordMetadata),
    Stopped(StopReason),
    /// It was given up, and comes again.
    Abandoned,
}

/// How records of a partition are hurried up.
#[derive(Clone, Debug, Default)]
pub(super) struct Brakes {
    /// What fails is not tried again.
    pub(super) ending: CancellationToken,
    /// Handlers are dropped.
    pub(super) cut: CancellationToken,
}

/// Sees a record through.
pub(super) async fn see_through(
    bench: Arc<Bench>,
    record: ConsumedRecord,
    brakes: Brakes,
) -> Outcome {
    let seen = async move {
        tokio::select! {
            biased;
            () = brakes.cut.cancelled() => Outcome::Abandoned,
            outcome = bench.attempt(record, brakes.ending) => outcome,
        }
    };
    caught(Box::pin(seen))
        .await
        .unwrap_or_else(|panic| Outcome::Stopped(StopReason::Undecided(panic)))
}

impl Bench {
    async fn attempt(&self, record: ConsumedRecord, ending: CancellationToken) -> Outcome {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let handled = caught((self.handler)(record.clone()));
            let cause = match timeout(self.attempt_timeout, handled).await {
                Ok(Ok(Ok(()))) => return Outcome::Done { attempts },
                Ok(Ok(Err(error))) => FailureCause::Error(error),
                Ok(Err(panic)) => FailureCause::Panicked(panic),
                Err(_) => FailureCause::TimedOut(self.attempt_timeout),
            };
            let failure = Failure {
                record: record.clone(),
                attempts,
                cause,
            };
            tracing::debug!(
                partition = %failure.record.partition,
                offset = failure.record.offset,
                attempts,
                cause = %failure.cause,
                "handling a record failed"
            );
            match (self.judge)(&failure) {
                Verdict::Retry => {}
                Verdict::Skip => return Outcome::Skipped(failure),
                Verdict::Stop => return Outcome::Stopped(StopReason::Failed(failure)),
                Verdict::DeadLetter(letters) => {
                    return match letters.write(&failure, &self.group).await {
                        Ok(written) => Outcome::DeadLettered(failure, written),
                        Err(error) => {
                            Outcome::Stopped(StopReason::NotDeadLettered { failure, error })
                        }
                    };
                }
            }
            let pause = self.backoff.delay(attempts, &mut self.core.env.fork_rng());
            tokio::select! {
                biased;
                () = ending.cancelled() => return Outcome::Abandoned,
                () = sleep(pause) => {}
            }
        }
    }
}

/// What a future comes to, or the message of its panic.
async fn caught<T>(mut future: BoxFuture<'_, T>) -> Result<T, String> {
    std::future::poll_fn(move |context| {
        // After a panic it is not polled again, and whatever it was in the middle of is its author's.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(message(&*panic))),
        }
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
