//! ListOffsets and OffsetForLeaderEpoch.

use ottla_codec::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_codec::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_codec::records::{BatchBuilder, BatchFields, Compression, Compressor};

use super::run::Run;
use crate::support::raw::{TopicRef, batch, delete_records};

pub(super) async fn script(run: &mut Run) {
    let topic = run.topic("t", 3, &[]).await;
    // Offsets 0 to 6, and partition 1 the same with each batch compressed.
    for (partition, compression) in [(0, Compression::None), (1, Compression::Lz4)] {
        for times in [&[1000, 1001, 1002][..], &[5000], &[3000, 4000, 3500]] {
            run.append(&topic, partition, timed(times, compression))
                .await;
        }
    }
    times(run, &topic).await;
    recipients(run, &topic).await;
    epochs(run, &topic).await;
    ends(run, &topic).await;
    deleted(run, &topic).await;
}

fn timed(times: &[i64], compression: Compression) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(1 << 16);
    for &time in times {
        builder
            .try_append(time, None, Some(b"v"), std::iter::empty())
            .expect("room");
    }
    let mut compressor = Compressor::new(compression).expect("a codec");
    builder
        .seal(&BatchFields::default(), &mut compressor)
        .expect("a batch")
        .to_bytes()
}

fn list(topic: &TopicRef, asked: &[(i32, i64)]) -> ListOffsetsRequest {
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.name.clone(),
            partitions: asked
                .iter()
                .map(|&(partition_index, timestamp)| ListOffsetsPartition {
                    partition_index,
                    timestamp,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }],
        timeout_ms: 30_000,
        ..Default::default()
    }
}

async fn times(run: &mut Run, topic: &TopicRef) {
    let times = [
        -1, -2, 0, 999, 1000, 1001, 1500, 3000, 3500, 4500, 5000, 5001, 99_999,
    ];
    for partition in 0..3 {
        for time in times {
            let step = format!("{time} in {partition}");
            run.step(&step, 11, &list(topic, &[(partition, time)]))
                .await;
        }
    }
    for version in [1, 3, 4, 5, 6, 7, 8, 9, 10, 11] {
        let request = list(topic, &[(0, -1), (1, -2), (2, 1000)]);
        run.step("several", version, &request).await;
        for special in [-3, -4, -5, -6, -7, -100] {
            let request = list(topic, &[(0, special), (2, special)]);
            run.step(&format!("{special}"), version, &request).await;
        }
    }
    for isolation_level in [0, 1] {
        for time in [-1, -2, -3, 5000] {
            let request = ListOffsetsRequest {
                isolation_level,
                ..list(topic, &[(1, time)])
            };
            let step = format!("{time} at isolation level {isolation_level}");
            run.step(&step, 8, &request).await;
        }
    }
}

async fn recipients(run: &mut Run, topic: &TopicRef) {
    let nobody = TopicRef {
        name: run.unique("nobody"),
        id: run.unknown_id(),
    };
    for version in [1, 7, 11] {
        run.step("unknown topic", version, &list(&nobody, &[(0, -1)]))
            .await;
        run.step(
            "no partition",
            version,
            &list(topic, &[(3, -1), (-1, -1), (0, -1)]),
        )
        .await;
        run.step(
            "a partition twice",
            version,
            &list(topic, &[(0, -1), (1, -1), (0, -2)]),
        )
        .await;
        run.step("nothing", version, &list(topic, &[])).await;
    }
    for (step, epoch) in [("right", 0), ("newer", 3)] {
        let mut request = list(topic, &[(0, -1), (1, -2)]);
        for partition in &mut request.topics[0].partitions {
            partition.current_leader_epoch = epoch;
        }
        run.step(&format!("leader epoch is {step}"), 7, &request)
            .await;
    }
}

fn epoch(
    topic: &TopicRef,
    partition: i32,
    current: i32,
    wanted: i32,
) -> OffsetForLeaderEpochRequest {
    OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: topic.name.clone(),
            partitions: vec![OffsetForLeaderPartition {
                partition,
                current_leader_epoch: current,
                leader_epoch: wanted,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn epochs(run: &mut Run, topic: &TopicRef) {
    let nobody = TopicRef {
        name: run.unique("nobody"),
        id: run.unknown_id(),
    };
    for version in 2..=4 {
        for (partition, wanted) in [(0, 0), (0, 1), (0, 99), (0, -1), (0, -2), (2, 0), (2, 1)] {
            let step = format!("epoch {wanted} of {partition}");
            run.step(&step, version, &epoch(topic, partition, -1, wanted))
                .await;
        }
        for (step, current) in [("right", 0), ("newer", 2)] {
            let request = epoch(topic, 0, current, 0);
            run.step(&format!("current epoch is {step}"), version, &request)
                .await;
        }
        run.step("unknown topic", version, &epoch(&nobody, 0, -1, 0))
            .await;
        run.step("no partition", version, &epoch(topic, 7, -1, 0))
            .await;
    }
}

/// What DeleteRecords says.
async fn ends(run: &mut Run, topic: &TopicRef) {
    let nobody = TopicRef {
        name: run.unique("nobody"),
        id: run.unknown_id(),
    };
    for version in 0..=2 {
        for offset in [-2, 8, 1, 0] {
            run.step(
                &format!("below {offset}"),
                version,
                &delete_records(topic, 0, offset),
            )
            .await;
        }
        run.step("unknown topic", version, &delete_records(&nobody, 0, 0))
            .await;
        run.step("no partition", version, &delete_records(topic, 4, 0))
            .await;
        run.step("in an empty log", version, &delete_records(topic, 2, -1))
            .await;
    }
    let compact = run
        .topic("compact", 1, &[("cleanup.policy", "compact")])
        .await;
    let both = run
        .topic("both", 1, &[("cleanup.policy", "compact,delete")])
        .await;
    for topic in [&compact, &both] {
        let step = format!("of the topic {}", run.names.name(&topic.name));
        run.step(&step, 2, &delete_records(topic, 0, 0)).await;
    }
}

async fn deleted(run: &mut Run, topic: &TopicRef) {
    run.step("below 4", 2, &delete_records(topic, 0, 4)).await;
    for time in [-1, -2, -3, -4, 1000, 3600, 5000] {
        run.step(
            &format!("{time} after records are deleted"),
            11,
            &list(topic, &[(0, time)]),
        )
        .await;
    }
    run.step(
        "epoch 0 after records are deleted",
        4,
        &epoch(topic, 0, -1, 0),
    )
    .await;
    run.step("all of it", 2, &delete_records(topic, 0, -1))
        .await;
    for time in [-1, -2, -3, -4, 1000] {
        run.step(
            &format!("{time} after all are deleted"),
            11,
            &list(topic, &[(0, time)]),
        )
        .await;
    }
    run.step("epoch 0 after all are deleted", 4, &epoch(topic, 0, -1, 0))
        .await;
    run.append(topic, 0, batch(&["new"])).await;
    for time in [-1, -2, -3, -4, 1000] {
        run.step(
            &format!("{time} after a new start"),
            11,
            &list(topic, &[(0, time)]),
        )
        .await;
    }
}
