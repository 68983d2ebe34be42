//! Benches of messages: what a fetch's answer, a metadata answer and a produce request cost besides the
//! records in them.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ottla_codec::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_codec::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_codec::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_codec::{Message, Records, Uuid, decode_message, encode_message, frame};

const PARTITIONS: i32 = 100;

/// 100 partitions with 10 KiB of records each.
fn fetch_response() -> FetchResponse {
    let records = Records::from(Bytes::from(vec![7; 10 * 1024]));
    let partition = |partition_index| PartitionData {
        partition_index,
        high_watermark: 1_000_000,
        last_stable_offset: 1_000_000,
        log_start_offset: 0,
        records: Some(records.clone()),
        ..Default::default()
    };
    FetchResponse {
        session_id: 17,
        responses: vec![FetchableTopicResponse {
            topic_id: Uuid([9; 16]),
            partitions: (0..PARTITIONS).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// 3 brokers and 10 topics of 100 partitions.
fn metadata_response() -> MetadataResponse {
    let broker = |node_id| MetadataResponseBroker {
        node_id,
        host: format!("broker-{node_id}.example"),
        port: 9092,
        ..Default::default()
    };
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: partition_index % 3,
        leader_epoch: 4,
        replica_nodes: [0, 1, 2].into(),
        isr_nodes: [0, 1, 2].into(),
        ..Default::default()
    };
    let topic = |n| MetadataResponseTopic {
        name: Some(format!("topic-{n}")),
        topic_id: Uuid([n; 16]),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    MetadataResponse {
        brokers: (0..3).map(broker).collect(),
        topics: (0..10).map(topic).collect(),
        ..Default::default()
    }
}

/// One batch of 10 KiB for each of 100 partitions.
fn produce_request() -> ProduceRequest {
    let batch = Bytes::from(vec![7; 10 * 1024]);
    let partition = |index| PartitionProduceData {
        index,
        records: Some(Records::from_parts(batch.slice(..61), batch.slice(61..))),
        ..Default::default()
    };
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            topic_id: Uuid([9; 16]),
            partition_data: (0..PARTITIONS).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn decode<M: Message>(c: &mut Criterion, name: &str, partitions: u64, message: &M, version: i16) {
    let bytes = encode_message(message, version)
        .expect("it encodes")
        .to_bytes();
    let mut group = c.benchmark_group("message_decode");
    group.throughput(Throughput::Elements(partitions));
    group.bench_function(name, |b| {
        b.iter(|| decode_message::<M>(black_box(&bytes), version).expect("it decodes"));
    });
}

fn messages(c: &mut Criterion) {
    decode(
        c,
        "fetch_response_100_partitions",
        100,
        &fetch_response(),
        16,
    );
    decode(
        c,
        "metadata_response_1000_partitions",
        1_000,
        &metadata_response(),
        12,
    );
    let request = produce_request();
    let mut group = c.benchmark_group("message_encode");
    group.throughput(Throughput::Elements(100));
    group.bench_function("produce_request_100_partitions", |b| {
        b.iter(|| frame::encode_request(1, Some("bench"), black_box(&request), 13));
    });
}

criterion_group!(benches, messages);
criterion_main!(benches);
