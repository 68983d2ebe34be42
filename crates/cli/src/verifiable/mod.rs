//! `ottla verifiable-producer` and `verifiable-consumer`: the programs that Kafka's system tests run, and their
//! contract.
//!
//! Flags are those of Java's tool, in the spellings from before and after KIP-1147. On stdout is one JSON
//! object a line, with a `timestamp` in milliseconds and a `name`; everything else is on stderr. SIGINT and
//! SIGTERM end it in order, and that is exit status 0.

mod args;
mod consumer;
mod events;
mod pace;
mod producer;

pub(crate) use args::{VerifiableConsumer, VerifiableProducer};
pub(crate) use consumer::run as consume;
pub(crate) use producer::run as produce;
