//! What a client's connections and metadata have done so far.

use std::time::Duration;

use super::Core;

/// Counters of a client, at one moment. Cheap to take: each is one atomic read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientMetrics {
    /// Connections that are ready.
    pub connections_open: u64,
    /// Tries to connect so far, whatever became of them.
    pub dials: u64,
    /// Tries to connect that failed.
    pub dial_failures: u64,
    /// Connections closed so far because nothing had been asked of them for `connections.max.idle.ms`.
    pub idle_closes: u64,
    /// Connections lost so far: the broker hung up, or a request on it timed out. Whoever needs one makes it anew,
    /// which is another dial.
    pub connections_lost: u64,
    /// Bytes read from brokers so far.
    pub bytes_in: u64,
    /// Bytes written to brokers so far.
    pub bytes_out: u64,
    /// Requests so far.
    pub requests: u64,
    /// Requests without an answer yet.
    pub requests_pending: u64,
    /// Time for which brokers asked connections to keep quiet, summed over connections.
    pub throttled: Duration,
    /// Metadata refreshes so far, failed ones included.
    pub metadata_refreshes: u64,
    /// Brokers in the current view of the cluster.
    pub brokers: usize,
}

impl Core {
    pub(crate) fn metrics(&self) -> ClientMetrics {
        let pool = self.pool.stats();
        let view = self.metadata.view();
        ClientMetrics {
            connections_open: pool.connections_open,
            dials: pool.dials,
            dial_failures: pool.dial_failures,
            idle_closes: pool.idle_closes,
            connections_lost: pool.losses,
            bytes_in: pool.bytes_in,
            bytes_out: pool.bytes_out,
            requests: pool.requests,
            requests_pending: pool.requests_pending,
            throttled: Duration::from_millis(pool.throttle_ms),
            metadata_refreshes: view.refreshes,
            brokers: view.cluster.brokers().len(),
        }
    }
}
