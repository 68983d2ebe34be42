//! Control of real Kafka brokers, for `cargo xtask kafka` and for the tests.
//!
//! Knows no crate of this workspace, so that it works while they do not compile.

pub mod kafka;
pub mod project;
