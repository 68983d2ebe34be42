//! The scenarios on a real Kafka, whose cleaner is made to run within seconds.

use ottla_codec::records::Compression;

use super::reading;
use super::report::Report;
use super::scenario::{self, Scenario, Writer};
use super::subject::{Held, Subject, newest};
use crate::support::raw::Broker;
use crate::support::{eventually, real};

/// A segment ends when a record comes that is this much later than its first; the open one is never compacted.
const SEGMENT: (&str, i64) = ("segment.ms", 200);

async fn run(scenario: Scenario) {
    let report = Report::begin(scenario.name, real::version().as_str());
    let client = real::client();
    let configs = [
        ("cleanup.policy", "compact"),
        (SEGMENT.0, &*SEGMENT.1.to_string()),
        ("min.cleanable.dirty.ratio", "0.001"),
    ];
    let topic = real::topic(&client, scenario.name, 1, &configs).await;
    let broker = Broker::Real(real::brokers());
    let mut subject = Subject::new(&broker, client, &topic).await;
    // The last batch opens a segment of its own.
    let last = scenario.written.len() - 1;
    for (index, (writer, pairs)) in scenario.written.iter().enumerate() {
        let time = if index == last { 2 * SEGMENT.1 } else { 0 };
        subject
            .write(*writer, pairs, Compression::Lz4, 1_000_000 + time)
            .await;
    }
    eventually("the log is compacted", async || {
        subject.look().await.0 == scenario.compacted
    })
    .await;

    let (shapes, held, end) = subject.look().await;
    assert_eq!(held, newest(scenario.written));
    assert_eq!(held, read_by_java(&topic, held.len()).await);
    reading::check(&subject, &shapes, &held, end, &report).await;
    let time = 1_000_000 + 2 * SEGMENT.1;
    subject
        .write(
            Writer::Idempotent,
            &[("new", Some("1"))],
            Compression::None,
            time,
        )
        .await;
    let new = Held {
        offset: end,
        key: "new".to_owned(),
        value: Some("1".to_owned()),
    };
    reading::check_resumed(&subject, &[new], &report).await;
    report.ok();
}

/// What Java's console consumer prints.
async fn read_by_java(topic: &str, count: usize) -> Vec<Held> {
    let lines = real::console_consume(topic, count, &[]).await;
    let held = lines.iter().map(|line| {
        // Timestamp, offset, headers, key, value.
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, offset, _, key, value] = fields[..] else {
            panic!("not five fields: {line}");
        };
        let offset = offset.strip_prefix("Offset:").expect("an offset");
        Held {
            offset: offset.parse().expect("a number"),
            key: key.to_owned(),
            value: (value != "null").then(|| value.to_owned()),
        }
    });
    held.collect()
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask compaction"]
async fn hole_inside_a_batch() {
    run(scenario::HOLE_INSIDE_A_BATCH).await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask compaction"]
async fn tail_of_a_batch_gone() {
    run(scenario::TAIL_OF_A_BATCH_GONE).await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask compaction"]
async fn emptied_batch() {
    run(scenario::EMPTIED_BATCH).await;
}
