//! SASL: who this client is, proven after the broker's versions are known and before the first other request.
//!
//! [`Sasl`] is what people choose; `Conversation` is one mechanism's side of the talk, without I/O; `Identity` carries
//! it over a connection, now and whenever the broker's patience with a session comes to an end; [`SaslFault`] says what
//! went wrong. Secrets are overwritten when they are dropped, and are in no `Debug`, no error and no log.
//!
//! References: KIP-43, KIP-84 (SCRAM), KIP-152 (SaslAuthenticate), KIP-368 (re-authentication), RFC 4616, RFC 5802,
//! RFC 7677.

mod conversation;
mod fault;
mod identity;
mod options;
mod scram;

#[cfg(test)]
mod tests;

pub use fault::SaslFault;
pub(crate) use identity::Identity;
pub use options::{Sasl, SaslMechanism};
