//! A place where requests wait until the test lets them go.

use tokio::sync::{Mutex, mpsc};

use crate::error::FakeError;
use crate::handle::Handle;

/// Requests parked by [`RuleBuilder::hold`](super::RuleBuilder::hold), oldest first.
///
/// Dropping it leaves what is parked where it is.
#[derive(Debug)]
pub struct Hold {
    pub(crate) handle: Handle,
    pub(crate) id: u64,
    pub(crate) arrived: Mutex<mpsc::UnboundedReceiver<()>>,
}

impl Hold {
    /// Waits until one more request has been parked.
    ///
    /// # Errors
    /// When the cluster is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn arrived(&self) -> Result<(), FakeError> {
        self.arrived
            .lock()
            .await
            .recv()
            .await
            .ok_or(FakeError::Stopped)
    }

    /// Lets the oldest parked request go on: it is applied and answered now. `false` if none was parked.
    ///
    /// # Errors
    /// When the cluster is gone.
    ///
    /// # Cancel safety
    /// The request goes on even if the future is dropped.
    pub async fn release(&self) -> Result<bool, FakeError> {
        let id = self.id;
        self.handle.admin(move |state| state.release_held(id)).await
    }
}
