//! From batches as they came to batches that can be read.
//!
//! Owns checking and decompressing. Ahead of the caller a run of batches is decompressed into one buffer,
//! taken from the byte budget before there is anything in it: what does not fit stays compressed, so
//! that the budget holds whatever a batch turns out to be. One batch that the caller waits for is
//! decompressed all the same.
//!
//! Knows nothing of positions; where the batches come from and go to is the fetcher's and the reader's.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use ottla_codec::records::{
    BatchError, BatchHeader, CompressionError, DecodedBatch, Decompressor, RecordBatch,
};

use super::budget::{Budget, Lease};
use super::buffered::{Body, ENTRY, Fetched, Memory, Plain};
use super::config::ConsumerConfig;
use super::positions::Position;
use super::scan::Piece;

/// The largest batch, decompressed, that a budget smaller than this lets pass.
const DECOMPRESSED_LIMIT: usize = 256 * 1024 * 1024;
/// Batches are decoded in runs of about so many plain bytes: the first reaches the caller soon, and what
/// a slow caller leaves of a run is little.
const RUN: usize = 1024 * 1024;
/// The same as a share of the budget, where that is less.
const RUN_SHARE: usize = 8;

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

/// Pieces to be decoded at one go.
#[derive(Debug)]
pub(crate) struct Run {
    pieces: Vec<Piece>,
    room: Option<Room>,
}

/// Memory for plain bytes, with its share of the budget.
#[derive(Debug)]
struct Room {
    lease: Lease,
    buffer: Vec<u8>,
}

/// Where in a run's buffer the records of a batch are, and the header that goes with them.
struct Place {
    header: BatchHeader,
    range: Range<usize>,
}

/// What became of a piece.
#[derive(Debug)]
pub(crate) enum Step {
    /// A batch, checked and in plain form if there was room for it.
    Push(Fetched),
    /// Nothing for the caller up to here.
    Pass(Position),
    /// What comes here cannot be read.
    Corrupt(BatchError),
}

impl Run {
    /// Whether decoding it is work for another thread: a checksum takes less time than such a thread
    /// takes to begin with it.
    pub(crate) fn is_laborious(&self) -> bool {
        self.room.is_some()
    }
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

    /// Takes the next run from the front of the pieces, and room for what it decompresses to, if the
    /// budget has it.
    ///
    /// Called where the buffers of responses are allocated: allocators give memory back to the thread it
    /// came from, and what one thread has set free is of no use to another.
    pub(crate) fn next_run(&self, pieces: &mut VecDeque<Piece>) -> Run {
        // Of the smallest budget, too, a run takes a piece.
        let most = RUN.min(self.budget.capacity() / RUN_SHARE).max(1);
        let mut run = Vec::new();
        let (mut bytes, mut plain, mut count) = (0, 0, 0);
        while bytes < most
            && let Some(piece) = pieces.pop_front()
        {
            if let Piece::Batch { batch, .. } = &piece {
                if !is_plain(batch) {
                    let expected = self.expected(batch);
                    bytes += expected;
                    plain += expected;
                    count += 1;
                } else {
                    bytes += batch.bytes().len();
                }
            }
            run.push(piece);
        }
        // A little more than expected, or most runs would just not fit.
        let room = match plain {
            0 => None,
            _ => self.room(plain + plain / 8, count),
        };
        Run { pieces: run, room }
    }

    fn expected(&self, batch: &RecordBatch) -> usize {
        batch.bytes().len().saturating_mul(self.ratio_256) / 256
    }

    fn room(&self, bytes: usize, batches: usize) -> Option<Room> {
        let lease = self.budget.try_take(bytes + batches * ENTRY)?;
        let buffer = Vec::with_capacity(bytes);
        Some(Room { lease, buffer })
    }

    /// Checks and decompresses a run of one response, as far as it has room. The pieces from there on come
    /// back, to open the next run.
    pub(crate) fn decode_ahead(
        &mut self,
        run: Run,
        response: &Arc<Lease>,
    ) -> (Vec<Step>, Vec<Piece>) {
        let Run { pieces, mut room } = run;
        let mut steps = Vec::with_capacity(pieces.len());
        // Which steps' batches are decompressed, and to where in the buffer.
        let mut places = Vec::new();
        let mut pieces = pieces.into_iter();
        while let Some(piece) = pieces.next() {
            let (batch, start, end) = match piece {
                Piece::Batch { batch, start, end } => (batch, start, end),
                Piece::Pass { end } => {
                    steps.push(Step::Pass(end));
                    continue;
                }
                Piece::Corrupt(error) => {
                    steps.push(Step::Corrupt(error));
                    continue;
                }
            };
            let response = response.clone();
            let is_plain = is_plain(&batch);
            let place = match &mut room {
                Some(room) if !is_plain => self.decompress(&batch, &mut room.buffer),
                _ => Ok(None),
            };
            let body = match place {
                Ok(None) if is_plain => self.plain(&batch, response),
                Ok(None) if !places.is_empty() => {
                    let rest = std::iter::once(Piece::Batch { batch, start, end });
                    let rest = rest.chain(pieces).collect();
                    return (in_plain_form(steps, places, room), rest);
                }
                Ok(place) => {
                    places.extend(place.map(|place| (steps.len(), place)));
                    Ok(Body::Wire { batch, response })
                }
                Err(error) => Err(error),
            };
            steps.push(match body {
                Ok(body) => Step::Push(Fetched { start, end, body }),
                Err(error) => Step::Corrupt(error),
            });
        }
        (in_plain_form(steps, places, room), Vec::new())
    }

    /// Checks and decompresses a batch, room or not: it is the one the caller waits for.
    pub(crate) fn decode_now(&mut self, fetched: Fetched) -> Result<Fetched, BatchError> {
        let Body::Wire { batch, response } = fetched.body else {
            return Ok(fetched);
        };
        let body = if is_plain(&batch) {
            self.plain(&batch, response)?
        } else {
            let expected = self.expected(&batch);
            let mut buffer = Vec::with_capacity(expected.min(self.limit));
            self.check(&batch)?;
            let header = batch.decompress_into(&mut buffer, &mut self.decompressor, self.limit)?;
            self.learn(&batch, buffer.len());
            trim(&mut buffer);
            let lease = self.budget.take(buffer.capacity() + ENTRY);
            Body::Plain(Plain {
                batch: DecodedBatch::from_parts(header, Bytes::from(buffer)),
                memory: Memory::Own(lease),
            })
        };
        Ok(Fetched { body, ..fetched })
    }

    /// An uncompressed batch, where it is.
    fn plain(&self, batch: &RecordBatch, response: Arc<Lease>) -> Result<Body, BatchError> {
        self.check(batch)?;
        Ok(Body::Plain(Plain {
            batch: DecodedBatch::from_parts(*batch.header(), batch.body()),
            memory: Memory::Shared(response),
        }))
    }

    /// Appends a batch's plain bytes to the buffer and tells where they are; `None` if there is no room
    /// for them.
    fn decompress(
        &mut self,
        batch: &RecordBatch,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Place>, BatchError> {
        self.check(batch)?;
        let begin = buffer.len();
        // With room for one more byte than the limit, the buffer does not move.
        let room = (buffer.capacity() - begin).saturating_sub(1);
        let limit = room.min(self.limit);
        match batch.decompress_into(buffer, &mut self.decompressor, limit) {
            Ok(header) => {
                let range = begin..buffer.len();
                self.learn(batch, range.len());
                Ok(Some(Place { header, range }))
            }
            Err(BatchError::Decompress {
                source: CompressionError::LimitExceeded { .. },
                ..
            }) if limit < self.limit => {
                // It decompresses to more than this, and so may the next.
                self.learn(batch, limit.saturating_mul(2));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn check(&self, batch: &RecordBatch) -> Result<(), BatchError> {
        match self.check_crcs {
            true => batch.verify_crc(),
            false => Ok(()),
        }
    }

    fn learn(&mut self, batch: &RecordBatch, plain: usize) {
        let ratio = plain.saturating_mul(256) / batch.bytes().len().max(1);
        self.ratio_256 = (self.ratio_256 * 3 + ratio) / 4;
    }
}

/// Gives the batches that were decompressed their places in the buffer, and back what is left of it.
fn in_plain_form(
    mut steps: Vec<Step>,
    places: Vec<(usize, Place)>,
    room: Option<Room>,
) -> Vec<Step> {
    let Some(Room {
        mut lease,
        mut buffer,
    }) = room
    else {
        return steps;
    };
    trim(&mut buffer);
    lease.resize(buffer.capacity() + places.len() * ENTRY);
    let (buffer, lease) = (Bytes::from(buffer), Arc::new(lease));
    for (step, Place { header, range }) in places {
        if let Some(Step::Push(fetched)) = steps.get_mut(step) {
            fetched.body = Body::Plain(Plain {
                batch: DecodedBatch::from_parts(header, buffer.slice(range)),
                memory: Memory::Shared(lease.clone()),
            });
        }
    }
    steps
}

/// Gives up memory that is not needed, unless it is little.
fn trim(buffer: &mut Vec<u8>) {
    if buffer.capacity() - buffer.len() > buffer.len() / 16 {
        buffer.shrink_to_fit();
    }
}

/// Whether a batch can be read where it is; one that cannot be is told when it is decompressed.
fn is_plain(batch: &RecordBatch) -> bool {
    matches!(batch.is_plain(), Ok(true))
}

#[cfg(test)]
mod tests;
