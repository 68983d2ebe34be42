//! Where records go that nobody could handle.

use crate::consumer::ConsumedRecord;
use crate::error::Result;
use crate::producer::Producer;
use crate::record::{Header, Record, RecordMetadata};

use super::failure::Failure;

/// A topic for records that could not be handled.
///
/// A record keeps its key, value and headers. Behind its own headers come those in which Kafka's brokers say the same of
/// records that a share group gave up (KIP-1191), numbers in decimal:
///
/// | header | value |
/// |---|---|
/// | `__dlq.errors.topic` | the topic it was read from |
/// | `__dlq.errors.partition` | the partition |
/// | `__dlq.errors.offset` | its offset in it |
/// | `__dlq.errors.group` | the group that read it |
/// | `__dlq.errors.delivery.count` | how often it was handed to the handler |
/// | `__dlq.errors.message` | what went wrong the last time |
///
/// A letter that fails once more has them twice; the last ones count. Its timestamp is that of the letter, not of the record, so
/// that the topic's retention begins anew. The partition is found by the key, as for any record.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    producer: Producer,
    topic: String,
}

impl DeadLetters {
    /// Written by this producer, to this topic. An idempotent producer with `acks=all`, as it is by default, loses none.
    pub fn to(producer: Producer, topic: impl Into<String>) -> Self {
        Self {
            producer,
            topic: topic.into(),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Writes a record, and waits until that is acknowledged.
    pub(super) async fn write(&self, failure: &Failure, group: &str) -> Result<RecordMetadata> {
        let ConsumedRecord {
            partition,
            offset,
            key,
            value,
            headers,
            ..
        } = &failure.record;
        let facts = [
            ("__dlq.errors.topic", partition.topic.to_string()),
            ("__dlq.errors.partition", partition.partition.to_string()),
            ("__dlq.errors.offset", offset.to_string()),
            ("__dlq.errors.group", group.to_owned()),
            ("__dlq.errors.delivery.count", failure.attempts.to_string()),
            ("__dlq.errors.message", failure.cause.to_string()),
        ];
        let own = headers.iter().map(|header| Header {
            key: &header.key,
            value: header.value.as_deref(),
        });
        let added = facts.iter().map(|(key, value)| Header::new(key, value));
        let headers: Vec<Header<'_>> = own.chain(added).collect();
        let record = Record {
            key: key.as_deref(),
            value: value.as_deref(),
            ..Record::to(&self.topic)
        };
        self.producer.send(record.headers(&headers)).await?.await
    }
}
