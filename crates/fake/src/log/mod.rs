//! Partition logs.
//!
//! `batch` is a stored batch and its header, `records` what is inside, `payload` its compression; `validate` decides
//! whether a client's batch is fit to be stored, `producer_state` whether it is new; `partition_log` keeps batches,
//! `epochs` the leader epochs; `inspect` shows a log to tests, `search` finds timestamps, `write` makes the cluster's
//! own batches, `compact` removes records.

mod batch;
mod compact;
mod epochs;
mod inspect;
mod partition_log;
mod payload;
mod producer_state;
mod records;
mod search;
mod validate;
mod write;

pub(crate) use batch::{BatchFault, StoredBatch, ZSTD};
pub use compact::Compaction;
pub(crate) use compact::compact;
pub(crate) use inspect::inspect;
pub use inspect::{ControlMarker, LoggedRecord};
pub(crate) use partition_log::PartitionLog;
pub(crate) use payload::recompress;
pub(crate) use producer_state::{Judgement, SequenceFault};
pub(crate) use search::{by_timestamp, largest_timestamp};
pub(crate) use validate::{Refusal, validate, validate_unread};
pub use write::Record;
pub(crate) use write::{BatchOwner, data_batch, marker};
