//! Settings of a client, and the builder that collects them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ottla_connection::{Connector, HostPort, Sasl, TcpConnector, Tls, TlsClient};

use super::properties::PROPERTIES;
use super::security::Security;
use crate::client::Client;
use crate::config::properties;
use crate::env::CpuWork;
use crate::error::{ErrorKind, Result};

/// What a client is made with. Validated by [`ClientBuilder::build`], unchanging afterwards.
#[derive(Clone, Debug)]
pub(crate) struct ClientConfig {
    pub(crate) bootstrap: Vec<HostPort>,
    pub(crate) client_id: String,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) reconnect_backoff: (Duration, Duration),
    pub(crate) retry_backoff: (Duration, Duration),
    pub(crate) connections_max_idle: Option<Duration>,
    pub(crate) metadata_max_age: Duration,
    pub(crate) metadata_max_idle: Duration,
    pub(crate) rebootstrap: bool,
    pub(crate) allow_auto_create_topics: bool,
    pub(crate) max_response_bytes: usize,
    pub(crate) seed: Option<u64>,
    pub(crate) wall_clock: Option<SystemTime>,
    pub(crate) cpu_work: CpuWork,
    pub(crate) tls: Option<TlsClient>,
    pub(crate) sasl: Option<Sasl>,
}

/// Collects the settings of a [`Client`].
///
/// Durations given as zero where time is needed, and empty lists, are refused by [`build`](Self::build).
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    pub(super) config: ClientConfig,
    pub(super) bootstrap_text: String,
    pub(super) security: Security,
    connector: Option<Arc<dyn Connector>>,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            config: ClientConfig {
                bootstrap: Vec::new(),
                client_id: "ottla".to_owned(),
                request_timeout: Duration::from_secs(30),
                connect_timeout: Duration::from_secs(10),
                reconnect_backoff: (Duration::from_millis(50), Duration::from_secs(1)),
                retry_backoff: (Duration::from_millis(100), Duration::from_secs(1)),
                connections_max_idle: Some(Duration::from_secs(540)),
                metadata_max_age: Duration::from_secs(300),
                metadata_max_idle: Duration::from_secs(300),
                rebootstrap: true,
                allow_auto_create_topics: true,
                max_response_bytes: 256 * 1024 * 1024,
                seed: None,
                wall_clock: None,
                cpu_work: CpuWork::Pool,
                tls: None,
                sasl: None,
            },
            bootstrap_text: String::new(),
            security: Security::default(),
            connector: None,
        }
    }

    pub(crate) fn from_properties<K: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        let mut builder = Self::new();
        let mut elsewhere = properties::names_of(crate::producer::PROPERTIES);
        elsewhere.extend(properties::names_of(crate::consumer::PROPERTIES));
        properties::apply(&mut builder, PROPERTIES, &elsewhere, properties)?;
        Ok(builder)
    }

    /// The brokers to begin with: `host:port`, several separated by commas. The port is 9092 if left
    /// out. Any broker of the cluster will do; the others are learned from it. Required.
    #[doc(alias = "bootstrap.servers")]
    pub fn bootstrap_servers(mut self, servers: impl Into<String>) -> Self {
        self.bootstrap_text = servers.into();
        self
    }

    /// The name by which brokers know this client in their logs, metrics and quotas. Default: `ottla`.
    #[doc(alias = "client.id")]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.config.client_id = id.into();
        self
    }

    /// How long one request may take, from the moment it is handed to its connection to the last byte of
    /// its answer. Default: 30 s.
    #[doc(alias = "request.timeout.ms")]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// How long setting up one connection may take: name, sockets, handshakes. After failures it may
    /// take up to three times as long (KIP-601). Default: 10 s.
    #[doc(alias = "socket.connection.setup.timeout.ms")]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// The first and the longest pause before a broker is dialled again after a failure (KIP-580: it
    /// doubles each time, with 20 % jitter). Default: 50 ms to 1 s.
    #[doc(alias = "reconnect.backoff.ms")]
    #[doc(alias = "reconnect.backoff.max.ms")]
    pub fn reconnect_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.config.reconnect_backoff = (first, longest);
        self
    }

    /// The first and the longest pause before a failed request is tried again. Default: 100 ms to 1 s.
    #[doc(alias = "retry.backoff.ms")]
    #[doc(alias = "retry.backoff.max.ms")]
    pub fn retry_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.config.retry_backoff = (first, longest);
        self
    }

    /// After which time without use a connection is closed; `None` for never. Keep it below the
    /// brokers' own limit (10 min). Default: 9 min.
    #[doc(alias = "connections.max.idle.ms")]
    pub fn connections_max_idle(mut self, idle: Option<Duration>) -> Self {
        self.config.connections_max_idle = idle;
        self
    }

    /// After which time metadata is asked for again though nothing called for it. Default: 5 min.
    #[doc(alias = "metadata.max.age.ms")]
    pub fn metadata_max_age(mut self, age: Duration) -> Self {
        self.config.metadata_max_age = age;
        self
    }

    /// After which time without use a topic is no longer asked about. Default: 5 min.
    #[doc(alias = "metadata.max.idle.ms")]
    pub fn metadata_max_idle(mut self, idle: Duration) -> Self {
        self.config.metadata_max_idle = idle;
        self
    }

    /// Whether the bootstrap servers are asked again once no known broker answers (KIP-899).
    /// Default: yes.
    #[doc(alias = "metadata.recovery.strategy")]
    pub fn rebootstrap(mut self, rebootstrap: bool) -> Self {
        self.config.rebootstrap = rebootstrap;
        self
    }

    /// Whether brokers may create a topic because this client names it, if they are set up to do so.
    /// Default: yes.
    #[doc(alias = "allow.auto.create.topics")]
    pub fn allow_auto_create_topics(mut self, allow: bool) -> Self {
        self.config.allow_auto_create_topics = allow;
        self
    }

    /// The largest answer that is read, in bytes; a larger one closes its connection. Default: 256 MiB.
    #[doc(alias = "receive.message.max.bytes")]
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.config.max_response_bytes = bytes;
        self
    }

    /// Encrypts every connection, and with it whom to trust and who this client is. Default: connections are not
    /// encrypted.
    ///
    /// ```
    /// use ottla::{Client, Tls};
    ///
    /// let client = Client::builder().bootstrap_servers("broker.example.org:9093").tls(Tls::new().ca_file("ca.pem"));
    /// # drop(client);
    /// ```
    #[doc(alias = "security.protocol")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.security.tls = Some(tls);
        self
    }

    /// Proves to every broker who this client is. Default: brokers that want to know hang up.
    ///
    /// ```
    /// use ottla::{Client, Sasl, Tls};
    ///
    /// let client = Client::builder()
    ///     .bootstrap_servers("broker.example.org:9093")
    ///     .tls(Tls::new())
    ///     .sasl(Sasl::scram_sha_512("alice", "correct horse"));
    /// # drop(client);
    /// ```
    #[doc(alias = "sasl.mechanism")]
    #[doc(alias = "sasl.jaas.config")]
    pub fn sasl(mut self, sasl: Sasl) -> Self {
        self.security.sasl = Some(sasl);
        self
    }

    /// How streams to brokers are made, instead of by TCP: a function from host and port to a stream,
    /// or any other [`Connector`]. An embedded cluster for tests, a tunnel and a proxy are such functions.
    ///
    /// ```
    /// use ottla::{Client, CpuWork};
    /// use ottla_fake::FakeCluster;
    ///
    /// // Over pipes nothing but tokio's clock takes time, and a paused clock makes a minute's wait instant.
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = FakeCluster::builder().topic("orders", 1).start_in_memory().await?;
    /// let brokers = cluster.clone();
    /// let client = Client::builder()
    ///     .bootstrap_servers(cluster.bootstrap_servers())
    ///     .connector(move |host: String, port: u16| {
    ///         let brokers = brokers.clone();
    ///         async move { brokers.connect(&host, port).await }
    ///     })
    ///     .cpu_work(CpuWork::Inline)
    ///     .seed(1)
    ///     .build()?;
    /// assert_eq!(client.admin().describe_cluster().await?.brokers.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// Seeds every random choice, so that a run under a paused clock repeats. Default: from the system.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// The wall time at which the client's clock begins. Default: now.
    pub fn wall_clock(mut self, start: SystemTime) -> Self {
        self.config.wall_clock = Some(start);
        self
    }

    /// Where compression and other CPU-heavy work is done. Default: on tokio's blocking threads.
    pub fn cpu_work(mut self, cpu_work: CpuWork) -> Self {
        self.config.cpu_work = cpu_work;
        self
    }

    /// Makes the client. Nothing is sent before it is used; [`Client::ready`] waits for a first answer.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] names the setting that cannot work.
    pub fn build(self) -> Result<Client> {
        let Self {
            mut config,
            bootstrap_text,
            security,
            connector,
        } = self;
        config.bootstrap = HostPort::parse_list(&bootstrap_text)
            .map_err(|error| invalid("bootstrap.servers", error.to_string()))?;
        if config.bootstrap.is_empty() {
            return Err(invalid("bootstrap.servers", "no server is named").into());
        }
        for (property, duration) in [
            ("request.timeout.ms", config.request_timeout),
            ("socket.connection.setup.timeout.ms", config.connect_timeout),
            ("metadata.max.age.ms", config.metadata_max_age),
        ] {
            if duration.is_zero() {
                return Err(invalid(property, "it must be longer than zero").into());
            }
        }
        for (property, (first, longest)) in [
            ("reconnect.backoff.ms", config.reconnect_backoff),
            ("retry.backoff.ms", config.retry_backoff),
        ] {
            if first > longest {
                return Err(invalid(property, "the first pause is above the longest").into());
            }
        }
        config.tls = security.load_tls()?;
        config.sasl = security.sasl()?;
        let connector = connector.unwrap_or_else(|| Arc::new(TcpConnector::new()));
        Ok(Client::start(config, connector))
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("bootstrap_servers", &self.bootstrap_text)
            .field("config", &self.config)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

pub(super) fn invalid(property: &str, reason: impl Into<String>) -> ErrorKind {
    ErrorKind::InvalidConfig {
        property: property.to_owned(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_a_server() {
        let error = ClientBuilder::new().build().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidConfig { property, .. }
            if property == "bootstrap.servers")
        );
    }
}
