//! What a producer counts.

/// A producer's counters and levels at one moment.
///
/// Counters start at zero with the producer and only grow; levels say how it is right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Counter: records taken in.
    pub records_sent: u64,
    /// Counter: records that are in the log.
    pub records_written: u64,
    /// Counter: records whose delivery failed.
    pub records_failed: u64,
    /// Counter: batches put into requests, retries included.
    pub batches_sent: u64,
    /// Counter: batches put into a request again.
    pub retries: u64,
    /// Counter: batches that are in the log.
    pub batches_written: u64,
    /// Counter: batches whose delivery failed.
    pub batches_failed: u64,
    /// Counter: batches cut into smaller ones because a broker called them too large.
    pub batches_split: u64,
    /// Counter: bytes of batches put into requests, as compressed, retries included.
    pub bytes_sent: u64,
    /// Counter: Produce requests sent.
    pub requests: u64,
    /// Level: bytes of the memory budget in use.
    pub buffered_bytes: usize,
    /// Level: records that wait until the partitions of their topic are known.
    pub unassigned_records: usize,
    /// Level: batches without an outcome, open ones included.
    pub undelivered_batches: usize,
    /// Level: batches in unanswered requests.
    pub batches_in_flight: usize,
    /// Level: calls of `send` that wait for memory.
    pub waiting_sends: usize,
}
