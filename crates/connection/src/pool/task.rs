//! The task of one connection: it dials, serves, and tidies up, whatever happens in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug, info, info_span, trace};

use super::Shared;
use super::slots::Begun;
use crate::connection::Connection;
use crate::dial::Dial;
use crate::driver::Driver;
use crate::error::{CloseReason, DialError};
use crate::transport::BoxStream;

impl Shared {
    pub(super) fn spawn(self: &Arc<Self>, begun: Begun) {
        let span = info_span!(
            "connection",
            id = begun.id,
            client_id = self.connection_config.client_id.as_deref(),
            node = begun.peer.id(),
            broker = %begun.peer.address(),
            purpose = ?begun.key.group.purpose,
            owner = begun.key.group.owner,
        );
        self.counters.dialing();
        let attempt = Attempt {
            shared: self.clone(),
            begun,
            settled: false,
        };
        self.tasks.spawn(attempt.run().instrument(span));
    }
}

/// A dial under way. However its task ends, nobody is left waiting for it.
struct Attempt {
    shared: Arc<Shared>,
    begun: Begun,
    settled: bool,
}

impl Attempt {
    async fn run(mut self) {
        match self.dial().await {
            Ok((connection, driver)) => {
                debug!("ready");
                trace!(versions = ?connection.versions());
                if !self.settle(Ok(&connection)) {
                    connection.retire();
                }
                // Only handles of callers and of the pool may keep it open.
                drop(connection);
                self.serve(driver).await;
            }
            Err(error) => {
                debug!(%error, "dial failed");
                self.settle(Err(Arc::new(error)));
            }
        }
    }

    async fn dial(&self) -> Result<(Connection, Driver<BoxStream>), DialError> {
        let Begun {
            key,
            id,
            peer,
            setup_timeout,
            stop,
        } = &self.begun;
        let dial = Dial {
            connector: self.shared.connector.clone(),
            config: self.shared.connection_config.clone(),
            counters: self.shared.counters.clone(),
            id: *id,
            peer: peer.clone(),
            group: key.group,
            setup_timeout: *setup_timeout,
            connected: AtomicBool::new(false),
        };
        debug!("dialing");
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(DialError::Interrupted),
            result = timeout(*setup_timeout, dial.establish()) => {
                let connected = dial.connected.load(Relaxed);
                let after = *setup_timeout;
                result.unwrap_or(Err(DialError::SetupTimedOut { after, connected }))
            }
        }
    }

    fn settle(&mut self, result: Result<&Connection, Arc<DialError>>) -> bool {
        self.settled = true;
        self.shared.counters.dialed(result.is_ok());
        self.shared
            .lock()
            .dialed(&self.begun, result, Instant::now())
    }

    async fn serve(&self, driver: Driver<BoxStream>) {
        self.shared.counters.opened();
        let reason = driver.run(&self.begun.stop).await;
        let counters = &self.shared.counters;
        counters.closed();
        match reason {
            CloseReason::Fault { .. }
            | CloseReason::Identity { .. }
            | CloseReason::RequestTimedOut { .. } => {
                info!(%reason, "connection lost");
                counters.lost();
            }
            CloseReason::Idle => {
                debug!(%reason, "closed");
                counters.closed_idle();
            }
            CloseReason::Retired | CloseReason::Shutdown => debug!(%reason, "closed"),
        }
        self.shared.lock().ended(&self.begun.key, self.begun.id);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // A connector that panics, or a runtime that ends, must not leave callers waiting.
        if !self.settled {
            self.settle(Err(Arc::new(DialError::Interrupted)));
        }
    }
}
