//! What can be wrong with a record batch.

use std::fmt;

use snafu::Snafu;

use super::compression::{CompressionError, UnknownCompression};

/// A batch that cannot be read. Every variant names the batch by the base offset in its header; of the old formats 0
/// and 1, where each message is a batch, the message by its own.
///
/// Its text says all there is, so it has no source.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
#[non_exhaustive]
pub enum BatchError {
    /// The length field is shorter than the header it has to cover.
    #[snafu(display(
        "batch at offset {base_offset} (byte {position}): length {length} is below the minimum"
    ))]
    Length {
        /// Base offset of the batch.
        base_offset: i64,
        /// Where the batch starts in the bytes given.
        position: usize,
        /// The length field.
        length: i32,
    },
    /// A message format that does not exist.
    #[snafu(display(
        "batch at offset {base_offset} (byte {position}): unknown message format {magic}"
    ))]
    UnknownMagic {
        /// Base offset of the batch.
        base_offset: i64,
        /// Where the batch starts in the bytes given.
        position: usize,
        /// The magic byte.
        magic: i8,
    },
    /// A header field has a value it can never have.
    #[snafu(display(
        "batch at offset {base_offset} (byte {position}): {field} has the impossible value {value}"
    ))]
    Header {
        /// Base offset of the batch.
        base_offset: i64,
        /// Where the batch starts in the bytes given.
        position: usize,
        /// The field.
        field: Field,
        /// Its value.
        value: i64,
    },
    /// The checksum in the header is not that of the bytes.
    #[snafu(display(
        "batch at offset {base_offset}: checksum is {computed:#010x}, its header says {stored:#010x}"
    ))]
    Crc {
        /// Base offset of the batch.
        base_offset: i64,
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The attributes name a codec that does not exist.
    #[snafu(display("batch at offset {base_offset}: {source}"))]
    Codec {
        /// Base offset of the batch.
        base_offset: i64,
        /// The codec's number.
        #[snafu(source(false))]
        source: UnknownCompression,
    },
    /// The records could not be decompressed.
    #[snafu(display("batch at offset {base_offset}: {source}"))]
    Decompress {
        /// Base offset of the batch.
        base_offset: i64,
        /// What went wrong.
        #[snafu(source(false))]
        source: CompressionError,
    },
    /// The bytes end before the record does.
    #[snafu(display("batch at offset {base_offset}, record {record}: {field} is cut short"))]
    Truncated {
        /// Base offset of the batch.
        base_offset: i64,
        /// Index of the record in the batch.
        record: i32,
        /// The field being read.
        field: Field,
    },
    /// A field of a record has a value it can never have.
    #[snafu(display(
        "batch at offset {base_offset}, record {record}: {field} has the impossible value {value}"
    ))]
    Record {
        /// Base offset of the batch.
        base_offset: i64,
        /// Index of the record in the batch.
        record: i32,
        /// The field.
        field: Field,
        /// Its value.
        value: i64,
    },
    /// A variable-length number runs on beyond its type.
    #[snafu(display("batch at offset {base_offset}, record {record}: {field} is no valid varint"))]
    Varint {
        /// Base offset of the batch.
        base_offset: i64,
        /// Index of the record in the batch.
        record: i32,
        /// The field.
        field: Field,
    },
    /// A record's fields end before its length says.
    #[snafu(display(
        "batch at offset {base_offset}, record {record}: {extra} bytes behind its last field"
    ))]
    TrailingInRecord {
        /// Base offset of the batch.
        base_offset: i64,
        /// Index of the record in the batch.
        record: i32,
        /// How many bytes are left over.
        extra: usize,
    },
    /// There are bytes behind the last record.
    #[snafu(display(
        "batch at offset {base_offset}: {extra} bytes behind the last of {count} records"
    ))]
    TrailingInBatch {
        /// Base offset of the batch.
        base_offset: i64,
        /// How many records the header announces.
        count: i32,
        /// How many bytes are left over.
        extra: usize,
    },
    /// A compressed message of the old formats 0 and 1 holds what it must not.
    #[snafu(display("message at offset {base_offset}: {reason}"))]
    Wrapper {
        /// Offset of the message.
        base_offset: i64,
        /// What is wrong with its content.
        reason: WrapperFault,
    },
}

impl BatchError {
    /// The error of a batch whose attributes name no codec.
    pub(super) fn codec(base_offset: i64) -> impl FnOnce(UnknownCompression) -> Self {
        move |source| Self::Codec {
            base_offset,
            source,
        }
    }

    /// The error of a batch whose records cannot be decompressed.
    pub(super) fn decompress(base_offset: i64) -> impl FnOnce(CompressionError) -> Self {
        move |source| Self::Decompress {
            base_offset,
            source,
        }
    }
}

/// What is wrong with the content of a compressed message of the old formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Snafu)]
#[snafu(module)]
#[non_exhaustive]
pub enum WrapperFault {
    /// Its value is null.
    #[snafu(display("a compressed message without a value"))]
    Null,
    /// There is no message in it.
    #[snafu(display("a compressed message without messages in it"))]
    Empty,
    /// A message in it is compressed as well.
    #[snafu(display("a compressed message within a compressed message"))]
    Nested,
    /// What should be a message in it is of a format that cannot be there.
    #[snafu(display("a compressed message with something of message format {magic} in it"))]
    Magic {
        /// The format.
        magic: i8,
    },
    /// A message in it is shorter than one can be.
    #[snafu(display("a compressed message with one of impossible length {length} in it"))]
    Length {
        /// The length.
        length: i32,
    },
    /// Its own offset is neither 0 nor at least that of the last message in it.
    #[snafu(display("a compressed message before the last message in it, {last}"))]
    Offset {
        /// The offset of the last message in it, relative as it is.
        last: i64,
    },
    /// Offsets in it are impossible, do not ascend, or not within what 31 bits can tell.
    #[snafu(display("a compressed message with messages out of order"))]
    OffsetOrder,
    /// It holds more than a batch can.
    #[snafu(display("a compressed message that is too large"))]
    TooLarge,
}

/// A field of a batch or record, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The batch's first offset.
    BaseOffset,
    /// The last offset, relative to the first.
    LastOffsetDelta,
    /// How many records the batch holds.
    RecordsCount,
    /// A record's length.
    RecordLength,
    /// A record's attributes.
    Attributes,
    /// A record's timestamp, relative to the batch's base timestamp.
    TimestampDelta,
    /// A record's offset, relative to the batch's first.
    OffsetDelta,
    /// The length of a record's key.
    KeyLength,
    /// A record's key.
    Key,
    /// The length of a record's value.
    ValueLength,
    /// A record's value.
    Value,
    /// How many headers a record has.
    HeadersCount,
    /// The length of a header's key.
    HeaderKeyLength,
    /// A header's key.
    HeaderKey,
    /// The length of a header's value.
    HeaderValueLength,
    /// A header's value.
    HeaderValue,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BaseOffset => "base offset",
            Self::LastOffsetDelta => "last offset delta",
            Self::RecordsCount => "records count",
            Self::RecordLength => "length",
            Self::Attributes => "attributes",
            Self::TimestampDelta => "timestamp delta",
            Self::OffsetDelta => "offset delta",
            Self::KeyLength => "key length",
            Self::Key => "key",
            Self::ValueLength => "value length",
            Self::Value => "value",
            Self::HeadersCount => "headers count",
            Self::HeaderKeyLength => "header key length",
            Self::HeaderKey => "header key",
            Self::HeaderValueLength => "header value length",
            Self::HeaderValue => "header value",
        })
    }
}
