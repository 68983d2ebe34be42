//! Batches that the cluster writes itself: a test's records and transaction markers.

use bytes::{Bytes, BytesMut};

use super::batch::{HeaderFields, StoredBatch};
use super::records::write_record;

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// A record for a test to put straight into a log.
///
/// ```
/// let record = ottla_fake::Record::new("key", "value").header("trace", "1").timestamp(1_700_000_000_000);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its key. Default: null.
    pub key: Option<Bytes>,
    /// Its value. Default: null.
    pub value: Option<Bytes>,
    /// Its headers in order. Default: none.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Its timestamp in milliseconds. Default: the cluster's clock when it is appended.
    pub timestamp: Option<i64>,
}

impl Record {
    /// A record with key and value.
    #[must_use]
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self {
            key: Some(key.into()),
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// A record without key.
    #[must_use]
    pub fn of(value: impl Into<Bytes>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// A record that deletes its key when its topic is compacted.
    #[must_use]
    pub fn tombstone(key: impl Into<Bytes>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::default()
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Sets the timestamp, in milliseconds.
    #[must_use]
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// Whose batch it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchOwner {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) transactional: bool,
}

impl BatchOwner {
    /// No producer id at all.
    pub(crate) const NOBODY: Self = Self {
        producer_id: -1,
        epoch: -1,
        base_sequence: -1,
        transactional: false,
    };
}

/// A batch of `records`, as a client would send it.
pub(crate) fn data_batch(records: &[Record], owner: BatchOwner, now_ms: i64) -> StoredBatch {
    let timestamps: Vec<i64> = records
        .iter()
        .map(|record| record.timestamp.unwrap_or(now_ms))
        .collect();
    let base_timestamp = timestamps.first().copied().unwrap_or(now_ms);
    let mut body = BytesMut::new();
    for ((record, timestamp), delta) in records.iter().zip(&timestamps).zip(0..) {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()))
            .collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        write_record(
            &mut body,
            delta,
            timestamp - base_timestamp,
            key,
            value,
            &headers,
        );
    }
    let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
    let fields = HeaderFields {
        base_offset: 0,
        leader_epoch: -1,
        attributes: if owner.transactional {
            TRANSACTIONAL
        } else {
            0
        },
        last_offset_delta: count - 1,
        base_timestamp,
        max_timestamp: timestamps.iter().copied().max().unwrap_or(now_ms),
        producer_id: owner.producer_id,
        producer_epoch: owner.epoch,
        base_sequence: owner.base_sequence,
        count,
    };
    StoredBatch::write(&fields, &body)
}

/// A transaction's end marker at its place in the log.
pub(crate) fn marker(
    (producer_id, producer_epoch): (i64, i16),
    commit: bool,
    (base_offset, leader_epoch): (i64, i32),
    now_ms: i64,
) -> StoredBatch {
    let key = [0, 0, 0, u8::from(commit)];
    // Version 0 and the coordinator's epoch.
    let value = [0, 0, 0, 0, 0, 0];
    let mut body = BytesMut::new();
    write_record(&mut body, 0, 0, Some(&key), Some(&value), &[]);
    let fields = HeaderFields {
        base_offset,
        leader_epoch,
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        base_timestamp: now_ms,
        max_timestamp: now_ms,
        producer_id,
        producer_epoch,
        base_sequence: -1,
        count: 1,
    };
    StoredBatch::write(&fields, &body)
}
