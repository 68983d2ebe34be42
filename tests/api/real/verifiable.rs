//! The tools of Kafka's system tests: what Java's print, and what the program prints in their place.

use ottla::Record;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::program::ottla;
use crate::support::{PATIENCE, real};

fn parse(stdout: &[u8]) -> Vec<Value> {
    let stdout = String::from_utf8(stdout.to_vec()).expect("UTF-8");
    let event = |line: &str| serde_json::from_str(line).expect("one event a line");
    stdout.lines().map(event).collect()
}

async fn java(class: &str, arguments: &str) -> Vec<Value> {
    let class = format!("org.apache.kafka.tools.{class}");
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let mut command = real::java(&class, &arguments);
    let output = spawn_blocking(move || command.output()).await;
    let output = output.expect("no panic").expect("Java runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    parse(&output.stdout)
}

/// The same event without what differs from run to run.
fn comparable(mut event: Value, topic: &str) -> Value {
    let fields = event.as_object_mut().expect("an object");
    assert!(fields.remove("timestamp").is_some_and(|time| time.is_u64()));
    if let Some(rate) = fields.remove("avg_throughput") {
        assert!(rate.is_f64(), "{rate}");
    }
    let lists = ["partitions", "offsets"].map(|name| fields.get(name).cloned());
    let inner = lists.into_iter().flatten();
    let inner: Vec<Value> = inner
        .flat_map(|list| list.as_array().expect("a list").clone())
        .collect();
    assert!(inner.iter().all(|partition| partition["topic"] == topic));
    let named = serde_json::to_string(&event)
        .expect("JSON")
        .replace(topic, "topic");
    serde_json::from_str(&named).expect("JSON")
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn the_producers_events_are_javas() {
    let client = real::client();
    let brokers = real::brokers();
    for flags in [
        "--max-messages 5",
        "--max-messages 4 --repeating-keys 3 --value-prefix 7 --acks 1 --throughput 100",
        "--max-messages 0",
    ] {
        let mut said = Vec::new();
        for theirs in [true, false] {
            let topic = real::topic(&client, "numbers", 1, &[]).await;
            let arguments = format!("--bootstrap-server {brokers} --topic {topic} {flags}");
            let events = match theirs {
                true => java("VerifiableProducer", &arguments).await,
                false => {
                    let arguments = format!("verifiable-producer {arguments}");
                    parse(&ottla(&arguments, b"").await.good().stdout)
                }
            };
            let events = events.into_iter().map(|event| comparable(event, &topic));
            said.push(events.collect::<Vec<_>>());
        }
        assert_eq!(said[0], said[1], "{flags}");
    }
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn the_consumers_events_are_javas() {
    let client = real::client();
    let brokers = real::brokers();
    let topic = real::topic(&client, "events", 1, &[]).await;
    // In one batch, as both report what they are given at once.
    let producer = client.producer().linger(PATIENCE).build().unwrap();
    for n in 0..5 {
        let (key, value) = (format!("k{n}"), format!("v{n}"));
        let record = Record::to(&topic).key(&key).value(&value);
        drop(producer.send(record).await.unwrap());
    }
    producer.close(PATIENCE).await.unwrap();
    for flags in [
        "--max-messages 5",
        "--max-messages 3 --verbose --reset-policy earliest",
        "--max-messages 5 --enable-autocommit --session-timeout 10000 \
         --assignment-strategy org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        "--max-messages 5 --group-instance-id fixed \
         --assignment-strategy org.apache.kafka.clients.consumer.RoundRobinAssignor",
    ] {
        let mut said = Vec::new();
        for theirs in [true, false] {
            let group = real::unique("verified");
            let arguments =
                format!("--bootstrap-server {brokers} --topic {topic} --group-id {group} {flags}");
            let events = match theirs {
                true => java("VerifiableConsumer", &arguments).await,
                false => {
                    let arguments = format!("verifiable-consumer {arguments}");
                    parse(&ottla(&arguments, b"").await.good().stdout)
                }
            };
            let events = events.into_iter().map(|event| comparable(event, &topic));
            // Java's of 4.3 asks itself to shut down, once it has.
            let events = events.filter(|event| event["name"] != "shutdown_requested");
            said.push(events.collect::<Vec<_>>());
        }
        assert_eq!(said[0], said[1], "{flags}");
    }
}
