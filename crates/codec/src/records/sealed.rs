//! A closed batch: its body never changes again, so that a retry sends the same bytes.

use std::ops::Range;

use bytes::Bytes;
use snafu::{Snafu, ensure};

use super::builder::{AppendError, BatchBuilder, BatchFields, SealError};
use super::compression::{Compression, CompressionError, Compressor, Decompressor};
use super::crc::TailCrc;
use super::error::BatchError;
use super::header::{BATCH_HEADER_LEN, BatchHeader};
use super::reader::DecodedBatch;
use super::sequence::add_sequence;
use crate::Records;

/// A batch ready to be sent: 61 bytes of header, and a body whose checksum is known.
///
/// Cloning shares the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    header: BatchHeader,
    body: Bytes,
    body_crc: TailCrc,
    uncompressed: usize,
}

impl SealedBatch {
    pub(super) fn new(header: BatchHeader, body: Bytes, uncompressed: usize) -> Self {
        let body_crc = TailCrc::new(&body);
        let mut batch = Self {
            header,
            body,
            body_crc,
            uncompressed,
        };
        batch.update_crc();
        batch
    }

    fn update_crc(&mut self) {
        let bytes = self.header.to_bytes();
        self.header.crc = self.body_crc.after(BatchHeader::checked_part(&bytes));
    }

    /// The header, field by field.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The header as it goes over the wire.
    #[must_use]
    pub fn header_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.header.to_bytes())
    }

    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The batch as the `records` field of a message; the body is shared.
    #[must_use]
    pub fn records(&self) -> Records {
        Records::from_parts(self.header_bytes(), self.body.clone())
    }

    /// Header and body in one piece: a copy.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.records().to_bytes()
    }

    /// Writes producer id, epoch and first sequence. The body stays; the checksum follows from
    /// its cached one.
    pub fn set_producer(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) {
        self.header.producer_id = producer_id;
        self.header.producer_epoch = producer_epoch;
        self.header.base_sequence = base_sequence;
        self.update_crc();
    }

    /// Marks the batch as part of a transaction, or not.
    pub fn set_transactional(&mut self, transactional: bool) {
        self.header.set_transactional(transactional);
        self.update_crc();
    }

    /// Writes the leader epoch, which the checksum does not cover.
    pub fn set_partition_leader_epoch(&mut self, epoch: i32) {
        self.header.partition_leader_epoch = epoch;
    }

    /// Size on the wire in bytes, header included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        BATCH_HEADER_LEN + self.body.len()
    }

    /// Size in bytes it would have without compression, header included.
    #[must_use]
    pub fn uncompressed_size_bytes(&self) -> usize {
        BATCH_HEADER_LEN + self.uncompressed
    }

    /// Compressed by uncompressed size of the records: 1 without compression.
    #[must_use]
    pub fn compression_ratio(&self) -> f32 {
        if self.uncompressed == 0 {
            1.0
        } else {
            self.body.len() as f32 / self.uncompressed as f32
        }
    }

    /// How the records are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        // Only a builder makes the header, and it writes only codecs there are.
        self.header.compression().unwrap_or_default()
    }

    /// How many records the batch holds.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.header.records_count.unsigned_abs()
    }

    /// Timestamp of the first record.
    #[must_use]
    pub fn base_timestamp(&self) -> i64 {
        self.header.base_timestamp
    }

    /// The largest timestamp.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.header.max_timestamp
    }

    /// Sequence of the first record, -1 for none.
    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence
    }

    /// Sequence of the last record, -1 for none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        add_sequence(
            self.header.base_sequence,
            self.record_count().saturating_sub(1),
        )
    }

    /// Splits a batch that a broker calls too large into two or more of at most `target_bytes`
    /// each, or of one record where that alone is more. Records are encoded anew from the sealed
    /// bytes: order, timestamps and headers stay, and the parts' sequences together are the
    /// original's. Each part comes with the range of record indices it took over; all keep the base offset, which
    /// a broker sets anew.
    ///
    /// # Errors
    /// There is a single record, or compressing failed.
    pub fn split(
        &self,
        target_bytes: usize,
        compressor: &mut Compressor,
        decompressor: &mut Decompressor,
    ) -> Result<Vec<(Range<u32>, Self)>, SplitError> {
        ensure!(self.record_count() > 1, SingleRecordSnafu);
        let records = match self.compression() {
            Compression::None => self.body.clone(),
            compression => {
                let plain = decompressor.decompress(compression, &self.body, self.uncompressed);
                Bytes::from(plain?)
            }
        };
        let batch = DecodedBatch::from_parts(self.header, records);
        // Compressed parts are measured in plain bytes by the ratio of the whole; at least two.
        let body_target = target_bytes.saturating_sub(BATCH_HEADER_LEN);
        let plain_target = (body_target as f32 / self.compression_ratio()) as usize;
        let plain_target = plain_target.min(self.uncompressed.div_ceil(2)).max(1);

        let mut splitter = Splitter {
            original: self,
            compressor,
            target_bytes,
            parts: Vec::new(),
        };
        splitter.split(&batch, 0..self.record_count(), plain_target)?;
        Ok(splitter.parts)
    }
}

struct Splitter<'a> {
    original: &'a SealedBatch,
    compressor: &'a mut Compressor,
    target_bytes: usize,
    parts: Vec<(Range<u32>, SealedBatch)>,
}

impl Splitter<'_> {
    /// Cuts a range of records into parts of `plain_target` bytes before compression.
    fn split(
        &mut self,
        batch: &DecodedBatch,
        range: Range<u32>,
        plain_target: usize,
    ) -> Result<(), SplitError> {
        let mut builder = BatchBuilder::new(plain_target.min(self.original.uncompressed));
        let mut start = range.start;
        let records = batch.records().zip(0u32..).skip(range.start as usize);
        for (record, index) in records.take(range.len()) {
            let record = record?;
            let size = builder.view_size(&record);
            if index > start && builder.size_bytes() + size > BATCH_HEADER_LEN + plain_target {
                self.seal(batch, start..index, &mut builder, plain_target)?;
                start = index;
            }
            // Indices are below the count in the header, which has 31 bits.
            builder.append_view((index - start) as i32, &record)?;
        }
        self.seal(batch, start..range.end, &mut builder, plain_target)
    }

    /// Closes a part, or cuts it further if it compressed worse than the whole did.
    fn seal(
        &mut self,
        batch: &DecodedBatch,
        range: Range<u32>,
        builder: &mut BatchBuilder,
        plain_target: usize,
    ) -> Result<(), SplitError> {
        let header = &self.original.header;
        let fields = BatchFields {
            base_offset: header.base_offset,
            partition_leader_epoch: header.partition_leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: add_sequence(header.base_sequence, range.start),
            is_transactional: header.is_transactional(),
            is_control: header.is_control(),
            timestamp_type: header.timestamp_type(),
        };
        let part = builder.seal(&fields, self.compressor)?;
        if part.size_bytes() > self.target_bytes && range.len() > 1 {
            let plain_target = (plain_target.min(part.uncompressed) / 2).max(1);
            return self.split(batch, range, plain_target);
        }
        self.parts.push((range, part));
        Ok(())
    }
}

/// A batch that cannot be split.
#[derive(Debug, Snafu)]
#[non_exhaustive]
pub enum SplitError {
    /// It holds a single record.
    #[snafu(display("a batch of a single record cannot be split"))]
    SingleRecord,
    /// Decompressing the sealed bytes failed.
    #[snafu(transparent)]
    Decompress {
        /// What went wrong.
        source: CompressionError,
    },
    /// Reading the sealed bytes failed.
    #[snafu(transparent)]
    Read {
        /// What went wrong.
        source: BatchError,
    },
    /// Encoding a part failed.
    #[snafu(transparent)]
    Append {
        /// What went wrong.
        source: AppendError,
    },
    /// Sealing a part failed.
    #[snafu(transparent)]
    Seal {
        /// What went wrong.
        source: SealError,
    },
}
