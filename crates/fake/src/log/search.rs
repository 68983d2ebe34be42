//! Finding records by timestamp, for ListOffsets.

use super::inspect::records_of;
use super::partition_log::PartitionLog;

/// A record's place in time and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) timestamp: i64,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
}

/// The first record at or after `target`.
pub(crate) fn by_timestamp(log: &PartitionLog, target: i64) -> Option<Found> {
    let candidates = log
        .batches
        .iter()
        .filter(|batch| batch.max_timestamp >= target);
    candidates
        .flat_map(|batch| records_of(batch).unwrap_or_default())
        .find_map(|record| {
            (record.timestamp >= target && record.offset >= log.log_start).then_some(Found {
                timestamp: record.timestamp,
                offset: record.offset,
                leader_epoch: record.leader_epoch,
            })
        })
}

/// The first record with the largest timestamp, even if DeleteRecords has moved the log start behind it: brokers keep
/// one such record for each segment, and a log here is one segment.
pub(crate) fn largest_timestamp(log: &PartitionLog) -> Option<Found> {
    let deleted = log.largest_deleted;
    let present = largest_present(log);
    match (deleted, present) {
        (Some(deleted), Some(present)) if present.timestamp > deleted.timestamp => Some(present),
        (Some(deleted), _) => Some(deleted),
        (None, present) => present,
    }
}

fn largest_present(log: &PartitionLog) -> Option<Found> {
    let batch = log
        .batches
        .iter()
        .rev()
        .max_by_key(|batch| batch.max_timestamp)?;
    let largest = batch.max_timestamp;
    let records = records_of(batch).unwrap_or_default();
    let record = records
        .into_iter()
        .find(|record| record.timestamp == largest)?;
    Some(Found {
        timestamp: record.timestamp,
        offset: record.offset,
        leader_epoch: record.leader_epoch,
    })
}
