//! `ottla verifiable-consumer`, held to the contract of Kafka's system tests.

use std::time::Duration;

use ottla_fake::codec::ErrorCode;
use ottla_fake::codec::messages::offset_commit::OffsetCommitRequest;
use ottla_fake::{FakeCluster, Record};
use serde_json::{Value, json};

use crate::support::{command, end, file, signal};
use crate::verifiable::{Running, events, untimed};

/// One broker, whose groups do not wait for more members than there are, and a topic `t`.
async fn cluster(partitions: i32) -> FakeCluster {
    FakeCluster::builder()
        .topic("t", partitions)
        .initial_rebalance_delay(Duration::ZERO)
        .start()
        .await
        .unwrap()
}

async fn append(cluster: &FakeCluster, partition: i32, count: i64) {
    let records = (0..count).map(|n| Record::new(format!("k{n}"), format!("v{n}")));
    cluster.append("t", partition, records).await.unwrap();
}

/// What Java's tool is called with.
fn consumer(cluster: &FakeCluster, arguments: &str) -> String {
    let brokers = cluster.bootstrap_servers();
    format!(
        "verifiable-consumer --bootstrap-server {brokers} --topic t --group-id g \
         --session-timeout 30000 {arguments}"
    )
}

async fn consume(cluster: &FakeCluster, arguments: &str) -> Vec<Value> {
    let events = events(end(command(&consumer(cluster, arguments))).await);
    events.iter().map(untimed).collect()
}

fn event(name: &str, mut fields: Value) -> Value {
    fields["name"] = json!(name);
    fields
}

fn partitions(of: impl IntoIterator<Item = i32>) -> Value {
    let partition = |partition| json!({ "topic": "t", "partition": partition });
    let partitions: Value = of.into_iter().map(partition).collect();
    json!({ "partitions": partitions })
}

/// Records from one offset to another, all of those that came.
fn consumed(partition: i32, first: i64, last: i64) -> Value {
    let count = last - first + 1;
    let summary = json!({
        "topic": "t", "partition": partition, "count": count, "minOffset": first, "maxOffset": last,
    });
    event(
        "records_consumed",
        json!({ "count": count, "partitions": [summary] }),
    )
}

fn committed(partition: i32, offset: i64) -> Value {
    let offset = json!({ "topic": "t", "partition": partition, "offset": offset });
    event(
        "offsets_committed",
        json!({ "offsets": [offset], "success": true }),
    )
}

#[tokio::test]
async fn a_life_from_start_to_shutdown() {
    let cluster = cluster(1).await;
    append(&cluster, 0, 5).await;
    let mut four_of_five = consumed(0, 0, 3);
    four_of_five["count"] = json!(5);
    let expected = [
        event("startup_complete", json!({})),
        event("partitions_assigned", partitions([0])),
        four_of_five,
        committed(0, 4),
        event("partitions_revoked", partitions([0])),
        event("shutdown_complete", json!({})),
    ];
    assert_eq!(consume(&cluster, "--max-messages 4").await, expected);
    let stored = cluster.committed("g").await.unwrap();
    assert_eq!(stored[&("t".to_owned(), 0)].offset, 4);

    // The next one goes on there, tells each record, and has the client commit.
    let events = consume(&cluster, "--max-messages 1 --verbose --enable-autocommit").await;
    let record = json!({
        "key": "k4", "value": "v4", "topic": "t", "partition": 0, "offset": 4,
    });
    assert_eq!(
        events[2..4],
        [event("record_data", record), consumed(0, 4, 4)]
    );
    assert_eq!(events[4]["name"], "partitions_revoked");
    let stored = cluster.committed("g").await.unwrap();
    assert_eq!(stored[&("t".to_owned(), 0)].offset, 5);
}

#[tokio::test]
async fn flags_win_over_a_file_in_either_spelling() {
    let cluster = cluster(1).await;
    append(&cluster, 0, 3).await;
    let dir = tempfile::tempdir().unwrap();
    let text =
        "auto.offset.reset=latest\ngroup.id=other\nkey.deserializer=x.y.Z\nfetch.min.bytes=1\n";
    let path = file(&dir, "consumer.properties", text);
    for (flag, group) in [("--consumer.config", "a"), ("--command-config", "b")] {
        let flags = format!(
            "--max-messages 3 --group-id {group} {flag} {}",
            path.display()
        );
        let brokers = cluster.bootstrap_servers();
        let arguments =
            format!("verifiable-consumer --bootstrap-server {brokers} --topic t {flags}");
        let events = events(end(command(&arguments)).await);
        assert_eq!(untimed(&events[2]), consumed(0, 0, 2), "{flag}");
        assert_eq!(cluster.committed(group).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_refused_commit_is_told_and_goes_on() {
    let cluster = cluster(1).await;
    append(&cluster, 0, 2).await;
    let refused = ErrorCode::OffsetMetadataTooLarge;
    cluster.on::<OffsetCommitRequest>().times(1).error(refused);
    let events = consume(&cluster, "--max-messages 2").await;
    let told = events
        .iter()
        .find(|event| event["name"] == "offsets_committed")
        .unwrap();
    assert_eq!(told["success"], json!(false));
    assert!(
        told["error"].as_str().unwrap().contains(refused.name()),
        "{told}"
    );
}

/// Reads events until one of this name; that one.
async fn until(running: &mut Running, name: &str) -> Value {
    loop {
        let event = untimed(&running.next().await.unwrap());
        if event["name"] == name {
            return event;
        }
    }
}

#[tokio::test]
async fn rebalances_are_told_in_order_and_a_signal_ends_it_well() {
    let cluster = cluster(2).await;
    let mut first = Running::start(&consumer(&cluster, ""));
    let assigned = until(&mut first, "partitions_assigned").await;
    assert_eq!(assigned, event("partitions_assigned", partitions([0, 1])));
    append(&cluster, 1, 1).await;
    assert_eq!(
        until(&mut first, "records_consumed").await,
        consumed(1, 0, 0)
    );
    assert_eq!(untimed(&first.next().await.unwrap()), committed(1, 1));

    let mut second = Running::start(&consumer(&cluster, ""));
    let revoked = until(&mut first, "partitions_revoked").await;
    assert_eq!(revoked, event("partitions_revoked", partitions([0, 1])));
    let mut of_both = Vec::new();
    for running in [&mut first, &mut second] {
        let assigned = until(running, "partitions_assigned").await;
        of_both.extend(assigned["partitions"].as_array().unwrap().clone());
    }
    of_both.sort_by_key(|partition| partition["partition"].as_i64());
    assert_eq!(json!({ "partitions": of_both }), partitions([0, 1]));

    for (running, name) in [(first, "-INT"), (second, "-TERM")] {
        signal(&running.child, name).await;
        let rest = running.rest().await;
        let names: Vec<_> = rest
            .iter()
            .map(|event| event["name"].as_str().unwrap())
            .collect();
        assert!(
            names.ends_with(&["partitions_revoked", "shutdown_complete"]),
            "{names:?}"
        );
    }
    assert!(
        cluster
            .group("g")
            .await
            .unwrap()
            .unwrap()
            .members
            .is_empty()
    );
}

#[tokio::test]
async fn who_is_fenced_ends() {
    let cluster = cluster(1).await;
    let flags = "--group-instance-id fixed";
    let mut first = Running::start(&consumer(&cluster, flags));
    until(&mut first, "partitions_assigned").await;
    let mut second = Running::start(&consumer(&cluster, flags));
    until(&mut second, "partitions_assigned").await;
    // Its next word to the coordinator is its last.
    let rest = first.rest().await;
    assert_eq!(rest.last().unwrap()["name"], "shutdown_complete");
    signal(&second.child, "-TERM").await;
    second.rest().await;
}
