//! Counters of a pool's connections, cheap enough to be kept always.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a pool and its connections have done so far, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections that are ready.
    pub connections_open: u64,
    /// Connections that are being made.
    pub connections_dialing: u64,
    /// Tries to connect so far, whatever became of them.
    pub dials: u64,
    /// Tries to connect that failed.
    pub dial_failures: u64,
    /// Connections closed so far because nothing had been asked of them for long.
    pub idle_closes: u64,
    /// Connections lost so far: the stream failed, or a request on it timed out.
    pub losses: u64,
    /// Bytes read so far.
    pub bytes_in: u64,
    /// Bytes written so far.
    pub bytes_out: u64,
    /// Requests submitted so far.
    pub requests: u64,
    /// Requests submitted and not yet answered, failed or, without acknowledgement, written.
    pub requests_pending: u64,
    /// Time for which brokers asked connections to keep quiet, in milliseconds, summed over
    /// connections.
    pub throttle_ms: u64,
}

/// Where the figures come from.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    open: AtomicU64,
    dialing: AtomicU64,
    dials: AtomicU64,
    dial_failures: AtomicU64,
    idle_closes: AtomicU64,
    losses: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    requests: AtomicU64,
    pending: AtomicU64,
    throttle_ms: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> PoolStats {
        PoolStats {
            connections_open: self.open.load(Relaxed),
            connections_dialing: self.dialing.load(Relaxed),
            dials: self.dials.load(Relaxed),
            dial_failures: self.dial_failures.load(Relaxed),
            idle_closes: self.idle_closes.load(Relaxed),
            losses: self.losses.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            requests: self.requests.load(Relaxed),
            requests_pending: self.pending.load(Relaxed),
            throttle_ms: self.throttle_ms.load(Relaxed),
        }
    }

    pub(crate) fn dialing(&self) {
        self.dials.fetch_add(1, Relaxed);
        self.dialing.fetch_add(1, Relaxed);
    }

    pub(crate) fn dialed(&self, success: bool) {
        self.dialing.fetch_sub(1, Relaxed);
        if !success {
            self.dial_failures.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn closed_idle(&self) {
        self.idle_closes.fetch_add(1, Relaxed);
    }

    pub(crate) fn lost(&self) {
        self.losses.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn accepted(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.pending.fetch_add(1, Relaxed);
    }

    pub(crate) fn settled(&self, requests: usize) {
        self.pending.fetch_sub(requests as u64, Relaxed);
    }

    pub(crate) fn throttled(&self, time: Duration) {
        self.throttle_ms
            .fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}
