//! What one partition's bytes in a fetch response amount to, by its batches' headers alone.
//!
//! Owns the walk over the batches of one response: which of them hold records for the caller, which
//! only move the position (compacted empty, control batches, aborted transactions), and where the next
//! fetch reads. Records are not looked at, save the markers in control batches.
//!
//! Knows nothing of partitions' states, budgets or brokers.

use bytes::Bytes;
use ottla_codec::records::{
    BatchError, Batches, Compression, ControlRecord, Decompressor, RecordBatch,
};

use super::aborted::AbortedTransactions;
use super::positions::Position;

/// Control batches are a few dozen bytes; one that claims to be larger than this is not read.
const CONTROL_BATCH_LIMIT: usize = 64 * 1024;

/// One step of a partition's log, as the reader sees it.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A batch that holds records for the caller, from `start` on.
    Batch {
        batch: RecordBatch,
        start: i64,
        end: Position,
    },
    /// Nothing for the caller up to here.
    Pass { end: Position },
    /// What comes here cannot be read.
    Corrupt(BatchError),
}

/// The outcome of a walk.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// In the order of the log.
    pub(crate) pieces: Vec<Piece>,
    /// Where the walk ended, if it got anywhere.
    pub(crate) end: Option<Position>,
    /// The bytes the first batch takes, if not even that one was complete.
    pub(crate) needs_bytes: Option<usize>,
}

/// Walks along the batches of a response that was asked for from `position`. With `aborted`, batches of
/// aborted transactions are passed over (read_committed).
pub(crate) fn scan(
    bytes: Bytes,
    position: Position,
    mut aborted: Option<AbortedTransactions>,
) -> Scan {
    let mut scan = Scan::default();
    let mut at = position;
    let mut batches = Batches::new(bytes);
    let mut complete = false;
    for batch in batches.by_ref() {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                scan.pieces.push(Piece::Corrupt(error));
                complete = true;
                break;
            }
        };
        complete = true;
        match step(&batch, at, aborted.as_mut()) {
            Ok(Step::Before) => {}
            Ok(Step::Pass(end)) => {
                at = end;
                match scan.pieces.last_mut() {
                    Some(Piece::Pass { end: last }) => *last = end,
                    _ => scan.pieces.push(Piece::Pass { end }),
                }
            }
            Ok(Step::Deliver(end)) => {
                let start = at.offset;
                at = end;
                scan.pieces.push(Piece::Batch { batch, start, end });
            }
            Err(error) => {
                scan.pieces.push(Piece::Corrupt(error));
                break;
            }
        }
    }
    if !complete {
        scan.needs_bytes = batches.needed_bytes();
    }
    scan.end = (at != position).then_some(at);
    scan
}

enum Step {
    /// The batch lies before the position: it came because a response begins at a batch's start.
    Before,
    Pass(Position),
    Deliver(Position),
}

fn step(
    batch: &RecordBatch,
    at: Position,
    aborted: Option<&mut AbortedTransactions>,
) -> Result<Step, BatchError> {
    let header = batch.header();
    let epoch = header.partition_leader_epoch;
    let end = Position {
        offset: batch.next_offset(),
        leader_epoch: (epoch >= 0).then_some(epoch),
    };
    if end.offset <= at.offset {
        return Ok(Step::Before);
    }
    if header.is_control() {
        if let Some(aborted) = aborted
            && ends_transaction(batch)?
        {
            aborted.end(header.producer_id, batch.last_offset());
        }
        return Ok(Step::Pass(end));
    }
    let void = aborted.is_some_and(|aborted| {
        aborted.covers(
            header.producer_id,
            header.is_transactional(),
            batch.last_offset(),
        )
    });
    if void || batch.records_count() == 0 {
        return Ok(Step::Pass(end));
    }
    Ok(Step::Deliver(end))
}

/// Whether a control batch holds the end of a transaction. An emptied one, and a control record of a kind
/// this client does not know, hold none.
fn ends_transaction(batch: &RecordBatch) -> Result<bool, BatchError> {
    batch.verify_crc()?;
    if batch.compression()? != Compression::None {
        return Ok(false);
    }
    let plain = batch.decompress(&mut Decompressor::new(), CONTROL_BATCH_LIMIT)?;
    for record in plain.records() {
        let ends = matches!(
            ControlRecord::parse(&record?),
            Ok(ControlRecord::Abort(_) | ControlRecord::Commit(_))
        );
        if ends {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
