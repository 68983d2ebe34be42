//! Reads the batches of a fetch response, without touching records until they are asked for.

use std::iter::FusedIterator;

use bytes::Bytes;
use snafu::ensure;

use super::compression::{Compression, Decompressor};
use super::error::{BatchError, CrcSnafu, HeaderSnafu, LengthSnafu, UnknownMagicSnafu};
use super::header::{BATCH_HEADER_LEN, BatchHeader, CRC_FROM, LENGTH_PREFIX, MAGIC, MAGIC_AT};
use super::legacy;
use super::record::{Cursor, RecordIter, RecordView};

/// The shortest message of the old formats, behind its length field.
const MIN_LEGACY_LENGTH: i32 = 14;

/// Iterator over the complete batches in a run of bytes.
///
/// Brokers cut a response at its size limit, so the last batch may be incomplete: it ends the
/// iteration without an error. Whether that happened, and how large the batch is, is told by
/// [`is_truncated`](Self::is_truncated) and [`needed_bytes`](Self::needed_bytes): if no batch at
/// all was complete, the first one is larger than the response. After an error the iteration ends.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    position: usize,
    failed: bool,
}

impl Batches {
    /// The batches in these bytes.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self {
            rest: bytes,
            position: 0,
            failed: false,
        }
    }

    /// Bytes not yet consumed. After the end: the incomplete batch's.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Bytes consumed by complete batches so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// After the end: whether an incomplete batch is left over.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        !self.failed && !self.rest.is_empty()
    }

    /// Size of the next batch in bytes, complete or not, if enough of it is here to say.
    #[must_use]
    pub fn needed_bytes(&self) -> Option<usize> {
        let (_, length) = self.offset_and_length()?;
        usize::try_from(length).ok()?.checked_add(LENGTH_PREFIX)
    }

    fn offset_and_length(&self) -> Option<(i64, i32)> {
        let (offset, rest) = self.rest.split_first_chunk::<8>()?;
        let (length, _) = rest.split_first_chunk::<4>()?;
        Some((i64::from_be_bytes(*offset), i32::from_be_bytes(*length)))
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, BatchError> {
        let position = self.position;
        let Some((base_offset, length)) = self.offset_and_length() else {
            return Ok(None);
        };
        ensure!(
            length >= MIN_LEGACY_LENGTH,
            LengthSnafu {
                base_offset,
                position,
                length
            }
        );
        let Some(&magic) = self.rest.get(MAGIC_AT) else {
            return Ok(None);
        };
        match magic as i8 {
            MAGIC => {}
            magic @ (0 | 1) => {
                let found = legacy::leading(&self.rest, position)?;
                return Ok(found.map(|(header, size)| self.take(header, magic, size)));
            }
            magic => {
                return UnknownMagicSnafu {
                    base_offset,
                    position,
                    magic,
                }
                .fail();
            }
        }
        let size = usize::try_from(length)
            .unwrap_or(0)
            .saturating_add(LENGTH_PREFIX);
        ensure!(
            size >= BATCH_HEADER_LEN,
            LengthSnafu {
                base_offset,
                position,
                length
            }
        );
        if self.rest.len() < size {
            return Ok(None);
        }
        let header = parse_header(&self.rest, position)?;
        Ok(Some(self.take(header, MAGIC, size)))
    }

    fn take(&mut self, header: BatchHeader, magic: i8, size: usize) -> RecordBatch {
        self.position += size;
        RecordBatch {
            header,
            magic,
            bytes: self.rest.split_to(size),
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.read();
        self.failed = batch.is_err();
        batch.transpose()
    }
}

impl FusedIterator for Batches {}

/// Reads the header of a batch of format 2 and checks what it says.
fn parse_header(bytes: &[u8], position: usize) -> Result<BatchHeader, BatchError> {
    let Some(header) = bytes.first_chunk::<BATCH_HEADER_LEN>() else {
        return LengthSnafu {
            base_offset: -1,
            position,
            length: 0,
        }
        .fail();
    };
    let header = BatchHeader::parse(header);
    if let Some((field, value)) = header.impossible() {
        return HeaderSnafu {
            base_offset: header.base_offset,
            position,
            field,
            value,
        }
        .fail();
    }
    Ok(header)
}

/// A complete batch: its header is read, its records are not.
///
/// Messages of the old formats 0 and 1 have no batches. In their place there is one for a run of
/// messages, and one for a compressed message, whose content is not known before it is
/// decompressed: until then its base offset is that of its last record, and its count is 1. The
/// header is made up from the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    magic: i8,
    bytes: Bytes,
}

impl RecordBatch {
    /// A header and the bytes it was written to.
    pub(super) fn from_parts(header: BatchHeader, bytes: Bytes) -> Self {
        Self {
            header,
            magic: MAGIC,
            bytes,
        }
    }

    /// The message format: 2, or one of the old ones, 0 and 1.
    #[must_use]
    pub fn magic(&self) -> i8 {
        self.magic
    }

    /// The header, field by field.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch as it came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes behind the header: the records, compressed or not. The old formats have no header.
    #[must_use]
    pub fn body(&self) -> Bytes {
        if self.magic != MAGIC {
            return self.bytes.clone();
        }
        self.bytes.slice(BATCH_HEADER_LEN.min(self.bytes.len())..)
    }

    /// Offset the batch starts at.
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    /// Last offset the batch stands for; its record may have been compacted away.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.header.last_offset()
    }

    /// The offset to go on from after this batch, whether or not records remain in it.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.header.next_offset()
    }

    /// How many records the batch holds; 0 if compaction has emptied it.
    #[must_use]
    pub fn records_count(&self) -> u32 {
        self.header.records_count.unsigned_abs()
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// The batch names a codec that does not exist.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let compression = self.header.compression();
        compression.map_err(BatchError::codec(self.header.base_offset))
    }

    /// Whether [`decompress`](Self::decompress) shares these bytes, rather than making others.
    ///
    /// # Errors
    /// The batch names a codec that does not exist.
    pub fn is_plain(&self) -> Result<bool, BatchError> {
        Ok(self.magic == MAGIC && self.compression()? == Compression::None)
    }

    /// Compares the checksum in the header with that of the bytes; in the old formats, that of
    /// each message.
    ///
    /// # Errors
    /// They differ.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        if self.magic != MAGIC {
            return legacy::verify_crc(&self.header, &self.bytes);
        }
        let computed = crc32c::crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default());
        let stored = self.header.crc;
        ensure!(
            computed == stored,
            CrcSnafu {
                base_offset: self.header.base_offset,
                stored,
                computed
            }
        );
        Ok(())
    }

    /// The batch with its records in plain form. An uncompressed batch shares its bytes; of a
    /// compressed one at most `limit` plain bytes are made. What is of an old format is written
    /// anew in format 2.
    ///
    /// What is shared takes no memory, and `limit` does not count it: it is for what is made. Of the old formats that is
    /// all, and counted are the messages' bytes in their own format, compressed or not.
    ///
    /// # Errors
    /// Unknown or missing codec, broken compressed bytes, or more than `limit` plain bytes; of an
    /// old format, anything that is wrong with a message.
    pub fn decompress(
        &self,
        decompressor: &mut Decompressor,
        limit: usize,
    ) -> Result<DecodedBatch, BatchError> {
        if self.magic != MAGIC {
            let (header, records) = legacy::decode(&self.header, &self.bytes, decompressor, limit)?;
            return Ok(DecodedBatch::from_parts(header, Bytes::from(records)));
        }
        let records = match self.compression()? {
            Compression::None => self.body(),
            compression => {
                let plain = match self.compressed() {
                    Some(body) => decompressor.decompress(compression, body, limit),
                    None => Ok(Vec::new()),
                };
                let base_offset = self.header.base_offset;
                Bytes::from(plain.map_err(BatchError::decompress(base_offset))?)
            }
        };
        Ok(DecodedBatch::from_parts(self.header, records))
    }

    /// Appends the records in plain form, at most `limit` bytes of them, to `output`, so that batches
    /// can share memory. An uncompressed batch is copied. The header is what goes with the records in
    /// [`DecodedBatch::from_parts`].
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress); `output` is as before then.
    pub fn decompress_into(
        &self,
        output: &mut Vec<u8>,
        decompressor: &mut Decompressor,
        limit: usize,
    ) -> Result<BatchHeader, BatchError> {
        if self.magic != MAGIC {
            let (header, records) = legacy::decode(&self.header, &self.bytes, decompressor, limit)?;
            output.extend_from_slice(&records);
            return Ok(header);
        }
        let compression = self.compression()?;
        if let Some(body) = self.compressed() {
            let base_offset = self.header.base_offset;
            decompressor
                .append(compression, body, limit, output)
                .map_err(BatchError::decompress(base_offset))?;
        }
        Ok(self.header)
    }

    /// What is behind the header, unless the cleaner has left nothing there, whatever the codec.
    fn compressed(&self) -> Option<&[u8]> {
        let is_emptied = self.header.records_count == 0 && self.bytes.len() == BATCH_HEADER_LEN;
        let body = self.bytes.get(BATCH_HEADER_LEN..).unwrap_or_default();
        (!is_emptied).then_some(body)
    }
}

/// A batch whose records are in plain form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedBatch {
    header: BatchHeader,
    records: Bytes,
}

impl DecodedBatch {
    /// The batch of a header and its records in plain form, which
    /// [`RecordBatch::decompress_into`] has given.
    #[must_use]
    pub fn from_parts(header: BatchHeader, records: Bytes) -> Self {
        Self { header, records }
    }

    /// The header, field by field.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Bytes of the records in plain form.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.records.len()
    }

    /// The same batch in memory of its own, so that it keeps nothing else alive.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self {
            header: self.header,
            records: Bytes::copy_from_slice(&self.records),
        }
    }

    /// The records, read while iterating; nothing is allocated for them.
    #[must_use]
    pub fn records(&self) -> RecordIter<'_> {
        self.records_from(Cursor::default())
    }

    /// The records from a place reached earlier.
    #[must_use]
    pub fn records_from(&self, cursor: Cursor) -> RecordIter<'_> {
        RecordIter::new(&self.header, &self.records, cursor)
    }

    /// Reads the record at the cursor and moves the cursor behind it.
    ///
    /// # Errors
    /// The record is broken, or there are bytes behind the last one; the cursor is at its end.
    #[inline]
    pub fn next_record(&self, cursor: &mut Cursor) -> Option<Result<RecordView<'_>, BatchError>> {
        cursor.read(&self.header, &self.records)
    }

    /// A part of a record of this batch (key, value, header) as bytes that own a share of the
    /// batch: nothing is copied, and the whole batch's memory lives as long. Bytes from elsewhere
    /// are copied.
    #[must_use]
    pub fn share(&self, part: &[u8]) -> Bytes {
        let start = part
            .as_ptr()
            .addr()
            .wrapping_sub(self.records.as_ptr().addr());
        match start.checked_add(part.len()) {
            Some(end) if end <= self.records.len() => self.records.slice(start..end),
            _ => Bytes::copy_from_slice(part),
        }
    }
}
