//! Fetch outside sessions: offsets, epochs, limits and waits.

use std::time::Duration;

use ottla_codec::Uuid;
use ottla_codec::messages::fetch::{FetchPartition, FetchRequest};

use super::run::Run;
use crate::support::raw::{TopicRef, batch, delete_records, fetch, fetch_topic, produce, wanted};

pub(super) async fn script(run: &mut Run) {
    let topic = run.topic("t", 3, &[]).await;
    for values in [&["a", "b", "c"][..], &["d"], &["e", "f"]] {
        run.append(&topic, 0, batch(values)).await;
    }
    run.append(&topic, 1, batch(&["g"])).await;
    offsets(run, &topic).await;
    recipients(run, &topic).await;
    epochs(run, &topic).await;
    limits(run, &topic).await;
    waits(run, &topic).await;
    deleted(run, &topic).await;
}

async fn offsets(run: &mut Run, topic: &TopicRef) {
    for version in [4, 5, 7, 11, 12, 13, 16, 18] {
        for offset in [0, 7] {
            let request = fetch(topic, version, 0, offset);
            run.step(&format!("from {offset}"), version, &request).await;
        }
    }
    for offset in [1, 2, 3, 4, 5, 6, -1, -2] {
        let request = fetch(topic, 17, 0, offset);
        run.step(&format!("from {offset}"), 17, &request).await;
    }
    run.step("from an empty log", 17, &fetch(topic, 17, 2, 0))
        .await;
    run.step("behind an empty log", 17, &fetch(topic, 17, 2, 1))
        .await;
    let committed = FetchRequest {
        isolation_level: 1,
        ..fetch(topic, 17, 0, 3)
    };
    run.step("what is committed", 17, &committed).await;
    let committed = FetchRequest {
        isolation_level: 1,
        ..fetch(topic, 17, 0, 6)
    };
    run.step("what is committed, at the end", 17, &committed)
        .await;
    let committed = FetchRequest {
        isolation_level: 1,
        ..fetch(topic, 17, 0, 7)
    };
    run.step("what is committed, behind the end", 17, &committed)
        .await;
    run.step("nothing at all", 17, &FetchRequest::default())
        .await;
}

async fn recipients(run: &mut Run, topic: &TopicRef) {
    let nobody = TopicRef {
        name: run.unique("nobody"),
        id: run.unknown_id(),
    };
    for version in [4, 12, 13, 18] {
        run.step("unknown topic", version, &fetch(&nobody, version, 0, 0))
            .await;
        for partition in [3, -1] {
            let request = fetch(topic, version, partition, 0);
            run.step(&format!("partition {partition}"), version, &request)
                .await;
        }
    }
    let zero = TopicRef {
        id: Uuid::ZERO,
        ..topic.clone()
    };
    run.step("topic id of zeros", 13, &fetch(&zero, 13, 0, 0))
        .await;
    for version in [12, 13] {
        let mut mixed = fetch(topic, version, 0, 5);
        mixed.topics[0].partitions.push(wanted(7, 0));
        mixed.topics[0].partitions.push(wanted(1, 0));
        mixed
            .topics
            .push(fetch_topic(&nobody, version, vec![wanted(0, 0)]));
        mixed
            .topics
            .push(fetch_topic(topic, version, vec![wanted(2, 9)]));
        run.step("some of each", version, &mixed).await;
        let mut twice = fetch(topic, version, 0, 5);
        twice.topics[0].partitions.push(wanted(0, 3));
        run.step("a partition twice", version, &twice).await;
    }
}

async fn epochs(run: &mut Run, topic: &TopicRef) {
    let with = |version, offset, current_leader_epoch, last_fetched_epoch| {
        let mut request = fetch(topic, version, 0, offset);
        request.topics[0].partitions[0] = FetchPartition {
            current_leader_epoch,
            last_fetched_epoch,
            ..wanted(0, offset)
        };
        request
    };
    for version in [11, 15, 17] {
        for (step, epoch) in [("right", 0), ("newer", 3), ("older", -2)] {
            let request = with(version, 5, epoch, -1);
            run.step(&format!("leader epoch is {step}"), version, &request)
                .await;
        }
    }
    for version in [12, 17] {
        for (offset, fetched) in [(5, 0), (6, 0), (5, 2), (7, 0), (9, 1), (0, -2), (-1, 0)] {
            let step = format!("last fetched epoch {fetched} at {offset}");
            let request = with(version, offset, -1, fetched);
            run.step(&step, version, &request).await;
        }
    }
    run.step("both epochs wrong", 17, &with(17, 5, 4, 4)).await;
    run.step("right epochs behind the end", 17, &with(17, 8, 0, 0))
        .await;
}

async fn limits(run: &mut Run, topic: &TopicRef) {
    let first = batch(&["a", "b", "c"]).len();
    let second = batch(&["d"]).len();
    let sizes = [
        ("0", 0),
        ("1", 1),
        ("the first batch", first),
        ("the first batch and a byte", first + 1),
        ("the first batch and a header", first + 61),
        ("two batches", first + second),
        ("-1", usize::MAX),
    ];
    let limit = |size| i32::try_from(size).unwrap_or(-1);
    for (step, size) in sizes {
        let mut request = fetch(topic, 17, 0, 0);
        request.topics[0].partitions[0].partition_max_bytes = limit(size);
        run.step(&format!("partition limit {step}"), 17, &request)
            .await;
        let request = FetchRequest {
            max_bytes: limit(size),
            ..fetch(topic, 17, 0, 0)
        };
        run.step(&format!("limit {step}"), 17, &request).await;
        let mut request = FetchRequest {
            max_bytes: limit(size),
            ..fetch(topic, 17, 0, 3)
        };
        request.topics[0].partitions.push(wanted(1, 0));
        run.step(&format!("limit {step} for two partitions"), 17, &request)
            .await;
        let mut request = FetchRequest {
            max_bytes: limit(size),
            ..fetch(topic, 17, 0, 6)
        };
        request.topics[0].partitions.push(wanted(1, 0));
        let step = format!("limit {step} and an empty partition first");
        run.step(&step, 17, &request).await;
    }
}

/// Answers that come at once would else come after an hour; those that wait do so for a moment.
async fn waits(run: &mut Run, topic: &TopicRef) {
    const HOUR: i32 = 3_600_000;
    const MOMENT: Duration = Duration::from_millis(300);
    let size = i32::try_from(batch(&["g"]).len()).unwrap_or_default();
    let request = |offset, min_bytes, max_wait_ms| FetchRequest {
        min_bytes,
        max_wait_ms,
        ..fetch(topic, 17, 1, offset)
    };
    run.step("as much as is asked for", 17, &request(0, size, HOUR))
        .await;
    run.step("nothing is asked for", 17, &request(1, 0, HOUR))
        .await;
    run.step("a negative least", 17, &request(1, -1, HOUR))
        .await;
    run.step("an error does not wait", 17, &request(2, 1, HOUR))
        .await;
    for (step, offset, min_bytes) in [("less than asked for", 0, size + 1), ("nothing new", 1, 1)] {
        let request = request(offset, min_bytes, MOMENT.as_millis() as i32);
        run.waiting_step(step, 17, &request, MOMENT).await;
    }
    let mut beside = request(1, 1, MOMENT.as_millis() as i32);
    beside.topics[0].partitions.push(wanted(8, 0));
    run.waiting_step("no partition beside it", 17, &beside, MOMENT)
        .await;
    let nowhere = FetchRequest {
        min_bytes: 1,
        max_wait_ms: HOUR,
        ..fetch(topic, 17, 8, 0)
    };
    run.step("no partition alone", 17, &nowhere).await;
    let mut beside = request(1, 1, HOUR);
    beside.topics[0].partitions.push(wanted(0, 99));
    run.step("an error beside it", 17, &beside).await;
    let mut limited = request(0, size + 1, MOMENT.as_millis() as i32);
    limited.max_bytes = size;
    run.waiting_step("more than the limit is asked for", 17, &limited, MOMENT)
        .await;
    let mut limited = request(0, size, MOMENT.as_millis() as i32);
    limited.topics[0].partitions[0].partition_max_bytes = size - 1;
    run.waiting_step(
        "more than the partition's limit is asked for",
        17,
        &limited,
        MOMENT,
    )
    .await;

    let mut other = run.connect().await;
    run.client.send(&request(1, size + 1, HOUR), 17).await;
    for value in ["h", "i"] {
        other
            .call(&produce(topic, 12, 1, batch(&[value])), 12)
            .await;
    }
    run.answer::<FetchRequest>("woken by the second of two", 17)
        .await;
    run.client.send(&request(3, 1, HOUR), 17).await;
    other.call(&delete_records(topic, 1, 3), 2).await;
    other.call(&produce(topic, 12, 1, batch(&["j"])), 12).await;
    run.answer::<FetchRequest>("woken after the log start has moved", 17)
        .await;
}

async fn deleted(run: &mut Run, topic: &TopicRef) {
    run.client.call(&delete_records(topic, 0, 4), 2).await;
    for offset in 0..7 {
        let request = fetch(topic, 17, 0, offset);
        run.step(&format!("from {offset} when 4 is the first"), 17, &request)
            .await;
    }
    run.client.call(&delete_records(topic, 0, 5), 2).await;
    let request = fetch(topic, 17, 0, 5);
    run.step("from inside of a batch that is half deleted", 17, &request)
        .await;
    let request = produce(topic, 12, 0, batch(&["k"]));
    run.step("to a log that has lost its start", 12, &request)
        .await;
}
