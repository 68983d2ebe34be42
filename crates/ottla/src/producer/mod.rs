//! The producer: records in, batches out, one outcome per record.
//!
//! A record is encoded into its partition's open batch when it is sent ([`accumulator`]). One task per
//! broker, and a second one while that has to wait ([`sender`]), takes closed batches out, seals them
//! ([`compression`]) and keeps requests in flight; one task per producer ([`upkeep`]) follows metadata,
//! fetches the producer id, watches deadlines and finds the partitions of records that were sent before
//! their topic was known ([`assigner`]). What an answer or a lost connection means for order and sequence
//! numbers is decided by [`window`], a state machine without I/O. [`delivery`] is what the sender of a
//! record holds.
//!
//! # References
//! - KIP-98, KIP-360, KIP-679 (idempotence), KIP-794 (sticky partitioning), KIP-91 (delivery timeout)

mod accumulator;
mod assigner;
mod builder;
mod compression;
mod delivery;
mod handle;
mod metrics;
mod partitioner;
mod properties;
mod request;
mod sender;
mod sequences;
mod shared;
mod upkeep;
mod verdict;
mod window;

pub use builder::{Acks, ProducerBuilder};
pub use compression::Compression;
pub use delivery::Delivery;
pub use handle::Producer;
pub use metrics::ProducerMetrics;
pub use partitioner::Partitioner;
pub(crate) use properties::PROPERTIES;
