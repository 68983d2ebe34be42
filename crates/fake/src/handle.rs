//! The way into the loop: every command of the test handle goes through here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::FakeError;
use crate::event_loop::Event;
use crate::state::State;

/// Sends commands to the loop. Cheap to clone; does not keep the cluster alive.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) events: mpsc::UnboundedSender<Event>,
    ids: Arc<AtomicU64>,
}

impl Handle {
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self {
            events,
            ids: Arc::new(AtomicU64::new(0)),
        }
    }

    /// A number for a rule or a hold, in the order in which they are made.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Has the loop run `command` after all that was sent before. A cluster that is gone needs no command.
    pub(crate) fn send(&self, command: impl FnOnce(&mut State) + Send + 'static) {
        let _ = self.events.send(Event::Admin(Box::new(command)));
    }

    /// Has the loop run `command` and waits for what it returns. The command runs even if the future is dropped.
    pub(crate) async fn admin<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, FakeError> {
        let (sender, receiver) = oneshot::channel();
        self.send(move |state| {
            let _ = sender.send(command(state));
        });
        receiver.await.map_err(|_| FakeError::Stopped)
    }

    /// Like [`admin`](Self::admin) for commands that can fail themselves.
    pub(crate) async fn try_admin<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut State) -> Result<T, FakeError> + Send + 'static,
    ) -> Result<T, FakeError> {
        self.admin(command).await?
    }
}
