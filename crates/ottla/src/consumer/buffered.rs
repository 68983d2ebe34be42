//! One batch on its way from the wire to the caller.
//!
//! Owns a fetched batch with the share of the byte budget it holds: first as it came, then checked and
//! decompressed, ahead of the caller where the budget has room, at the latest when it is handed out.

use std::sync::Arc;

use ottla_codec::records::{BatchError, Compression, DecodedBatch, Decompressor, RecordBatch};

use super::budget::{Budget, Lease};
use super::buffer::Entry;
use super::config::ConsumerConfig;
use super::positions::Position;

/// The largest batch, decompressed, that a budget smaller than this lets pass.
const DECOMPRESSED_LIMIT: usize = 256 * 1024 * 1024;

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
    /// In the response, together with other batches.
    Response(Arc<Lease>),
    /// In memory of its own, where it was decompressed.
    Own(Lease),
    /// In memory of its own that the consumer no longer answers for.
    Detached,
}

/// Checks and decompresses, with contexts that are made once.
#[derive(Debug)]
pub(crate) struct Decoder {
    decompressor: Decompressor,
    budget: Budget,
    check_crcs: bool,
    /// No batch may decompress to more.
    limit: usize,
    /// Plain bytes for each 256 compressed ones, as the latest batches had it.
    ratio_256: usize,
}

impl Decoder {
    pub(crate) fn new(budget: Budget, check_crcs: bool, limit: usize) -> Self {
        Self {
            decompressor: Decompressor::new(),
            budget,
            check_crcs,
            limit,
            ratio_256: 4 * 256,
        }
    }

    /// One for a consumer's settings.
    pub(crate) fn for_consumer(budget: &Budget, config: &ConsumerConfig) -> Self {
        // A batch above the budget passes alone, but not one without any bound.
        let limit = config.memory_limit.max(DECOMPRESSED_LIMIT);
        Self::new(budget.clone(), config.check_crcs, limit)
    }

    /// Checks and decompresses a batch if the budget has room for what comes out of it, judged by the
    /// batches before it; leaves it as it is if there is none. The plain bytes are counted once known.
    pub(crate) fn decode_ahead(&mut self, fetched: Fetched) -> Result<Fetched, BatchError> {
        let Body::Wire { batch, .. } = &fetched.body else {
            return Ok(fetched);
        };
        let expected = match batch.compression()? {
            Compression::None => 0,
            _ => batch.bytes().len().saturating_mul(self.ratio_256) / 256,
        };
        match self.budget.try_take(expected) {
            Some(lease) => self.decode(fetched, lease),
            // Nothing to take, or nothing to spare: the difference is whether bytes are needed.
            None if expected == 0 => self.decode(fetched, self.budget.take(0)),
            None => Ok(fetched),
        }
    }

    /// Checks and decompresses a batch, room or not: it is the one the caller waits for.
    pub(crate) fn decode_now(&mut self, fetched: Fetched) -> Result<Fetched, BatchError> {
        let lease = self.budget.take(0);
        self.decode(fetched, lease)
    }

    fn decode(&mut self, fetched: Fetched, mut lease: Lease) -> Result<Fetched, BatchError> {
        let Fetched { start, end, body } = fetched;
        let (batch, response) = match body {
            Body::Wire { batch, response } => (batch, response),
            plain @ Body::Plain(_) => {
                return Ok(Fetched {
                    start,
                    end,
                    body: plain,
                });
            }
        };
        if self.check_crcs {
            batch.verify_crc()?;
        }
        let wire_bytes = batch.bytes().len();
        let plain = batch.decompress(&mut self.decompressor, self.limit)?;
        let memory = match batch.compression()? {
            Compression::None => Memory::Response(response),
            _ => {
                let ratio = plain.size_bytes().saturating_mul(256) / wire_bytes.max(1);
                self.ratio_256 = (self.ratio_256 * 3 + ratio) / 4;
                lease.resize(plain.size_bytes());
                Memory::Own(lease)
            }
        };
        Ok(Fetched {
            start,
            end,
            body: Body::Plain(Plain {
                batch: plain,
                memory,
            }),
        })
    }
}

impl Entry for Fetched {
    fn bytes(&self) -> usize {
        match &self.body {
            Body::Wire { batch, .. } => batch.bytes().len(),
            Body::Plain(plain) => plain.batch.size_bytes(),
        }
    }
}
