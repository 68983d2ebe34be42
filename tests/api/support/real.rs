//! The real Kafka that `cargo xtask test` starts for the tests.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};
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

/// The lines that Java's console consumer prints of a topic's one partition: timestamp, offset, headers,
/// key and value of `count` records from the beginning.
pub(crate) async fn console_consume(topic: &str, count: usize, more: &[&str]) -> Vec<String> {
    console_consume_from(&brokers(), topic, count, more).await
}

/// [`console_consume`] from any brokers.
pub(crate) async fn console_consume_from(
    brokers: &str,
    topic: &str,
    count: usize,
    more: &[&str],
) -> Vec<String> {
    let count = count.to_string();
    // Renamed in Kafka 4.2 (KIP-1147).
    let property = match version() {
        Version::V4_3 => "--formatter-property",
        _ => "--property",
    };
    let mut args = vec![
        "--bootstrap-server",
        brokers,
        "--topic",
        topic,
        "--partition",
        "0",
        "--offset",
        "earliest",
        "--max-messages",
        &count,
        "--timeout-ms",
        "30000",
    ];
    for printed in ["timestamp", "offset", "headers", "key", "value"] {
        args.push(property);
        args.push(match printed {
            "timestamp" => "print.timestamp=true",
            "offset" => "print.offset=true",
            "headers" => "print.headers=true",
            "key" => "print.key=true",
            _ => "print.value=true",
        });
    }
    args.extend(more);
    let mut command = java(version().console_consumer(), &args);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("no panic")
        .expect("Java runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines().map(str::to_owned).collect()
}

/// Has Java's console producer read lines of headers, key and value, with `NULL` for what is null (KIP-798, KIP-810).
pub(crate) const HEADERS_AND_NULLS: &[&str] = &["parse.headers=true", "null.marker=NULL"];

/// Has Java's console producer write lines of key and value, or of what its reader is told by more properties.
pub(crate) async fn console_produce(topic: &str, codec: &str, lines: String, more: &[&str]) {
    console_produce_to(&brokers(), topic, codec, lines, more).await;
}

/// [`console_produce`] to any brokers.
pub(crate) async fn console_produce_to(
    brokers: &str,
    topic: &str,
    codec: &str,
    lines: String,
    more: &[&str],
) {
    let mut args = vec!["--bootstrap-server", brokers, "--topic", topic];
    args.extend(["--compression-codec", codec]);
    let flag = match version() {
        Version::V4_3 => "--reader-property",
        _ => "--property",
    };
    args.extend([flag, "parse.key=true"]);
    for property in more {
        args.extend([flag, property]);
    }
    let mut command = java(version().console_producer(), &args);
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Java runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin
            .write_all(lines.as_bytes())
            .expect("it reads its input");
        drop(stdin);
        child.wait_with_output().expect("Java ends")
    })
    .await
    .expect("no panic");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
