//! The real Kafka that `cargo xtask test` starts for the tests.

use std::env;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ottla::{Client, NewTopic};
use xtask::kafka::{Jars, Version};

use super::PATIENCE;

/// The brokers' addresses.
pub(crate) fn brokers() -> String {
    env::var("OTTLA_TEST_BROKERS").expect("OTTLA_TEST_BROKERS: run `cargo xtask test`")
}

/// The brokers' version.
pub(crate) fn version() -> Version {
    let version = env::var("OTTLA_TEST_KAFKA_VERSION")
        .expect("OTTLA_TEST_KAFKA_VERSION: run `cargo xtask test`");
    version.parse().expect("a version that xtask can start")
}

/// A client of the real Kafka.
pub(crate) fn client() -> Client {
    Client::builder()
        .bootstrap_servers(brokers())
        .build()
        .expect("a client")
}

/// A name that no other test and no earlier run has used.
pub(crate) fn unique(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos();
    format!("{stem}-{nanos:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Creates a topic of its own for a test, with these configs, and waits until it has leaders.
pub(crate) async fn topic(
    client: &Client,
    stem: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> String {
    let name = unique(stem);
    let topic = NewTopic::new(&name)
        .partitions(partitions)
        .replication_factor(1);
    let topic = configs
        .iter()
        .fold(topic, |topic, (key, value)| topic.config(*key, *value));
    let admin = client.admin().with_timeout(PATIENCE);
    admin
        .create_topic(topic)
        .await
        .expect("the topic is created");
    super::eventually("the topic has leaders", async || {
        let described = admin.describe_topics([&*name]).await.expect("an answer");
        matches!(&described[&name], Ok(topic) if topic.partitions.len() == partitions as usize
            && topic.partitions.iter().all(|partition| partition.leader.is_some()))
    })
    .await;
    name
}

/// A Java tool of the brokers' own release.
pub(crate) fn java(main_class: &str, args: &[&str]) -> Command {
    Jars::resolve(version())
        .expect("Kafka's jars")
        .java_class(main_class, args)
}
