//! One record batch as a broker stores it: its bytes, and the header fields a broker reads and patches.
//!
//! Owns the byte positions of the v2 header. Knows nothing of what is inside the records section; that is
//! the codec's. A broker changes the base offset and the partition leader epoch (neither is covered by the
//! checksum) and, for `LogAppendTime`, the timestamp type and the largest timestamp (both are).
//!
//! # References
//! - Record batch: <https://kafka.apache.org/documentation/#recordbatch>

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ottla_codec::records::Compression;

/// Bytes before the records of a v2 batch.
pub(crate) const HEADER_LEN: usize = 61;
/// Base offset and length: what stands before the counted part of a batch.
pub(crate) const LOG_OVERHEAD: usize = 12;
/// The smallest length any batch format can have, as Kafka checks it before it looks at the magic byte.
const SMALLEST_LENGTH: i32 = 14;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// First byte covered by the checksum.
const ATTRIBUTES_AT: usize = 21;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// `compression.type` zstd in a batch's attributes.
pub(crate) const ZSTD: i16 = 4;

/// Why bytes are not a batch that a broker would store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchFault {
    /// The length field or the magic byte cannot be right: `CORRUPT_MESSAGE`.
    Corrupt,
    /// A batch of an older format: `INVALID_RECORD` since Produce v3.
    OldMagic,
}

/// A v2 batch with its header read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredBatch {
    pub(crate) bytes: Bytes,
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    /// The first record's timestamp, or the delete horizon once the batch carries one (KIP-534).
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
    pub(crate) crc: u32,
}

/// Header fields of a batch that the cluster writes itself.
#[derive(Clone, Debug)]
pub(crate) struct HeaderFields {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
}

impl StoredBatch {
    /// Takes the first batch off `data`; `None` when what remains is not a whole batch.
    pub(crate) fn split_from(data: &mut Bytes) -> Result<Option<Self>, BatchFault> {
        if data.len() < LOG_OVERHEAD + 5 {
            return Ok(None);
        }
        let mut head = data.as_ref();
        head.advance(8);
        let length = head.get_i32();
        if length < SMALLEST_LENGTH {
            return Err(BatchFault::Corrupt);
        }
        let magic = data.get(MAGIC_AT).copied().unwrap_or_default();
        if magic > 2 {
            return Err(BatchFault::Corrupt);
        }
        let size = LOG_OVERHEAD.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if data.len() < size {
            return Ok(None);
        }
        let bytes = data.split_to(size);
        if magic < 2 {
            return Err(BatchFault::OldMagic);
        }
        Self::parse(bytes).map(Some)
    }

    /// Reads the header of exactly one whole batch.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, BatchFault> {
        if bytes.len() < HEADER_LEN {
            return Err(BatchFault::Corrupt);
        }
        let mut head = bytes.as_ref();
        let base_offset = head.get_i64();
        let _length = head.get_i32();
        let leader_epoch = head.get_i32();
        let _magic = head.get_i8();
        let crc = head.get_u32();
        let attributes = head.get_i16();
        let last_offset_delta = head.get_i32();
        let base_timestamp = head.get_i64();
        let max_timestamp = head.get_i64();
        let producer_id = head.get_i64();
        let producer_epoch = head.get_i16();
        let base_sequence = head.get_i32();
        let count = head.get_i32();
        Ok(Self {
            bytes,
            base_offset,
            leader_epoch,
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            count,
            crc,
        })
    }

    /// Writes a batch around `records`, the records section in its final (possibly compressed) form.
    pub(crate) fn write(fields: &HeaderFields, records: &[u8]) -> Self {
        let mut out = BytesMut::with_capacity(HEADER_LEN + records.len());
        out.put_i64(fields.base_offset);
        out.put_i32(i32::try_from(HEADER_LEN - LOG_OVERHEAD + records.len()).unwrap_or(i32::MAX));
        out.put_i32(fields.leader_epoch);
        out.put_i8(2);
        out.put_u32(0);
        out.put_i16(fields.attributes);
        out.put_i32(fields.last_offset_delta);
        out.put_i64(fields.base_timestamp);
        out.put_i64(fields.max_timestamp);
        out.put_i64(fields.producer_id);
        out.put_i16(fields.producer_epoch);
        out.put_i32(fields.base_sequence);
        out.put_i32(fields.count);
        out.put_slice(records);
        let crc = checksum(&out);
        write_at(&mut out, CRC_AT, &crc.to_be_bytes());
        Self {
            bytes: out.freeze(),
            base_offset: fields.base_offset,
            leader_epoch: fields.leader_epoch,
            attributes: fields.attributes,
            last_offset_delta: fields.last_offset_delta,
            base_timestamp: fields.base_timestamp,
            max_timestamp: fields.max_timestamp,
            producer_id: fields.producer_id,
            producer_epoch: fields.producer_epoch,
            base_sequence: fields.base_sequence,
            count: fields.count,
            crc,
        }
    }

    /// The batch as the log holds it: placed at `base_offset` by the leader of `leader_epoch`.
    ///
    /// `max_timestamp` is written (and the checksum with it) when the log's rule changes it: the append time
    /// for `LogAppendTime`, the true largest record timestamp otherwise.
    pub(crate) fn placed(
        &self,
        base_offset: i64,
        leader_epoch: i32,
        log_append_time: bool,
        max_timestamp: i64,
    ) -> Self {
        let mut out = BytesMut::from(self.bytes.as_ref());
        write_at(&mut out, 0, &base_offset.to_be_bytes());
        write_at(&mut out, 12, &leader_epoch.to_be_bytes());
        let attributes = if log_append_time {
            self.attributes | LOG_APPEND_TIME
        } else {
            self.attributes & !LOG_APPEND_TIME
        };
        let mut crc = self.crc;
        if attributes != self.attributes || max_timestamp != self.max_timestamp {
            write_at(&mut out, ATTRIBUTES_AT, &attributes.to_be_bytes());
            write_at(&mut out, ATTRIBUTES_AT + 14, &max_timestamp.to_be_bytes());
            crc = checksum(&out);
            write_at(&mut out, CRC_AT, &crc.to_be_bytes());
        }
        Self {
            bytes: out.freeze(),
            base_offset,
            leader_epoch,
            attributes,
            max_timestamp,
            crc,
            ..*self
        }
    }

    pub(crate) fn fields(&self) -> HeaderFields {
        HeaderFields {
            base_offset: self.base_offset,
            leader_epoch: self.leader_epoch,
            attributes: self.attributes,
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            count: self.count,
        }
    }

    pub(crate) fn crc_is_valid(&self) -> bool {
        checksum(&self.bytes) == self.crc
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The sequence of the last record; sequences wrap to 0 after `i32::MAX`.
    pub(crate) fn last_sequence(&self) -> i32 {
        increment_sequence(self.base_sequence, self.last_offset_delta)
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn compression(&self) -> i16 {
        self.attributes & COMPRESSION_MASK
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    pub(crate) fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// The records section: everything behind the header.
    pub(crate) fn body(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN..)
    }
}

/// `sequence + by`, wrapping from `i32::MAX` to 0.
pub(crate) fn increment_sequence(sequence: i32, by: i32) -> i32 {
    if sequence > i32::MAX - by {
        by - (i32::MAX - sequence) - 1
    } else {
        sequence + by
    }
}

/// Sets the delete-horizon flag in a header's attributes.
pub(crate) fn with_delete_horizon(attributes: i16) -> i16 {
    attributes | DELETE_HORIZON
}

/// Clears the flags that are about a batch's records, for one that has none left.
pub(crate) fn without_body(attributes: i16) -> i16 {
    attributes & !(COMPRESSION_MASK | DELETE_HORIZON)
}

/// Sets the codec in a header's attributes.
pub(crate) fn with_compression(attributes: i16, compression: Compression) -> i16 {
    attributes & !COMPRESSION_MASK | i16::from(compression.id())
}

fn checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or_default())
}

fn write_at(out: &mut BytesMut, at: usize, value: &[u8]) {
    if let Some(target) = out.get_mut(at..at + value.len()) {
        target.copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> HeaderFields {
        HeaderFields {
            base_offset: 0,
            leader_epoch: -1,
            attributes: 0,
            last_offset_delta: 2,
            base_timestamp: 10,
            max_timestamp: 12,
            producer_id: 7,
            producer_epoch: 1,
            base_sequence: i32::MAX - 1,
            count: 3,
        }
    }

    #[test]
    fn placing_keeps_the_checksum_of_create_time_batches() {
        let batch = StoredBatch::write(&fields(), b"abc");
        let placed = batch.placed(500, 3, false, 12);
        assert!(placed.crc_is_valid());
        assert_eq!(placed.crc, batch.crc);
        let parsed = StoredBatch::parse(placed.bytes.clone()).unwrap();
        assert_eq!(parsed, placed);
        assert_eq!(
            (
                parsed.base_offset,
                parsed.leader_epoch,
                parsed.last_offset()
            ),
            (500, 3, 502)
        );
    }

    #[test]
    fn log_append_time_changes_attributes_timestamp_and_checksum() {
        let batch = StoredBatch::write(&fields(), b"abc");
        let placed = batch.placed(0, 0, true, 99);
        let parsed = StoredBatch::parse(placed.bytes.clone()).unwrap();
        assert!(parsed.crc_is_valid() && parsed.is_log_append_time());
        assert_eq!(parsed.max_timestamp, 99);
        assert_ne!(parsed.crc, batch.crc);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(StoredBatch::write(&fields(), b"").last_sequence(), 0);
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(5, 4), 9);
    }

    #[test]
    fn splitting_ends_at_an_incomplete_tail_and_refuses_nonsense() {
        let one = StoredBatch::write(&fields(), b"abc").bytes;
        let mut two = BytesMut::from(one.as_ref());
        two.extend_from_slice(&one[..40]);
        let mut data = two.freeze();
        assert!(StoredBatch::split_from(&mut data).unwrap().is_some());
        assert!(StoredBatch::split_from(&mut data).unwrap().is_none());

        let mut short = BytesMut::from(one.as_ref());
        write_at(&mut short, 8, &5i32.to_be_bytes());
        assert_eq!(
            StoredBatch::split_from(&mut short.freeze()),
            Err(BatchFault::Corrupt)
        );

        let mut old = BytesMut::from(one.as_ref());
        write_at(&mut old, MAGIC_AT, &[1]);
        assert_eq!(
            StoredBatch::split_from(&mut old.freeze()),
            Err(BatchFault::OldMagic)
        );
    }
}
