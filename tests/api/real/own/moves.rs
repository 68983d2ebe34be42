//! Leaders that move while every broker lives: elections and reassignments.

use rstest::rstest;

use super::load::{Reader, Writer};
use super::trio::Trio;
use crate::support::long_runs;
use crate::support::tap::Tap;

const PARTITIONS: u64 = 3;

/// Replicas of each partition: so many, and in each round others lead.
fn replicas(round: usize, count: usize) -> Vec<Vec<i32>> {
    let of = |partition: usize| {
        let ids = [1, 2, 3].into_iter().cycle().skip(partition + 2 * round);
        ids.take(count).collect()
    };
    (0..3).map(of).collect()
}

#[rstest]
#[case::by_metadata(false)]
#[case::by_refusals_alone(true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn elected_and_reassigned_leaders_are_followed(#[case] by_refusals_alone: bool) {
    let kafka = Trio::start(|builder| builder.set("min.insync.replicas", "1")).await;
    kafka
        .create_topic(&[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]], &[])
        .await;
    // On clients of their own, so that neither profits from what the other was told.
    let tap = Tap::default();
    let writer = Writer::start(&kafka.client_through(&tap), PARTITIONS, 100);
    let consumer = kafka.client_through(&tap).consumer().build().unwrap();
    let reader = Reader::start(consumer, PARTITIONS);
    writer.advance(1_000).await;
    reader.advance(1_000).await;

    let rounds = if long_runs() { 30 } else { 4 };
    for round in 1..=rounds {
        if round == rounds - 1 && by_refusals_alone {
            // From here on whoever looks for leaders in the metadata finds those of this moment. What is
            // left is what refusals say (KIP-951).
            tap.repeat_metadata();
        }
        // Whoever is left out of two replicas leads in the next round, once it has copied everything.
        let count = if round % 2 == 0 { 3 } else { 2 };
        kafka.reassign(&replicas(round, count)).await;
        writer.advance(500).await;
        reader.advance(500).await;
    }
    let written = writer.finish().await;
    reader.finish(written).await;
}
