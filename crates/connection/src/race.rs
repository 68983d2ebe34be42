//! Several attempts of which the first success counts, each later one started a little after the
//! one before.
//!
//! The shape of RFC 8305 ("happy eyeballs") without its subject: TCP connects to the addresses of a
//! name and dials of several bootstrap brokers both use it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Runs `attempts` in order: the first at once, the next as soon as the latest has failed or
/// `head_start` has passed.
///
/// Returns the first success and drops the other attempts, or, when all have failed, every error in
/// the order of the attempts. Without attempts the list of errors is empty.
pub(crate) async fn race<F, T, E>(
    attempts: impl IntoIterator<Item = F>,
    head_start: Duration,
) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting: VecDeque<F> = attempts.into_iter().collect();
    let mut started: Vec<Attempt<F, E>> = Vec::with_capacity(waiting.len());
    let mut head_start_over = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            for attempt in &mut started {
                if let Attempt::Running(future) = attempt {
                    match future.as_mut().poll(cx) {
                        Poll::Ready(Ok(value)) => return Poll::Ready(Ok(value)),
                        Poll::Ready(Err(error)) => *attempt = Attempt::Failed(error),
                        Poll::Pending => {}
                    }
                }
            }
            if waiting.is_empty() {
                if started
                    .iter()
                    .any(|attempt| matches!(attempt, Attempt::Running(_)))
                {
                    return Poll::Pending;
                }
                return Poll::Ready(Err(started
                    .drain(..)
                    .filter_map(Attempt::into_error)
                    .collect()));
            }
            let newest_runs = matches!(started.last(), Some(Attempt::Running(_)));
            if newest_runs && head_start_over.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            started.extend(
                waiting
                    .pop_front()
                    .map(|attempt| Attempt::Running(Box::pin(attempt))),
            );
            head_start_over.as_mut().reset(Instant::now() + head_start);
        }
    })
    .await
}

enum Attempt<F, E> {
    Running(Pin<Box<F>>),
    Failed(E),
}

impl<F, E> Attempt<F, E> {
    fn into_error(self) -> Option<E> {
        match self {
            Self::Running(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const HEAD_START: Duration = Duration::from_millis(250);

    async fn after(ms: u64, result: Result<u64, u64>) -> Result<u64, u64> {
        sleep(Duration::from_millis(ms)).await;
        result
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_may_take_its_time_when_it_is_alone() {
        assert_eq!(race([after(9000, Ok(1))], HEAD_START).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_first_attempt_costs_one_head_start() {
        let start = Instant::now();
        assert_eq!(
            race([after(60_000, Ok(1)), after(10, Ok(2))], HEAD_START).await,
            Ok(2)
        );
        assert_eq!(start.elapsed(), Duration::from_millis(260));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_at_once() {
        let start = Instant::now();
        let attempts = [after(10, Err(1)), after(20, Err(2)), after(30, Ok(3))];
        assert_eq!(race(attempts, HEAD_START).await, Ok(3));
        assert_eq!(start.elapsed(), Duration::from_millis(60));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_attempt_may_still_win() {
        assert_eq!(
            race([after(300, Ok(1)), after(100, Ok(2))], HEAD_START).await,
            Ok(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_error_is_returned_in_order() {
        let attempts = [after(600, Err(1)), after(10, Err(2)), after(10, Err(3))];
        assert_eq!(race(attempts, HEAD_START).await, Err(vec![1, 2, 3]));
        assert_eq!(
            race(Vec::<std::future::Ready<Result<(), ()>>>::new(), HEAD_START).await,
            Err(vec![])
        );
    }
}
