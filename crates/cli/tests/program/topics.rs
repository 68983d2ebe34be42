//! `ottla topics`.

use ottla_fake::FakeCluster;
use serde_json::{Value, json};

use crate::support::{cluster, ottla_on};

#[tokio::test]
async fn topics_come_and_go() {
    let cluster = FakeCluster::builder().brokers(3).start().await.unwrap();
    let created = ottla_on(
        &cluster,
        "topics create sales --partitions 2 --replication-factor 3 --config cleanup.policy=compact",
    );
    assert_eq!(created.await.good(), "created sales\n");
    let list = ottla_on(&cluster, "topics list").await.good();
    let rows: Vec<Vec<&str>> = list
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["TOPIC", "PARTITIONS", "ID"]);
    assert_eq!(rows[1][..2], ["sales", "2"]);
    let table = ottla_on(&cluster, "topics describe sales").await.good();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!((rows.len(), &rows[2][..2]), (3, &["sales", "1"][..]));
    assert_eq!(rows[1][4].split(',').count(), 3);
    let again = ottla_on(&cluster, "topics create sales").await.bad();
    assert!(
        again.starts_with("ottla: cannot create topic sales: "),
        "{again}"
    );
    assert_eq!(
        ottla_on(&cluster, "topics delete sales").await.good(),
        "deleted sales\n"
    );
    let gone = ottla_on(&cluster, "topics describe sales").await;
    assert_eq!(gone.bad(), "ottla: the cluster has no topic sales\n");
}

#[tokio::test]
async fn machines_get_json() {
    let cluster = cluster(2).await;
    let parse = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let list = parse(ottla_on(&cluster, "topics list --json").await.good());
    assert_eq!(
        (&list[0]["name"], &list[0]["partitions"]),
        (&json!("t"), &json!(2))
    );
    let topics = parse(ottla_on(&cluster, "topics describe --json").await.good());
    assert_eq!(topics[0]["partitions"][1]["partition"], json!(1));
    assert!(topics[0]["partitions"][1]["leader"].is_number());
    let created = parse(
        ottla_on(&cluster, "topics create n --partitions 1 --json")
            .await
            .good(),
    );
    assert_eq!(created, json!({ "created": ["n"] }));
}

#[tokio::test]
async fn what_works_is_done_and_what_does_not_is_said() {
    let cluster = cluster(1).await;
    let ended = ottla_on(&cluster, "topics delete t nonsense").await;
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "deleted t\n");
    assert!(ended.bad().contains("nonsense"));
}

#[tokio::test]
async fn a_name_that_is_said_twice_is_meant_once() {
    let cluster = cluster(1).await;
    let deleted = ottla_on(&cluster, "topics delete t t").await.good();
    assert_eq!(deleted, "deleted t\n");
}
