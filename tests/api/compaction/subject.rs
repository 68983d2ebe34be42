//! A topic whose one partition is written, compacted and looked at without any of the code under test but the codec.

use std::collections::BTreeMap;

use ottla::Client;
use ottla_codec::Uuid;
use ottla_codec::messages::init_producer_id::InitProducerIdRequest;
use ottla_codec::records::{
    BatchBuilder, BatchFields, Batches, Compression, Compressor, Decompressor,
};

use super::scenario::{Pair, Shape, Writer};
use crate::support::eventually;
use crate::support::raw::{Broker, Raw, TopicRef, fetch, produce};

/// Versions that name the topic, and that a 2.8 broker knows.
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;
const INIT_PRODUCER_ID: i16 = 4;

/// A record as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) offset: i64,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
}

pub(crate) struct Subject {
    pub(crate) topic: TopicRef,
    pub(crate) client: Client,
    raw: Raw,
    /// The idempotent producer's id and next sequence.
    producer: (i64, i32),
}

impl Subject {
    pub(crate) async fn new(broker: &Broker, client: Client, topic: &str) -> Self {
        let mut raw = Raw::connect(broker).await;
        let request = InitProducerIdRequest {
            transactional_id: None,
            ..Default::default()
        };
        let mut producer_id = -1;
        // A fresh broker asks its controller for ids first.
        eventually("there is a producer id", async || {
            let response = raw.call(&request, INIT_PRODUCER_ID).await;
            producer_id = response.producer_id;
            producer_id >= 0
        })
        .await;
        Self {
            topic: TopicRef {
                name: topic.to_owned(),
                id: Uuid::ZERO,
            },
            client,
            raw,
            producer: (producer_id, 0),
        }
    }

    /// Writes one batch, all of whose records have this time.
    pub(crate) async fn write(
        &mut self,
        writer: Writer,
        pairs: &[Pair],
        compression: Compression,
        time: i64,
    ) {
        let mut builder = BatchBuilder::new(1 << 16);
        for (key, value) in pairs {
            let value = value.map(str::as_bytes);
            builder
                .try_append(time, Some(key.as_bytes()), value, std::iter::empty())
                .expect("room");
        }
        let mut fields = BatchFields::default();
        if writer == Writer::Idempotent {
            fields.producer_id = self.producer.0;
            fields.producer_epoch = 0;
            fields.base_sequence = self.producer.1;
            self.producer.1 += i32::try_from(pairs.len()).expect("few records");
        }
        let mut compressor = Compressor::new(compression).expect("a codec");
        let batch = builder
            .seal(&fields, &mut compressor)
            .expect("a batch")
            .to_bytes();
        let request = produce(&self.topic, PRODUCE, 0, batch);
        let response = self.raw.call(&request, PRODUCE).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    }

    /// The log as it is: its batches, its records, and its end.
    pub(crate) async fn look(&mut self) -> (Vec<Shape>, Vec<Held>, i64) {
        let mut shapes: Vec<Shape> = Vec::new();
        let mut held = Vec::new();
        let mut decompressor = Decompressor::new();
        loop {
            // A broker answers from one segment at a time.
            let from = shapes.last().map_or(0, |(_, last, _)| last + 1);
            let request = fetch(&self.topic, FETCH, 0, from);
            let response = self.raw.call(&request, FETCH).await;
            let answer = &response.responses[0].partitions[0];
            assert_eq!(answer.error_code, 0);
            if from == answer.high_watermark {
                return (shapes, held, from);
            }
            let records = answer.records.as_ref().expect("records").to_bytes();
            for batch in Batches::new(records) {
                let batch = batch.expect("a batch");
                batch.verify_crc().expect("an intact batch");
                shapes.push((
                    batch.base_offset(),
                    batch.last_offset(),
                    batch.records_count(),
                ));
                let decoded = batch
                    .decompress(&mut decompressor, 1 << 20)
                    .expect("readable records");
                held.extend(decoded.records().map(|record| {
                    let record = record.expect("a record");
                    Held::new(record.offset, record.key, record.value)
                }));
            }
        }
    }
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
}

/// What compaction must leave: the last record of each key, without tombstones.
pub(crate) fn newest(written: &[(Writer, &[Pair])]) -> Vec<Held> {
    let mut newest = BTreeMap::new();
    let pairs = written.iter().flat_map(|(_, pairs)| pairs.iter());
    for (offset, (key, value)) in (0..).zip(pairs) {
        newest.insert(*key, (offset, *value));
    }
    let mut held: Vec<Held> = newest
        .into_iter()
        .filter_map(|(key, (offset, value))| {
            Some(Held {
                offset,
                key: key.to_owned(),
                value: Some(value?.to_owned()),
            })
        })
        .collect();
    held.sort_by_key(|record| record.offset);
    held
}
