//! `ottla groups`.

use ottla_fake::{FakeCluster, Record};
use serde_json::{Value, json};

use crate::support::{cluster, ottla_on};

/// One broker, and two partitions with offsets 0 to 9, at times 1000 to 1090.
async fn filled() -> FakeCluster {
    let cluster = cluster(2).await;
    for partition in 0..2 {
        for n in 0..10 {
            let record = Record::of("v").timestamp(1_000 + n * 10);
            cluster.append("t", partition, [record]).await.unwrap();
        }
    }
    cluster
}

async fn reset(cluster: &FakeCluster, arguments: &str) -> Vec<Vec<String>> {
    let arguments = format!("groups reset-offsets g {arguments}");
    let table = ottla_on(cluster, &arguments).await.good();
    let row = |row: &str| row.split_whitespace().map(str::to_owned).collect();
    table.lines().map(row).collect()
}

async fn committed(cluster: &FakeCluster) -> Vec<((String, i32), i64)> {
    let committed = cluster.committed("g").await.unwrap().into_iter();
    committed
        .map(|(name, committed)| (name, committed.offset))
        .collect()
}

#[tokio::test]
async fn offsets_are_reset_to_where_it_is_said() {
    let cluster = filled().await;
    let t = |partition, offset| (("t".to_owned(), partition), offset);
    for (arguments, rows, now) in [
        (
            "-t t --to latest",
            ["t 0 - 10", "t 1 - 10"],
            [t(0, 10), t(1, 10)],
        ),
        (
            "-t t --to earliest",
            ["t 0 10 0", "t 1 10 0"],
            [t(0, 0), t(1, 0)],
        ),
        (
            "-t t:1,0 -t t:1 --to 7",
            ["t 0 0 7", "t 1 0 7"],
            [t(0, 7), t(1, 7)],
        ),
        (
            "-t t --to @1035",
            ["t 0 7 4", "t 1 7 4"],
            [t(0, 4), t(1, 4)],
        ),
        (
            "-t t --to @9999",
            ["t 0 4 10", "t 1 4 10"],
            [t(0, 10), t(1, 10)],
        ),
        ("-t t --to -3", ["t 0 10 7", "t 1 10 7"], [t(0, 7), t(1, 7)]),
        (
            "-t t --to +1 --dry-run",
            ["t 0 7 8", "t 1 7 8"],
            [t(0, 7), t(1, 7)],
        ),
        (
            "-t t --to +100",
            ["t 0 7 10", "t 1 7 10"],
            [t(0, 10), t(1, 10)],
        ),
        (
            "-t t --to current",
            ["t 0 10 10", "t 1 10 10"],
            [t(0, 10), t(1, 10)],
        ),
    ] {
        let table = reset(&cluster, arguments).await;
        assert_eq!(table[0], ["TOPIC", "PARTITION", "FROM", "TO"]);
        let said: Vec<_> = table[1..].iter().map(|row| row.join(" ")).collect();
        assert_eq!(said, rows, "{arguments}");
        assert_eq!(committed(&cluster).await, now, "{arguments}");
    }
    let table = reset(&cluster, "-t t:1 --to earliest").await;
    assert_eq!(table[1..], [["t", "1", "10", "0"]]);
    assert_eq!(committed(&cluster).await, [t(0, 10), t(1, 0)]);

    let json = ottla_on(&cluster, "groups reset-offsets g -t t:1 --to 3 --json").await;
    let json: Value = serde_json::from_str(&json.good()).unwrap();
    let offset = json!({ "topic": "t", "partition": 1, "from": 0, "to": 3 });
    assert_eq!(json, json!({ "group": "g", "offsets": [offset] }));
}

#[tokio::test]
async fn offsets_are_deleted_by_topic_and_partition() {
    let cluster = filled().await;
    reset(&cluster, "-t t --to 4").await;
    let arguments = "groups delete-offsets g -t t:1,7 -t nowhere";
    let table = ottla_on(&cluster, arguments).await.good();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows, [["TOPIC", "PARTITION", "DELETED"], ["t", "1", "4"]]);
    assert_eq!(committed(&cluster).await, [(("t".to_owned(), 0), 4)]);
    let json = ottla_on(&cluster, "groups delete-offsets g -t t --json").await;
    let json: Value = serde_json::from_str(&json.good()).unwrap();
    let deleted = json!([{ "topic": "t", "partition": 0, "offset": 4 }]);
    assert_eq!(json, json!({ "group": "g", "deleted": deleted }));
    assert_eq!(committed(&cluster).await, []);
}

#[tokio::test]
async fn what_makes_no_sense_resets_nothing() {
    let cluster = filled().await;
    for (arguments, said) in [
        ("-t nowhere --to latest", "the cluster has no topic nowhere"),
        (
            "-t t:2 --to latest",
            "topic t has 2 partitions, there is no partition 2",
        ),
        (
            "-t t --to 11",
            "position 11 of t-0 is out of range: the log holds 0 to 10",
        ),
        (
            "-t t --to +1",
            "t-0 has no committed offset and no reset policy",
        ),
    ] {
        let arguments = format!("groups reset-offsets g {arguments}");
        let ended = ottla_on(&cluster, &arguments).await.bad();
        assert_eq!(ended, format!("ottla: {said}\n"));
    }
    assert_eq!(committed(&cluster).await, []);
}
