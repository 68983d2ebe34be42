//! The handle: where the cluster is, what reached it, what is to go wrong.

use std::io;
use std::sync::Arc;

use ottla_codec::Request;
use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::builder::FakeClusterBuilder;
use crate::error::FakeError;
use crate::event_loop::Event;
use crate::faults::RuleBuilder;
use crate::faults::filter::Filter;
use crate::handle::Handle;
use crate::requests::LoggedRequest;
use crate::violations::Violation;

/// A running cluster.
///
/// Clones are handles on the same cluster; it ends, with all its connections and tasks, when the last one is dropped or
/// at [`shutdown`](Self::shutdown). No method blocks; those that are `async` wait only for the cluster's own task.
#[derive(Clone, Debug)]
pub struct FakeCluster {
    pub(crate) handle: Handle,
    addresses: Arc<[(i32, String, u16)]>,
    shutdown: CancellationToken,
    _guard: Arc<DropGuard>,
}

impl FakeCluster {
    pub(crate) fn new(
        handle: Handle,
        addresses: Vec<(i32, String, u16)>,
        shutdown: CancellationToken,
    ) -> Self {
        let guard = Arc::new(shutdown.clone().drop_guard());
        Self {
            handle,
            addresses: addresses.into(),
            shutdown,
            _guard: guard,
        }
    }

    /// Chooses what a cluster is made of.
    #[must_use]
    pub fn builder() -> FakeClusterBuilder {
        FakeClusterBuilder::default()
    }

    /// All brokers' addresses, as `bootstrap.servers` wants them.
    #[must_use]
    #[doc(alias = "bootstrap.servers")]
    pub fn bootstrap_servers(&self) -> String {
        let all: Vec<String> = self
            .addresses
            .iter()
            .map(|(_, host, port)| format!("{host}:{port}"))
            .collect();
        all.join(",")
    }

    /// A broker's host and port, if there is such a broker. It keeps them while it is down.
    #[must_use]
    pub fn address(&self, broker: i32) -> Option<(&str, u16)> {
        let found = self.addresses.iter().find(|(id, ..)| *id == broker);
        found.map(|(_, host, port)| (host.as_str(), *port))
    }

    /// The brokers' ids.
    #[must_use]
    pub fn broker_ids(&self) -> Vec<i32> {
        self.addresses.iter().map(|&(id, ..)| id).collect()
    }

    /// A pipe to the broker at this address.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) while that broker is down, or the cluster gone;
    /// [`NotFound`](io::ErrorKind::NotFound) when no broker ever had that address.
    ///
    /// # Cancel safety
    /// A connection that is not taken is closed.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<DuplexStream> {
        let (answer, connected) = oneshot::channel();
        let event = Event::Connect {
            host: host.to_owned(),
            port,
            answer,
        };
        let _ = self.handle.events.send(event);
        connected
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::ConnectionRefused.into()))
    }

    /// Begins a rule about requests of type `R`; see [`RuleBuilder`].
    ///
    /// Any request type of the codec will do, so a test can also serve an API by itself that the cluster does not.
    pub fn on<R: Request>(&self) -> RuleBuilder<R> {
        RuleBuilder::new(self.handle.clone(), Filter::new(Some(R::KEY)))
    }

    /// Begins a rule about all requests; see [`RuleBuilder`].
    pub fn on_any(&self) -> RuleBuilder<()> {
        RuleBuilder::new(self.handle.clone(), Filter::new(None))
    }

    /// Takes all rules out of force. Requests that a rule has caught already stay caught.
    pub fn clear_rules(&self) {
        self.handle.send(|state| {
            state.rules.clear();
            state.cuts.clear();
        });
    }

    /// Every request so far, in the order in which they were taken in.
    ///
    /// # Errors
    /// When the cluster is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn requests(&self) -> Result<Vec<LoggedRequest>, FakeError> {
        self.handle
            .admin(|state| state.requests.all().to_vec())
            .await
    }

    /// Empties the request log.
    pub fn clear_requests(&self) {
        self.handle.send(|state| state.requests.clear());
    }

    /// What the cluster has noticed that a correct client does not do, oldest first.
    ///
    /// # Errors
    /// When the cluster is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn violations(&self) -> Result<Vec<Violation>, FakeError> {
        self.handle.admin(|state| state.violations.clone()).await
    }

    /// Forgets what was noticed so far.
    pub fn clear_violations(&self) {
        self.handle.send(|state| state.violations.clear());
    }

    /// Ends the cluster: connections close, listeners go, nothing is answered any more.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }
}
