//! Builds one batch: every record is encoded once, straight into wire form.

use bytes::Bytes;
use snafu::{Snafu, ensure};

use super::compression::{CompressionError, Compressor};
use super::error::Field;
use super::header::{
    BATCH_HEADER_LEN, BatchHeader, LENGTH_PREFIX, TimestampType, impossible_offset,
};
use super::record::RecordView;
use super::sealed::SealedBatch;
use super::varint::{Numbers, varint_len, varlong_len};

/// A record's attributes byte and the longest timestamp delta, offset delta and length.
const MAX_RECORD_OVERHEAD: usize = 1 + 10 + 5 + 5;
/// The longest varint.
const MAX_VARINT: usize = 5;

/// An open batch: records in wire form and what the header will need to know about them.
///
/// Plain data: no clock, no lock, no limit of its own. The caller asks [`size_bytes`] and
/// [`record_size`] and decides when a batch is full.
///
/// [`size_bytes`]: Self::size_bytes
/// [`record_size`]: Self::record_size
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    records: Vec<u8>,
    count: i32,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch with room for `capacity` bytes of records before it has to grow.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            records: Vec::with_capacity(capacity.saturating_add(Numbers::SLACK)),
            ..Self::default()
        }
    }

    /// Appends a record and returns its index in the batch.
    ///
    /// `timestamp` is in milliseconds since the epoch. Headers keep their order and duplicates.
    ///
    /// # Errors
    /// The record, or the batch with it, is beyond what the format can express. The batch stays
    /// as it was.
    #[inline]
    pub fn try_append<'a, H>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<u32, AppendError>
    where
        H: IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
        H::IntoIter: Clone,
    {
        let headers = headers
            .into_iter()
            .map(|(key, value)| (key.as_bytes(), value));
        self.append_at(self.count, timestamp, key, value, headers)
    }

    /// Appends a record at an offset of its own, which must be beyond the last one's.
    #[inline]
    pub(super) fn append_at<'a>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
    ) -> Result<u32, AppendError> {
        let first = self.count == 0;
        let timestamp_delta = self.timestamp_delta(timestamp);
        let size = RecordSize::of(timestamp_delta, offset_delta, key, value, headers.clone());
        let length = i32::try_from(size.length)
            .map_err(|_| RecordTooLargeSnafu { size: size.length }.build())?;
        let batch = self.size_bytes().saturating_add(size.total());
        ensure!(
            batch <= i32::MAX as usize && self.count < i32::MAX && offset_delta < i32::MAX,
            BatchTooLargeSnafu { size: batch }
        );

        // All lengths fit in 31 bits, as that of the whole record does.
        let records = &mut self.records;
        records.reserve(size.total() + Numbers::SLACK);
        let mut numbers = Numbers::default();
        numbers.varint(records, length);
        numbers.byte(records, 0);
        numbers.varlong(records, timestamp_delta);
        numbers.varint(records, offset_delta);
        put_bytes(records, &mut numbers, key);
        put_bytes(records, &mut numbers, value);
        numbers.varint(records, size.headers);
        for (key, value) in headers {
            put_bytes(records, &mut numbers, Some(key));
            put_bytes(records, &mut numbers, value);
        }
        numbers.store(records);

        if first {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        } else {
            self.max_timestamp = self.max_timestamp.max(timestamp);
        }
        let index = self.count;
        self.count += 1;
        self.last_offset_delta = offset_delta;
        Ok(index.unsigned_abs())
    }

    /// Appends a record of another batch at an offset of its own.
    pub(super) fn append_view(
        &mut self,
        offset_delta: i32,
        record: &RecordView<'_>,
    ) -> Result<u32, AppendError> {
        let headers = record
            .headers()
            .map(|header| (header.key_bytes, header.value));
        self.append_at(
            offset_delta,
            record.timestamp,
            record.key,
            record.value,
            headers,
        )
    }

    /// How many bytes a record of another batch would add at the next offset.
    pub(super) fn view_size(&self, record: &RecordView<'_>) -> usize {
        let headers = record
            .headers()
            .map(|header| (header.key_bytes, header.value));
        let delta = self.timestamp_delta(record.timestamp);
        RecordSize::of(delta, self.count, record.key, record.value, headers).total()
    }

    #[inline]
    fn timestamp_delta(&self, timestamp: i64) -> i64 {
        if self.count == 0 {
            0
        } else {
            timestamp.wrapping_sub(self.base_timestamp)
        }
    }

    /// Exactly how many bytes [`try_append`](Self::try_append) would add for this record now.
    #[must_use]
    pub fn record_size<'a, H>(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> usize
    where
        H: IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    {
        let headers = headers
            .into_iter()
            .map(|(key, value)| (key.as_bytes(), value));
        RecordSize::of(
            self.timestamp_delta(timestamp),
            self.count,
            key,
            value,
            headers,
        )
        .total()
    }

    /// At most how many bytes such a record takes in any batch, without the batch's own
    /// [`BATCH_HEADER_LEN`].
    #[must_use]
    pub fn record_size_upper_bound<'a, H>(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> usize
    where
        H: IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    {
        let bytes = |bytes: Option<&[u8]>| MAX_VARINT + bytes.map_or(0, <[u8]>::len);
        let headers = headers
            .into_iter()
            .map(|(key, value)| MAX_VARINT + key.len() + bytes(value))
            .fold(0, usize::saturating_add);
        [bytes(key), bytes(value), MAX_VARINT, headers]
            .into_iter()
            .fold(MAX_RECORD_OVERHEAD, usize::saturating_add)
    }

    /// Size of the batch so far, header included, before compression.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        BATCH_HEADER_LEN + self.records.len()
    }

    /// Bytes of memory the batch holds on to.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.records.capacity().saturating_sub(Numbers::SLACK)
    }

    /// Makes room for `capacity` bytes of records in all, and for no more than that.
    pub fn reserve_exact(&mut self, capacity: usize) {
        let capacity = capacity.saturating_add(Numbers::SLACK);
        let more = capacity.saturating_sub(self.records.len());
        self.records.reserve_exact(more);
    }

    /// How many records the batch has.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.count.unsigned_abs()
    }

    /// Whether the batch has no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Timestamp of the first record, if there is one.
    #[must_use]
    pub fn base_timestamp(&self) -> Option<i64> {
        (self.count > 0).then_some(self.base_timestamp)
    }

    /// The largest timestamp, if there is a record.
    #[must_use]
    pub fn max_timestamp(&self) -> Option<i64> {
        (self.count > 0).then_some(self.max_timestamp)
    }

    /// Takes all records back, keeping the memory.
    pub fn clear(&mut self) {
        *self = Self {
            records: std::mem::take(&mut self.records),
            ..Self::default()
        };
        self.records.clear();
    }

    /// The records in plain form, without a header.
    pub(super) fn into_records(self) -> Vec<u8> {
        let mut records = self.records;
        // Whoever keeps them accounts for them by length.
        if records.capacity() - records.len() > records.len() / 4 + 1024 {
            records.shrink_to_fit();
        }
        records
    }

    /// Compresses the records and closes the batch; the builder is empty afterwards.
    ///
    /// Without compression the records' memory moves to the sealed batch, otherwise the builder
    /// keeps it for the next one.
    ///
    /// # Errors
    /// There is no record, compressing failed, or the base offset is negative or leaves no room for the records'
    /// offsets. The records stay in the builder.
    pub fn seal(
        &mut self,
        fields: &BatchFields,
        compressor: &mut Compressor,
    ) -> Result<SealedBatch, SealError> {
        ensure!(self.count > 0, EmptySnafu);
        if let Some((field, value)) = impossible_offset(fields.base_offset, self.last_offset_delta)
        {
            return HeaderSnafu { field, value }.fail();
        }
        let uncompressed = self.records.len();
        let body = if compressor.compression() == super::Compression::None {
            Bytes::from(std::mem::take(&mut self.records))
        } else {
            compressor.compress_exact(&self.records)?
        };
        let header = self.header(fields, compressor, body.len())?;
        self.clear();
        Ok(SealedBatch::new(header, body, uncompressed))
    }

    fn header(
        &self,
        fields: &BatchFields,
        compressor: &Compressor,
        body: usize,
    ) -> Result<BatchHeader, SealError> {
        let size = BATCH_HEADER_LEN.saturating_add(body);
        let batch_length =
            i32::try_from(size - LENGTH_PREFIX).map_err(|_| SealTooLargeSnafu { size }.build())?;
        let mut header = BatchHeader {
            base_offset: fields.base_offset,
            batch_length,
            partition_leader_epoch: fields.partition_leader_epoch,
            crc: 0,
            attributes: 0,
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: fields.producer_id,
            producer_epoch: fields.producer_epoch,
            base_sequence: fields.base_sequence,
            records_count: self.count,
        };
        header.set_compression(compressor.compression());
        header.set_timestamp_type(fields.timestamp_type);
        header.set_transactional(fields.is_transactional);
        header.set_control(fields.is_control);
        Ok(header)
    }
}

/// Appends a length, -1 for null, and the bytes.
#[inline(always)]
fn put_bytes(records: &mut Vec<u8>, numbers: &mut Numbers, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            numbers.varint(records, bytes.len() as i32);
            numbers.store(records);
            records.extend_from_slice(bytes);
        }
        None => numbers.varint(records, -1),
    }
}

/// Sizes of a record about to be written.
struct RecordSize {
    /// Bytes behind the record's length field.
    length: usize,
    /// How many headers there are.
    headers: i32,
}

impl RecordSize {
    #[inline]
    fn of<'a>(
        timestamp_delta: i64,
        offset_delta: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Self {
        let mut count = 0i32;
        let mut length = (1 + varlong_len(timestamp_delta) + varint_len(offset_delta))
            .saturating_add(bytes_len(key))
            .saturating_add(bytes_len(value));
        for (key, value) in headers {
            // A header takes two bytes at least: the length overflows before the count does.
            count = count.saturating_add(1);
            length = length
                .saturating_add(bytes_len(Some(key)))
                .saturating_add(bytes_len(value));
        }
        Self {
            length: length.saturating_add(varint_len(count)),
            headers: count,
        }
    }

    #[inline]
    fn total(&self) -> usize {
        self.length
            .saturating_add(varint_len(i32::try_from(self.length).unwrap_or(i32::MAX)))
    }
}

#[inline]
fn bytes_len(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(bytes) => {
            varint_len(i32::try_from(bytes.len()).unwrap_or(i32::MAX)).saturating_add(bytes.len())
        }
    }
}

/// What a batch's header says beyond its records. The default is a plain producer's batch:
/// base offset 0, no leader epoch, no producer id, create time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFields {
    /// Offset of the first record; 0 in what a producer sends.
    pub base_offset: i64,
    /// Leader epoch; -1 in what a producer sends.
    pub partition_leader_epoch: i32,
    /// Producer id, -1 for none.
    pub producer_id: i64,
    /// Producer epoch, -1 for none.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 for none.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub is_transactional: bool,
    /// Whether the records are control records.
    pub is_control: bool,
    /// What the timestamps mean.
    pub timestamp_type: TimestampType,
}

impl Default for BatchFields {
    fn default() -> Self {
        Self {
            base_offset: 0,
            partition_leader_epoch: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            is_transactional: false,
            is_control: false,
            timestamp_type: TimestampType::CreateTime,
        }
    }
}

/// A record that cannot be put into a batch.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum AppendError {
    /// The record's size does not fit in 31 bits.
    #[snafu(display("a record of {size} bytes is more than the format can express"))]
    RecordTooLarge {
        /// The record's size in bytes.
        size: usize,
    },
    /// The batch's size, count or offsets would not fit in 31 bits.
    #[snafu(display("a batch of {size} bytes is more than the format can express"))]
    BatchTooLarge {
        /// The batch's size in bytes.
        size: usize,
    },
}

/// A batch that cannot be sealed.
#[derive(Debug, Snafu)]
#[non_exhaustive]
pub enum SealError {
    /// It has no records.
    #[snafu(display("a batch without records cannot be sealed"))]
    Empty,
    /// Compressing failed.
    #[snafu(transparent)]
    Compress {
        /// What went wrong.
        source: CompressionError,
    },
    /// A field of the header would have a value that no reader takes.
    #[snafu(display("a batch cannot be sealed where its {field} would be {value}"))]
    Header {
        /// The field.
        field: Field,
        /// Its value.
        value: i64,
    },
    /// Compressed, the batch is larger than the format can express.
    #[snafu(display("a batch of {size} bytes is more than the format can express"))]
    SealTooLarge {
        /// The batch's size in bytes.
        size: usize,
    },
}
