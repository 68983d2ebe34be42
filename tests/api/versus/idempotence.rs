//! Produce with producer ids: sequences and epochs.

use ottla_codec::messages::init_producer_id::InitProducerIdRequest;

use super::run::Run;
use crate::support::raw::{TopicRef, produce, sequenced};

pub(super) async fn script(run: &mut Run) {
    let topic = run.topic("t", 1, &[]).await;
    sequences(run, &topic).await;
    epochs(run, &topic).await;
    wrapping(run, &topic).await;
    ids(run).await;
}

async fn send(
    run: &mut Run,
    topic: &TopicRef,
    step: &str,
    (id, epoch, sequence): (i64, i16, i32),
    count: usize,
) {
    let batch = sequenced(&vec!["v"; count], id, epoch, sequence);
    run.step(step, 12, &produce(topic, 12, 0, batch)).await;
}

async fn sequences(run: &mut Run, topic: &TopicRef) {
    let id = run.producer_id().await;
    send(run, topic, "the first", (id, 0, 0), 3).await;
    send(run, topic, "the first again", (id, 0, 0), 3).await;
    send(run, topic, "the next", (id, 0, 3), 2).await;
    send(run, topic, "the first once more", (id, 0, 0), 3).await;
    send(run, topic, "a gap", (id, 0, 6), 1).await;
    send(run, topic, "what fills the gap", (id, 0, 5), 1).await;
    send(run, topic, "what came after the gap", (id, 0, 6), 1).await;
    send(run, topic, "an overlap", (id, 0, 4), 3).await;
    send(run, topic, "a part of the last but one", (id, 0, 5), 2).await;
    for sequence in 7..12 {
        send(
            run,
            topic,
            &format!("sequence {sequence}"),
            (id, 0, sequence),
            1,
        )
        .await;
    }
    send(run, topic, "the oldest of five again", (id, 0, 7), 1).await;
    send(run, topic, "the sixth again", (id, 0, 6), 1).await;
    send(run, topic, "the first after all", (id, 0, 0), 3).await;
    send(run, topic, "a negative sequence", (id, 0, -2), 1).await;
}

async fn epochs(run: &mut Run, topic: &TopicRef) {
    let id = run.producer_id().await;
    send(run, topic, "an id's first sequence is 5", (id, 0, 5), 1).await;
    send(run, topic, "its next", (id, 0, 6), 1).await;
    send(run, topic, "epoch 1 from 4", (id, 1, 4), 1).await;
    send(run, topic, "epoch 1 from 7", (id, 1, 7), 1).await;
    send(run, topic, "epoch 1 from 0", (id, 1, 0), 1).await;
    send(run, topic, "epoch 0 late", (id, 0, 7), 1).await;
    send(run, topic, "epoch 0 repeated", (id, 0, 6), 1).await;
    send(run, topic, "epoch 1 goes on", (id, 1, 1), 1).await;
    send(run, topic, "epoch 1 repeated", (id, 1, 0), 1).await;
    send(run, topic, "epoch 3 from 0", (id, 3, 0), 1).await;
    send(run, topic, "epoch 3 repeated", (id, 3, 0), 1).await;
    send(run, topic, "epoch 3 with a gap", (id, 3, 2), 1).await;
    send(run, topic, "epoch -2", (id, -2, 0), 1).await;
    send(run, topic, "an id that nobody gave out", (1 << 40, 0, 0), 1).await;
}

async fn wrapping(run: &mut Run, topic: &TopicRef) {
    let id = run.producer_id().await;
    send(run, topic, "far along", (id, 0, i32::MAX - 4), 3).await;
    send(run, topic, "over the end", (id, 0, i32::MAX - 1), 4).await;
    send(run, topic, "over the end again", (id, 0, i32::MAX - 1), 4).await;
    send(run, topic, "after the end", (id, 0, 2), 1).await;
    send(run, topic, "after the end, with a gap", (id, 0, 4), 1).await;
    let id = run.producer_id().await;
    send(run, topic, "up to the end", (id, 0, i32::MAX - 1), 2).await;
    send(run, topic, "from zero on", (id, 0, 0), 1).await;
}

async fn ids(run: &mut Run) {
    let plain = InitProducerIdRequest {
        transactional_id: None,
        ..Default::default()
    };
    for version in [0, 2, 3, 5] {
        run.step("for a plain producer", version, &plain).await;
    }
    let cases = [
        ("an id without its epoch", 5, -1),
        ("an epoch without its id", -1, 5),
        ("an id of another", 1 << 40, 3),
    ];
    for (step, producer_id, producer_epoch) in cases {
        let request = InitProducerIdRequest {
            producer_id,
            producer_epoch,
            ..plain.clone()
        };
        run.step(step, 5, &request).await;
    }
    let empty = InitProducerIdRequest {
        transactional_id: Some(String::new()),
        transaction_timeout_ms: 1000,
        ..Default::default()
    };
    run.step("for an empty transactional id", 5, &empty).await;
}
