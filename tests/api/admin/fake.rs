//! What holds on any cluster, on the fake one.

use ottla::{Admin, Client};
use ottla_fake::FakeCluster;

use super::groups::{self, Names};
use super::members;
use crate::support::fake;

/// Three brokers, and names of groups that different ones coordinate.
async fn world() -> (FakeCluster, Client, Names) {
    let cluster = fake::cluster().brokers(3).topic("t", 3);
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = fake::client_of(&cluster).build().unwrap();
    let names = Names {
        topic: "t".to_owned(),
        groups: ["a", "b"].map(String::from),
    };
    for (group, broker) in [("a", 2), ("b", 3)] {
        cluster.move_coordinator(group, broker).await.unwrap();
    }
    (cluster, client, names)
}

async fn on_the_fake(body: impl AsyncFnOnce(&Admin, &Names)) {
    let (cluster, client, names) = world().await;
    body(&client.admin(), &names).await;
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_set_and_listed() {
    on_the_fake(groups::offsets_are_set_and_listed).await;
}

#[tokio::test(start_paused = true)]
async fn groups_without_members_come_and_go() {
    on_the_fake(groups::groups_without_members_come_and_go).await;
}

#[tokio::test(start_paused = true)]
async fn members_are_seen_and_removed() {
    let (cluster, client, names) = world().await;
    let join = async |group: &str, topic: &str, instance: Option<&str>, id: &str| {
        let client = fake::client_of(&cluster).client_id(id);
        members::join(client.build().unwrap(), group, topic, instance)
    };
    members::are_seen_and_removed(&client.admin(), &names, join).await;
    assert_eq!(cluster.violations().await.unwrap(), []);
}
