//! The codec beside the kafka-protocol and kacrab-protocol crates: the same bytes decoded and walked, the same records
//! encoded.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kacrab_protocol::generated as kacrab;
use kacrab_protocol::record as kacrab_records;
use kafka_protocol::messages as peer;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::records as peer_records;
use ottla_codec::messages::{
    fetch::{FetchResponse, FetchableTopicResponse, PartitionData},
    join_group::{JoinGroupResponse, JoinGroupResponseMember},
    metadata::{
        MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    },
};
use ottla_codec::records::{
    BatchBuilder, BatchFields, Batches, Compression, Compressor, Decompressor,
};
use ottla_codec::{Message, Records, Uuid, decode_message, encode_message};

const VALUE_BYTES: usize = 100;
const FETCH_BYTES: usize = 1 << 20;
/// How many records a batch holds: about 100 KiB.
const BATCH_RECORDS: usize = 1_000;

fn values(count: usize) -> Vec<Bytes> {
    let value = |index: usize| {
        let mut value = format!("value {index:>12} ").into_bytes();
        value.resize(VALUE_BYTES, b'.');
        Bytes::from(value)
    };
    (0..count).map(value).collect()
}

/// The records as batches, one behind the other.
fn batches(values: &[Bytes], compressor: &mut Compressor) -> usize {
    let mut bytes = 0;
    for values in values.chunks(BATCH_RECORDS) {
        let mut builder = BatchBuilder::new(BATCH_RECORDS * (VALUE_BYTES + 16));
        for value in values {
            builder
                .try_append(1_777_893_742_000, None, Some(value), [])
                .expect("a small record fits");
        }
        let batch = builder.seal(&BatchFields::default(), compressor);
        bytes += black_box(batch.expect("the batch has records")).size_bytes();
    }
    bytes
}

fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let encoded = encode_message(message, version);
    encoded.expect("it encodes").to_bytes()
}

/// 1 MiB of records of 100 bytes, in batches of a thousand.
fn fetch_response() -> (Bytes, usize) {
    let mut compressor = Compressor::new(Compression::None).expect("none is always there");
    let mut records = BytesMut::new();
    let mut count = 0;
    let all = values(FETCH_BYTES / VALUE_BYTES);
    for values in all.chunks(BATCH_RECORDS) {
        let mut builder = BatchBuilder::new(values.len() * (VALUE_BYTES + 16));
        for value in values {
            let appended = builder.try_append(1_777_893_742_000, None, Some(value), []);
            appended.expect("a small record fits");
        }
        let batch = builder.seal(&BatchFields::default(), &mut compressor);
        let batch = batch.expect("the batch has records").to_bytes();
        if records.len() + batch.len() > FETCH_BYTES {
            break;
        }
        records.extend_from_slice(&batch);
        count += values.len();
    }
    let partition = PartitionData {
        records: Some(Records::from(records.freeze())),
        ..Default::default()
    };
    let topic = FetchableTopicResponse {
        topic_id: Uuid([9; 16]),
        partitions: vec![partition],
        ..Default::default()
    };
    let response = FetchResponse {
        responses: vec![topic],
        ..Default::default()
    };
    (encoded(&response, 16), count)
}

fn fetch(c: &mut Criterion) {
    let (bytes, count) = fetch_response();
    let mut group = c.benchmark_group("fetch_1MiB_decode_and_walk");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("ottla-codec", |b| {
        let mut decompressor = Decompressor::new();
        b.iter(|| {
            let response: FetchResponse =
                decode_message(black_box(&bytes), 16).expect("it decodes");
            let mut total = 0;
            for partition in response
                .responses
                .iter()
                .flat_map(|topic| &topic.partitions)
            {
                let records = partition.records.as_ref().expect("records");
                for batch in Batches::new(records.to_bytes()) {
                    let batch = batch.expect("valid");
                    batch.verify_crc().expect("right checksum");
                    let batch = batch.decompress(&mut decompressor, FETCH_BYTES);
                    for record in batch.expect("valid").records() {
                        let record = record.expect("valid");
                        total += record.value.map_or(0, <[u8]>::len) + record.offset as usize;
                    }
                }
            }
            total
        });
    });
    group.bench_function("kafka-protocol", |b| {
        b.iter(|| {
            let mut frame = black_box(&bytes).clone();
            let response = peer::FetchResponse::decode(&mut frame, 16).expect("it decodes");
            let mut total = 0;
            for partition in response
                .responses
                .iter()
                .flat_map(|topic| &topic.partitions)
            {
                let mut records = partition.records.clone().expect("records");
                let sets = peer_records::RecordBatchDecoder::decode_all(&mut records);
                for record in sets.expect("valid").iter().flat_map(|set| &set.records) {
                    total += record.value.as_ref().map_or(0, Bytes::len) + record.offset as usize;
                }
            }
            total
        });
    });
    group.bench_function("kacrab-protocol", |b| {
        b.iter(|| {
            let mut frame = black_box(&bytes).clone();
            let response = kacrab::FetchResponseData::read(&mut frame, 16).expect("it decodes");
            let mut total = 0;
            for partition in response
                .responses
                .iter()
                .flat_map(|topic| &topic.partitions)
            {
                let mut records = partition.records.clone().expect("records");
                for batch in kacrab_records::decode_batches(&mut records).expect("valid") {
                    for record in &batch.records {
                        let offset = batch.base_offset as usize + record.offset_delta as usize;
                        total += record.value.as_ref().map_or(0, Bytes::len) + offset;
                    }
                }
            }
            total
        });
    });
    group.finish();
}

/// 10,000 records, already in the form that each crate wants, into batches of a thousand.
fn encode(c: &mut Criterion) {
    let values = values(10_000);
    let mut group = c.benchmark_group("encode_10000_records");
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function("ottla-codec", |b| {
        let mut compressor = Compressor::new(Compression::None).expect("none is always there");
        b.iter(|| batches(black_box(&values), &mut compressor));
    });
    let record = |(index, value): (usize, &Bytes)| peer_records::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: peer_records::TimestampType::Creation,
        offset: (index % BATCH_RECORDS) as i64,
        sequence: (index % BATCH_RECORDS) as i32,
        timestamp: 1_777_893_742_000,
        key: None,
        value: Some(value.clone()),
        headers: Default::default(),
    };
    let records: Vec<_> = values.iter().enumerate().map(record).collect();
    let options = peer_records::RecordEncodeOptions {
        version: 2,
        compression: peer_records::Compression::None,
    };
    group.bench_function("kafka-protocol", |b| {
        b.iter_batched_ref(
            || BytesMut::with_capacity(records.len() * (VALUE_BYTES + 16)),
            |out| {
                for records in black_box(&records).chunks(BATCH_RECORDS) {
                    peer_records::RecordBatchEncoder::encode(out, records, &options)
                        .expect("they encode");
                }
            },
            BatchSize::LargeInput,
        );
    });
    let batches: Vec<_> = values.chunks(BATCH_RECORDS).map(kacrab_batch).collect();
    group.bench_function("kacrab-protocol", |b| {
        b.iter_batched_ref(
            || BytesMut::with_capacity(records.len() * (VALUE_BYTES + 16)),
            |out| {
                for batch in black_box(&batches) {
                    batch.encode(out).expect("it encodes");
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn kacrab_batch(values: &[Bytes]) -> kacrab_records::RecordBatch {
    let record = |(index, value): (usize, &Bytes)| kacrab_records::Record {
        attributes: 0,
        timestamp_delta: 0,
        offset_delta: index as i32,
        key: None,
        value: Some(value.clone()),
        headers: Vec::new(),
    };
    kacrab_records::RecordBatch {
        base_offset: 0,
        partition_leader_epoch: -1,
        magic: 2,
        attributes: 0,
        last_offset_delta: values.len() as i32 - 1,
        first_timestamp: 1_777_893_742_000,
        max_timestamp: 1_777_893_742_000,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records: values.iter().enumerate().map(record).collect(),
    }
}

/// 1,000 topics of 20 partitions with three replicas.
fn metadata(c: &mut Criterion) {
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
    let topic = |n: u32| MetadataResponseTopic {
        name: Some(format!("topic-{n}")),
        topic_id: Uuid(u128::from(n).to_be_bytes()),
        partitions: (0..20).map(partition).collect(),
        ..Default::default()
    };
    let response = MetadataResponse {
        brokers: (0..3).map(broker).collect(),
        topics: (0..1_000).map(topic).collect(),
        ..Default::default()
    };
    let bytes = encoded(&response, 12);
    let mut group = c.benchmark_group("metadata_1000x20_decode");
    group.throughput(Throughput::Elements(20_000));
    group.bench_function("ottla-codec", |b| {
        b.iter(|| decode_message::<MetadataResponse>(black_box(&bytes), 12).expect("it decodes"));
    });
    group.bench_function("kafka-protocol", |b| {
        b.iter(|| {
            peer::MetadataResponse::decode(&mut black_box(&bytes).clone(), 12).expect("it decodes")
        });
    });
    group.bench_function("kacrab-protocol", |b| {
        b.iter(|| {
            kacrab::MetadataResponseData::read(&mut black_box(&bytes).clone(), 12)
                .expect("it decodes")
        });
    });
    group.finish();
}

/// What the leader of a group of 500 members gets.
fn join_group(c: &mut Criterion) {
    let member = |n| JoinGroupResponseMember {
        member_id: format!("consumer-{n:04}-0f0e0d0c-0b0a-0908-0706-050403020100"),
        metadata: Bytes::from(vec![n as u8; 200]),
        ..Default::default()
    };
    let response = JoinGroupResponse {
        generation_id: 7,
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("cooperative-sticky".to_owned()),
        leader: member(0).member_id,
        member_id: member(0).member_id,
        members: (0..500).map(member).collect(),
        ..Default::default()
    };
    let bytes = encoded(&response, 9);
    let mut group = c.benchmark_group("join_group_500_decode");
    group.throughput(Throughput::Elements(500));
    group.bench_function("ottla-codec", |b| {
        b.iter(|| decode_message::<JoinGroupResponse>(black_box(&bytes), 9).expect("it decodes"));
    });
    group.bench_function("kafka-protocol", |b| {
        b.iter(|| {
            peer::JoinGroupResponse::decode(&mut black_box(&bytes).clone(), 9).expect("it decodes")
        });
    });
    group.bench_function("kacrab-protocol", |b| {
        b.iter(|| {
            kacrab::JoinGroupResponseData::read(&mut black_box(&bytes).clone(), 9)
                .expect("it decodes")
        });
    });
    // What no decoder into a `String` and a `Bytes` for each member can be below.
    group.bench_function("their memory alone", |b| {
        b.iter(|| {
            let members = response.members.iter().map(|member| {
                let id = str::from_utf8(black_box(member.member_id.as_bytes()));
                (id.map(str::to_owned), bytes.slice(..200))
            });
            members.collect::<Vec<_>>()
        });
    });
    group.finish();
}

criterion_group!(benches, fetch, encode, metadata, join_group);
criterion_main!(benches);
