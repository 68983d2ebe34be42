//! One timer for a task that waits for several instants, and for others every time.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for whatever is due first.
///
/// It is set anew only when something is due earlier than before: mostly what a task has a deadline for
/// happens long before that, and one early ring now and then is cheaper than two changes of the timer for
/// each of them. Each may wake the runtime's driver, which is two system calls.
#[derive(Debug)]
pub struct Alarm {
    sleep: Pin<Box<Sleep>>,
    set_for: Option<Instant>,
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[allow(clippy::new_without_default, reason = "a default does not panic")]
    pub fn new() -> Self {
        Self {
            sleep: Box::pin(sleep_until(Instant::now())),
            set_for: None,
        }
    }

    /// Whether it rings now; if not, it will wake the task at `due` or before. Without a `due` it rings at
    /// most for an earlier one.
    pub fn poll(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        if let Some(due) = due
            && self.set_for.is_none_or(|set_for| due < set_for)
        {
            self.sleep.as_mut().reset(due);
            self.set_for = Some(due);
        }
        if self.set_for.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            self.set_for = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// After how many milliseconds it rings.
    async fn ring(alarm: &mut Alarm, due: Option<Instant>, started: Instant) -> u128 {
        std::future::poll_fn(|cx| alarm.poll(cx, due)).await;
        started.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_something_is_due_or_before_and_never_late() {
        let now = Instant::now();
        let at = |millis| Some(now + Duration::from_millis(millis));
        let mut alarm = Alarm::new();
        let poll = |alarm: &mut Alarm, due| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            alarm.poll(&mut cx, due).is_ready()
        };
        assert!(!poll(&mut alarm, None));
        assert!(!poll(&mut alarm, at(50)));
        // Earlier, and later again: it is not put off.
        assert!(!poll(&mut alarm, at(20)));
        assert!(!poll(&mut alarm, at(90)));
        assert_eq!(ring(&mut alarm, at(90), now).await, 20);
        assert_eq!(ring(&mut alarm, at(90), now).await, 90);
        assert!(!poll(&mut alarm, None));
    }
}
