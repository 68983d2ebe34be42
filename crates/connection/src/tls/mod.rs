//! TLS: the stream between a dial and Kafka's first byte.
//!
//! [`Tls`] is what people choose; [`TlsClient`] is that, read and checked once, and secures every stream;
//! [`TlsFault`] says what went wrong in words that name the remedy. Owns certificates, keys and their files; knows
//! not one byte of Kafka. The cryptography is rustls' with ring: no system library, nothing but a C compiler.
//!
//! Certificates are valid or not by the system's clock, which rustls reads itself.
//!
//! References: KIP-519, KIP-651 (PEM in properties).

mod client;
mod fault;
mod material;
mod options;
mod unnamed;

#[cfg(test)]
mod tests;

pub use client::TlsClient;
pub use fault::TlsFault;
pub use material::TlsConfigError;
pub use options::{Pem, Tls, TlsVersion};
