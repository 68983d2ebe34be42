//! Real Apache Kafka brokers on this machine, from the jars that Maven resolves.
//!
//! [`Cluster`] starts brokers and stops them when it is dropped; [`Jars`] runs any Java class of
//! the same Kafka version. Everything is synchronous: a test on an async runtime starts its cluster
//! before the runtime or in `spawn_blocking`.

mod cluster;
mod config;
mod format;
mod jars;
mod ports;
mod probe;
mod process;
mod run;
mod security;
mod version;

pub use cluster::{Cluster, ClusterBuilder};
pub use jars::{Jars, java_tool, require_java_and_maven};
pub use run::{RunState, down, status};
pub use security::{Security, USER};
pub use version::Version;
