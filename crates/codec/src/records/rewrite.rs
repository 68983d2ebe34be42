//! What a broker does to batches in its log: assigns offsets, stamps, compacts.
//!
//! For logs that are kept in memory, and for tests. Nothing a client sends passes through here.
//!
//! Reference: `LogValidator` and `MemoryRecords.filterTo` in Kafka.

use bytes::Bytes;
use snafu::{Snafu, ensure};

use super::builder::{AppendError, BatchBuilder, BatchFields, SealError};
use super::compression::{Compression, CompressionError, Compressor, Decompressor};
use super::error::{BatchError, Field};
use super::header::{
    BATCH_HEADER_LEN, BatchHeader, LENGTH_PREFIX, MAGIC, TimestampType, impossible_offset,
};
use super::reader::RecordBatch;
use super::record::RecordView;
use super::sealed::SealedBatch;

impl RecordBatch {
    /// The batch at another base offset under another leader epoch. The checksum covers neither.
    ///
    /// # Errors
    /// The batch is of an old format, or the base offset is negative or leaves no room for the batch's offsets.
    pub fn with_offsets(
        &self,
        base_offset: i64,
        partition_leader_epoch: i32,
    ) -> Result<Self, RewriteError> {
        let mut header = self.format_2()?;
        if let Some((field, value)) = impossible_offset(base_offset, header.last_offset_delta) {
            return HeaderSnafu { field, value }.fail();
        }
        header.base_offset = base_offset;
        header.partition_leader_epoch = partition_leader_epoch;
        Ok(self.with_header(header))
    }

    /// The batch with all records stamped by the broker, its checksum computed anew.
    ///
    /// # Errors
    /// The batch is of an old format.
    pub fn with_log_append_time(&self, timestamp: i64) -> Result<Self, RewriteError> {
        self.with_timestamps(TimestampType::LogAppendTime, timestamp)
    }

    /// The batch with another largest timestamp, its checksum computed anew.
    ///
    /// # Errors
    /// The batch is of an old format.
    pub fn with_max_timestamp(&self, timestamp: i64) -> Result<Self, RewriteError> {
        self.with_timestamps(self.header().timestamp_type(), timestamp)
    }

    fn with_timestamps(
        &self,
        timestamp_type: TimestampType,
        max_timestamp: i64,
    ) -> Result<Self, RewriteError> {
        let mut header = self.format_2()?;
        header.max_timestamp = max_timestamp;
        header.set_timestamp_type(timestamp_type);
        let batch = SealedBatch::new(header, self.body(), 0);
        Ok(self.with_header(*batch.header()))
    }

    /// The header, if the batch has one of its own.
    fn format_2(&self) -> Result<BatchHeader, RewriteError> {
        let magic = self.magic();
        ensure!(magic == MAGIC, OldFormatSnafu { magic });
        Ok(*self.header())
    }

    fn with_header(&self, header: BatchHeader) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes().len());
        bytes.extend_from_slice(&header.to_bytes());
        bytes.extend_from_slice(self.bytes().get(BATCH_HEADER_LEN..).unwrap_or_default());
        Self::from_parts(header, Bytes::from(bytes))
    }

    /// The batch as the log cleaner leaves it: without the records that are not kept, but with
    /// every offset, the last offset, producer and sequence as before. If no record is kept, an
    /// empty batch remains; if all are, the batch is the same.
    ///
    /// # Errors
    /// The batch is of an old format or cannot be read, or more than `limit` plain bytes come out of it.
    pub fn retain(
        &self,
        decompressor: &mut Decompressor,
        limit: usize,
        mut keep: impl FnMut(&RecordView<'_>) -> bool,
    ) -> Result<Self, RewriteError> {
        let header = self.format_2()?;
        let decoded = self.decompress(decompressor, limit)?;
        let mut builder = BatchBuilder::new(decoded.size_bytes());
        for record in decoded.records() {
            let record = record?;
            if keep(&record) {
                // The reader has checked that the difference is the delta in the record.
                let delta = (record.offset - header.base_offset) as i32;
                builder.append_view(delta, &record)?;
            }
        }
        if builder.record_count() == self.records_count() {
            return Ok(self.clone());
        }
        if builder.is_empty() {
            return Ok(self.emptied());
        }
        let compression = self.compression()?;
        let mut compressor = Compressor::new(compression)?;
        let fields = BatchFields {
            base_offset: header.base_offset,
            partition_leader_epoch: header.partition_leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            is_transactional: header.is_transactional(),
            is_control: header.is_control(),
            timestamp_type: header.timestamp_type(),
        };
        let sealed = builder.seal(&fields, &mut compressor)?;
        let mut kept = *sealed.header();
        kept.last_offset_delta = header.last_offset_delta;
        let sealed = SealedBatch::new(kept, sealed.body().clone(), 0);
        Ok(Self::from_parts(*sealed.header(), sealed.to_bytes()))
    }

    fn emptied(&self) -> Self {
        let mut header = *self.header();
        header.batch_length = (BATCH_HEADER_LEN - LENGTH_PREFIX) as i32;
        header.set_compression(Compression::None);
        header.base_timestamp = -1;
        header.records_count = 0;
        let sealed = SealedBatch::new(header, Bytes::new(), 0);
        Self::from_parts(*sealed.header(), sealed.to_bytes())
    }
}

/// A batch that cannot be rewritten.
#[derive(Debug, Snafu)]
#[non_exhaustive]
pub enum RewriteError {
    /// It is of message format 0 or 1, which are only read.
    #[snafu(display("a batch of message format {magic} cannot be rewritten"))]
    OldFormat {
        /// The format.
        magic: i8,
    },
    /// A field of the header would have a value that no reader takes.
    #[snafu(display("a batch cannot be rewritten so that its {field} is {value}"))]
    Header {
        /// The field.
        field: Field,
        /// Its value.
        value: i64,
    },
    /// It cannot be read.
    #[snafu(transparent)]
    Read {
        /// What went wrong.
        source: BatchError,
    },
    /// A record cannot be encoded.
    #[snafu(transparent)]
    Append {
        /// What went wrong.
        source: AppendError,
    },
    /// Its codec is not part of this build.
    #[snafu(transparent)]
    Compress {
        /// What went wrong.
        source: CompressionError,
    },
    /// It cannot be sealed.
    #[snafu(transparent)]
    Seal {
        /// What went wrong.
        source: SealError,
    },
}
