//! How brokers and clients know each other: certificates and TLS.

mod authority;
mod tls;

pub use authority::{Authority, Certificate};
pub(crate) use tls::{Acceptor, acceptor};
