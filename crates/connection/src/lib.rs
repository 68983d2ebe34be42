//! Pipelined connections to Kafka brokers, and the pool that owns them.
//!
//! Owns everything between a request and the socket: dialing ([`Connector`]), encryption ([`Tls`]), identity ([`Sasl`]), the handshake
//! and what the broker can do ([`Versions`]), pipelining with deadlines and certainty ([`Connection`]),
//! and which connections there are ([`Pool`]). Knows nothing of topics or groups; what the messages
//! mean is its callers' business.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use ottla_codec::{Message, messages::metadata::MetadataRequest};
//! use ottla_connection::{ConnectionError, ConnectionGroup, HostPort, Pool, PoolConfig, Purpose, TcpConnector};
//! use tokio::time::Instant;
//!
//! async fn brokers() -> Result<usize, Box<dyn std::error::Error>> {
//!     let config = PoolConfig { bootstrap: HostPort::parse_list("localhost:9092")?, ..PoolConfig::default() };
//!     let pool = Pool::new(config, Arc::new(TcpConnector::new()), fastrand::Rng::new());
//!     let deadline = Instant::now() + Duration::from_secs(30);
//!     let connection = pool.bootstrap(ConnectionGroup::shared(Purpose::Metadata), deadline).await?;
//!     let version = connection.versions().pick::<MetadataRequest>(MetadataRequest::VERSIONS)?;
//!     let metadata = connection.request(&MetadataRequest::default(), version, deadline).await?;
//!     pool.update_nodes(metadata.brokers.iter().map(|b| (b.node_id, HostPort::new(&b.host, b.port as u16))));
//!     Ok(metadata.brokers.len())
//! }
//! ```
//!
//! A session is plain data driven by input and instants; one task per connection does its I/O, and
//! the pool owns those tasks. See KIP-35 and KIP-511 (versions), KIP-144 and KIP-580 (backoff),
//! KIP-219 (throttling), KIP-601 (setup timeout).
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod address;
mod alarm;
mod backoff;
mod config;
mod connection;
mod dial;
mod driver;
mod error;
mod handshake;
mod peer;
mod pending;
mod pool;
mod race;
mod reader;
mod sasl;
mod session;
mod stats;
#[cfg(test)]
mod testing;
mod throttle;
mod tls;
mod transport;
mod versions;
mod writer;

pub use address::{AddressError, HostPort};
pub use alarm::Alarm;
pub use backoff::Backoff;
pub use config::{ConnectionConfig, PoolConfig};
pub use connection::Connection;
pub use error::{CloseReason, ConnectionError, DialError, StreamFault, UnsupportedApi};
pub use peer::{ConnectionGroup, Peer, Purpose};
pub use pending::{Pending, Written};
pub use pool::Pool;
pub use sasl::{Sasl, SaslFault, SaslMechanism};
pub use stats::PoolStats;
pub use tls::{Pem, Tls, TlsClient, TlsConfigError, TlsFault, TlsVersion};
pub use transport::{BoxFuture, BoxStream, Connector, Stream, TcpAttempt, TcpConnector, TcpError};
pub use versions::Versions;
