//! What brokers' answers do to an assignment.
//!
//! Owns the meaning of every error code a fetch, an offset look-up or an epoch look-up can bring for one
//! partition. An answer to a question that no longer stands changes nothing. A transient error is retried
//! after a pause and never resets a position.
//!
//! # References
//! - KIP-320: `FENCED_LEADER_EPOCH`, `UNKNOWN_LEADER_EPOCH`, diverging epochs
//! - KIP-392: preferred read replicas
//! - KIP-951: leaders named in error responses

use ottla_cluster::{NodeId, TopicPartition};
use ottla_codec::ErrorCode;
use ottla_codec::messages::fetch::{self, PartitionData};
use tokio::time::{Duration, Instant};

use super::aborted::{AbortedTransaction, AbortedTransactions};
use super::assignment::Assignment;
use super::partition::Partition;
use super::positions::{FetchTarget, Generation, Phase, Position, Question};
use super::reset::{OutOfRange, ResetTo, Truncation, contradicts, out_of_range, truncated};
use super::scan::{Piece, scan};
use crate::error::{Error, ErrorKind};

/// What an answer's meaning depends on besides the partition's state.
pub(crate) struct Circumstances<'a> {
    pub(crate) now: Instant,
    /// Wall time in milliseconds.
    pub(crate) wall_ms: i64,
    pub(crate) read_committed: bool,
    /// How long a follower is read from before the leader is asked again.
    pub(crate) replica_ttl: Duration,
    /// The pause after a number of failures in a row.
    pub(crate) pause: &'a mut dyn FnMut(u32) -> Duration,
}

/// What a fetch's answer for one partition leads to outside the assignment.
#[derive(Debug, Default)]
pub(crate) struct Absorbed {
    /// What goes to the buffer, in order.
    pub(crate) pieces: Vec<Piece>,
    /// The metadata is out of date.
    pub(crate) refresh: bool,
}

/// The end of an epoch, as a leader reports it: the epoch it found and the offset behind its last
/// record, or nothing if it knows no epoch that old.
pub(crate) type EpochEnd = Option<Position>;

/// An offset, as a leader reports it for a timestamp: nothing if no record is that new.
pub(crate) type ListedOffset = Option<Position>;

impl Assignment {
    /// A fetch was answered for one partition. `asked_bytes` is the limit the fetch had for it.
    pub(crate) fn absorb(
        &mut self,
        target: &FetchTarget,
        asked_bytes: i32,
        data: PartitionData,
        around: &mut Circumstances<'_>,
    ) -> Absorbed {
        let absorbed = self.absorb_answer(target, asked_bytes, data, around);
        let found = self.positions.partition(&target.partition);
        if found.is_some_and(Partition::is_backing_off) {
            // Somebody has to watch the time from now on.
            self.wake_work();
        }
        absorbed
    }

    fn absorb_answer(
        &mut self,
        target: &FetchTarget,
        asked_bytes: i32,
        data: PartitionData,
        around: &mut Circumstances<'_>,
    ) -> Absorbed {
        let name = &target.partition;
        let Some(partition) = self.positions.answered(name, target.generation) else {
            return Absorbed::default();
        };
        let asked_here = partition.fetch_position() == Some(target.position);
        if !matches!(partition.phase(), Phase::Fetching) || !asked_here {
            return Absorbed::default();
        }
        match ErrorCode::from_code(data.error_code) {
            ErrorCode::None => return self.absorb_records(target, asked_bytes, data, around),
            ErrorCode::OffsetOutOfRange => self.absorb_out_of_range(target, around),
            ErrorCode::MessageTooLarge => {
                partition.needs_bytes(asked_bytes.saturating_mul(2));
                back_off(partition, around);
            }
            code => {
                partition.back_to_leader();
                back_off(partition, around);
                // Retrying is enough for what passes by itself; anything else the caller has to know,
                // although it is retried all the same.
                if !code.is_retriable() || code == ErrorCode::CorruptMessage {
                    partition.report(Error::broker("Fetch", code, Some(name.clone())));
                    self.wake_reader();
                }
                return Absorbed {
                    refresh: code.is_invalid_metadata(),
                    ..Absorbed::default()
                };
            }
        }
        Absorbed::default()
    }

    fn absorb_records(
        &mut self,
        target: &FetchTarget,
        asked_bytes: i32,
        data: PartitionData,
        around: &mut Circumstances<'_>,
    ) -> Absorbed {
        let name = &target.partition;
        let diverging = &data.diverging_epoch;
        if diverging.epoch >= 0 || diverging.end_offset >= 0 {
            let end = position(diverging.end_offset, diverging.epoch);
            self.truncate(name, end, around);
            return Absorbed::default();
        }
        let Some(partition) = self.positions.partition_mut(name) else {
            return Absorbed::default();
        };
        partition.learn(
            data.log_start_offset,
            data.high_watermark,
            data.last_stable_offset,
        );
        if let Some(replica) = NodeId::from_wire(data.preferred_read_replica) {
            partition.prefer(replica, around.now + around.replica_ttl);
            self.wake_work();
            return Absorbed::default();
        }
        let bytes = data.records.map(|records| records.to_bytes());
        let bytes = bytes.unwrap_or_default();
        let has_bytes = !bytes.is_empty();
        let aborted = around.read_committed.then(|| {
            let list = data.aborted_transactions.unwrap_or_default();
            AbortedTransactions::new(list.iter().map(aborted_transaction).collect())
        });
        let mut scan = scan(bytes, target.position, aborted);
        if let Some(end) = scan.end {
            partition.fetched_to(end, target.via);
            partition.succeed();
        }
        if let Some(Piece::Corrupt(_)) = scan.pieces.last()
            && let Some(Piece::Corrupt(source)) = scan.pieces.pop()
        {
            let offset = partition.fetch_position().map_or(-1, |at| at.offset);
            let kind = ErrorKind::CorruptBatch {
                partition: name.clone(),
                offset,
            };
            partition.fail(Error::from(kind).with_source(source));
            self.wake_reader();
        } else if scan.end.is_none() && has_bytes {
            // Bytes, but no progress: the first batch is larger than the limit, or the broker is at
            // fault. With the limit raised it cannot happen again; without, not at once.
            match scan.needs_bytes.and_then(|bytes| i32::try_from(bytes).ok()) {
                Some(bytes) if bytes > asked_bytes => partition.needs_bytes(bytes),
                _ => {
                    partition.needs_bytes(asked_bytes.saturating_mul(2));
                    back_off(partition, around);
                }
            }
        } else {
            partition.set_caught_up(scan.end.is_none());
            if scan.end.is_none() {
                partition.succeed();
            }
        }
        Absorbed {
            pieces: scan.pieces,
            refresh: false,
        }
    }

    fn absorb_out_of_range(&mut self, target: &FetchTarget, around: &mut Circumstances<'_>) {
        let reset = self.policy.reset(around.wall_ms);
        let Some(partition) = self.positions.partition_mut(&target.partition) else {
            return;
        };
        match out_of_range(target.from_leader, partition.is_drained(), reset) {
            OutOfRange::AskLeader => {
                partition.back_to_leader();
                // The leader may send us straight back.
                if partition.attempts() > 0 {
                    back_off(partition, around);
                } else {
                    partition.retry_at(around.now);
                }
            }
            OutOfRange::DrainFirst => {
                partition.drain_first();
            }
            OutOfRange::Reset(to) => {
                tracing::warn!(
                    partition = %target.partition,
                    position = target.position.offset,
                    to = ?to,
                    "the position is outside of the log and is reset"
                );
                partition.await_reset(to);
                self.presence.outdate(&target.partition);
                self.counters.resets += 1;
            }
            OutOfRange::Explain => partition.await_range(),
        }
        self.wake_work();
    }

    /// A request that fetched, or asked, got no usable answer: it is tried again after a pause. With an
    /// error, the caller is told.
    pub(crate) fn unanswered(
        &mut self,
        partition: &TopicPartition,
        generation: Generation,
        error: Option<Error>,
        around: &mut Circumstances<'_>,
    ) {
        if let Some(partition) = self.positions.answered(partition, generation) {
            partition.back_to_leader();
            back_off(partition, around);
            if let Some(error) = error {
                partition.report(error);
                self.wake_reader();
            }
        }
        self.wake_work();
    }

    /// A fetch was refused for reasons that are none of the partition's.
    pub(crate) fn release(&mut self, target: &FetchTarget) {
        self.positions
            .answered(&target.partition, target.generation);
    }

    /// A fetch was answered, with or without anything new.
    pub(crate) fn count_fetch(&mut self, found: bool) {
        self.counters.fetches += 1;
        self.counters.empty_fetches += u64::from(!found);
    }

    /// A fetch's answer does not name a partition that was fetched: there is nothing new in it. That is
    /// what an incremental answer looks like for a partition that has caught up.
    pub(crate) fn unmentioned(&mut self, target: &FetchTarget) {
        let found = self
            .positions
            .answered(&target.partition, target.generation);
        if let Some(partition) = found {
            partition.set_caught_up(true);
            partition.succeed();
        }
    }

    /// The coordinator was asked for the committed offset; `None` if there is none.
    pub(crate) fn answer_committed(
        &mut self,
        question: &Question,
        committed: Option<Position>,
        around: &mut Circumstances<'_>,
    ) {
        let reset = self.policy.reset(around.wall_ms);
        let name = &question.partition;
        let Some(partition) = self.positions.answered(name, question.generation) else {
            return;
        };
        if !matches!(partition.phase(), Phase::AwaitingCommitted) {
            return;
        }
        partition.succeed();
        match (committed, reset) {
            (Some(position), _) => {
                partition.start_at(position);
                partition.set_committed(position.offset);
            }
            (None, Some(to)) => partition.await_reset(to),
            (None, None) => {
                let partition_name = name.clone();
                partition.fail(
                    ErrorKind::NoOffset {
                        partition: partition_name,
                    }
                    .into(),
                );
                self.wake_reader();
            }
        }
        self.wake_work();
    }

    /// The leader was asked for the offset that a reset leads to. For a timestamp beyond the last record
    /// there is none, and the reset becomes one to the end.
    pub(crate) fn answer_offset(&mut self, question: &Question, to: ResetTo, listed: ListedOffset) {
        let name = &question.partition;
        let Some(partition) = self.positions.answered(name, question.generation) else {
            return;
        };
        // Another strategy may have been asked for since: then this answer is to nothing.
        let stands = matches!(partition.phase(), Phase::AwaitingReset(now) if *now == to);
        if !stands {
            return;
        }
        match listed {
            Some(position) => partition.resume_at(position),
            None => partition.await_reset(ResetTo::Latest),
        }
        self.wake_work();
    }

    /// The leader was asked for the log's range, to tell the caller by how much a position misses it.
    pub(crate) fn answer_range(&mut self, question: &Question, log_start: i64, log_end: i64) {
        let name = &question.partition;
        let Some(partition) = self.positions.answered(name, question.generation) else {
            return;
        };
        if !matches!(partition.phase(), Phase::AwaitingRange) {
            return;
        }
        let position = partition.position().map_or(-1, |at| at.offset);
        if (log_start..=log_end).contains(&position) {
            // It was out of range for a moment only: a leader that was still catching up, say.
            partition.resume();
        } else {
            let kind = ErrorKind::OffsetOutOfRange {
                partition: name.clone(),
                position,
                log_start,
                log_end,
            };
            partition.fail(kind.into());
            self.wake_reader();
        }
        self.wake_work();
    }

    /// The leader was asked where the epoch of `asked` ends.
    pub(crate) fn answer_epoch_end(
        &mut self,
        question: &Question,
        asked: Position,
        end: EpochEnd,
        around: &mut Circumstances<'_>,
    ) {
        let name = &question.partition;
        let Some(partition) = self.positions.answered(name, question.generation) else {
            return;
        };
        let stands = matches!(partition.phase(), Phase::AwaitingValidation)
            && partition.fetch_position() == Some(asked);
        if !stands {
            return;
        }
        if contradicts(end, asked) {
            self.truncate(name, end, around);
        } else {
            partition.resume();
        }
        self.wake_work();
    }

    /// The leader cannot be asked about epochs: the position is taken as it is.
    pub(crate) fn skip_validation(&mut self, question: &Question) {
        let found = self
            .positions
            .answered(&question.partition, question.generation);
        if let Some(partition) = found
            && matches!(partition.phase(), Phase::AwaitingValidation)
        {
            partition.resume();
        }
        self.wake_work();
    }

    /// A question was refused for one partition. It is asked again after a pause; the caller is told if
    /// that is not likely to help.
    pub(crate) fn refuse(
        &mut self,
        question: &Question,
        error: Error,
        around: &mut Circumstances<'_>,
    ) {
        let found = self
            .positions
            .answered(&question.partition, question.generation);
        if let Some(partition) = found {
            back_off(partition, around);
            if !error.is_retriable() {
                partition.report(error);
                self.wake_reader();
            }
        }
        self.wake_work();
    }

    /// The log is not what it was before the position.
    fn truncate(&mut self, name: &TopicPartition, end: EpochEnd, around: &mut Circumstances<'_>) {
        let reset = self.policy.reset(around.wall_ms);
        let Some(partition) = self.positions.partition_mut(name) else {
            return;
        };
        let (Some(consumed), Some(fetch)) = (partition.position(), partition.fetch_position())
        else {
            return;
        };
        let outcome = truncated(consumed, fetch, end, reset);
        tracing::warn!(
            partition = %name,
            position = consumed.offset,
            diverging_offset = end.map(|end| end.offset),
            outcome = ?outcome,
            "the log was truncated below what was read"
        );
        self.counters.truncations += 1;
        match outcome {
            Truncation::FetchAgain => {
                self.rewind(name);
                if let Some(partition) = self.positions.partition_mut(name) {
                    partition.start_at(consumed);
                }
            }
            Truncation::ResumeAt(position) => partition.fall_back_to(position),
            Truncation::Reset(to) => {
                partition.await_reset(to);
                self.presence.outdate(name);
            }
            Truncation::Fail => {
                let kind = ErrorKind::LogTruncated {
                    partition: name.clone(),
                    position: consumed.offset,
                    diverging_offset: end.map(|end| end.offset),
                };
                partition.fail(kind.into());
                self.wake_reader();
            }
        }
        self.wake_work();
    }
}

/// Asks nothing more about a partition until a pause is over.
fn back_off(partition: &mut Partition, around: &mut Circumstances<'_>) {
    let pause = (around.pause)(partition.attempts());
    partition.retry_at(around.now + pause);
}

/// An offset and an epoch as they stand on the wire, where negative means unknown.
pub(crate) fn position(offset: i64, epoch: i32) -> Option<Position> {
    (offset >= 0).then_some(Position {
        offset,
        leader_epoch: (epoch >= 0).then_some(epoch),
    })
}

fn aborted_transaction(wire: &fetch::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction {
        producer_id: wire.producer_id,
        first_offset: wire.first_offset,
    }
}

#[cfg(test)]
mod tests;
