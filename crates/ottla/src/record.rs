//! Records on their way to Kafka, and what becomes of them.

use ottla_cluster::TopicPartition;

/// A record to produce.
///
/// It only borrows: a record is written into its batch, in the form that goes to the broker, before
/// [`Producer::send`](crate::Producer::send) returns, so nothing has to be owned or copied before that. (A
/// record of a topic that is not known yet is copied meanwhile.)
///
/// ```
/// use ottla::{Header, Record};
///
/// let headers = [Header::new("source", "till 3")];
/// let record = Record::to("sales").key("shop-17").value("12.50").headers(&headers);
/// assert_eq!(record.key, Some(&b"shop-17"[..]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// The topic it is for.
    pub topic: &'a str,
    /// The partition it is for, if that is not left to the partitioner.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; a record without one is a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [Header<'a>],
    /// Its own timestamp, in milliseconds since 1970.
    pub timestamp: Option<i64>,
}

impl<'a> Record<'a> {
    /// A record for this topic, with neither key nor value yet.
    pub fn to(topic: &'a str) -> Self {
        Self {
            topic,
            partition: None,
            key: None,
            value: None,
            headers: &[],
            timestamp: None,
        }
    }

    /// Sets the key. Records with the same key go to the same partition. Default: none.
    #[must_use]
    pub fn key(self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            key: Some(key.as_ref()),
            ..self
        }
    }

    /// Sets the value. A record without one is a tombstone on a compacted topic. Default: none.
    #[must_use]
    pub fn value(self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            value: Some(value.as_ref()),
            ..self
        }
    }

    /// Sets the headers; their order and doubles are kept. Default: none.
    #[must_use]
    pub fn headers(self, headers: &'a [Header<'a>]) -> Self {
        Self { headers, ..self }
    }

    /// Sets the partition instead of leaving it to the partitioner.
    #[must_use]
    pub fn partition(self, partition: i32) -> Self {
        Self {
            partition: Some(partition),
            ..self
        }
    }

    /// Sets the timestamp, in milliseconds since 1970. Default: the time at which the record's batch
    /// was begun, or at which it was taken in if that was before its topic was known.
    #[must_use]
    pub fn timestamp(self, millis: i64) -> Self {
        Self {
            timestamp: Some(millis),
            ..self
        }
    }
}

/// One header of a record: a name and, perhaps, a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's name.
    pub key: &'a str,
    /// The header's value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a value.
    pub fn new(key: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            key,
            value: Some(value.as_ref()),
        }
    }

    /// A header without a value.
    pub fn null(key: &'a str) -> Self {
        Self { key, value: None }
    }
}

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition that holds the record.
    pub partition: TopicPartition,
    /// The record's offset; `None` with acks=0, and where the broker knew the batch from an earlier
    /// attempt but no longer its offset.
    pub offset: Option<i64>,
    /// The record's timestamp in milliseconds since 1970: its own, or the broker's where the topic's
    /// `message.timestamp.type` is `LogAppendTime`.
    pub timestamp: i64,
}
