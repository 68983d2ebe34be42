//! Fetch sessions (KIP-227).

use ottla_codec::Uuid;
use ottla_codec::messages::fetch::{FetchPartition, FetchRequest, ForgottenTopic};

use super::run::Run;
use crate::support::raw::{TopicRef, batch, fetch_topic, wanted};

pub(super) async fn script(run: &mut Run) {
    for version in [7, 12, 13, 17] {
        life(run, version).await;
    }
    refusals(run).await;
    order(run).await;
    unknown(run).await;
}

/// A fetch of these partitions in a session; 1 MiB, answered at once.
fn request(
    version: i16,
    session: (i32, i32),
    topics: &[(&TopicRef, &[FetchPartition])],
) -> FetchRequest {
    FetchRequest {
        max_bytes: 1 << 20,
        session_id: session.0,
        session_epoch: session.1,
        topics: topics
            .iter()
            .map(|(topic, partitions)| fetch_topic(topic, version, partitions.to_vec()))
            .collect(),
        ..Default::default()
    }
}

fn forgetting(
    request: FetchRequest,
    version: i16,
    topic: &TopicRef,
    partitions: &[i32],
) -> FetchRequest {
    let by_id = version >= 13;
    FetchRequest {
        forgotten_topics_data: vec![ForgottenTopic {
            topic: if by_id {
                String::new()
            } else {
                topic.name.clone()
            },
            topic_id: if by_id { topic.id } else { Uuid::ZERO },
            partitions: partitions.to_vec(),
            ..Default::default()
        }],
        ..request
    }
}

/// Opens a session and names it in the transcript; 0 if there is none.
async fn open(
    run: &mut Run,
    step: &str,
    version: i16,
    topics: &[(&TopicRef, &[FetchPartition])],
    name: &'static str,
) -> i32 {
    let opened = run
        .step(step, version, &request(version, (0, 0), topics))
        .await;
    let id = opened.map_or(0, |response| response.session_id);
    run.names.sessions.insert(id, name);
    id
}

async fn life(run: &mut Run, version: i16) {
    let topic = run.topic("t", 3, &[]).await;
    let t = &topic;
    run.append(t, 0, batch(&["a", "b"])).await;
    let id = open(
        run,
        "open",
        version,
        &[(t, &[wanted(0, 0), wanted(1, 0)])],
        "s",
    )
    .await;
    let next = |epoch| (id, epoch);
    run.step("the same again", version, &request(version, next(1), &[]))
        .await;
    let moved = request(version, next(2), &[(t, &[wanted(0, 2)])]);
    run.step("moved on", version, &moved).await;
    run.step("nothing new", version, &request(version, next(3), &[]))
        .await;
    run.append(t, 1, batch(&["c"])).await;
    run.step("news", version, &request(version, next(4), &[]))
        .await;
    let moved = request(version, next(5), &[(t, &[wanted(1, 1), wanted(2, 0)])]);
    run.step("moved on, and one more", version, &moved).await;
    run.step(
        "nothing new once more",
        version,
        &request(version, next(6), &[]),
    )
    .await;
    let out = request(version, next(7), &[(t, &[wanted(2, 5)])]);
    run.step("out of range", version, &out).await;
    run.step(
        "still out of range",
        version,
        &request(version, next(8), &[]),
    )
    .await;
    let back = request(version, next(9), &[(t, &[wanted(2, 0)])]);
    run.step("in range again", version, &back).await;
    run.step("and quiet", version, &request(version, next(10), &[]))
        .await;
    run.append(t, 0, batch(&["d"])).await;
    run.append(t, 1, batch(&["e"])).await;
    let less = forgetting(request(version, next(11), &[]), version, t, &[0]);
    run.step("without one", version, &less).await;
    let swapped = request(version, next(12), &[(t, &[wanted(0, 2)])]);
    let swapped = forgetting(swapped, version, t, &[1]);
    run.step("one for another", version, &swapped).await;
    let same = request(version, next(13), &[(t, &[wanted(0, 0)])]);
    let same = forgetting(same, version, t, &[0]);
    run.step("asked for and forgotten at once", version, &same)
        .await;
    let none = forgetting(request(version, next(14), &[]), version, t, &[9]);
    run.step("forgets what it never had", version, &none).await;
    let close = request(version, next(-1), &[]);
    run.step("close", version, &close).await;
    run.step("after its end", version, &request(version, next(15), &[]))
        .await;

    let id = open(run, "open another", version, &[(t, &[wanted(0, 3)])], "s2").await;
    let full = request(version, (id, 0), &[(t, &[wanted(1, 2)])]);
    let replaced = run.step("opened anew", version, &full).await;
    let new = replaced.map_or(0, |response| response.session_id);
    run.names.sessions.insert(new, "s3");
    run.step("the replaced one", version, &request(version, (id, 1), &[]))
        .await;
    let all = forgetting(request(version, (new, 1), &[]), version, t, &[1]);
    run.step("without any", version, &all).await;
    run.step(
        "after losing all",
        version,
        &request(version, (new, 2), &[]),
    )
    .await;
}

async fn refusals(run: &mut Run) {
    let topic = run.topic("r", 2, &[]).await;
    let t = &topic;
    let id = open(run, "for refusals", 17, &[(t, &[wanted(0, 0)])], "r").await;
    for epoch in [0x7000_0000, 2, 5] {
        run.step(
            &format!("epoch {epoch} where 1 is due"),
            17,
            &request(17, (id, epoch), &[]),
        )
        .await;
    }
    run.step("epoch 1 after all", 17, &request(17, (id, 1), &[]))
        .await;
    run.step("epoch 1 twice", 17, &request(17, (id, 1), &[]))
        .await;
    run.step("by name where ids are used", 12, &request(12, (id, 2), &[]))
        .await;
    run.step("after that", 17, &request(17, (id, 2), &[])).await;
    run.names.sessions.insert(12345, "unknown");
    for epoch in [1, 7] {
        run.step(
            &format!("no such session, epoch {epoch}"),
            17,
            &request(17, (12345, epoch), &[]),
        )
        .await;
    }
    let other = request(17, (12345, -1), &[(t, &[wanted(0, 0)])]);
    run.step("closes no such session", 17, &other).await;
    let other = request(17, (12345, 0), &[(t, &[wanted(0, 0)])]);
    run.step("opens with another's id", 17, &other).await;
    run.step("epoch 3 without a session", 17, &request(17, (0, 3), &[]))
        .await;
    run.step("epoch -2", 17, &request(17, (0, -2), &[])).await;
    run.step("opens with nothing", 17, &request(17, (0, 0), &[]))
        .await;
    run.step("nothing without a session", 17, &request(17, (0, -1), &[]))
        .await;
    let id = open(run, "by name", 12, &[(t, &[wanted(0, 0)])], "names").await;
    run.step("by id where names are used", 13, &request(13, (id, 1), &[]))
        .await;
}

/// Who got records goes to the end of the line.
async fn order(run: &mut Run) {
    let topic = run.topic("o", 3, &[]).await;
    let t = &topic;
    for partition in 0..3 {
        run.append(t, partition, batch(&["a", "b", "c"])).await;
    }
    let size = i32::try_from(batch(&["a", "b", "c"]).len()).unwrap_or_default();
    let all: [FetchPartition; 3] = [wanted(0, 0), wanted(1, 0), wanted(2, 0)];
    let limited = |epoch, id, topics: &[(&TopicRef, &[FetchPartition])]| FetchRequest {
        max_bytes: size,
        ..request(17, (id, epoch), topics)
    };
    let opened = run
        .step("room for one of three", 17, &limited(0, 0, &[(t, &all)]))
        .await;
    let id = opened.map_or(0, |response| response.session_id);
    run.names.sessions.insert(id, "o");
    for epoch in 1..5 {
        run.step(&format!("turn {epoch}"), 17, &limited(epoch, id, &[]))
            .await;
    }
}

async fn unknown(run: &mut Run) {
    let topic = run.topic("u", 1, &[]).await;
    let nobody = TopicRef {
        name: run.unique("nobody"),
        id: run.unknown_id(),
    };
    run.append(&topic, 0, batch(&["a"])).await;
    for version in [12, 17] {
        let name = if version == 12 { "u12" } else { "u17" };
        let partitions: &[FetchPartition] = &[wanted(0, 0)];
        let more: &[FetchPartition] = &[wanted(0, 0), wanted(4, 0)];
        let id = open(
            run,
            "with what does not exist",
            version,
            &[(&nobody, partitions), (&topic, more)],
            name,
        )
        .await;
        for epoch in 1..3 {
            let step = format!("what does not exist, epoch {epoch}");
            run.step(&step, version, &request(version, (id, epoch), &[]))
                .await;
        }
        let moved = request(version, (id, 3), &[(&topic, &[wanted(0, 1)])]);
        run.step("moved on beside it", version, &moved).await;
        let less = forgetting(request(version, (id, 4), &[]), version, &nobody, &[0]);
        run.step("without the topic", version, &less).await;
        let less = forgetting(request(version, (id, 5), &[]), version, &topic, &[4]);
        run.step("without the partition", version, &less).await;
        run.step("all is known", version, &request(version, (id, 6), &[]))
            .await;
    }
}
