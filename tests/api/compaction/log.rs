//! A topic whose one partition is written, compacted and looked at without any of the code under test but the codec.

use std::collections::BTreeMap;

use ottla::TopicPartition;
use ottla_codec::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use ottla_codec::messages::end_txn::EndTxnRequest;
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_codec::messages::init_producer_id::InitProducerIdRequest;
use ottla_codec::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_codec::records::{
    BatchBuilder, BatchFields, Batches, Compression, Compressor, Decompressor,
};
use ottla_codec::{ErrorCode, Uuid};
use ottla_fake::Record;
use tokio::time::{Duration, Instant};

use super::world::{SEGMENT_MS, now_ms};
use crate::support::raw::{Broker, Raw, TopicRef, delete_records, fetch, produce};
use crate::support::{PATIENCE, eventually, real};

/// Versions that name the topic, and that a 2.8 broker knows.
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;
const INIT_PRODUCER_ID: i16 = 4;
const FIND_COORDINATOR: i16 = 3;
const ADD_PARTITIONS_TO_TXN: i16 = 3;
const LIST_OFFSETS: i16 = 5;
const END_TXN: i16 = 3;
const DELETE_RECORDS: i16 = 2;
const INCREMENTAL_ALTER_CONFIGS: i16 = 1;

/// Who wrote a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A producer without an id: of its batches nothing stays once all records are gone.
    Plain,
    /// An idempotent producer: its last batch stays for its sequence's sake, even without records.
    Idempotent,
    /// An idempotent producer that writes nothing else, so that this batch stays.
    Single,
}

/// A record's key and its value, which is none in a tombstone.
pub(crate) type Pair<'a> = (&'a str, Option<&'a str>);

/// A batch of a log: its first and its last offset, and how many records it holds.
pub(crate) type Shape = (i64, i64, u32);

/// A record as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) offset: i64,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
}

/// A log at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) batches: Vec<Shape>,
    pub(crate) codecs: Vec<Compression>,
    /// What an answer can hold one of: batches, or messages of the old formats.
    pub(crate) entries: u64,
    /// All that is not a transaction marker.
    pub(crate) records: Vec<Held>,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

pub(crate) struct Log {
    pub(crate) topic: TopicRef,
    pub(crate) codec: Compression,
    /// Records of aborted transactions.
    pub(crate) aborted: Vec<Held>,
    broker: Broker,
    raw: Raw,
    /// The idempotent producer's id and next sequence.
    producer: (i64, i32),
    /// What the next batch's records have for a time.
    time: i64,
    /// How many segments a real log has at most.
    pub(crate) segments: u64,
}

impl Log {
    pub(crate) async fn new(broker: &Broker, topic: &str, codec: Compression) -> Self {
        let mut raw = Raw::connect(broker).await;
        Self {
            topic: TopicRef {
                name: topic.to_owned(),
                id: Uuid::ZERO,
            },
            codec,
            aborted: Vec::new(),
            broker: broker.clone(),
            producer: (producer_id(&mut raw, None).await.0, 0),
            raw,
            time: now_ms(),
            segments: 1,
        }
    }

    pub(crate) fn partition(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic.name, 0)
    }

    /// The group that commits what it has read.
    pub(crate) fn group(&self) -> String {
        format!("{}-readers", self.topic.name)
    }

    /// Writes one batch.
    pub(crate) async fn write(&mut self, writer: Writer, pairs: &[Pair<'_>]) {
        let mut fields = BatchFields::default();
        if writer != Writer::Plain {
            (fields.producer_id, fields.base_sequence) = match writer {
                Writer::Single => (producer_id(&mut self.raw, None).await.0, 0),
                _ => self.producer,
            };
            fields.producer_epoch = 0;
        }
        if writer == Writer::Idempotent {
            self.producer.1 += i32::try_from(pairs.len()).expect("few records");
        }
        self.append(pairs, &fields, None).await;
    }

    /// What is written next begins a segment.
    pub(crate) fn roll(&mut self) {
        self.time += 2 * SEGMENT_MS;
        self.segments += 1;
    }

    /// Writes one batch, and the marker that ends its transaction, by a producer that writes nothing else.
    pub(crate) async fn transaction(&mut self, pairs: &[Pair<'_>], commit: bool) {
        let first = match &self.broker {
            Broker::Fake(cluster) => {
                let records = pairs.iter().map(|(key, value)| match value {
                    Some(value) => Record::new(key.to_string(), value.to_string()),
                    None => Record::tombstone(key.to_string()),
                });
                let records: Vec<_> = records.collect();
                let cluster = cluster.clone();
                let topic = &self.topic.name;
                cluster.append_transaction(topic, 0, records, commit).await
            }
            .expect("a partition"),
            Broker::Real(_) => self.real_transaction(pairs, commit).await,
        };
        if !commit {
            let held = (first..).zip(pairs).map(|(offset, (key, value))| Held {
                offset,
                key: (*key).to_owned(),
                value: value.map(str::to_owned),
            });
            self.aborted.extend(held);
        }
    }

    async fn real_transaction(&mut self, pairs: &[Pair<'_>], commit: bool) -> i64 {
        let id = real::unique("transaction");
        let find = FindCoordinatorRequest {
            key: id.clone(),
            key_type: 1,
            ..Default::default()
        };
        eventually("there is a coordinator", async || {
            let response = self.raw.call(&find, FIND_COORDINATOR).await;
            response.error_code == 0
        })
        .await;
        let (producer_id, producer_epoch) = producer_id(&mut self.raw, Some(&id)).await;
        let add = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id.clone(),
            v3_and_below_producer_id: producer_id,
            v3_and_below_producer_epoch: producer_epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: self.topic.name.clone(),
                partitions: vec![0],
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = self.raw.call(&add, ADD_PARTITIONS_TO_TXN).await;
        let topic = &response.results_by_topic_v3_and_below[0];
        assert_eq!(topic.results_by_partition[0].partition_error_code, 0);
        let fields = BatchFields {
            producer_id,
            producer_epoch,
            base_sequence: 0,
            is_transactional: true,
            ..Default::default()
        };
        let first = self.append(pairs, &fields, Some(&id)).await;
        let end = EndTxnRequest {
            transactional_id: id,
            producer_id,
            producer_epoch,
            committed: commit,
            ..Default::default()
        };
        let response = self.raw.call(&end, END_TXN).await;
        assert_eq!(response.error_code, 0);
        // Markers are written after the answer.
        let after = first + i64::try_from(pairs.len()).expect("few records");
        eventually("the transaction's marker is there", async || {
            self.look().await.end > after
        })
        .await;
        first
    }

    async fn append(
        &mut self,
        pairs: &[Pair<'_>],
        fields: &BatchFields,
        transactional_id: Option<&str>,
    ) -> i64 {
        let mut builder = BatchBuilder::new(1 << 16);
        for (key, value) in pairs {
            let value = value.map(str::as_bytes);
            builder
                .try_append(self.time, Some(key.as_bytes()), value, std::iter::empty())
                .expect("room");
        }
        let mut compressor = Compressor::new(self.codec).expect("a codec");
        let batch = builder
            .seal(fields, &mut compressor)
            .expect("a batch")
            .to_bytes();
        let mut request = produce(&self.topic, PRODUCE, 0, batch);
        request.transactional_id = transactional_id.map(str::to_owned);
        let response = self.raw.call(&request, PRODUCE).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.base_offset
    }

    /// Has the log compacted until it is as wished.
    pub(crate) async fn compacted(&mut self, wished: impl Fn(&Seen) -> bool) -> Seen {
        match &self.broker {
            Broker::Fake(cluster) => {
                let (cluster, topic) = (cluster.clone(), self.topic.name.clone());
                // The first sets tombstones' delete horizons, the second finds them passed.
                for _ in 0..2 {
                    cluster.compact(&topic).await.expect("readable batches");
                    let seen = self.look().await;
                    if wished(&seen) {
                        return seen;
                    }
                }
                panic!("{:?}", self.look().await);
            }
            Broker::Real(_) => {
                let deadline = Instant::now() + PATIENCE;
                let mut tick = tokio::time::interval(Duration::from_millis(50));
                loop {
                    let seen = self.look().await;
                    if wished(&seen) {
                        return seen;
                    }
                    assert!(Instant::now() < deadline, "it stays {:?}", seen.batches);
                    tick.tick().await;
                }
            }
        }
    }

    /// Has the log compacted until these batches are left.
    pub(crate) async fn compacted_to(&mut self, batches: &[Shape]) -> Seen {
        self.compacted(|seen| seen.batches == batches).await
    }

    /// Moves the log start.
    pub(crate) async fn delete_records(&mut self, before: i64) {
        let request = delete_records(&self.topic, 0, before);
        let response = self.raw.call(&request, DELETE_RECORDS).await;
        let answer = &response.topics[0].partitions[0];
        assert_eq!((answer.error_code, answer.low_watermark), (0, before));
    }

    /// Has retention delete all that it may, which is all but the newest segment, or on the fake the last batch.
    pub(crate) async fn retain_the_least(&mut self, start: i64) {
        self.set("retention.bytes", "1").await;
        if let Broker::Fake(cluster) = &self.broker {
            let applied = cluster.apply_retention(&self.topic.name);
            applied.await.expect("a topic");
        }
        eventually("retention has run", async || {
            self.look().await.start == start
        })
        .await;
    }

    /// Changes a setting of the topic.
    pub(crate) async fn set(&mut self, name: &str, value: &str) {
        match &self.broker {
            Broker::Fake(cluster) => {
                let set = cluster.set_topic_config(&self.topic.name, name, value);
                set.await.expect("a setting");
            }
            Broker::Real(_) => {
                let request = IncrementalAlterConfigsRequest {
                    resources: vec![AlterConfigsResource {
                        resource_type: 2,
                        resource_name: self.topic.name.clone(),
                        configs: vec![AlterableConfig {
                            name: name.to_owned(),
                            value: Some(value.to_owned()),
                            ..Default::default()
                        }],
                        ..Default::default()
                    }],
                    ..Default::default()
                };
                let response = self.raw.call(&request, INCREMENTAL_ALTER_CONFIGS).await;
                assert_eq!(response.responses[0].error_code, 0);
            }
        }
    }

    /// The log's first offset.
    async fn start(&mut self) -> i64 {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: self.topic.name.clone(),
                partitions: vec![ListOffsetsPartition {
                    timestamp: -2,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = self.raw.call(&request, LIST_OFFSETS).await;
        let answer = &response.topics[0].partitions[0];
        assert_eq!(answer.error_code, 0);
        answer.offset
    }

    /// The log as it is.
    pub(crate) async fn look(&mut self) -> Seen {
        let mut seen = Seen::default();
        let mut decompressor = Decompressor::new();
        let mut from = self.start().await;
        loop {
            // A broker answers from one segment at a time.
            let request = fetch(&self.topic, FETCH, 0, from);
            let response = self.raw.call(&request, FETCH).await;
            let answer = &response.responses[0].partitions[0];
            if answer.error_code == ErrorCode::OffsetOutOfRange.code() {
                // Retention has just deleted that.
                seen = Seen::default();
                from = self.start().await;
                continue;
            }
            assert_eq!(answer.error_code, 0);
            seen.start = answer.log_start_offset;
            if from == answer.high_watermark {
                seen.end = from;
                return seen;
            }
            let records = answer.records.as_ref().expect("records").to_bytes();
            for batch in Batches::new(records) {
                let batch = batch.expect("a batch");
                batch.verify_crc().expect("an intact batch");
                let (first, last) = (batch.base_offset(), batch.last_offset());
                seen.batches.push((first, last, batch.records_count()));
                let codec = batch.compression().expect("a codec");
                seen.codecs.push(codec);
                seen.entries += match (batch.magic(), codec) {
                    (0 | 1, Compression::None) => u64::from(batch.records_count()),
                    _ => 1,
                };
                from = last + 1;
                if batch.header().is_control() {
                    continue;
                }
                let decoded = batch
                    .decompress(&mut decompressor, 1 << 20)
                    .expect("readable records");
                let held = decoded.records().map(|record| {
                    let record = record.expect("a record");
                    Held::new(record.offset, record.key, record.value)
                });
                let start = seen.start;
                seen.records
                    .extend(held.filter(|held| held.offset >= start));
            }
        }
    }
}

/// A producer's id and epoch.
async fn producer_id(raw: &mut Raw, transactional_id: Option<&str>) -> (i64, i16) {
    let request = InitProducerIdRequest {
        transactional_id: transactional_id.map(str::to_owned),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let mut producer = (-1, -1);
    // A fresh broker asks its controller for ids first.
    eventually("there is a producer id", async || {
        let response = raw.call(&request, INIT_PRODUCER_ID).await;
        producer = (response.producer_id, response.producer_epoch);
        producer.0 >= 0
    })
    .await;
    producer
}

impl Held {
    pub(crate) fn new(offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            offset,
            key: key.map(text).expect("a key"),
            value: value.map(text),
        }
    }

    pub(crate) fn pair(offset: i64, key: &str, value: &str) -> Self {
        Self::new(offset, Some(key.as_bytes()), Some(value.as_bytes()))
    }
}

/// What compaction must leave: the last record of each key, in their order, tombstones included.
pub(crate) fn newest<'a>(written: impl IntoIterator<Item = Pair<'a>>) -> Vec<Held> {
    let mut newest = BTreeMap::new();
    for (offset, (key, value)) in (0..).zip(written) {
        newest.insert(key, (offset, value));
    }
    let mut held: Vec<Held> = newest
        .into_iter()
        .map(|(key, (offset, value))| Held {
            offset,
            key: key.to_owned(),
            value: value.map(str::to_owned),
        })
        .collect();
    held.sort_by_key(|record| record.offset);
    held
}
