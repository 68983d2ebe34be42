//! One batch on its way from the wire to the caller.
//!
//! Owns a fetched batch with its share of the byte budget: first as it came, then in plain form. What
//! brings it there is the decoder's.

use std::sync::Arc;

use ottla_codec::records::{DecodedBatch, RecordBatch};

use super::budget::Lease;
use super::buffer::Entry;
use super::positions::Position;

/// What a batch takes beside its bytes: queues grow by doubling. It counts, for there are logs with a
/// record a batch, where it is more than the bytes are.
pub(crate) const ENTRY: usize = 2 * size_of::<Fetched>();

/// A batch that was fetched.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The first offset that is meant for the caller.
    pub(crate) start: i64,
    /// The position behind the batch.
    pub(crate) end: Position,
    pub(crate) body: Body,
}

impl Fetched {
    /// How many records the batch's header counts.
    pub(crate) fn records_count(&self) -> u64 {
        let count = match &self.body {
            Body::Wire { batch, .. } => batch.header().records_count,
            Body::Plain(plain) => plain.batch.header().records_count,
        };
        u64::try_from(count).unwrap_or(0)
    }
}

/// How far a batch has come.
#[derive(Debug)]
pub(crate) enum Body {
    /// As it came, neither checked nor decompressed.
    Wire {
        batch: RecordBatch,
        /// The response that the batch is a part of.
        response: Arc<Lease>,
    },
    /// Ready to be read.
    Plain(Plain),
}

/// A batch in plain form and the bytes it holds.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) batch: DecodedBatch,
    pub(crate) memory: Memory,
}

/// Where the bytes of a batch in plain form are, and the share of the budget they hold by being there.
#[derive(Debug)]
#[expect(dead_code, reason = "leases are held to be dropped")]
pub(crate) enum Memory {
    /// In a buffer together with other batches, in the response or where a run of them was decompressed:
    /// all of it counts until the last of them is done with.
    Shared(Arc<Lease>),
    /// In memory of its own, where it was decompressed.
    Own(Lease),
    /// In memory of its own that the consumer no longer answers for.
    Detached,
}

impl Entry for Fetched {
    fn bytes(&self) -> usize {
        match &self.body {
            Body::Wire { batch, .. } => batch.bytes().len(),
            Body::Plain(plain) => plain.batch.size_bytes(),
        }
    }
}
