//! An immutable view of a Kafka cluster, and the rules by which metadata changes it.
//!
//! A [`Cluster`] is a snapshot: which brokers there are, which topics with which ids, who leads each
//! partition and since which leader epoch. It never changes; [`Cluster::merge`] and
//! [`Cluster::apply_hints`] make the next one and say what is different. Whoever holds an older snapshot
//! can go on reading it.
//!
//! The crate knows Kafka's metadata messages and nothing of sockets, tasks or clocks: when to ask,
//! whom to ask and how often is its caller's business.
//!
//! # References
//! - KIP-320: leader epochs put what brokers say in order
//! - KIP-516: topic ids
//! - KIP-951: leaders named in error responses

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod broker;
mod hints;
mod merge;
mod snapshot;
mod topic;

pub use broker::{Broker, NodeId};
pub use hints::LeaderHint;
pub use merge::{Change, Merge};
pub use ottla_codec::Uuid;
pub use snapshot::Cluster;
pub use topic::{Partition, Topic, TopicPartition};
