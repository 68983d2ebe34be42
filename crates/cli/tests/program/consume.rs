//! `ottla consume`.

use std::collections::BTreeSet;

use ottla_fake::{FakeCluster, Record};
use serde_json::{Value, json};

use crate::support::{cluster, ottla_on, ottla_reading};

/// A cluster whose partition 0 holds so many records: `v0`, `v1`, …, with timestamps 1000, 1001, ….
async fn filled(records: i64) -> FakeCluster {
    let cluster = cluster(1).await;
    let record = |n: i64| Record::new(format!("k{n}"), format!("v{n}")).timestamp(1000 + n);
    cluster
        .append("t", 0, (0..records).map(record))
        .await
        .unwrap();
    cluster
}

async fn consumed(cluster: &FakeCluster, arguments: &str) -> String {
    ottla_on(cluster, &format!("consume -t t {arguments}"))
        .await
        .good()
}

#[tokio::test]
async fn what_was_produced_comes_back() {
    let cluster = cluster(6).await;
    let lines: Vec<String> = (0..30_000)
        .map(|n| format!("{n:05} and something more"))
        .collect();
    ottla_reading(&cluster, "produce -t t -z lz4", lines.join("\n").as_bytes())
        .await
        .good();
    let text = consumed(&cluster, "-e").await;
    let came: BTreeSet<&str> = text.lines().collect();
    assert_eq!(text.lines().count(), lines.len());
    assert_eq!(came, lines.iter().map(String::as_str).collect());
    let with_partition = consumed(&cluster, "-e -f %p,%o,%s\\n").await;
    let mut last: [(i64, String); 6] = std::array::from_fn(|_| (-1, String::new()));
    for line in with_partition.lines() {
        let mut parts = line.splitn(3, ',');
        let partition: usize = parts.next().unwrap().parse().unwrap();
        let offset: i64 = parts.next().unwrap().parse().unwrap();
        let value = parts.next().unwrap().to_owned();
        assert_eq!(offset, last[partition].0 + 1);
        assert!(
            value > last[partition].1,
            "the order of a partition is the order of sending"
        );
        last[partition] = (offset, value);
    }
}

#[tokio::test]
async fn every_way_to_say_where_to_start() {
    let cluster = filled(10).await;
    for (arguments, expected) in [
        ("-o beginning -c 2", "v0\nv1\n"),
        ("-o end -e", ""),
        ("-o 8 -e", "v8\nv9\n"),
        ("-o -3 -e", "v7\nv8\nv9\n"),
        ("-o -3 -c 1", "v7\n"),
        ("-o -99 -c 1", "v0\n"),
        ("-o s@1008 -e", "v8\nv9\n"),
        ("-o s@999999 -e", ""),
        ("-c 0", ""),
        ("-p 0 -o 9 -e", "v9\n"),
    ] {
        assert_eq!(consumed(&cluster, arguments).await, expected, "{arguments}");
    }
}

#[tokio::test]
async fn a_group_starts_where_it_has_committed() {
    let cluster = filled(5).await;
    let client = ottla::Client::builder()
        .bootstrap_servers(cluster.bootstrap_servers())
        .build()
        .unwrap();
    let consumer = client.consumer().group_id("g").build().unwrap();
    consumer.commit([(("t", 0).into(), 3)]).await.unwrap();
    assert_eq!(
        consumed(&cluster, "-o stored -e -X group.id=g").await,
        "v3\nv4\n"
    );
    let ended = ottla_on(&cluster, "consume -t t -o stored -e").await;
    assert!(ended.bad().contains("group"));
}

/// Who only looks at a topic with an application's properties leaves the application's place alone.
#[tokio::test]
async fn nothing_is_committed_without_membership() {
    let cluster = filled(5).await;
    for arguments in [
        "-e -X group.id=g",
        "-o 2 -c 1 -X group.id=g -X enable.auto.commit=true",
        "-p 0 -o stored -e -X group.id=g -X auto.offset.reset=earliest -X auto.commit.enable=true",
    ] {
        assert_ne!(consumed(&cluster, arguments).await, "");
        let committed = cluster.committed("g").await.unwrap();
        assert!(committed.is_empty(), "{arguments}: {committed:?}");
    }
}

#[tokio::test]
async fn the_end_is_a_position_and_not_a_record() {
    let cluster = filled(2).await;
    let mut transaction = cluster.begin_transaction().await.unwrap();
    transaction
        .append("t", 0, [Record::of("aborted")])
        .await
        .unwrap();
    transaction.abort().await.unwrap();
    assert_eq!(consumed(&cluster, "-e").await, "v0\nv1\naborted\n");
    assert_eq!(
        consumed(&cluster, "-e --isolation read_committed").await,
        "v0\nv1\n"
    );
    assert_eq!(
        consumed(&cluster, "-e -o -1").await,
        "",
        "the last offset is a marker"
    );
    assert_eq!(
        consumed(&cluster, "-e -o 2 --isolation read_committed").await,
        ""
    );
}

#[tokio::test]
async fn an_open_transaction_ends_what_is_committed() {
    let cluster = filled(1).await;
    let mut open = cluster.begin_transaction().await.unwrap();
    open.append("t", 0, [Record::of("open")]).await.unwrap();
    cluster
        .append("t", 0, [Record::of("behind")])
        .await
        .unwrap();
    assert_eq!(
        consumed(&cluster, "-e --isolation read_committed").await,
        "v0\n"
    );
    assert_eq!(consumed(&cluster, "-e").await, "v0\nopen\nbehind\n");
}

#[tokio::test]
async fn a_compacted_log_is_read_over_its_holes_to_its_end() {
    let cluster = cluster(1).await;
    cluster
        .set_topic_config("t", "cleanup.policy", "compact")
        .await
        .unwrap();
    for n in 0..50 {
        let keys = ["a", "b", "c"];
        let record = |key: &str| Record::new(key.to_owned(), format!("{key}{n}"));
        cluster.append("t", 0, keys.map(record)).await.unwrap();
    }
    cluster.compact("t").await.unwrap();
    let text = consumed(&cluster, "-e").await;
    assert!(text.ends_with("a49\nb49\nc49\n"), "{text}");
}

#[tokio::test]
async fn json_has_what_kcat_has() {
    let cluster = cluster(1).await;
    let record = Record::new("k", "v").timestamp(7).header("h", "x");
    cluster
        .append(
            "t",
            0,
            [record, Record::tombstone("k"), Record::of(&b"\xff"[..])],
        )
        .await
        .unwrap();
    let text = consumed(&cluster, "-J -e").await;
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines[0],
        json!({ "topic": "t", "partition": 0, "offset": 0, "tstype": "create", "ts": 7,
                "headers": ["h", "x"], "key": "k", "payload": "v" })
    );
    assert_eq!(lines[1]["payload"], Value::Null);
    assert_eq!(lines[2]["payload"], json!({ "base64": "/w==" }));
}

#[tokio::test]
async fn topics_by_list_and_by_pattern() {
    let cluster = FakeCluster::builder()
        .topic("ab1", 2)
        .topic("ab2", 1)
        .topic("c", 1)
        .start()
        .await
        .unwrap();
    for topic in ["ab1", "ab2", "c"] {
        cluster.append(topic, 0, [Record::of(topic)]).await.unwrap();
    }
    let run = async |arguments: &str| {
        let text = ottla_on(&cluster, arguments).await.good();
        text.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| name.to_string())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(run("consume -t ab1,c -e").await, set(&["ab1", "c"]));
    assert_eq!(run(r"consume -t ^ab\d$ -e").await, set(&["ab1", "ab2"]));
    let said = ottla_on(&cluster, "consume -t ^x -e").await.bad();
    assert_eq!(said, "ottla: no topic matches ^x\n");
    let said = ottla_on(&cluster, "consume -t ^( -e").await.failed(2);
    assert!(said.contains("is not a pattern"), "{said}");
}

#[tokio::test]
async fn topics_named_one_by_one_are_joined() {
    let cluster = topics(&["ab1", "ab2", "c", "d"]).await;
    for (arguments, expected) in [
        ("-t ab1 -t c", "ab1 c"),
        ("-t ab1,c -t c,,d", "ab1 c d"),
        ("-t ^ab -t c -t ab1", "ab1 ab2 c"),
    ] {
        let text = ottla_on(&cluster, &format!("consume {arguments} -e")).await;
        let text = text.good();
        let mut names: Vec<&str> = text.lines().collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), expected, "{arguments}");
    }
}

#[tokio::test]
async fn a_pattern_may_be_any_pattern() {
    let cluster = topics(&["ab1", "a.b-2", "C_3"]).await;
    for (pattern, expected) in [
        ("^.*$", "C_3 a.b-2 ab1"),
        ("^a.+", "a.b-2 ab1"),
        ("^[^a]", "C_3"),
        (r"^\D+\d$", "C_3 a.b-2 ab1"),
        (r"^\p{Lu}", "C_3"),
        (r"^\w+$", "C_3 ab1"),
        ("^(?i)A", "a.b-2 ab1"),
        (r"^\p{L}{1,2}1", "ab1"),
    ] {
        let text = ottla_on(&cluster, &format!("consume -t {pattern} -e")).await;
        let text = text.good();
        let mut names: Vec<&str> = text.lines().collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), expected, "{pattern}");
    }
}

/// A cluster with these topics; in each there is its own name.
async fn topics(names: &[&'static str]) -> FakeCluster {
    let mut builder = FakeCluster::builder();
    for name in names {
        builder = builder.topic(*name, 1);
    }
    let cluster = builder.start().await.unwrap();
    for name in names {
        cluster.append(name, 0, [Record::of(*name)]).await.unwrap();
    }
    cluster
}

#[tokio::test]
async fn an_offset_behind_the_end_is_out_of_range() {
    let cluster = filled(2).await;
    let mut open = cluster.begin_transaction().await.unwrap();
    open.append("t", 0, [Record::of("open")]).await.unwrap();
    for arguments in [
        "-o 4 -e",
        "-o 4 -c 1",
        "-o 5000 -e",
        "-o 5000 -e --isolation read_committed",
    ] {
        let said = ottla_on(&cluster, &format!("consume -t t {arguments}")).await;
        let said = said.bad();
        assert!(
            said.contains("out of range: the log holds 0 to 3"),
            "{arguments}: {said}"
        );
    }
    // The end itself is in range, and so is what a transaction still hides.
    assert_eq!(consumed(&cluster, "-o 3 -e").await, "");
    assert_eq!(
        consumed(&cluster, "-o 3 -e --isolation read_committed").await,
        ""
    );
}
