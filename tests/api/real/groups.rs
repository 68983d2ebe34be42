//! Groups of Java's consumers, as an admin sees and treats them.

use std::process::{Child, Stdio};

use ottla::{Admin, Client, GroupState, GroupType, ListGroups, Record, TopicPartition};

use super::program::ottla;
use crate::admin::groups::{self, Names, assert_not_empty};
use crate::admin::members::{self, assigned, settled};
use crate::support::{PATIENCE, eventually, real};

fn admin() -> Admin {
    real::client().admin().with_timeout(PATIENCE)
}

async fn names() -> Names {
    Names {
        topic: real::topic(&real::client(), "grouped", 3, &[]).await,
        groups: ["a", "b"].map(real::unique),
    }
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn offsets_are_set_and_listed() {
    groups::offsets_are_set_and_listed(&admin(), &names().await).await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn groups_without_members_come_and_go() {
    groups::groups_without_members_come_and_go(&admin(), &names().await).await;
}

/// Java's console consumer, a member of a group for as long as this lives.
struct Member(Child);

impl Member {
    fn join(group: &str, topic: &str, properties: &[&str]) -> Self {
        let brokers = real::brokers();
        let mut args = vec!["--bootstrap-server", &brokers, "--topic", topic];
        args.extend(["--group", group]);
        for property in properties {
            args.extend(["--consumer-property", property]);
        }
        let mut command = real::java(real::version().console_consumer(), &args);
        let child = command.stdout(Stdio::null()).spawn();
        Self(child.expect("Java runs"))
    }
}

/// Ends it without a word to the coordinator.
impl Drop for Member {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn members_of_a_classic_group_are_seen_and_removed() {
    let join = async |group: &str, topic: &str, instance: Option<&str>, client: &str| {
        let instance = instance.map(|id| format!("group.instance.id={id}"));
        let mut properties = vec![format!("client.id={client}")];
        properties.extend(instance);
        let properties: Vec<&str> = properties.iter().map(String::as_str).collect();
        Member::join(group, topic, &properties)
    };
    members::are_seen_and_removed(&admin(), &names().await, join).await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn members_of_our_own_are_seen_and_removed() {
    let join = async |group: &str, topic: &str, instance: Option<&str>, client: &str| {
        let servers = real::brokers();
        let client = Client::builder()
            .bootstrap_servers(servers)
            .client_id(client);
        members::join(client.build().unwrap(), group, topic, instance)
    };
    members::are_seen_and_removed(&admin(), &names().await, join).await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn what_java_has_committed_is_listed() {
    let (admin, Names { topic, groups }) = (admin(), names().await);
    let group = &groups[0];
    let client = real::client();
    let producer = client.producer().build().unwrap();
    for partition in 0..3 {
        for _ in 0..=partition {
            let record = Record::to(&topic).partition(partition).value("v");
            producer.send(record).await.unwrap().await.unwrap();
        }
    }
    let properties = ["auto.offset.reset=earliest", "auto.commit.interval.ms=100"];
    let _member = Member::join(group, &topic, &properties);
    let expected = (0..3).map(|p| (TopicPartition::new(topic.as_str(), p), i64::from(p) + 1));
    let expected: Vec<_> = expected.collect();
    eventually("everything is committed", async || {
        let mut listed = admin.list_group_offsets([group]).await;
        let listed = listed.remove(group).unwrap().unwrap();
        let offsets = listed
            .into_iter()
            .map(|(name, committed)| (name, committed.offset));
        offsets.collect::<Vec<_>>() == expected
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn a_group_whose_coordinator_assigns_is_described() {
    let (admin, Names { topic, groups }) = (admin(), names().await);
    let group = &groups[0];
    let properties = ["group.protocol=consumer", "client.id=new"];
    let _member = Member::join(group, &topic, &properties);
    let described = settled(&admin, group, 1).await;
    assert_eq!(described.group_type, GroupType::Consumer);
    assert_eq!(
        (&*described.protocol_type, &*described.protocol),
        ("consumer", "uniform")
    );
    assert_eq!(described.members[0].client_id, "new");
    assigned(&described, &topic, 3);
    let consumers = ListGroups::new().types([GroupType::Consumer]);
    let listed = admin
        .list_groups(consumers)
        .await
        .unwrap()
        .complete()
        .unwrap();
    let listed = listed.iter().find(|listing| listing.group_id == *group);
    assert_eq!(listed.unwrap().state, GroupState::Stable);
    assert_not_empty(&admin.delete_groups([group]).await[group], group);
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn the_program_describes_resets_and_deletes() {
    let (admin, Names { topic, groups }) = (admin(), names().await);
    let group = &groups[0];
    let client = real::client();
    let producer = client.producer().build().unwrap();
    let record = Record::to(&topic).partition(1).value("v");
    producer.send(record).await.unwrap().await.unwrap();
    let table = async |arguments: &str| {
        let stdout = ottla(arguments, b"").await.good().stdout;
        let text = String::from_utf8(stdout).unwrap();
        let row = |row: &str| row.split_whitespace().map(str::to_owned).collect();
        text.lines().map(row).collect::<Vec<Vec<String>>>()
    };

    let reset = table(&format!(
        "groups reset-offsets {group} -t {topic}:1 --to earliest"
    ))
    .await;
    assert_eq!(reset[1], [&*topic, "1", "-", "0"]);
    let member = Member::join(group, &topic, &["client.id=reader"]);
    let described = settled(&admin, group, 1).await;
    let id = &*described.members[0].member_id;
    // What it commits by itself comes five seconds later at the earliest.
    let rows = table(&format!("groups describe {group}")).await;
    assert_eq!(
        rows,
        [
            vec![
                "MEMBER",
                "CLIENT",
                "TOPIC",
                "PARTITION",
                "COMMITTED",
                "END",
                "LAG"
            ],
            vec![id, "reader", &topic, "0", "-", "0", "-"],
            vec![id, "reader", &topic, "1", "0", "1", "1"],
            vec![id, "reader", &topic, "2", "-", "0", "-"],
        ]
    );
    let listed = table("groups list --state stable,empty").await;
    let ours = listed.iter().find(|row| row[0] == *group).unwrap();
    assert_eq!(ours[1..4], ["Stable", "classic", "consumer"]);
    for arguments in [
        format!("groups reset-offsets {group} -t {topic} --to latest"),
        format!("groups delete {group}"),
    ] {
        let ended = ottla(&arguments, b"").await;
        assert_eq!(ended.code, Some(1), "{arguments}");
        let said = format!("group {group} has members");
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    }

    drop(member);
    admin.remove_all_members(group, "").await.unwrap();
    let json = ottla(&format!("groups describe {group} --json"), b"")
        .await
        .good();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["state"], &json["members"]),
        (&"Empty".into(), &serde_json::json!([]))
    );
    assert_eq!(
        table(&format!("groups delete {group}")).await,
        [["deleted", group]]
    );
    let ended = ottla(&format!("groups describe {group}"), b"").await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.stderr,
        format!("ottla: the cluster has no group {group}\n")
    );
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn the_program_consumes_as_a_member() {
    let (admin, Names { topic, groups }) = (admin(), names().await);
    let group = &groups[0];
    let lines: String = (0..300).map(|n| format!("{n:03}\n")).collect();
    let produce = format!("produce -t {topic}");
    ottla(&produce, lines.as_bytes()).await.good();
    let consume = format!("consume -t {topic} -G {group} -e");
    let consumed = String::from_utf8(ottla(&consume, b"").await.good().stdout).unwrap();
    let mut consumed: Vec<&str> = consumed.split_inclusive('\n').collect();
    consumed.sort_unstable();
    assert_eq!(consumed.concat(), lines);
    assert!(ottla(&consume, b"").await.good().stdout.is_empty());
    let listed = admin.list_group_offsets([group]).await;
    let committed = listed[group].as_ref().unwrap().values();
    assert_eq!(
        committed.map(|committed| committed.offset).sum::<i64>(),
        300
    );
    // It has left, and not merely gone.
    let described = admin.describe_group(group).await.unwrap();
    assert_eq!(described.state, GroupState::Empty);
}
