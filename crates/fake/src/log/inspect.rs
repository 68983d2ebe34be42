//! A log as a test sees it: what is stored, read without any client.

use bytes::Bytes;

use super::batch::{StoredBatch, increment_sequence};
use super::partition_log::PartitionLog;
use super::payload;
use super::records::{Malformed, read_records};

/// One stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds: its own, or the append time where the topic says so.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers in order; names that are not UTF-8 with replacement characters.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Its producer, if that is idempotent.
    pub producer_id: Option<i64>,
    /// Its producer's epoch; -1 without a producer id.
    pub producer_epoch: i16,
    /// Its sequence; -1 without a producer id, and for control records.
    pub sequence: i32,
    /// The leader epoch under which it was appended.
    pub leader_epoch: i32,
    /// Base offset of its batch.
    pub batch: i64,
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// What it marks, if it is a control record.
    pub control: Option<ControlMarker>,
}

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlMarker {
    /// The producer's transaction is aborted.
    Abort,
    /// The producer's transaction is committed.
    Commit,
    /// Something that consumers pass over.
    Other,
}

/// All records of a log, from its start, or the base offset of the batch that cannot be read.
pub(crate) fn inspect(log: &PartitionLog) -> Result<Vec<LoggedRecord>, i64> {
    let mut all = Vec::new();
    for batch in &log.batches {
        let mut records = records_of(batch).map_err(|_| batch.base_offset)?;
        records.retain(|record| record.offset >= log.log_start);
        all.append(&mut records);
    }
    Ok(all)
}

/// The records of one batch.
pub(crate) fn records_of(batch: &StoredBatch) -> Result<Vec<LoggedRecord>, Malformed> {
    let payload = payload::decompress(batch)?;
    let own = |part: &[u8]| payload.slice_ref(part);
    let records = read_records(&payload, batch.count)?;
    let records = records.into_iter().map(|record| LoggedRecord {
        offset: batch.base_offset + i64::from(record.offset_delta),
        timestamp: timestamp_of(batch, record.timestamp_delta),
        key: record.key.map(own),
        value: record.value.map(own),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.map(own)))
            .collect(),
        producer_id: batch.has_producer().then_some(batch.producer_id),
        producer_epoch: batch.producer_epoch,
        sequence: if batch.base_sequence < 0 {
            -1
        } else {
            increment_sequence(batch.base_sequence, record.offset_delta)
        },
        leader_epoch: batch.leader_epoch,
        batch: batch.base_offset,
        transactional: batch.is_transactional(),
        control: batch.is_control().then(|| control_marker(record.key)),
    });
    Ok(records.collect())
}

pub(crate) fn timestamp_of(batch: &StoredBatch, delta: i64) -> i64 {
    if batch.is_log_append_time() {
        batch.max_timestamp
    } else {
        batch.base_timestamp.saturating_add(delta)
    }
}

/// A control record's key is its version and its type, two bytes each.
fn control_marker(key: Option<&[u8]>) -> ControlMarker {
    match key {
        Some([_, _, 0, 0, ..]) => ControlMarker::Abort,
        Some([_, _, 0, 1, ..]) => ControlMarker::Commit,
        _ => ControlMarker::Other,
    }
}
