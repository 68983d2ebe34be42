//! A value that tasks follow as it changes, like `tokio::sync::watch`, but with waiters woken in the
//! order in which they began to wait.
//!
//! Tokio's spreads its waiters at random, for less contention; a run under a paused clock could not be
//! repeated with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Holds the value and changes it.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Follows the value.
#[derive(Clone, Debug)]
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// The sender is gone: there will be no further change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    version: u64,
    closed: bool,
}

impl<T: Clone> Sender<T> {
    pub(crate) fn new(value: T) -> Self {
        let state = Mutex::new(State {
            value,
            version: 0,
            closed: false,
        });
        Self {
            shared: Arc::new(Shared {
                state,
                changed: Notify::new(),
            }),
        }
    }

    /// The current value.
    pub(crate) fn get(&self) -> T {
        self.shared.lock().value.clone()
    }

    /// A receiver that has seen the current value.
    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver {
            seen: self.shared.lock().version,
            shared: self.shared.clone(),
        }
    }

    /// Changes the value, and wakes the receivers if the function says that it did.
    pub(crate) fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut state = self.shared.lock();
        if change(&mut state.value) {
            state.version += 1;
            drop(state);
            self.shared.changed.notify_waiters();
        }
    }

    /// Puts another value in place, and wakes the receivers.
    pub(crate) fn send_replace(&self, value: T) {
        self.send_if_modified(|current| {
            *current = value;
            true
        });
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_waiters();
    }
}

impl<T: Clone> Receiver<T> {
    /// The current value, which counts as seen from now on.
    pub(crate) fn borrow_and_update(&mut self) -> T {
        let state = self.shared.lock();
        self.seen = state.version;
        state.value.clone()
    }

    /// Waits for a value that was not seen yet; it counts as seen then.
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
        let shared = self.shared.clone();
        loop {
            let mut notified = std::pin::pin!(shared.changed.notified());
            // From here on no change goes by unnoticed.
            notified.as_mut().enable();
            {
                let state = shared.lock();
                if state.version != self.seen {
                    self.seen = state.version;
                    return Ok(());
                }
                if state.closed {
                    return Err(Closed);
                }
            }
            notified.await;
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_change_before_the_wait_is_seen() {
        let sender = Sender::new(1);
        let mut receiver = sender.subscribe();
        sender.send_replace(2);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.borrow_and_update(), 2);
        drop(sender);
        assert_eq!(receiver.changed().await, Err(Closed));
    }

    #[tokio::test]
    async fn waiters_wake_in_the_order_they_began_to_wait() {
        let sender = Sender::new(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..40)
            .map(|n| {
                let (mut receiver, woken) = (sender.subscribe(), woken.clone());
                tokio::spawn(async move {
                    receiver.changed().await.unwrap();
                    woken.lock().unwrap().push(n);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        sender.send_replace(1);
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(*woken.lock().unwrap(), (0..40).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_unmodified_value_wakes_nobody() {
        let sender = Sender::new(1);
        let mut receiver = sender.subscribe();
        sender.send_if_modified(|_| false);
        let quiet = tokio::time::timeout(std::time::Duration::ZERO, receiver.changed()).await;
        assert!(quiet.is_err());
    }
}
