//! The 61 bytes in front of a batch's records.

use super::compression::{Compression, UnknownCompression};
use super::error::Field;

/// Length of a batch header in bytes.
pub const BATCH_HEADER_LEN: usize = 61;

/// Bytes that the length field does not count: base offset and the length itself.
pub(super) const LENGTH_PREFIX: usize = 12;
/// Where the magic byte is, in this and in the old formats.
pub(super) const MAGIC_AT: usize = 16;
/// The checksum covers everything from here on.
pub(super) const CRC_FROM: usize = 21;
/// The message format of these batches.
pub(super) const MAGIC: i8 = 2;

const COMPRESSION_MASK: i16 = 0x07;
const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// What a batch's timestamps mean. Complete: the format has one bit for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// Each record has the time its producer gave it.
    #[default]
    CreateTime,
    /// Every record has the time at which the broker appended the batch: the batch's maximum.
    LogAppendTime,
}

/// A batch header, field by field as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchHeader {
    /// Offset of the first record when the batch was written; compaction does not change it.
    pub base_offset: i64,
    /// Bytes that follow this field.
    pub batch_length: i32,
    /// Leader epoch under which the broker appended the batch; -1 in a producer's batch.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type, transactional and control flags.
    pub attributes: i16,
    /// Last offset relative to the first; compaction does not change it.
    pub last_offset_delta: i32,
    /// The timestamp that the records' deltas count from, or the delete horizon.
    pub base_timestamp: i64,
    /// The largest timestamp, in milliseconds since the epoch; -1 if there is none.
    pub max_timestamp: i64,
    /// Producer id, -1 if the producer is neither idempotent nor transactional.
    pub producer_id: i64,
    /// Producer epoch, -1 without a producer id.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 without a producer id.
    pub base_sequence: i32,
    /// How many records the batch holds.
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the fields; the bytes are those of a batch of format 2.
    pub(super) fn parse(bytes: &[u8; BATCH_HEADER_LEN]) -> Self {
        let mut rest: &[u8] = bytes;
        let base_offset = i64::from_be_bytes(take(&mut rest));
        let batch_length = i32::from_be_bytes(take(&mut rest));
        let partition_leader_epoch = i32::from_be_bytes(take(&mut rest));
        let [_magic] = take(&mut rest);
        Self {
            base_offset,
            batch_length,
            partition_leader_epoch,
            crc: u32::from_be_bytes(take(&mut rest)),
            attributes: i16::from_be_bytes(take(&mut rest)),
            last_offset_delta: i32::from_be_bytes(take(&mut rest)),
            base_timestamp: i64::from_be_bytes(take(&mut rest)),
            max_timestamp: i64::from_be_bytes(take(&mut rest)),
            producer_id: i64::from_be_bytes(take(&mut rest)),
            producer_epoch: i16::from_be_bytes(take(&mut rest)),
            base_sequence: i32::from_be_bytes(take(&mut rest)),
            records_count: i32::from_be_bytes(take(&mut rest)),
        }
    }

    /// The header as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; BATCH_HEADER_LEN] {
        let mut bytes = [0; BATCH_HEADER_LEN];
        let mut rest: &mut [u8] = &mut bytes;
        put(&mut rest, self.base_offset.to_be_bytes());
        put(&mut rest, self.batch_length.to_be_bytes());
        put(&mut rest, self.partition_leader_epoch.to_be_bytes());
        put(&mut rest, MAGIC.to_be_bytes());
        put(&mut rest, self.crc.to_be_bytes());
        put(&mut rest, self.attributes.to_be_bytes());
        put(&mut rest, self.last_offset_delta.to_be_bytes());
        put(&mut rest, self.base_timestamp.to_be_bytes());
        put(&mut rest, self.max_timestamp.to_be_bytes());
        put(&mut rest, self.producer_id.to_be_bytes());
        put(&mut rest, self.producer_epoch.to_be_bytes());
        put(&mut rest, self.base_sequence.to_be_bytes());
        put(&mut rest, self.records_count.to_be_bytes());
        bytes
    }

    /// A field with a value that no batch can have.
    pub(super) fn impossible(&self) -> Option<(Field, i64)> {
        // An emptied batch keeps its delta: that and the count have nothing to do with each other.
        impossible_offset(self.base_offset, self.last_offset_delta).or_else(|| {
            let count = i64::from(self.records_count);
            (count < 0).then_some((Field::RecordsCount, count))
        })
    }

    /// The header's part that the checksum covers.
    pub(super) fn checked_part(bytes: &[u8; BATCH_HEADER_LEN]) -> &[u8] {
        bytes.get(CRC_FROM..).unwrap_or_default()
    }

    /// The offset behind the batch, whether or not records remain in it.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The last offset the batch stands for.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Size of the whole batch in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        LENGTH_PREFIX + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// The attributes name a codec that does not exist.
    pub fn compression(&self) -> Result<Compression, UnknownCompression> {
        Compression::from_id((self.attributes & COMPRESSION_MASK) as u8)
    }

    /// What the timestamps mean.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds control records, which applications never see.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// When tombstones and markers in this batch may go (KIP-534), in milliseconds since the
    /// epoch; the base timestamp field holds it once the cleaner has set it.
    #[must_use]
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    pub(super) fn set_compression(&mut self, compression: Compression) {
        self.attributes = (self.attributes & !COMPRESSION_MASK) | i16::from(compression.id());
    }

    pub(super) fn set_timestamp_type(&mut self, timestamp_type: TimestampType) {
        self.set_bit(
            TIMESTAMP_TYPE_BIT,
            timestamp_type == TimestampType::LogAppendTime,
        );
    }

    pub(super) fn set_transactional(&mut self, transactional: bool) {
        self.set_bit(TRANSACTIONAL_BIT, transactional);
    }

    pub(super) fn set_control(&mut self, control: bool) {
        self.set_bit(CONTROL_BIT, control);
    }

    fn set_bit(&mut self, bit: i16, on: bool) {
        if on {
            self.attributes |= bit;
        } else {
            self.attributes &= !bit;
        }
    }
}

/// Which of the two no batch can have: readers refuse it, so writers must. There has to be an offset behind the last
/// one, to go on from.
pub(super) fn impossible_offset(base: i64, last_delta: i32) -> Option<(Field, i64)> {
    let last_delta = i64::from(last_delta);
    if base < 0
        || base
            .checked_add(last_delta)
            .is_none_or(|last| last == i64::MAX)
    {
        Some((Field::BaseOffset, base))
    } else if last_delta < 0 {
        Some((Field::LastOffsetDelta, last_delta))
    } else {
        None
    }
}

/// The next `N` bytes; the header's array is long enough for all fields, as the test shows.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((head, tail)) => {
            *rest = tail;
            *head
        }
        None => [0; N],
    }
}

fn put<const N: usize>(rest: &mut &mut [u8], field: [u8; N]) {
    if let Some((head, tail)) = std::mem::take(rest).split_first_chunk_mut::<N>() {
        *head = field;
        *rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_field() {
        let mut bytes: [u8; BATCH_HEADER_LEN] = std::array::from_fn(|i| i as u8 + 1);
        bytes[MAGIC_AT] = MAGIC as u8;
        let header = BatchHeader::parse(&bytes);
        assert_eq!(header.base_offset, 0x0102_0304_0506_0708);
        assert_eq!(header.records_count, 0x3a3b_3c3d);
        assert_eq!(header.to_bytes(), bytes);
    }

    #[test]
    fn flags_do_not_touch_each_other() {
        let mut header = BatchHeader::parse(&[0; BATCH_HEADER_LEN]);
        header.set_compression(Compression::Zstd);
        header.set_timestamp_type(TimestampType::LogAppendTime);
        header.set_transactional(true);
        header.set_control(true);
        assert_eq!(header.attributes, 0b11_1100);
        header.set_compression(Compression::Gzip);
        header.set_timestamp_type(TimestampType::CreateTime);
        header.set_transactional(false);
        assert_eq!(header.attributes, 0b10_0001);
        assert!(header.is_control() && !header.is_transactional());
        assert_eq!(header.delete_horizon_ms(), None);
    }
}
