//! What people may set about connections.

use std::time::Duration;

use crate::address::HostPort;
use crate::backoff::Backoff;
use crate::sasl::Sasl;
use crate::tls::TlsClient;

/// How every connection of a pool behaves.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// The name under which brokers log and throttle this client; `None` sends none. Default:
    /// `None`.
    #[doc(alias = "client.id")]
    pub client_id: Option<String>,
    /// The software's name as brokers see it (KIP-511): letters, digits, `-` and `.`, beginning and
    /// ending with a letter or digit. Default: `ottla`.
    pub software_name: String,
    /// The software's version as brokers see it, of the same characters. Default: this crate's
    /// version.
    pub software_version: String,
    /// The largest answer accepted, in bytes; a connection on which a larger one is announced is
    /// closed. Should leave room above what fetches ask for, since brokers send a first batch
    /// whole. Default: 100 MiB.
    #[doc(alias = "receive.message.max.bytes")]
    pub max_response_bytes: usize,
    /// A connection with nothing pending for this long is closed, `None` for never. Below the
    /// broker's own limit of ten minutes, so that the broker does not close it under a request.
    /// Default: 9 minutes.
    #[doc(alias = "connections.max.idle.ms")]
    pub idle_timeout: Option<Duration>,
    /// What secures connections; `None` leaves them unencrypted. Default: `None`.
    #[doc(alias = "security.protocol")]
    pub tls: Option<TlsClient>,
    /// How brokers are told who this client is; `None` if they do not want to know. Default: `None`.
    #[doc(alias = "sasl.mechanism")]
    pub sasl: Option<Sasl>,
}

impl ConnectionConfig {
    pub(crate) fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            client_id: None,
            software_name: "ottla".to_owned(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            max_response_bytes: 100 * 1024 * 1024,
            idle_timeout: Some(Duration::from_secs(540)),
            tls: None,
            sasl: None,
        }
    }
}

/// How a pool makes connections.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Where to find the cluster first. Default: nowhere.
    #[doc(alias = "bootstrap.servers")]
    pub bootstrap: Vec<HostPort>,
    /// How each connection behaves.
    pub connection: ConnectionConfig,
    /// The wait between the starts of two tries to reach a broker. Default: [`Backoff::RECONNECT`].
    #[doc(alias = "reconnect.backoff.ms")]
    #[doc(alias = "reconnect.backoff.max.ms")]
    pub reconnect_backoff: Backoff,
    /// The time one try has from name resolution to a ready connection. Default:
    /// [`Backoff::SETUP_TIMEOUT`].
    #[doc(alias = "socket.connection.setup.timeout.ms")]
    #[doc(alias = "socket.connection.setup.timeout.max.ms")]
    pub setup_timeout: Backoff,
    /// How long a bootstrap address is tried alone before the next one is tried beside it. Default:
    /// 1 s.
    pub bootstrap_head_start: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            connection: ConnectionConfig::default(),
            reconnect_backoff: Backoff::RECONNECT,
            setup_timeout: Backoff::SETUP_TIMEOUT,
            bootstrap_head_start: Duration::from_secs(1),
        }
    }
}
