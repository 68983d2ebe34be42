//! How brokers and clients know each other: certificates, TLS and SASL.

mod authority;
mod login;
mod tls;

pub use authority::{Authority, Certificate};
pub(crate) use login::{Answer, Login, Sasl};
pub(crate) use tls::{Acceptor, acceptor};
