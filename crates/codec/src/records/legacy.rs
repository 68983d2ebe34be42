//! Messages of the old formats 0 and 1 (magic 0 and 1), as batches.
//!
//! Owns their layout: an entry is offset, length and a message with a CRC-32 of its own; a compressed
//! message, the wrapper, holds further entries in its value. A run of entries, or a wrapper, becomes a
//! [`RecordBatch`](super::RecordBatch) whose header is made up from them; decompressing it writes its
//! records in format 2, so that whoever walks records knows one format only. Nothing is written in
//! these formats.
//!
//! A wrapper has the offset of its last message. Within it offsets are absolute in format 0 and
//! relative in format 1, where the wrapper's offset gives away what they are relative to (KIP-31).
//!
//! References: [Kafka's old message format](https://kafka.apache.org/documentation/#messageset),
//! KIP-31 (relative offsets), KIP-32 (timestamps), `AbstractLegacyRecordBatch` in Kafka.

use std::iter;

use snafu::ensure;

use super::builder::BatchBuilder;
use super::compression::{Compression, CompressionError, Decompressor, UnknownCompression};
use super::error::{
    BatchError, CrcSnafu, Field, HeaderSnafu, LengthSnafu, RecordSnafu, TrailingInRecordSnafu,
    TruncatedSnafu, UnknownMagicSnafu, WrapperFault, WrapperSnafu,
};
use super::header::{BatchHeader, LENGTH_PREFIX, TimestampType, impossible_offset};

/// A run of uncompressed messages is one batch up to so many bytes: a producer's usual batch. Longer
/// ones would save little and lose more where one message of them is damaged.
const RUN_BYTES: usize = 16 * 1024;

/// Checksum, magic, attributes, and the lengths of key and value.
const MIN_LENGTH_V0: i32 = 4 + 1 + 1 + 4 + 4;
/// And the timestamp.
const MIN_LENGTH_V1: i32 = MIN_LENGTH_V0 + 8;
/// The checksum covers everything from the magic on.
const CRC_FROM: usize = LENGTH_PREFIX + 4;
/// The codec, which format 2 has in the same bits.
const ATTRIBUTES_V0: u8 = 0x07;
/// And the timestamp type.
const ATTRIBUTES_V1: u8 = 0x0f;

/// An entry of a log: a message with its offset, and neither key nor value looked at.
#[derive(Clone, Copy)]
struct Entry<'a> {
    offset: i64,
    crc: u32,
    magic: i8,
    attributes: i16,
    /// -1 in format 0.
    timestamp: i64,
    /// Key and value with their lengths.
    content: &'a [u8],
    /// What the checksum is of.
    checked: &'a [u8],
    size: usize,
}

impl<'a> Entry<'a> {
    /// The first entry in `bytes`; `None` if it is not there as a whole.
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>, EntryFault> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_PREFIX>() else {
            return Ok(None);
        };
        let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3] = *prefix;
        let offset = i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        let length = i32::from_be_bytes([l0, l1, l2, l3]);
        let fault = |kind| Err(EntryFault { offset, kind });
        if length < MIN_LENGTH_V0 {
            return fault(EntryFaultKind::Length(length));
        }
        let size = usize::try_from(length).unwrap_or(0);
        let Some(message) = rest.get(..size) else {
            return Ok(None);
        };
        let Some(([c0, c1, c2, c3, magic, attributes], mut content)) =
            message.split_first_chunk::<6>()
        else {
            return fault(EntryFaultKind::Length(length));
        };
        let magic = *magic as i8;
        let (known_attributes, timestamp) = match magic {
            0 => (ATTRIBUTES_V0, -1),
            1 => {
                let Some((timestamp, rest)) = content.split_first_chunk::<8>() else {
                    return fault(EntryFaultKind::Length(length));
                };
                if length < MIN_LENGTH_V1 {
                    return fault(EntryFaultKind::Length(length));
                }
                content = rest;
                (ATTRIBUTES_V1, i64::from_be_bytes(*timestamp))
            }
            magic => return fault(EntryFaultKind::Magic(magic)),
        };
        if impossible_offset(offset, 0).is_some() {
            return fault(EntryFaultKind::Offset);
        }
        Ok(Some(Self {
            offset,
            crc: u32::from_be_bytes([*c0, *c1, *c2, *c3]),
            magic,
            attributes: i16::from(attributes & known_attributes),
            timestamp,
            content,
            checked: bytes
                .get(CRC_FROM..LENGTH_PREFIX + size)
                .unwrap_or_default(),
            size: LENGTH_PREFIX + size,
        }))
    }

    fn is_compressed(&self) -> bool {
        self.attributes & i16::from(ATTRIBUTES_V0) != 0
    }

    /// What format 2 would say of a batch of this message alone.
    fn header(&self) -> BatchHeader {
        BatchHeader {
            base_offset: self.offset,
            batch_length: (self.size - LENGTH_PREFIX) as i32,
            partition_leader_epoch: -1,
            crc: self.crc,
            attributes: self.attributes,
            last_offset_delta: 0,
            base_timestamp: self.timestamp,
            max_timestamp: self.timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records_count: 1,
        }
    }

    fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32fast::hash(self.checked);
        ensure!(
            computed == self.crc,
            CrcSnafu {
                base_offset: self.offset,
                stored: self.crc,
                computed
            }
        );
        Ok(())
    }

    /// The message as one of its own, which was in the wrapper of a batch.
    fn unwrapped(self, base_offset: i64, relative_to: i64) -> Result<Self, BatchError> {
        if self.is_compressed() {
            return fault(base_offset, WrapperFault::Nested);
        }
        let Some(offset) = self.offset.checked_add(relative_to) else {
            return fault(base_offset, WrapperFault::OffsetOrder);
        };
        let message = Self { offset, ..self };
        message.verify_crc()?;
        Ok(message)
    }

    fn key_and_value(&self) -> Result<[Option<&'a [u8]>; 2], BatchError> {
        let mut rest = self.content;
        let key = self.nullable(&mut rest, Field::KeyLength, Field::Key)?;
        let value = self.nullable(&mut rest, Field::ValueLength, Field::Value)?;
        ensure!(
            rest.is_empty(),
            TrailingInRecordSnafu {
                base_offset: self.offset,
                record: 0,
                extra: rest.len()
            }
        );
        Ok([key, value])
    }

    fn nullable(
        &self,
        rest: &mut &'a [u8],
        length_field: Field,
        field: Field,
    ) -> Result<Option<&'a [u8]>, BatchError> {
        let cut_short = |field| TruncatedSnafu {
            base_offset: self.offset,
            record: 0,
            field,
        };
        let Some((length, tail)) = rest.split_first_chunk::<4>() else {
            return cut_short(length_field).fail();
        };
        *rest = tail;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            return Ok(None);
        }
        let Ok(size) = usize::try_from(length) else {
            return RecordSnafu {
                base_offset: self.offset,
                record: 0,
                field: length_field,
                value: i64::from(length),
            }
            .fail();
        };
        let Some((bytes, tail)) = rest.split_at_checked(size) else {
            return cut_short(field).fail();
        };
        *rest = tail;
        Ok(Some(bytes))
    }
}

/// An entry that cannot be one.
struct EntryFault {
    offset: i64,
    kind: EntryFaultKind,
}

enum EntryFaultKind {
    Length(i32),
    Magic(i8),
    Offset,
}

impl EntryFault {
    /// Of an entry of the log, at `position` in the bytes that were given.
    fn at(self, position: usize) -> BatchError {
        let base_offset = self.offset;
        match self.kind {
            EntryFaultKind::Length(length) => LengthSnafu {
                base_offset,
                position,
                length,
            }
            .build(),
            EntryFaultKind::Magic(magic) => UnknownMagicSnafu {
                base_offset,
                position,
                magic,
            }
            .build(),
            EntryFaultKind::Offset => HeaderSnafu {
                base_offset,
                position,
                field: Field::BaseOffset,
                value: base_offset,
            }
            .build(),
        }
    }

    /// Of an entry in the wrapper at `base_offset`.
    fn within(self, base_offset: i64) -> BatchError {
        let reason = match self.kind {
            EntryFaultKind::Length(length) => WrapperFault::Length { length },
            EntryFaultKind::Magic(magic) => WrapperFault::Magic { magic },
            EntryFaultKind::Offset => WrapperFault::OffsetOrder,
        };
        WrapperSnafu {
            base_offset,
            reason,
        }
        .build()
    }
}

/// Iterator over the entries of one batch, of which none may be cut short.
struct Entries<'a> {
    rest: &'a [u8],
    /// The batch's, for errors.
    base_offset: i64,
    count: i32,
}

impl<'a> Entries<'a> {
    fn new(bytes: &'a [u8], base_offset: i64) -> Self {
        Self {
            rest: bytes,
            base_offset,
            count: 0,
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = Entry::parse(self.rest).map_err(|fault| fault.within(self.base_offset));
        let entry = parsed.and_then(|entry| {
            entry.ok_or_else(|| {
                TruncatedSnafu {
                    base_offset: self.base_offset,
                    record: self.count,
                    field: Field::RecordLength,
                }
                .build()
            })
        });
        // After an error it ends.
        let size = entry.as_ref().map_or(self.rest.len(), |entry| entry.size);
        self.rest = self.rest.get(size..).unwrap_or_default();
        self.count = self.count.saturating_add(1);
        Some(entry)
    }
}

/// What a batch at the start of `bytes` is made of: a wrapper, or a run of messages as far as one
/// header can speak for all. Its header and its size in bytes; `None` if it is not there as a whole.
pub(super) fn leading(
    bytes: &[u8],
    position: usize,
) -> Result<Option<(BatchHeader, usize)>, BatchError> {
    let Some(first) = Entry::parse(bytes).map_err(|fault| fault.at(position))? else {
        return Ok(None);
    };
    let mut header = first.header();
    let mut size = first.size;
    if first.is_compressed() {
        return Ok(Some((header, size)));
    }
    // What is wrong with an entry behind the first is told when it is the first itself.
    while let Some(rest) = bytes.get(size..)
        && let Ok(Some(next)) = Entry::parse(rest)
        && size + next.size <= RUN_BYTES
        && next.magic == first.magic
        && next.attributes == first.attributes
        && next.offset > header.last_offset()
        && let Ok(last_offset_delta) = i32::try_from(next.offset - first.offset)
        && last_offset_delta < i32::MAX
        // Of times of appending a header holds one.
        && (header.timestamp_type() == TimestampType::CreateTime || next.timestamp == first.timestamp)
    {
        header.last_offset_delta = last_offset_delta;
        header.max_timestamp = header.max_timestamp.max(next.timestamp);
        header.records_count += 1;
        size += next.size;
    }
    header.batch_length = (size - LENGTH_PREFIX) as i32;
    Ok(Some((header, size)))
}

/// Compares the checksum of every message in the batch, but not of those in a wrapper, which
/// [`decode`] compares.
pub(super) fn verify_crc(wire: &BatchHeader, bytes: &[u8]) -> Result<(), BatchError> {
    Entries::new(bytes, wire.base_offset).try_for_each(|entry| entry?.verify_crc())
}

/// The records of a batch that [`leading`] has found, in format 2, and the header that goes with them.
pub(super) fn decode(
    wire: &BatchHeader,
    bytes: &[u8],
    decompressor: &mut Decompressor,
    limit: usize,
) -> Result<(BatchHeader, Vec<u8>), BatchError> {
    let base_offset = wire.base_offset;
    match wire.compression().map_err(BatchError::codec(base_offset))? {
        Compression::None if bytes.len() > limit => {
            let compression = Compression::None;
            Err(BatchError::decompress(base_offset)(
                CompressionError::LimitExceeded { compression, limit },
            ))
        }
        Compression::None => convert(wire, bytes.len(), Entries::new(bytes, base_offset)),
        // Younger than these formats.
        Compression::Zstd => {
            let id = Compression::Zstd.id();
            Err(BatchError::codec(base_offset)(UnknownCompression::Id {
                id,
            }))
        }
        compression => {
            let Some(wrapper) = Entry::parse(bytes).map_err(|fault| fault.at(0))? else {
                return fault(base_offset, WrapperFault::Empty);
            };
            let [_, Some(value)] = wrapper.key_and_value()? else {
                return fault(base_offset, WrapperFault::Null);
            };
            let plain = match wrapper.magic {
                0 => decompressor.decompress_format_0(compression, value, limit),
                _ => decompressor.decompress(compression, value, limit),
            };
            let plain = plain.map_err(BatchError::decompress(base_offset))?;
            let Some(last) = Entries::new(&plain, base_offset).last().transpose()? else {
                return fault(base_offset, WrapperFault::Empty);
            };
            let relative_to = match wrapper.magic {
                0 => 0,
                // What a producer sends: the broker has not given it an offset yet.
                _ if wrapper.offset == 0 => 0,
                _ => wrapper.offset - last.offset,
            };
            if relative_to < 0 {
                return fault(base_offset, WrapperFault::Offset { last: last.offset });
            }
            let inner = Entries::new(&plain, base_offset)
                .map(|entry| entry?.unwrapped(base_offset, relative_to));
            convert(wire, plain.len(), inner)
        }
    }
}

/// Writes messages anew, as records of format 2. `size` is that of all of them: a record takes less room
/// in format 2, which has varints.
fn convert<'a>(
    wire: &BatchHeader,
    size: usize,
    messages: impl Iterator<Item = Result<Entry<'a>, BatchError>>,
) -> Result<(BatchHeader, Vec<u8>), BatchError> {
    let mut header = *wire;
    let mut records = BatchBuilder::new(size);
    for message in messages {
        let message = message?;
        if records.is_empty() {
            header.base_offset = message.offset;
        }
        let delta = i32::try_from(message.offset - header.base_offset).ok();
        let Some(delta) =
            delta.filter(|delta| records.is_empty() || *delta > header.last_offset_delta)
        else {
            return fault(wire.base_offset, WrapperFault::OffsetOrder);
        };
        let [key, value] = message.key_and_value()?;
        if records
            .append_at(delta, message.timestamp, key, value, iter::empty())
            .is_err()
        {
            return fault(wire.base_offset, WrapperFault::TooLarge);
        }
        header.last_offset_delta = delta;
    }
    header.records_count = i32::try_from(records.record_count()).unwrap_or(i32::MAX);
    header.base_timestamp = records.base_timestamp().unwrap_or(-1);
    // What the broker stamped is the wrapper's own, which speaks for all.
    if header.timestamp_type() == TimestampType::CreateTime {
        header.max_timestamp = records.max_timestamp().unwrap_or(-1);
    }
    Ok((header, records.into_records()))
}

fn fault<T>(base_offset: i64, reason: WrapperFault) -> Result<T, BatchError> {
    WrapperSnafu {
        base_offset,
        reason,
    }
    .fail()
}

#[cfg(test)]
mod tests;
