//! Compaction: the newest record of each key stays, at its offset, in its batch.
//!
//! Kafka's rules, with the whole log below the last stable offset taken as cleanable:
//! - a record stays if it is the last of its key; tombstones go once their batch's delete horizon has passed, which a
//!   first compaction sets (KIP-534);
//! - records of aborted transactions go; transaction markers stay;
//! - a batch that loses records keeps its header, so its offsets have holes; one that loses all is dropped, unless it
//!   is its producer's last or the log's last: then it stays, empty (KAFKA-5443).

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::batch::{StoredBatch, with_delete_horizon, without_body};
use super::partition_log::PartitionLog;
use super::payload;
use super::records::{Malformed, RawRecord, read_records};

/// What a compaction did to one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Records that are gone.
    pub records_removed: usize,
    /// Batches that are gone.
    pub batches_removed: usize,
    /// Batches that are still there without any record.
    pub batches_emptied: usize,
}

impl Compaction {
    pub(crate) fn add(&mut self, other: Self) {
        self.records_removed += other.records_removed;
        self.batches_removed += other.batches_removed;
        self.batches_emptied += other.batches_emptied;
    }
}

/// Compacts all of `log` below its last stable offset.
pub(crate) fn compact(
    log: &mut PartitionLog,
    now_ms: i64,
    delete_retention_ms: i64,
) -> Result<Compaction, Malformed> {
    let bound = log.last_stable_offset();
    let newest = newest_offsets(log, bound)?;
    let last_base_offset = log.batches.last().map(|batch| batch.base_offset);
    let mut result = Compaction::default();
    let mut kept = Vec::with_capacity(log.batches.len());
    for batch in &log.batches {
        let needed = Some(batch.base_offset) == last_base_offset
            || log.producers.last_offset_of(batch.producer_id) == Some(batch.last_offset());
        let cleanable = batch.last_offset() < bound && !batch.is_control();
        if !cleanable {
            kept.push(batch.clone());
            continue;
        }
        let horizon = batch.delete_horizon();
        let aborted = is_aborted(log, batch);
        let mut has_tombstones = false;
        let cleaned = retain(batch, now_ms + delete_retention_ms, |record| {
            let offset = batch.base_offset + i64::from(record.offset_delta);
            let newest = record
                .key
                .is_some_and(|key| newest.get(key) == Some(&offset));
            let tombstone = record.value.is_none();
            let expired = tombstone && horizon.is_some_and(|horizon| horizon <= now_ms);
            let stays = newest && !aborted && !expired;
            has_tombstones |= stays && tombstone;
            (stays, stays && tombstone)
        })?;
        result.records_removed += usize::try_from(batch.count - cleaned.count).unwrap_or(0);
        match (cleaned.count, needed) {
            (0, false) => result.batches_removed += 1,
            (0, true) => {
                result.batches_emptied += 1;
                kept.push(cleaned);
            }
            _ => kept.push(cleaned),
        }
    }
    log.batches = kept;
    Ok(result)
}

/// The last offset of each key below `bound`.
fn newest_offsets(log: &PartitionLog, bound: i64) -> Result<BTreeMap<Bytes, i64>, Malformed> {
    let mut newest = BTreeMap::new();
    for batch in log
        .batches
        .iter()
        .filter(|batch| batch.last_offset() < bound && !batch.is_control())
    {
        if is_aborted(log, batch) {
            continue;
        }
        let payload = payload::decompress(batch)?;
        for record in read_records(&payload, batch.count)? {
            if let Some(key) = record.key {
                newest.insert(
                    Bytes::copy_from_slice(key),
                    batch.base_offset + i64::from(record.offset_delta),
                );
            }
        }
    }
    Ok(newest)
}

fn is_aborted(log: &PartitionLog, batch: &StoredBatch) -> bool {
    batch.is_transactional()
        && log.aborted.iter().any(|txn| {
            txn.producer_id == batch.producer_id
                && (txn.first_offset..=txn.last_offset).contains(&batch.base_offset)
        })
}

/// The batch with only those records that `judge` keeps (its first answer). If any kept record is a tombstone (its
/// second) the batch gets `horizon`, unless it has one.
fn retain(
    batch: &StoredBatch,
    horizon: i64,
    mut judge: impl FnMut(&RawRecord<'_>) -> (bool, bool),
) -> Result<StoredBatch, Malformed> {
    let plain = payload::decompress(batch)?;
    let records = read_records(&plain, batch.count)?;
    let mut wants_horizon = false;
    let mut kept = Vec::with_capacity(records.len());
    for record in &records {
        let (stays, tombstone) = judge(record);
        wants_horizon |= tombstone;
        if stays {
            kept.push(record);
        }
    }
    let new_horizon = wants_horizon && batch.delete_horizon().is_none();
    if kept.len() == records.len() && !new_horizon {
        return Ok(batch.clone());
    }
    let mut fields = batch.fields();
    fields.count = i32::try_from(kept.len()).unwrap_or(i32::MAX);
    if kept.is_empty() {
        // Nothing is compressed, and no record's time counts from anywhere.
        fields.attributes = without_body(fields.attributes);
        fields.base_timestamp = -1;
        return Ok(StoredBatch::write(&fields, &[]));
    }
    let mut body = BytesMut::with_capacity(plain.len());
    if new_horizon {
        // The base timestamp's field holds the horizon now, so the records' own timestamps count from there.
        fields.attributes = with_delete_horizon(fields.attributes);
        fields.base_timestamp = horizon;
        for record in kept {
            let delta = batch.base_timestamp + record.timestamp_delta - horizon;
            let headers: Vec<_> = record.headers.clone();
            super::records::write_record(
                &mut body,
                record.offset_delta,
                delta,
                record.key,
                record.value,
                &headers,
            );
        }
    } else {
        for record in kept {
            body.extend_from_slice(record.raw);
        }
    }
    let records = payload::compress(batch, &body)?;
    Ok(StoredBatch::write(&fields, &records))
}
