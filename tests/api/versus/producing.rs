//! Produce without producer ids: acknowledgements, what a batch must be, who it is for.

use bytes::{BufMut, Bytes, BytesMut};
use ottla_codec::Records;
use ottla_codec::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_codec::messages::produce::{PartitionProduceData, ProduceRequest};
use ottla_codec::records::{BatchFields, Compression, TimestampType};

use super::run::Run;
use crate::support::raw::{TopicRef, batch, batch_of, fetch, keyless, produce};

/// Where a batch's header has its fields.
const LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const MAX_TIMESTAMP: usize = 35;
const COUNT: usize = 57;
const BODY: usize = 61;

pub(super) async fn script(run: &mut Run) {
    let topic = run.topic("t", 2, &[]).await;
    acknowledgements(run, &topic).await;
    recipients(run, &topic).await;
    forms(run, &topic).await;
    damages(run, &topic).await;
    settings(run).await;
    requests(run, &topic).await;
}

async fn acknowledgements(run: &mut Run, topic: &TopicRef) {
    let good = || batch(&["a", "b", "c"]);
    for (version, acks) in [(3, -1), (9, 1), (12, -1), (13, 1)] {
        let request = ProduceRequest {
            acks,
            ..produce(topic, version, 0, good())
        };
        run.step(&format!("acks={acks}"), version, &request).await;
    }
    for acks in [2, -2] {
        let request = ProduceRequest {
            acks,
            ..produce(topic, 12, 0, good())
        };
        run.step(&format!("acks={acks}"), 12, &request).await;
    }
    let silent = ProduceRequest {
        acks: 0,
        ..produce(topic, 12, 0, good())
    };
    run.client.send(&silent, 12).await;
    end(run, topic, "after acks=0").await;
    let refused = ProduceRequest {
        acks: 0,
        ..produce(topic, 12, 9, good())
    };
    run.client.send(&refused, 12).await;
    end(run, topic, "after acks=0 to no partition").await;
}

async fn recipients(run: &mut Run, topic: &TopicRef) {
    let good = || batch(&["a"]);
    let nobody = TopicRef {
        name: run.unique("nobody"),
        id: run.unknown_id(),
    };
    for version in [3, 12, 13] {
        run.step(
            "unknown topic",
            version,
            &produce(&nobody, version, 0, good()),
        )
        .await;
        for partition in [2, -1] {
            let request = produce(topic, version, partition, good());
            run.step(&format!("to partition {partition}"), version, &request)
                .await;
        }
    }
    let mut zero = produce(topic, 13, 0, good());
    zero.topic_data[0].topic_id = ottla_codec::Uuid::ZERO;
    run.step("topic id of zeros", 13, &zero).await;
    let invalid = TopicRef {
        name: "no topic's name".to_owned(),
        ..topic.clone()
    };
    run.step("impossible name", 12, &produce(&invalid, 12, 0, good()))
        .await;
    let mut both = produce(topic, 12, 0, good());
    both.topic_data[0]
        .partition_data
        .push(PartitionProduceData {
            index: 1,
            records: Some(Records::from(good())),
            ..Default::default()
        });
    both.topic_data[0]
        .partition_data
        .push(PartitionProduceData {
            index: 5,
            records: Some(Records::from(good())),
            ..Default::default()
        });
    run.step("two partitions and one that is none", 12, &both)
        .await;
    for version in [12, 13] {
        let mut twice = produce(topic, version, 0, batch(&["first"]));
        let more = [(1, "between"), (0, "second"), (0, "third")];
        for (index, value) in more {
            twice.topic_data[0]
                .partition_data
                .push(PartitionProduceData {
                    index,
                    records: Some(Records::from(batch(&[value]))),
                    ..Default::default()
                });
        }
        run.step("one partition three times", version, &twice).await;
        end(
            run,
            topic,
            &format!("after one partition three times, v{version}"),
        )
        .await;
    }
}

async fn forms(run: &mut Run, topic: &TopicRef) {
    for compression in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let packed = batch_of(&keyless(&["a", "b"]), compression, &BatchFields::default());
        for version in [6, 7, 13] {
            let request = produce(topic, version, 0, packed.clone());
            run.step(compression.name(), version, &request).await;
        }
    }
    run.step("no bytes", 12, &produce(topic, 12, 0, Bytes::new()))
        .await;
    let two = [batch(&["a"]), batch(&["b"])].concat();
    run.step("two batches", 12, &produce(topic, 12, 0, two.into()))
        .await;
    let two = [batch(&["a"]), batch(&["b"])].concat();
    run.step("two batches by id", 13, &produce(topic, 13, 0, two.into()))
        .await;
    let fields = [
        (
            "placed by the producer",
            BatchFields {
                base_offset: 100,
                partition_leader_epoch: 7,
                ..Default::default()
            },
        ),
        (
            "with log append time",
            BatchFields {
                timestamp_type: TimestampType::LogAppendTime,
                ..Default::default()
            },
        ),
        (
            "control batch",
            BatchFields {
                is_control: true,
                ..Default::default()
            },
        ),
        (
            "transactional without an id",
            BatchFields {
                is_transactional: true,
                producer_id: 1,
                producer_epoch: 0,
                base_sequence: 0,
                ..Default::default()
            },
        ),
        (
            "producer id without sequence",
            BatchFields {
                producer_id: 1,
                producer_epoch: 0,
                ..Default::default()
            },
        ),
    ];
    for (step, fields) in fields {
        let request = batch_of(&keyless(&["a", "b"]), Compression::None, &fields);
        run.step(step, 12, &produce(topic, 12, 0, request)).await;
    }
    let timed = BatchFields {
        timestamp_type: TimestampType::LogAppendTime,
        ..Default::default()
    };
    let packed = batch_of(&keyless(&["a", "b"]), Compression::Gzip, &timed);
    run.step(
        "with log append time, gzip",
        12,
        &produce(topic, 12, 0, packed),
    )
    .await;
}

async fn damages(run: &mut Run, topic: &TopicRef) {
    let good = batch(&["a", "b", "c"]);
    let len = good.len();
    let last = good[len - 1];
    let cases: [(&str, Bytes); 18] = [
        ("wrong checksum", patch_raw(&good, CRC, &[1, 2, 3, 4])),
        ("magic 0", patch_raw(&good, MAGIC, &[0])),
        ("magic 1", patch_raw(&good, MAGIC, &[1])),
        ("magic 3", patch_raw(&good, MAGIC, &[3])),
        ("magic -1", patch_raw(&good, MAGIC, &[0xff])),
        (
            "a leader epoch",
            patch_raw(&good, LEADER_EPOCH, &[0, 0, 0, 9]),
        ),
        ("half a batch", good.slice(..len / 2)),
        (
            "a batch and a half",
            [&good[..], &good[..len / 2]].concat().into(),
        ),
        ("five bytes", good.slice(..5)),
        ("a length of 0", patch_raw(&good, LENGTH, &[0; 4])),
        ("a negative length", patch_raw(&good, LENGTH, &[0xff; 4])),
        (
            "a count too large",
            patch(&good, COUNT, &4_i32.to_be_bytes()),
        ),
        (
            "a count too small",
            patch(&good, COUNT, &2_i32.to_be_bytes()),
        ),
        (
            "a negative count",
            patch(&good, COUNT, &(-1_i32).to_be_bytes()),
        ),
        (
            "a count and an offset delta too large",
            patch(
                &patch(&good, COUNT, &4_i32.to_be_bytes()),
                LAST_OFFSET_DELTA,
                &3_i32.to_be_bytes(),
            ),
        ),
        ("an unknown codec", patch(&good, ATTRIBUTES, &[0, 5])),
        ("a body that is not gzip", patch(&good, ATTRIBUTES, &[0, 1])),
        (
            "a record cut short",
            patch(&good, len - 1, &[last.wrapping_add(2)]),
        ),
    ];
    for (step, bytes) in cases {
        run.step(step, 12, &produce(topic, 12, 0, bytes)).await;
    }
    let odd = patch(&good, MAX_TIMESTAMP, &9_999_i64.to_be_bytes());
    run.step(
        "a largest timestamp too large",
        12,
        &produce(topic, 12, 0, odd),
    )
    .await;
    let odd = patch(&good, BODY, &[0x01]);
    run.step("a negative record length", 12, &produce(topic, 12, 0, odd))
        .await;
    let empty = patch(
        &patch(&good.slice(..BODY), COUNT, &[0; 4]),
        LAST_OFFSET_DELTA,
        &[0xff; 4],
    );
    let empty = patch(&empty, LENGTH, &49_i32.to_be_bytes());
    run.step("a batch of no records", 12, &produce(topic, 12, 0, empty))
        .await;
}

async fn settings(run: &mut Run) {
    let small = run.topic("small", 1, &[("max.message.bytes", "100")]).await;
    let long = "long ".repeat(20);
    for values in [&["short"][..], &[&*long]] {
        let step = format!("{} bytes where 100 are allowed", batch(values).len());
        run.step(&step, 12, &produce(&small, 12, 0, batch(values)))
            .await;
    }
    let compact = run
        .topic("compact", 1, &[("cleanup.policy", "compact")])
        .await;
    let keyed = [
        (Some("k"), Some("v")),
        (None, Some("v")),
        (Some("k"), None),
        (None, None),
    ];
    for version in [7, 8, 13] {
        for compression in [Compression::None, Compression::Lz4] {
            let packed = batch_of(&keyed, compression, &BatchFields::default());
            let step = format!("records without keys, {}", compression.name());
            run.step(&step, version, &produce(&compact, version, 0, packed))
                .await;
        }
    }
    let appended = run
        .topic(
            "appended",
            1,
            &[("message.timestamp.type", "LogAppendTime")],
        )
        .await;
    let request = produce(&appended, 12, 0, batch(&["a"]));
    run.step("where times are the broker's", 12, &request).await;
    let timed = BatchFields {
        timestamp_type: TimestampType::LogAppendTime,
        ..Default::default()
    };
    for compression in [Compression::None, Compression::Gzip] {
        let packed = batch_of(&keyless(&["a", "b"]), compression, &timed);
        let step = format!(
            "where times are the broker's and said to be, {}",
            compression.name()
        );
        run.step(&step, 12, &produce(&appended, 12, 0, packed))
            .await;
    }
    run.step("times", 12, &fetch(&appended, 12, 0, 0)).await;
    let bounded = run
        .topic("bounded", 1, &[("message.timestamp.before.max.ms", "1000")])
        .await;
    let request = produce(&bounded, 12, 0, batch(&["a", "b"]));
    run.step("times that are too old", 12, &request).await;
    let careful = run
        .topic("careful", 1, &[("min.insync.replicas", "2")])
        .await;
    for acks in [1, -1] {
        let request = ProduceRequest {
            acks,
            ..produce(&careful, 12, 0, batch(&["a"]))
        };
        run.step(&format!("acks={acks} with too few in sync"), 12, &request)
            .await;
    }
}

/// Versions that are never served, though some are advertised.
async fn requests(run: &mut Run, topic: &TopicRef) {
    for version in [0, 1, 2, 14] {
        let mut frame = BytesMut::new();
        frame.put_i16(0);
        frame.put_i16(version);
        frame.put_i32(1);
        frame.put_i16(-1);
        frame.put_i16(1);
        frame.put_i32(1000);
        frame.put_i32(0);
        run.client.send_frame(&frame).await;
        let outcome = match run.client.frame().await {
            Ok(frame) => format!("{} bytes", frame.len()),
            Err(_) => "the connection is closed".to_owned(),
        };
        run.note(format!("Produce v{version}"), outcome);
        run.client = run.connect().await;
    }
    run.step("all of it", 12, &fetch(topic, 12, 0, 0)).await;
}

async fn end(run: &mut Run, topic: &TopicRef, step: &str) {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.name.clone(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    run.step(step, 7, &request).await;
}

fn patch_raw(batch: &Bytes, at: usize, with: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes.into()
}

/// With a checksum that is right again.
fn patch(batch: &Bytes, at: usize, with: &[u8]) -> Bytes {
    let patched = patch_raw(batch, at, with);
    let crc = crc32c::crc32c(&patched[ATTRIBUTES..]);
    patch_raw(&patched, CRC, &crc.to_be_bytes())
}
