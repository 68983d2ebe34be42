//! The handle on a client.

use std::sync::Arc;
use std::time::Duration;

use ottla_connection::Connector;
use tokio::time::timeout_at;

use super::{ClientBuilder, ClientConfig, ClientMetrics, Core};
use crate::admin::Admin;
use crate::consumer::ConsumerBuilder;
use crate::env::after;
use crate::error::Result;
use crate::producer::ProducerBuilder;

/// A client of one Kafka cluster.
///
/// Producers, consumers and admins made from it share its connections and its view of the cluster.
/// Cloning is cheap and gives another handle on the same client. When the last handle on it, and the last
/// thing made from it, is dropped, its tasks end and its connections are closed.
#[derive(Clone, Debug)]
pub struct Client {
    core: Arc<Core>,
}

impl Client {
    /// Begins a client with all settings at their defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Begins a client with settings by the names that Java's and librdkafka's clients use.
    ///
    #[doc = include_str!("properties.md")]
    ///
    /// Names that belong to a producer or a consumer are left to their builders; others that Kafka
    /// clients know are skipped with one warning.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownProperty`](crate::ErrorKind::UnknownProperty) for a name that no Kafka client
    /// knows, [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for a value that cannot be.
    pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<ClientBuilder> {
        ClientBuilder::from_properties(properties)
    }

    pub(crate) fn start(config: ClientConfig, connector: Arc<dyn Connector>) -> Self {
        Self {
            core: Core::start(config, connector),
        }
    }

    /// Waits until a broker has answered, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), with the reason why no broker was reached as its
    /// source; at once that reason itself if time does not change it, as with a certificate that is not accepted.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn ready(&self, timeout: Duration) -> Result<()> {
        self.core.metadata.ready(after(timeout)).await.map(drop)
    }

    /// The client's counters, at this moment.
    pub fn metrics(&self) -> ClientMetrics {
        self.core.metrics()
    }

    /// Closes the client for all its handles: connections end once their pending requests are answered,
    /// and at the latest after `timeout`. Close producers and consumers first; what they still hold
    /// fails as closed.
    ///
    /// # Cancel safety
    ///
    /// After a drop the client is closed all the same, with connections that end in their own time.
    pub async fn close(&self, timeout: Duration) {
        let deadline = after(timeout);
        self.core.shutdown.cancel();
        self.core.pool.close(deadline).await;
        self.core.tasks.close();
        // Tasks end at the token; the deadline is for one that is in the middle of CPU work.
        let _ = timeout_at(deadline, self.core.tasks.wait()).await;
    }

    /// Begins a producer with all settings at their defaults.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.core.clone())
    }

    /// Begins a consumer.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.core.clone())
    }

    /// An admin of the cluster.
    pub fn admin(&self) -> Admin {
        Admin::new(self.core.clone())
    }
}
