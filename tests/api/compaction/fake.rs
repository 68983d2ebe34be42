//! The scenarios on the fake cluster, under paused time, and for each codec.

use ottla_codec::records::Compression;
use ottla_fake::{FakeCluster, TopicSpec};

use super::report::Report;
use super::scenario::{self, Scenario};
use super::subject::{Held, Subject, newest};
use super::{reading, scenario::Writer};
use crate::support::fake::client_of;
use crate::support::raw::Broker;

async fn run(scenario: Scenario) {
    let report = Report::begin(scenario.name, "fake");
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        run_with(scenario, compression, &report).await;
    }
    report.ok();
}

async fn run_with(scenario: Scenario, compression: Compression, report: &Report) {
    let spec = TopicSpec::new("t", 1)
        .config("cleanup.policy", "compact")
        .config("delete.retention.ms", "0");
    let cluster = FakeCluster::builder()
        .topic_spec(spec)
        .start_in_memory()
        .await
        .unwrap();
    let client = client_of(&cluster).build().unwrap();
    let mut subject = Subject::new(&Broker::Fake(cluster.clone()), client, "t").await;
    for (writer, pairs) in scenario.written {
        subject.write(*writer, pairs, compression, 1000).await;
    }
    // The first sets tombstones' delete horizons, the second finds them passed.
    cluster.compact("t").await.unwrap();
    cluster.compact("t").await.unwrap();

    let (shapes, held, end) = subject.look().await;
    assert_eq!(shapes, scenario.compacted);
    assert_eq!(held, newest(scenario.written));
    // What the cluster itself reads in its log.
    let log = cluster.log("t", 0).await.unwrap().into_iter();
    let log = log.map(|record| {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        Held::new(record.offset, key, value)
    });
    let log: Vec<Held> = log.collect();
    assert_eq!(log, held);

    reading::check(&subject, &shapes, &log, end, report).await;
    subject
        .write(Writer::Idempotent, &[("new", Some("1"))], compression, 2000)
        .await;
    let new = Held {
        offset: end,
        key: "new".to_owned(),
        value: Some("1".to_owned()),
    };
    reading::check_resumed(&subject, &[new], report).await;
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn hole_inside_a_batch() {
    run(scenario::HOLE_INSIDE_A_BATCH).await;
}

#[tokio::test(start_paused = true)]
async fn tail_of_a_batch_gone() {
    run(scenario::TAIL_OF_A_BATCH_GONE).await;
}

#[tokio::test(start_paused = true)]
async fn emptied_batch() {
    run(scenario::EMPTIED_BATCH).await;
}

#[tokio::test(start_paused = true)]
async fn tail_gone_at_the_end() {
    run(scenario::TAIL_GONE_AT_THE_END).await;
}

#[tokio::test(start_paused = true)]
async fn emptied_at_the_end() {
    run(scenario::EMPTIED_AT_THE_END).await;
}
