//! What the caller gets: batches of records, read while iterating, and records that own their bytes.

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;

use bytes::Bytes;
use ottla_cluster::TopicPartition;
use ottla_codec::records::{self, Cursor, DecodedBatch};

use super::buffered::{Memory, Plain};
use super::positions::Position;
use crate::error::{Error, ErrorKind, Result};

/// A run of records of one partition, in order, as one producer wrote them together.
///
/// The batch was checked and decompressed already; its records are read while iterating and nothing is
/// allocated for them. It counts against the consumer's memory limit until it is dropped or
/// [detached](Self::detach): one who keeps batches without detaching them stops the consumer.
///
/// ```no_run
/// # fn read(batch: &ottla::RecordBatch) -> ottla::Result<()> {
/// for record in batch {
///     let record = record?;
///     println!("{} {:?} {:?}", record.offset(), record.key(), record.value());
/// }
/// # Ok(())
/// # }
/// ```
pub struct RecordBatch {
    partition: TopicPartition,
    start: i64,
    end: Position,
    plain: Plain,
}

impl RecordBatch {
    pub(crate) fn new(partition: TopicPartition, start: i64, end: Position, plain: Plain) -> Self {
        Self {
            partition,
            start,
            end,
            plain,
        }
    }

    /// The partition the records come from.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The position behind the batch: what to commit once its records are done with.
    pub fn next_offset(&self) -> i64 {
        self.end.offset
    }

    /// From here on it is meant for the caller, whether or not its records can be read.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The leader epoch under which the batch was written (KIP-320); `None` in logs of old brokers.
    pub fn leader_epoch(&self) -> Option<i32> {
        self.end.leader_epoch
    }

    /// At most how many records there are. Fewer come out where a seek led into the middle of the batch.
    pub fn record_count(&self) -> usize {
        usize::try_from(self.plain.batch.header().records_count).unwrap_or(0)
    }

    /// The bytes the records take, decompressed.
    pub fn size_bytes(&self) -> usize {
        self.plain.batch.size_bytes()
    }

    /// Whether the records' timestamps are those at which the broker appended them, rather than those
    /// the producer gave them.
    pub fn is_log_append_time(&self) -> bool {
        self.plain.batch.header().timestamp_type() == records::TimestampType::LogAppendTime
    }

    /// The records, in order.
    pub fn records(&self) -> Records<'_> {
        Records {
            batch: self,
            cursor: Cursor::default(),
            next_offset: self.start,
        }
    }

    /// The records as values that own their bytes.
    ///
    /// They share the batch's memory, which lives as long as any of them, and no longer count against the
    /// consumer's memory limit.
    pub fn into_records(self) -> IntoRecords {
        IntoRecords {
            cursor: Cursor::default(),
            next_offset: self.start,
            batch: self,
        }
    }

    /// The batch in memory of its own, which no longer counts against the consumer's memory limit. It is
    /// copied, where it shares memory with other batches.
    #[must_use]
    pub fn detach(self) -> Self {
        let Self {
            partition,
            start,
            end,
            plain,
        } = self;
        let Plain { batch, memory } = plain;
        let batch = match memory {
            Memory::Shared(_) => batch.copied(),
            Memory::Own(_) | Memory::Detached => batch,
        };
        Self {
            partition,
            start,
            end,
            plain: Plain {
                batch,
                memory: Memory::Detached,
            },
        }
    }

    fn corrupt(&self, offset: i64, source: records::BatchError) -> Error {
        let partition = self.partition.clone();
        Error::from(ErrorKind::CorruptBatch { partition, offset }).with_source(source)
    }
}

impl fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBatch")
            .field("partition", &self.partition)
            .field("start", &self.start)
            .field("next_offset", &self.end.offset)
            .field("record_count", &self.record_count())
            .finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &'a RecordBatch {
    type Item = Result<RecordView<'a>>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.records()
    }
}

impl IntoIterator for RecordBatch {
    type Item = Result<ConsumedRecord>;
    type IntoIter = IntoRecords;

    fn into_iter(self) -> IntoRecords {
        self.into_records()
    }
}

/// Iterator over a batch's records. After an error it ends.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    batch: &'a RecordBatch,
    cursor: Cursor,
    next_offset: i64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let batch = &self.batch.plain.batch;
        match next_from(batch, &mut self.cursor, self.batch.start)? {
            Ok(view) => {
                self.next_offset = view.offset.saturating_add(1);
                Some(Ok(RecordView { view }))
            }
            Err(error) => Some(Err(self.batch.corrupt(self.next_offset, error))),
        }
    }
}

impl FusedIterator for Records<'_> {}

/// Iterator over a batch's records as values that own their bytes. After an error it ends.
#[derive(Debug)]
pub struct IntoRecords {
    batch: RecordBatch,
    cursor: Cursor,
    next_offset: i64,
}

impl IntoRecords {
    /// The next record, in memory of its own.
    pub(crate) fn next_copied(&mut self) -> Option<Result<ConsumedRecord>> {
        self.next_as(|batch, view| copied(&batch.partition, view))
    }

    fn next_as(
        &mut self,
        own: impl FnOnce(&RecordBatch, &records::RecordView<'_>) -> ConsumedRecord,
    ) -> Option<Result<ConsumedRecord>> {
        let Self {
            batch,
            cursor,
            next_offset,
        } = self;
        match next_from(&batch.plain.batch, cursor, batch.start)? {
            Ok(view) => {
                *next_offset = view.offset.saturating_add(1);
                Some(Ok(own(batch, &view)))
            }
            Err(error) => Some(Err(batch.corrupt(*next_offset, error))),
        }
    }
}

impl Iterator for IntoRecords {
    type Item = Result<ConsumedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_as(|batch, view| owned(&batch.partition, &batch.plain.batch, view))
    }
}

impl FusedIterator for IntoRecords {}

/// The next record at or behind `start`.
#[inline]
pub(crate) fn next_from<'a>(
    batch: &'a DecodedBatch,
    cursor: &mut Cursor,
    start: i64,
) -> Option<std::result::Result<records::RecordView<'a>, records::BatchError>> {
    loop {
        match batch.next_record(cursor)? {
            Ok(view) if view.offset < start => {}
            record => return Some(record),
        }
    }
}

/// A record with a share in its batch's memory.
pub(crate) fn owned(
    partition: &TopicPartition,
    batch: &DecodedBatch,
    view: &records::RecordView<'_>,
) -> ConsumedRecord {
    record(partition, view, |part| batch.share(part))
}

/// A record in memory of its own.
fn copied(partition: &TopicPartition, view: &records::RecordView<'_>) -> ConsumedRecord {
    let values = view.headers().map(|header| header.value);
    let parts = [view.key, view.value].into_iter().chain(values).flatten();
    let mut memory = Vec::with_capacity(parts.clone().map(<[u8]>::len).sum());
    parts.for_each(|part| memory.extend_from_slice(part));
    let mut memory = Bytes::from(memory);
    record(partition, view, |part| memory.split_to(part.len()))
}

/// A record of parts that come from somewhere: the key, the value, and those of the headers in order.
fn record(
    partition: &TopicPartition,
    view: &records::RecordView<'_>,
    mut hold: impl FnMut(&[u8]) -> Bytes,
) -> ConsumedRecord {
    ConsumedRecord {
        partition: partition.clone(),
        offset: view.offset,
        timestamp: view.timestamp,
        key: view.key.map(&mut hold),
        value: view.value.map(&mut hold),
        headers: view
            .headers()
            .map(|header| ConsumedHeader {
                key: header.key().into_owned(),
                value: header.value.map(&mut hold),
            })
            .collect(),
    }
}

/// A record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    view: records::RecordView<'a>,
}

impl<'a> RecordView<'a> {
    /// The record's offset in its partition.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.view.offset
    }

    /// The record's timestamp in milliseconds since 1970, or -1 if it has none.
    #[inline]
    pub fn timestamp(&self) -> i64 {
        self.view.timestamp
    }

    /// The key; a null key is not an empty one.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.view.key
    }

    /// The value; a record without one is a tombstone on a compacted topic.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.view.value
    }

    /// The headers, in order, doubles included.
    pub fn headers(&self) -> Headers<'a> {
        Headers {
            headers: self.view.headers(),
        }
    }
}

/// Iterator over a record's headers.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    headers: records::Headers<'a>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = HeaderView<'a>;

    fn next(&mut self) -> Option<HeaderView<'a>> {
        let header = self.headers.next()?;
        Some(HeaderView {
            key: header.key(),
            value: header.value,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.headers.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}
impl FusedIterator for Headers<'_> {}

/// A header of a record, borrowed from the record's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderView<'a> {
    /// The header's name. What is not UTF-8 in it is replaced, as Java does.
    pub key: Cow<'a, str>,
    /// The header's value, which may be null.
    pub value: Option<&'a [u8]>,
}

/// A record that owns its bytes, or rather a share in the memory of the batch it came in.
///
/// One who keeps a few records out of many for long keeps their batches in memory; a copy of what is
/// needed lets go of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumedRecord {
    /// The partition the record comes from.
    pub partition: TopicPartition,
    /// The record's offset in its partition.
    pub offset: i64,
    /// The record's timestamp in milliseconds since 1970, or -1 if it has none.
    pub timestamp: i64,
    /// The key; a null key is not an empty one.
    pub key: Option<Bytes>,
    /// The value; a record without one is a tombstone on a compacted topic.
    pub value: Option<Bytes>,
    /// The headers, in order, doubles included.
    pub headers: Vec<ConsumedHeader>,
}

impl ConsumedRecord {
    /// What it takes in memory, if that is its own.
    pub(crate) fn size_bytes(&self) -> usize {
        let held = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter();
        let headers =
            headers.map(|header| size_of_val(header) + header.key.len() + held(&header.value));
        size_of_val(self) + held(&self.key) + held(&self.value) + headers.sum::<usize>()
    }
}

/// A header of a [`ConsumedRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumedHeader {
    /// The header's name. What is not UTF-8 in it is replaced, as Java does.
    pub key: String,
    /// The header's value, which may be null.
    pub value: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::super::testing::batch;
    use super::*;

    #[test]
    fn a_copied_record_is_the_same_in_memory_of_its_own() {
        let wire = batch(0, 3);
        let decoded = || wire.decompress(&mut records::Decompressor::new(), 1 << 20);
        let records = || IntoRecords {
            cursor: Cursor::default(),
            next_offset: 0,
            batch: RecordBatch::new(
                TopicPartition::new("t", 0),
                1,
                Position::at(3),
                Plain {
                    batch: decoded().unwrap(),
                    memory: Memory::Detached,
                },
            ),
        };
        let shared: Vec<_> = records().map(Result::unwrap).collect();
        let mut rest = records();
        let copied: Vec<_> = std::iter::from_fn(|| rest.next_copied())
            .map(Result::unwrap)
            .collect();
        assert_eq!(shared.len(), 2);
        assert_eq!(shared, copied);
        let held = wire.bytes().as_ptr_range();
        let is_in_batch =
            |record: &ConsumedRecord| held.contains(&record.value.as_ref().unwrap().as_ptr());
        assert!(shared.iter().all(is_in_batch));
        assert!(!copied.iter().any(is_in_batch));
    }
}
