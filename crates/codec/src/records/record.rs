//! One record as a borrowed view, and the walk over a batch's records.

use std::borrow::Cow;
use std::iter::FusedIterator;

use super::error::{
    BatchError, Field, RecordSnafu, TrailingInBatchSnafu, TrailingInRecordSnafu, TruncatedSnafu,
    VarintSnafu,
};
use super::header::{BatchHeader, TimestampType};
use super::varint::{VarintError, read_varint, read_varlong};

/// A record of a batch, borrowed from the batch's plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordView<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch; with log append time, the batch's largest timestamp.
    pub timestamp: i64,
    /// Its key; a null key is not an empty one.
    pub key: Option<&'a [u8]>,
    /// Its value; null deletes the key from a compacted topic.
    pub value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> RecordView<'a> {
    /// The headers in order, duplicates included; read while iterating.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// Bytes of key, value and headers, without lengths.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers: usize = self
            .headers
            .map(|header| header.key_bytes.len() + len(header.value))
            .sum();
        len(self.key) + len(self.value) + headers
    }
}

/// A header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header<'a> {
    /// Its key, by rights UTF-8.
    pub key_bytes: &'a [u8],
    /// Its value, which may be null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// The key as text; what is not UTF-8 is replaced, as Java does.
    #[must_use]
    pub fn key(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key_bytes)
    }
}

/// The headers of one record. They were checked when the record was read, so there are no errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: i32,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        match read_header(&mut self.rest) {
            Ok(header) => {
                self.left -= 1;
                Some(header)
            }
            Err(_) => {
                self.left = 0;
                None
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(0);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Headers<'_> {}
impl FusedIterator for Headers<'_> {}

/// A place in a batch's records, to go on from later: it borrows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    position: usize,
    record: i32,
    done: bool,
}

impl Cursor {
    /// How many records have been read.
    #[must_use]
    pub fn record_index(&self) -> u32 {
        self.record.unsigned_abs()
    }

    /// Reads the record at this place; after the last one, checks that nothing is behind it.
    #[inline]
    pub(super) fn read<'a>(
        &mut self,
        header: &BatchHeader,
        records: &'a [u8],
    ) -> Option<Result<RecordView<'a>, BatchError>> {
        if self.done {
            return None;
        }
        let mut rest = records.get(self.position..).unwrap_or_default();
        if self.record >= header.records_count {
            self.done = true;
            return (!rest.is_empty()).then(|| {
                TrailingInBatchSnafu {
                    base_offset: header.base_offset,
                    count: header.records_count,
                    extra: rest.len(),
                }
                .fail()
            });
        }
        let before = rest.len();
        match read_record(header, &mut rest) {
            Ok(view) => {
                self.position += before - rest.len();
                self.record += 1;
                Some(Ok(view))
            }
            Err(fault) => {
                self.done = true;
                Some(Err(*fault.at(header.base_offset, self.record)))
            }
        }
    }
}

/// Iterator over the records of a batch. It ends after the first error.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    header: &'a BatchHeader,
    records: &'a [u8],
    cursor: Cursor,
}

impl<'a> RecordIter<'a> {
    pub(super) fn new(header: &'a BatchHeader, records: &'a [u8], cursor: Cursor) -> Self {
        Self {
            header,
            records,
            cursor,
        }
    }

    /// The place before the next record.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.read(self.header, self.records)
    }
}

impl FusedIterator for RecordIter<'_> {}

/// What is wrong, before it is known where.
#[derive(Clone, Copy)]
enum Fault {
    Truncated(Field),
    Varint(Field),
    Value(Field, i64),
    Trailing(usize),
}

impl Fault {
    /// In a box: an error that was written to where a record goes would send each record through memory, and not only
    /// the broken one.
    #[cold]
    fn at(self, base_offset: i64, record: i32) -> Box<BatchError> {
        Box::new(match self {
            Self::Truncated(field) => TruncatedSnafu {
                base_offset,
                record,
                field,
            }
            .build(),
            Self::Varint(field) => VarintSnafu {
                base_offset,
                record,
                field,
            }
            .build(),
            Self::Value(field, value) => RecordSnafu {
                base_offset,
                record,
                field,
                value,
            }
            .build(),
            Self::Trailing(extra) => TrailingInRecordSnafu {
                base_offset,
                record,
                extra,
            }
            .build(),
        })
    }
}

#[inline]
fn read_record<'a>(batch: &BatchHeader, input: &mut &'a [u8]) -> Result<RecordView<'a>, Fault> {
    let length = varint(input, Field::RecordLength)?;
    // Nothing in the record can reach beyond its own length.
    let mut record = split(input, length, Field::RecordLength, Field::RecordLength)?;
    let rest = &mut record;
    let (_attributes, tail) = rest
        .split_first()
        .ok_or(Fault::Truncated(Field::Attributes))?;
    *rest = tail;
    let timestamp_delta = read_varlong(rest).map_err(|e| varint_fault(e, Field::TimestampDelta))?;
    let offset_delta = varint(rest, Field::OffsetDelta)?;
    ensure_value(
        offset_delta >= 0 && offset_delta <= batch.last_offset_delta,
        Field::OffsetDelta,
        offset_delta,
    )?;
    let key = nullable(rest, Field::KeyLength, Field::Key)?;
    let value = nullable(rest, Field::ValueLength, Field::Value)?;
    let count = varint(rest, Field::HeadersCount)?;
    let headers = Headers { rest, left: count };
    if count != 0 {
        // Each header takes two bytes at least.
        ensure_value(
            usize::try_from(count).is_ok_and(|count| count <= rest.len() / 2),
            Field::HeadersCount,
            count,
        )?;
        for _ in 0..count {
            read_header(rest)?;
        }
    }
    if !rest.is_empty() {
        return Err(Fault::Trailing(rest.len()));
    }
    let timestamp = match batch.timestamp_type() {
        TimestampType::CreateTime => batch.base_timestamp.wrapping_add(timestamp_delta),
        TimestampType::LogAppendTime => batch.max_timestamp,
    };
    // The header's offsets were checked not to overflow, and the delta is within them.
    let offset = batch.base_offset.wrapping_add(i64::from(offset_delta));
    Ok(RecordView {
        offset,
        timestamp,
        key,
        value,
        headers,
    })
}

#[inline]
fn read_header<'a>(input: &mut &'a [u8]) -> Result<Header<'a>, Fault> {
    let length = varint(input, Field::HeaderKeyLength)?;
    let key_bytes = split(input, length, Field::HeaderKeyLength, Field::HeaderKey)?;
    let value = nullable(input, Field::HeaderValueLength, Field::HeaderValue)?;
    Ok(Header { key_bytes, value })
}

#[inline]
fn nullable<'a>(
    input: &mut &'a [u8],
    length_field: Field,
    field: Field,
) -> Result<Option<&'a [u8]>, Fault> {
    let length = varint(input, length_field)?;
    if length == -1 {
        return Ok(None);
    }
    split(input, length, length_field, field).map(Some)
}

#[inline]
fn split<'a>(
    input: &mut &'a [u8],
    length: i32,
    length_field: Field,
    field: Field,
) -> Result<&'a [u8], Fault> {
    let Ok(length) = usize::try_from(length) else {
        return Err(Fault::Value(length_field, i64::from(length)));
    };
    let (head, tail) = input
        .split_at_checked(length)
        .ok_or(Fault::Truncated(field))?;
    *input = tail;
    Ok(head)
}

#[inline]
fn varint(input: &mut &[u8], field: Field) -> Result<i32, Fault> {
    read_varint(input).map_err(|error| varint_fault(error, field))
}

#[cold]
fn varint_fault(error: VarintError, field: Field) -> Fault {
    match error {
        VarintError::Truncated => Fault::Truncated(field),
        VarintError::Overlong => Fault::Varint(field),
    }
}

#[inline]
fn ensure_value(ok: bool, field: Field, value: i32) -> Result<(), Fault> {
    if ok {
        Ok(())
    } else {
        Err(Fault::Value(field, i64::from(value)))
    }
}
