//! Settings of a client, and the builder that collects them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ottla_connection::{Connector, HostPort, TcpConnector};

use crate::client::Client;
use crate::config::properties::{self, Property};
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
}

/// Collects the settings of a [`Client`].
///
/// Durations given as zero where time is needed, and empty lists, are refused by [`build`](Self::build).
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    config: ClientConfig,
    bootstrap_text: String,
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
            },
            bootstrap_text: String::new(),
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
        let connector = connector.unwrap_or_else(|| Arc::new(TcpConnector::new()));
        Ok(Client::start(config, connector))
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("bootstrap_servers", &self.bootstrap_text)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn invalid(property: &str, reason: impl Into<String>) -> ErrorKind {
    ErrorKind::InvalidConfig {
        property: property.to_owned(),
        reason: reason.into(),
    }
}

/// The properties that a client understands.
pub(crate) static PROPERTIES: &[Property<ClientBuilder>] = &[
    Property {
        name: "bootstrap.servers",
        aliases: &["metadata.broker.list"],
        about: "the brokers to begin with, `host:port,…`; required",
        set: |b, v| {
            v.clone_into(&mut b.bootstrap_text);
            Ok(())
        },
    },
    Property {
        name: "client.id",
        aliases: &[],
        about: "the name brokers know this client by; default `ottla`",
        set: |b, v| {
            v.clone_into(&mut b.config.client_id);
            Ok(())
        },
    },
    Property {
        name: "request.timeout.ms",
        aliases: &["socket.timeout.ms"],
        about: "how long one request may take; default 30000",
        set: |b, v| {
            b.config.request_timeout = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "socket.connection.setup.timeout.ms",
        aliases: &[],
        about: "how long setting up one connection may take; default 10000",
        set: |b, v| {
            b.config.connect_timeout = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "reconnect.backoff.ms",
        aliases: &[],
        about: "the first pause before a broker is dialled again; default 50",
        set: |b, v| {
            let (first, longest) = &mut b.config.reconnect_backoff;
            *first = properties::millis(v)?;
            *longest = (*longest).max(*first);
            Ok(())
        },
    },
    Property {
        name: "reconnect.backoff.max.ms",
        aliases: &[],
        about: "the longest pause before a broker is dialled again; default 1000",
        set: |b, v| {
            let (first, longest) = &mut b.config.reconnect_backoff;
            *longest = properties::millis(v)?;
            *first = (*first).min(*longest);
            Ok(())
        },
    },
    Property {
        name: "retry.backoff.ms",
        aliases: &[],
        about: "the first pause before a failed request is tried again; default 100",
        set: |b, v| {
            let (first, longest) = &mut b.config.retry_backoff;
            *first = properties::millis(v)?;
            *longest = (*longest).max(*first);
            Ok(())
        },
    },
    Property {
        name: "retry.backoff.max.ms",
        aliases: &[],
        about: "the longest pause before a failed request is tried again; default 1000",
        set: |b, v| {
            let (first, longest) = &mut b.config.retry_backoff;
            *longest = properties::millis(v)?;
            *first = (*first).min(*longest);
            Ok(())
        },
    },
    Property {
        name: "connections.max.idle.ms",
        aliases: &[],
        about: "after which time without use a connection is closed, 0 or -1 for never; default 540000",
        set: |b, v| {
            let millis = properties::number::<i64>(v)?;
            b.config.connections_max_idle = u64::try_from(millis)
                .ok()
                .filter(|&millis| millis > 0)
                .map(Duration::from_millis);
            Ok(())
        },
    },
    Property {
        name: "metadata.max.age.ms",
        aliases: &["topic.metadata.refresh.interval.ms"],
        about: "after which time metadata is asked for again; default 300000",
        set: |b, v| {
            b.config.metadata_max_age = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "metadata.max.idle.ms",
        aliases: &[],
        about: "after which time without use a topic is no longer asked about; default 300000",
        set: |b, v| {
            b.config.metadata_max_idle = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "metadata.recovery.strategy",
        aliases: &[],
        about: "`rebootstrap` or `none`: what to do once no known broker answers; default `rebootstrap`",
        set: |b, v| {
            b.config.rebootstrap = match v.to_ascii_lowercase().as_str() {
                "rebootstrap" => true,
                "none" => false,
                _ => return Err(format!("{v:?} is neither rebootstrap nor none")),
            };
            Ok(())
        },
    },
    Property {
        name: "allow.auto.create.topics",
        aliases: &[],
        about: "whether brokers may create a topic because it is named; default true",
        set: |b, v| {
            b.config.allow_auto_create_topics = properties::boolean(v)?;
            Ok(())
        },
    },
    Property {
        name: "receive.message.max.bytes",
        aliases: &[],
        about: "the largest answer that is read; default 268435456",
        set: |b, v| {
            b.config.max_response_bytes = properties::number(v)?;
            Ok(())
        },
    },
    Property {
        name: "security.protocol",
        aliases: &[],
        about: "`PLAINTEXT`; anything else is refused, never ignored",
        set: |_, v| match v.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Ok(()),
            _ => Err(format!("{v} is not available; only PLAINTEXT is")),
        },
    },
];

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

    #[test]
    fn the_properties_are_documented() {
        let documented = include_str!("properties.md");
        properties::check_documented(PROPERTIES, "client/properties.md", documented);
    }

    #[test]
    fn properties_set_what_setters_set() {
        let builder = ClientBuilder::from_properties([
            ("metadata.broker.list", "a:1,b"),
            ("socket.timeout.ms", "1234"),
            ("reconnect.backoff.ms", "5000"),
            ("linger.ms", "7"),
            ("key.deserializer", "StringDeserializer"),
        ])
        .unwrap();
        assert_eq!(builder.bootstrap_text, "a:1,b");
        assert_eq!(builder.config.request_timeout, Duration::from_millis(1234));
        let five = Duration::from_secs(5);
        assert_eq!(builder.config.reconnect_backoff, (five, five));
    }

    #[test]
    fn encryption_is_never_left_out_in_silence() {
        let error =
            ClientBuilder::from_properties([("security.protocol", "SASL_SSL")]).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidConfig { property, .. }
            if property == "security.protocol")
        );
    }
}
