//! A consumer's counters, and one look at all of them.

use std::collections::BTreeMap;

use ottla_cluster::TopicPartition;

/// What is counted as it happens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) records: u64,
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
    pub(crate) fetches: u64,
    pub(crate) empty_fetches: u64,
    pub(crate) resets: u64,
    pub(crate) truncations: u64,
}

/// What a consumer has done and holds, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerMetrics {
    /// Records handed out, as the batches' headers count them.
    pub records: u64,
    /// Batches handed out.
    pub batches: u64,
    /// Bytes of batches that reached the buffer, decompressed where that happened ahead.
    pub bytes: u64,
    /// Fetch requests answered.
    pub fetches: u64,
    /// Fetch requests answered without anything new.
    pub empty_fetches: u64,
    /// Positions reset by policy.
    pub resets: u64,
    /// Truncated logs noticed.
    pub truncations: u64,
    /// Bytes of batches that wait to be handed out.
    pub buffered_bytes: usize,
    /// Bytes of the budget in use: in-flight fetches, buffered batches, batches in the caller's hands.
    pub memory_used: usize,
    /// The budget, in bytes.
    pub memory_limit: usize,
    /// Records between each partition's position and the end of its log, where both are known.
    pub lag: BTreeMap<TopicPartition, i64>,
}
