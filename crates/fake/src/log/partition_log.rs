//! One partition's log: batches in offset order, its two ends, and what it knows of epochs and producers.
//!
//! One log stands for all replicas: replication is instant unless the test holds the high watermark or a
//! follower back. Knows nothing of requests, brokers or leadership.

use bytes::{Bytes, BytesMut};

use super::batch::StoredBatch;
use super::epochs::LeaderEpochs;
use super::producer_state::ProducerStates;
use super::search::{Found, largest_timestamp};

/// A finished, aborted transaction as read_committed consumers are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
}

/// The stored batches of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionLog {
    pub(crate) batches: Vec<StoredBatch>,
    pub(crate) log_start: i64,
    pub(crate) log_end: i64,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) producers: ProducerStates,
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// The record with the largest timestamp of those that DeleteRecords has taken, or of all that were there then.
    pub(crate) largest_deleted: Option<Found>,
    /// Replication stands still here while set.
    pub(crate) high_watermark_hold: Option<i64>,
}

impl PartitionLog {
    pub(crate) fn high_watermark(&self) -> i64 {
        self.high_watermark_hold.map_or(self.log_end, |hold| {
            hold.clamp(self.log_start, self.log_end)
        })
    }

    /// What read_committed may see: the high watermark, but never past an open transaction's start.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        let high_watermark = self.high_watermark();
        self.producers
            .first_unstable_offset()
            .map_or(high_watermark, |first| first.min(high_watermark))
    }

    /// Appends a batch that is already placed at `log_end`.
    pub(crate) fn append(&mut self, batch: StoredBatch) {
        debug_assert_eq!(batch.base_offset, self.log_end);
        if batch.has_producer() && !batch.is_control() {
            self.producers.appended(&batch);
        }
        self.log_end = batch.last_offset() + 1;
        self.batches.push(batch);
    }

    /// Appends a batch that is already placed at `log_end`, as if retention took it at once with all before it.
    pub(crate) fn swallow(&mut self, batch: StoredBatch) {
        self.append(batch);
        self.batches.clear();
        self.aborted.clear();
        self.log_start = self.log_end;
        self.largest_deleted = None;
        self.epochs.truncate_from_start(self.log_end);
    }

    /// Appends a transaction marker, already placed, and settles its producer's transaction.
    pub(crate) fn append_marker(&mut self, marker: StoredBatch, aborted: bool) {
        let last_offset = marker.last_offset();
        let started = self
            .producers
            .end_transaction(marker.producer_id, marker.producer_epoch);
        if let Some(first_offset) = started.filter(|_| aborted) {
            let producer_id = marker.producer_id;
            self.aborted.push(AbortedTransaction {
                producer_id,
                first_offset,
                last_offset,
            });
        }
        self.append(marker);
    }

    /// Bytes from the batch that holds `offset` on, below `bound`, as a broker cuts them: the last batch may
    /// be incomplete, and the first is whole if `at_least_one`, or absent if it does not fit.
    pub(crate) fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
        bound: i64,
    ) -> Bytes {
        let readable = self.readable(offset, bound);
        let Some(first) = readable.first() else {
            return Bytes::new();
        };
        let limit = if at_least_one {
            max_bytes.max(first.size())
        } else {
            max_bytes
        };
        if first.size() > limit {
            return Bytes::new();
        }
        let mut total = 0;
        let wanted = readable.iter().take_while(|batch| {
            let fits = total < limit;
            total += batch.size();
            fits
        });
        let wanted: Vec<_> = wanted.collect();
        if let [only] = wanted.as_slice() {
            return only.bytes.clone();
        }
        let mut records = BytesMut::with_capacity(wanted.iter().map(|batch| batch.size()).sum());
        for batch in wanted {
            records.extend_from_slice(&batch.bytes);
        }
        records.truncate(limit);
        records.freeze()
    }

    /// How many bytes [`read`](Self::read) could return at most.
    pub(crate) fn readable_bytes(&self, offset: i64, max_bytes: usize, bound: i64) -> usize {
        let mut total = 0;
        for batch in self.readable(offset, bound) {
            total += batch.size();
            if total >= max_bytes {
                return max_bytes;
            }
        }
        total
    }

    fn readable(&self, offset: i64, bound: i64) -> &[StoredBatch] {
        let from = self
            .batches
            .partition_point(|batch| batch.last_offset() < offset);
        let to = self
            .batches
            .partition_point(|batch| batch.base_offset < bound);
        self.batches.get(from..to).unwrap_or_default()
    }

    /// Aborted transactions that touch what lies between `from` and `to` (exclusive).
    pub(crate) fn aborted_between(
        &self,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = &AbortedTransaction> {
        self.aborted
            .iter()
            .filter(move |txn| txn.last_offset >= from && txn.first_offset < to)
    }

    /// Moves the log start to `offset`; `false` if it lies beyond the high watermark. Never moves it back.
    pub(crate) fn delete_records(&mut self, offset: i64) -> bool {
        if offset > self.high_watermark() {
            return false;
        }
        if offset > self.log_start {
            self.largest_deleted = largest_timestamp(self);
            self.log_start = offset;
            let gone = self
                .batches
                .partition_point(|batch| batch.last_offset() < offset);
            self.batches.drain(..gone);
            self.aborted.retain(|txn| txn.last_offset >= offset);
            self.epochs.truncate_from_start(offset);
        }
        true
    }

    /// Deletes batches from the start while they are older than `retention_ms` or the log is larger than
    /// `retention_bytes`; -1 sets no limit. The last batch stays.
    pub(crate) fn apply_retention(&mut self, now_ms: i64, retention_ms: i64, retention_bytes: i64) {
        let mut size: i64 = self
            .batches
            .iter()
            .map(|batch| i64::try_from(batch.size()).unwrap_or(0))
            .sum();
        let mut start = self.log_start;
        let last = self.batches.len().saturating_sub(1);
        for batch in self.batches.iter().take(last) {
            let too_old =
                retention_ms >= 0 && batch.max_timestamp < now_ms.saturating_sub(retention_ms);
            let too_much = retention_bytes >= 0 && size > retention_bytes;
            if !(too_old || too_much) || batch.last_offset() >= self.high_watermark() {
                break;
            }
            size -= i64::try_from(batch.size()).unwrap_or(0);
            start = batch.last_offset() + 1;
        }
        if start > self.log_start {
            self.delete_records(start);
            self.largest_deleted = None;
        }
    }

    /// Ends the log at `offset`, or before the batch that holds it, and replays the producers' state.
    pub(crate) fn truncate_to(&mut self, offset: i64) {
        if offset >= self.log_end {
            return;
        }
        let kept = self
            .batches
            .partition_point(|batch| batch.last_offset() < offset);
        let end = self
            .batches
            .get(kept)
            .map_or(offset, |cut| cut.base_offset.min(offset));
        self.batches.truncate(kept);
        self.log_end = end.max(0);
        self.log_start = self.log_start.min(self.log_end);
        self.epochs.truncate_from_end(self.log_end);
        let log_end = self.log_end;
        self.largest_deleted = self.largest_deleted.filter(|found| found.offset < log_end);
        self.aborted.retain(|txn| txn.last_offset < log_end);
        self.producers = ProducerStates::default();
        for batch in self.batches.iter().filter(|batch| batch.has_producer()) {
            if batch.is_control() {
                self.producers
                    .end_transaction(batch.producer_id, batch.producer_epoch);
            } else {
                self.producers.appended(batch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::HeaderFields;
    use super::*;

    fn log(sizes: &[usize]) -> PartitionLog {
        let mut log = PartitionLog::default();
        log.epochs.assign(0, 0);
        for &size in sizes {
            let fields = HeaderFields {
                base_offset: log.log_end,
                leader_epoch: 0,
                attributes: 0,
                last_offset_delta: 9,
                base_timestamp: 0,
                max_timestamp: 0,
                producer_id: 1,
                producer_epoch: 0,
                base_sequence: i32::try_from(log.log_end).unwrap(),
                count: 10,
            };
            log.append(StoredBatch::write(
                &fields,
                &vec![0; size - super::super::batch::HEADER_LEN],
            ));
        }
        log
    }

    #[test]
    fn reads_are_cut_as_brokers_cut_them() {
        let log = log(&[100, 200, 300]);
        assert_eq!(log.read(0, 1000, false, 30).len(), 600);
        assert_eq!(
            log.read(15, 1000, false, 30).len(),
            500,
            "the batch that holds the offset is whole"
        );
        assert_eq!(log.read(0, 250, false, 30).len(), 250, "an incomplete tail");
        assert_eq!(log.read(0, 50, true, 30).len(), 100, "at least one batch");
        assert_eq!(log.read(0, 50, false, 30).len(), 0);
        assert_eq!(
            log.read(0, 1000, true, 20).len(),
            300,
            "nothing at or above the bound"
        );
        assert_eq!(log.read(30, 1000, true, 30).len(), 0);
        assert_eq!(log.readable_bytes(0, 250, 30), 250);
        assert_eq!(log.readable_bytes(0, 1000, 20), 300);
    }

    #[test]
    fn deleting_records_moves_the_start_only_forward_and_below_the_high_watermark() {
        let mut log = log(&[100, 200, 300]);
        assert!(log.delete_records(15));
        assert_eq!((log.log_start, log.batches.len()), (15, 2));
        assert!(log.delete_records(5));
        assert_eq!(log.log_start, 15);
        assert!(!log.delete_records(31));
    }

    #[test]
    fn truncation_ends_at_a_batch_and_rewinds_producers() {
        let mut log = log(&[100, 200, 300]);
        log.epochs.assign(1, 20);
        log.truncate_to(15);
        assert_eq!((log.log_end, log.batches.len()), (10, 1));
        assert_eq!(log.epochs.latest(), Some(0));
        assert_eq!(log.producers.last_offset_of(1), Some(9));
        assert_eq!(log.high_watermark(), 10);
    }
}
