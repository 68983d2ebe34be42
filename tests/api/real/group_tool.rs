//! `ottla groups` beside Java's kafka-consumer-groups: told to do the same, both say the same and leave the same.

use std::collections::BTreeMap;

use ottla::{Client, Record, TopicPartition};
use serde_json::Value;
use tokio::task::{JoinHandle, spawn_blocking};
use xtask::kafka::Version;

use super::program::ottla;
use crate::support::{PATIENCE, eventually, real};

/// When the first record was written: 2023-11-14T22:13:20Z. The others follow every ten milliseconds.
const FIRST: i64 = 1_700_000_000_000;

/// What Java's tool prints.
async fn java(arguments: &str) -> String {
    let class = match real::version() {
        Version::V2_8 => "kafka.admin.ConsumerGroupCommand",
        _ => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    };
    let brokers = real::brokers();
    let arguments = format!("--bootstrap-server {brokers} {arguments}");
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let mut command = real::java(class, &arguments);
    let output = spawn_blocking(move || command.output()).await;
    let output = output.expect("no panic").expect("Java runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The rows of its table, each by what its columns are called.
fn rows(said: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = said.lines().map(str::split_whitespace);
    let header = lines.find(|line| line.clone().next() == Some("GROUP"));
    let header: Vec<&str> = header.unwrap_or_else(|| panic!("{said}")).collect();
    let rows = lines.map(|row| header.iter().copied().zip(row).collect());
    rows.filter(|row: &BTreeMap<_, _>| !row.is_empty())
        .collect()
}

/// What the program prints, told to do it as JSON.
async fn program(arguments: &str) -> Value {
    let arguments = format!("groups {arguments} --json");
    let said = ottla(&arguments, b"").await.good().stdout;
    serde_json::from_slice(&said).expect("JSON")
}

/// A number in Java's words; without one a dash.
fn in_java(number: &Value) -> String {
    match number {
        Value::Null => "-".to_owned(),
        number => number.to_string(),
    }
}

/// A topic with ten records in each of three partitions.
struct World {
    client: Client,
    topic: String,
}

impl World {
    async fn new() -> Self {
        let client = real::client();
        let topic = real::topic(&client, "tool", 3, &[("retention.ms", "-1")]).await;
        let producer = client.producer().build().expect("a producer");
        for n in 0..30 {
            let record = Record::to(&topic).partition(n % 3).value("v");
            let record = record.timestamp(FIRST + i64::from(n / 3) * 10);
            drop(producer.send(record).await.expect("room"));
        }
        producer.close(PATIENCE).await.expect("nothing left");
        Self { client, topic }
    }

    fn tp(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), partition)
    }

    /// A group that is at 4 of partition 0, at 8 of partition 1, and nowhere of partition 2.
    async fn group(&self, stem: &str) -> String {
        let group = real::unique(stem);
        let offsets = [(self.tp(0), 4), (self.tp(1), 8)];
        let admin = self.client.admin();
        let set = admin.alter_group_offsets(&group, offsets).await;
        let mut set = set.expect("an answer").into_values();
        assert!(set.all(|set| set.is_ok()));
        group
    }

    async fn committed(&self, group: &str) -> BTreeMap<i32, i64> {
        let mut all = self.client.admin().list_group_offsets([group]).await;
        let found = all.remove(group).expect("an answer").expect("offsets");
        let offsets = found.into_iter();
        offsets
            .map(|(name, committed)| (name.partition, committed.offset))
            .collect()
    }

    /// A member of the group that has everything.
    async fn member(&self, group: &str) -> JoinHandle<()> {
        let consumer = self.client.consumer().group_id(group).auto_commit(false);
        let mut consumer = consumer.build().expect("a consumer");
        consumer.subscribe([&self.topic]).expect("a subscription");
        let handle = consumer.handle();
        let reading = tokio::spawn(async move { while let Ok(Some(_)) = consumer.next().await {} });
        eventually("it has everything", async || handle.assignment().len() == 3).await;
        reading
    }
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn offsets_are_reset_to_where_java_resets_them() {
    let world = World::new().await;
    let topic = &world.topic;
    for (partitions, theirs, ours) in [
        ("0,1,2", "--to-earliest --execute", "earliest"),
        ("0,1,2", "--to-latest --execute", "latest"),
        ("0,1,2", "--to-latest --dry-run", "latest --dry-run"),
        ("0,1,2", "--to-current --execute", "current"),
        ("0,1,2", "--to-offset 7 --execute", "7"),
        (
            "0,1,2",
            "--to-datetime 2023-11-14T22:13:20.035Z --execute",
            "@1700000000035",
        ),
        // Later than every record.
        (
            "0,1,2",
            "--to-datetime 2024-11-14T22:13:20.000Z --execute",
            "@1731622400000",
        ),
        ("0,1", "--shift-by -3 --execute", "-3"),
        ("0,1", "--shift-by 1 --execute", "+1"),
        // Beyond the log, in either direction.
        ("0,1", "--shift-by 5 --execute", "+5"),
        ("0,1", "--shift-by -5 --dry-run", "-5 --dry-run"),
    ] {
        let groups = [world.group("java").await, world.group("ottla").await];
        let [a, b] = &groups;
        let which = format!("--topic {topic}:{partitions} --reset-offsets");
        let said = java(&format!("--group {a} {which} {theirs}")).await;
        let said: BTreeMap<_, _> = rows(&said)
            .iter()
            .map(|row| (row["PARTITION"].to_owned(), row["NEW-OFFSET"].to_owned()))
            .collect();
        let which = format!("-t {topic}:{partitions}");
        let moved = program(&format!("reset-offsets {b} {which} --to {ours}")).await;
        let moved = moved["offsets"].as_array().expect("a list").iter();
        let moved: BTreeMap<_, _> = moved
            .map(|row| (row["partition"].to_string(), row["to"].to_string()))
            .collect();
        assert_eq!(moved, said, "{ours}");
        let (theirs, ours_now) = (world.committed(a).await, world.committed(b).await);
        assert_eq!(ours_now, theirs, "{ours}");
        if ours.ends_with("--dry-run") {
            assert_eq!(ours_now, BTreeMap::from([(0, 4), (1, 8)]));
        }
    }
}

/// Where no record can be: Java goes as far as there are some, and says so in its log; here it is an error, because
/// it is not what was asked for.
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn an_offset_beyond_the_log_is_refused_and_not_replaced_as_in_java() {
    let world = World::new().await;
    let topic = &world.topic;
    let [a, b] = [world.group("java").await, world.group("ottla").await];
    java(&format!(
        "--group {a} --topic {topic}:0 --reset-offsets --to-offset 11 --execute"
    ))
    .await;
    assert_eq!(world.committed(&a).await, BTreeMap::from([(0, 10), (1, 8)]));
    let arguments = format!("groups reset-offsets {b} -t {topic}:0 --to 11");
    let ended = ottla(&arguments, b"").await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(world.committed(&b).await, BTreeMap::from([(0, 4), (1, 8)]));
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn a_group_is_described_as_by_java() {
    let world = World::new().await;
    let topic = &world.topic;
    let (group, empty) = (world.group("full").await, world.group("empty").await);
    let member = world.member(&group).await;
    let ours = program(&format!("describe {group}")).await;

    let said = java(&format!("--describe --group {group}")).await;
    let (theirs, members) = (rows(&said), ours["members"].as_array().expect("a list"));
    let partitions = ours["partitions"].as_array().expect("a list");
    assert_eq!((theirs.len(), partitions.len()), (3, 3));
    for partition in partitions {
        let number = in_java(&partition["partition"]);
        let row = theirs.iter().find(|row| row["PARTITION"] == number);
        let row = row.expect("the partition");
        assert_eq!(row["TOPIC"], topic);
        for (theirs, ours) in [
            ("CURRENT-OFFSET", "committed"),
            ("LOG-END-OFFSET", "end"),
            ("LAG", "lag"),
        ] {
            assert_eq!(in_java(&partition[ours]), row[theirs], "{number}");
        }
        assert_eq!(partition["member"], row["CONSUMER-ID"]);
    }

    let said = java(&format!("--describe --members --group {group}")).await;
    let theirs = rows(&said);
    assert_eq!((theirs.len(), members.len()), (1, 1));
    assert_eq!(theirs[0]["#PARTITIONS"], "3");
    for (theirs_is, ours_is) in [
        ("CONSUMER-ID", "member"),
        ("HOST", "host"),
        ("CLIENT-ID", "client"),
    ] {
        assert_eq!(members[0][ours_is], theirs[0][theirs_is]);
    }

    let said = java(&format!("--describe --state --group {group}")).await;
    let theirs = &rows(&said)[0];
    assert_eq!(theirs["(ID)"], format!("({})", ours["coordinator"]));
    assert_eq!(ours["protocol"], theirs["ASSIGNMENT-STRATEGY"]);
    assert_eq!(ours["state"], theirs["STATE"]);
    assert_eq!(theirs["#MEMBERS"], "1");

    let said = java("--list --state").await;
    let theirs = rows(&said);
    let listed = program("list").await;
    for (name, state) in [(&group, "Stable"), (&empty, "Empty")] {
        let row = theirs.iter().find(|row| row["GROUP"] == name);
        assert_eq!(row.expect("the group")["STATE"], state);
        let mut listed = listed.as_array().expect("a list").iter();
        let listed = listed.find(|listed| listed["group"] == **name);
        assert_eq!(listed.expect("the group")["state"], state);
    }
    member.abort();
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn groups_and_offsets_are_deleted_and_kept_as_by_java() {
    let world = World::new().await;
    let topic = &world.topic;
    let [a, b] = [world.group("java").await, world.group("ottla").await];
    java(&format!("--delete-offsets --group {a} --topic {topic}:0")).await;
    program(&format!("delete-offsets {b} -t {topic}:0")).await;
    let left = BTreeMap::from([(1, 8)]);
    assert_eq!(world.committed(&a).await, left);
    assert_eq!(world.committed(&b).await, left);

    // In use.
    let members = [world.member(&a).await, world.member(&b).await];
    java(&format!("--delete-offsets --group {a} --topic {topic}")).await;
    java(&format!(
        "--reset-offsets --to-latest --execute --group {a} --topic {topic}"
    ))
    .await;
    java(&format!("--delete --group {a}")).await;
    for refused in [
        format!("delete-offsets {b} -t {topic}"),
        format!("reset-offsets {b} -t {topic} --to latest"),
        format!("delete {b}"),
    ] {
        let ended = ottla(&format!("groups {refused}"), b"").await;
        assert_eq!(ended.code, Some(1), "{refused}: {}", ended.stderr);
    }
    assert_eq!(world.committed(&a).await, left);
    assert_eq!(world.committed(&b).await, left);

    let admin = world.client.admin();
    for (group, member) in [&a, &b].into_iter().zip(members) {
        member.abort();
        let removed = admin.remove_all_members(group, "they are dead").await;
        removed.expect("nobody is left");
    }
    java(&format!("--delete --group {a}")).await;
    program(&format!("delete {b}")).await;
    let said = java("--list").await;
    let listed = program("list").await.to_string();
    for group in [&a, &b] {
        assert!(!said.contains(group.as_str()) && !listed.contains(group.as_str()));
    }
}
