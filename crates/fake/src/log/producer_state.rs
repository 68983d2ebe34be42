//! What a partition remembers of each producer: epoch, the last five batches, the open transaction.
//!
//! Decides whether a batch is new, a duplicate, or refused, exactly as Kafka does: an unknown producer may
//! start with any sequence (before 2.5 with 0 only); a known producer's new epoch must start with 0; a repeat of one of the last five
//! batches succeeds with its original offset; every other repeat or gap is `OUT_OF_ORDER_SEQUENCE_NUMBER`
//! (`DUPLICATE_SEQUENCE_NUMBER` has not been sent by brokers since 1.1).
//!
//! # References
//! - KIP-98, KIP-360 (unknown producers)

use std::collections::{BTreeMap, VecDeque};

use super::batch::StoredBatch;
use crate::release::Release;

/// How many batches of a producer a broker remembers.
const BATCHES_RETAINED: usize = 5;

/// A remembered batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchMetadata {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) timestamp: i64,
}

/// One producer's state in one partition.
#[derive(Clone, Debug)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: i16,
    pub(crate) batches: VecDeque<BatchMetadata>,
    /// First offset of the transaction in progress.
    pub(crate) transaction_start: Option<i64>,
}

/// Why a producer's batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceFault {
    InvalidEpoch {
        last: i16,
    },
    /// The sequence after the last one accepted (or 0 for a new epoch) was expected.
    OutOfOrder {
        expected: i32,
    },
    /// A producer that is not known, and does not begin with sequence 0.
    UnknownProducer,
    /// A batch outside a transaction while one is open.
    OutsideTransaction,
    /// A transactional batch while no transaction is open for its producer.
    NoTransaction,
}

/// What a batch is to the partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judgement {
    New,
    Duplicate(BatchMetadata),
}

/// All producers of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProducerStates {
    entries: BTreeMap<i64, ProducerEntry>,
}

impl ProducerStates {
    /// Judges a client's batch against the producer's state, without changing it.
    pub(crate) fn judge(
        &self,
        batch: &StoredBatch,
        release: Release,
    ) -> Result<Judgement, SequenceFault> {
        let entry = self.entries.get(&batch.producer_id);
        let first = batch.base_sequence;
        if let Some(entry) = entry.filter(|entry| entry.epoch == batch.producer_epoch) {
            let last = batch.last_sequence();
            let duplicate = entry
                .batches
                .iter()
                .find(|b| b.first_sequence == first && b.last_sequence == last);
            if let Some(duplicate) = duplicate {
                return Ok(Judgement::Duplicate(duplicate.clone()));
            }
        }
        let open = entry.is_some_and(|entry| entry.transaction_start.is_some());
        if batch.is_transactional() && !open {
            return Err(SequenceFault::NoTransaction);
        }
        let Some(entry) = entry else {
            return match first == 0 || release.takes_unknown_producers() {
                true => Ok(Judgement::New),
                false => Err(SequenceFault::UnknownProducer),
            };
        };
        if batch.producer_epoch < entry.epoch {
            return Err(SequenceFault::InvalidEpoch { last: entry.epoch });
        }
        let expected = if batch.producer_epoch > entry.epoch {
            0
        } else {
            entry.next_sequence()
        };
        if first != expected {
            return Err(SequenceFault::OutOfOrder { expected });
        }
        if open && !batch.is_transactional() {
            return Err(SequenceFault::OutsideTransaction);
        }
        Ok(Judgement::New)
    }

    /// Remembers an appended data batch.
    pub(crate) fn appended(&mut self, batch: &StoredBatch) {
        let entry = self
            .entries
            .entry(batch.producer_id)
            .or_insert_with(|| ProducerEntry::new(batch.producer_epoch));
        entry.move_to_epoch(batch.producer_epoch);
        if entry.batches.len() == BATCHES_RETAINED {
            entry.batches.pop_front();
        }
        entry.batches.push_back(BatchMetadata {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            first_offset: batch.base_offset,
            last_offset: batch.last_offset(),
            timestamp: batch.max_timestamp,
        });
        if batch.is_transactional()
            && entry
                .transaction_start
                .is_none_or(|start| start == i64::MAX)
        {
            entry.transaction_start = Some(batch.base_offset);
        }
    }

    /// Lets the next transactional batch of a producer in: its coordinator has vouched for the partition.
    pub(crate) fn allow_transaction(&mut self, producer_id: i64, epoch: i16) {
        let entry = self
            .entries
            .entry(producer_id)
            .or_insert_with(|| ProducerEntry::new(epoch));
        entry.move_to_epoch(epoch);
        entry.transaction_start.get_or_insert(i64::MAX);
    }

    /// Applies a transaction marker; returns the first offset of the transaction it completes.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, epoch: i16) -> Option<i64> {
        let entry = self
            .entries
            .entry(producer_id)
            .or_insert_with(|| ProducerEntry::new(epoch));
        entry.move_to_epoch(epoch);
        entry
            .transaction_start
            .take()
            .filter(|&start| start != i64::MAX)
    }

    /// The oldest offset of any transaction in progress.
    pub(crate) fn first_unstable_offset(&self) -> Option<i64> {
        self.entries
            .values()
            .filter_map(|entry| entry.transaction_start)
            .filter(|&start| start != i64::MAX)
            .min()
    }

    /// Whether this partition has ever seen the producer.
    pub(crate) fn knows(&self, producer_id: i64) -> bool {
        self.entries.contains_key(&producer_id)
    }

    /// Offset of the last record that this producer wrote: compaction keeps that batch, even emptied.
    pub(crate) fn last_offset_of(&self, producer_id: i64) -> Option<i64> {
        self.entries
            .get(&producer_id)
            .and_then(|entry| entry.batches.back())
            .map(|batch| batch.last_offset)
    }

    /// Forgets a producer, as its expiry (`producer.id.expiration.ms`) does.
    pub(crate) fn forget(&mut self, producer_id: i64) -> bool {
        self.entries.remove(&producer_id).is_some()
    }
}

impl ProducerEntry {
    fn new(epoch: i16) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            transaction_start: None,
        }
    }

    fn move_to_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }

    /// The only sequence accepted next in this epoch; a marker's epoch bump leaves none, so 0.
    pub(crate) fn next_sequence(&self) -> i32 {
        self.batches.back().map_or(0, |last| {
            super::batch::increment_sequence(last.last_sequence, 1)
        })
    }
}
