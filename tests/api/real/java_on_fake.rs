//! Java's console tools, of each release that the tests know, on the fake cluster.

use ottla_fake::{FakeCluster, LoggedRecord, Record};

use crate::support::real;

const TIME: i64 = 1_700_000_000_000;

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn the_fake_takes_what_javas_producer_writes_and_gives_it_back() {
    let records = || (0..2_000).map(|n| format!("key-{n}\tvalue-{n}"));
    let lines: String = records().map(|record| record + "\n").collect();
    let printed: Vec<_> = records()
        .map(|record| format!("NO_HEADERS\t{record}"))
        .collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let log = assert_kept(codec, &lines, &[], &printed).await;
        assert_eq!(log[7].key.as_deref(), Some(&b"key-7"[..]));
        assert_eq!(log[7].value.as_deref(), Some(&b"value-7"[..]));
    }
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn the_fake_takes_headers_and_nulls_of_javas_producer_and_gives_them_back() {
    let lines = "a:1,a:2\tkey\tvalue\nNULL\ttombstone\tNULL\n";
    let printed = ["a:1,a:2\tkey\tvalue", "NO_HEADERS\ttombstone\tnull"].map(String::from);
    let log = assert_kept("lz4", lines, real::HEADERS_AND_NULLS, &printed).await;
    assert_eq!(log[1].value, None);
}

/// What Java's producer writes of these lines is printed like this by its consumer; the log.
async fn assert_kept(
    codec: &str,
    lines: &str,
    more: &[&str],
    printed: &[String],
) -> Vec<LoggedRecord> {
    let cluster = FakeCluster::builder().brokers(3).topic("t", 1);
    let cluster = cluster.start().await.unwrap();
    let servers = cluster.bootstrap_servers();
    real::console_produce_to(&servers, "t", codec, lines.to_owned(), more).await;

    let log = cluster.log("t", 0).await.unwrap();
    assert_eq!(log.len(), printed.len(), "{codec}");
    assert!(log.iter().zip(0..).all(|(record, at)| record.offset == at));

    let read = real::console_consume_from(&servers, "t", printed.len(), &[]).await;
    let expected = printed.iter().zip(&log).map(|(rest, record)| {
        let (time, offset) = (record.timestamp, record.offset);
        format!("CreateTime:{time}\tOffset:{offset}\t{rest}")
    });
    assert!(read.iter().cloned().eq(expected), "{codec}");
    assert_eq!(cluster.violations().await.unwrap(), [], "{codec}");
    log
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn java_reads_on_through_a_leaders_move_and_a_transaction() {
    let cluster = FakeCluster::builder()
        .brokers(3)
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let record = |value: &'static str| Record::new("k", value).timestamp(TIME);
    cluster.append("t", 0, [record("first")]).await.unwrap();
    cluster
        .append_transaction("t", 0, [record("aborted")], false)
        .await
        .unwrap();
    cluster
        .append_transaction("t", 0, [record("committed")], true)
        .await
        .unwrap();
    let leader = cluster.partition("t", 0).await.unwrap().leader.unwrap();
    cluster.move_leader("t", 0, leader % 3 + 1).await.unwrap();
    cluster.append("t", 0, [record("last")]).await.unwrap();

    let servers = cluster.bootstrap_servers();
    let committed = ["--isolation-level", "read_committed"];
    let read = real::console_consume_from(&servers, "t", 3, &committed).await;
    let line = |offset: i64, value: &str| {
        format!("CreateTime:{TIME}\tOffset:{offset}\tNO_HEADERS\tk\t{value}")
    };
    assert_eq!(
        read,
        [line(0, "first"), line(3, "committed"), line(5, "last")]
    );
    assert_eq!(cluster.violations().await.unwrap(), []);
}
