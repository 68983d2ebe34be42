//! A batch from its first record to its outcome.

use std::sync::Arc;

use ottla_codec::records::{BatchBuilder, SealedBatch};
use tokio::time::Instant;

use crate::producer::delivery::{Outcome, Timestamps};

/// A batch that still takes records.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    pub(crate) serial: u64,
    pub(crate) builder: BatchBuilder,
    pub(crate) outcome: Arc<Outcome>,
    pub(crate) opened: Instant,
    /// The timestamp of records that do not bring their own.
    pub(crate) timestamp: i64,
    pub(crate) timestamps: Timestamps,
    /// Bytes of the budget it holds.
    pub(crate) charge: usize,
}

/// A batch that takes no more records.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The serial it was opened under, which its parts keep when it is split.
    pub(crate) origin: u64,
    pub(crate) payload: Payload,
    pub(crate) outcome: Arc<Outcome>,
    pub(crate) timestamps: Timestamps,
    pub(crate) records: u32,
    /// Bytes of the budget it holds.
    pub(crate) charge: usize,
    /// How often it was sent.
    pub(crate) attempts: u32,
}

/// The records of a closed batch.
#[derive(Debug)]
pub(crate) enum Payload {
    Unsealed(BatchBuilder),
    /// Out of the lock, to be compressed.
    Sealing,
    Sealed(SealedBatch),
}

/// A batch to be compressed and sealed outside of the lock.
#[derive(Debug)]
pub(crate) struct SealJob {
    pub(crate) partition: usize,
    pub(crate) serial: u64,
    pub(crate) builder: BatchBuilder,
}

/// A batch to be cut into smaller ones outside of the lock.
#[derive(Debug)]
pub(crate) struct SplitJob {
    pub(crate) partition: usize,
    pub(crate) serial: u64,
    pub(crate) batch: SealedBatch,
    /// How large a part may be, in bytes.
    pub(crate) target: usize,
}
