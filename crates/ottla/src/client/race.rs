//! Asking several brokers for what any of them can answer, so that one that hangs costs little.

use std::future::Future;

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};

use super::Target;
use crate::error::{ConnectionFault, Error, ErrorKind, Result};

/// How long one broker may think before the next one is asked as well. A broker that hangs costs this
/// much, not a request timeout.
const STAGGER: Duration = Duration::from_secs(1);

/// Asks the targets, one after the other or, where one is slow, beside each other, until one answers.
///
/// # Errors
///
/// The last failure, once all have failed.
///
/// # Cancel safety
///
/// A drop gives up all attempts.
pub(crate) async fn first_answer<T, F>(targets: Vec<Target>, ask: impl Fn(Target) -> F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut targets = targets.into_iter();
    let mut attempts = JoinSet::new();
    let mut last_error = None;
    loop {
        let next_attempt = Instant::now() + STAGGER;
        if let Some(target) = targets.next() {
            attempts.spawn(ask(target));
        }
        loop {
            let more = targets.len() > 0;
            tokio::select! {
                biased;
                ended = attempts.join_next() => match ended {
                    Some(Ok(Ok(answer))) => return Ok(answer),
                    Some(Ok(Err(error))) => {
                        last_error = Some(error);
                        if more {
                            break;
                        }
                    }
                    Some(Err(_)) => {}
                    None => return Err(last_error.unwrap_or_else(nobody)),
                },
                () = sleep_until(next_attempt), if more => break,
            }
        }
    }
}

/// There was nobody to ask: every broker is gone and asking the bootstrap servers again is turned off.
fn nobody() -> Error {
    ErrorKind::Connection {
        fault: ConnectionFault::Unreachable,
        message: "no broker is known any more".to_owned(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn targets(nodes: &[i32]) -> Vec<Target> {
        nodes.iter().copied().map(Target::Node).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_costs_a_moment() {
        let began = Instant::now();
        let answer = first_answer(targets(&[1, 2]), async |target| match target {
            Target::Node(2) => Ok(2),
            _ => pending().await,
        });
        assert_eq!(answer.await.unwrap(), 2);
        assert!(began.elapsed() < STAGGER * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_costs_nothing() {
        let began = Instant::now();
        let answer = first_answer(targets(&[1, 2, 3]), async |target| match target {
            Target::Node(3) => Ok(3),
            _ => Err(Error::invalid_argument("no")),
        });
        assert_eq!(answer.await.unwrap(), 3);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_answer_still_counts() {
        let answer = first_answer(targets(&[1, 2]), async |target| match target {
            Target::Node(1) => {
                tokio::time::sleep(STAGGER * 3).await;
                Ok(1)
            }
            _ => Err(Error::invalid_argument("no")),
        });
        assert_eq!(answer.await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_last_failure_is_told() {
        let error = first_answer::<(), _>(targets(&[1, 2]), async |target| {
            Err(Error::invalid_argument(format!("{target:?}")))
        });
        assert!(error.await.unwrap_err().to_string().contains("Node(2)"));
        let error = first_answer::<(), _>(Vec::new(), async |_| pending().await);
        assert!(matches!(
            error.await.unwrap_err().kind(),
            ErrorKind::Connection { .. }
        ));
    }
}
