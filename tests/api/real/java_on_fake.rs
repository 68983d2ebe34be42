//! Java's console tools, of each release that the tests know, on the fake cluster.

use ottla_fake::{FakeCluster, Record};

use crate::support::real;

const TIME: i64 = 1_700_000_000_000;

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn the_fake_takes_what_javas_producer_writes_and_gives_it_back() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let cluster = FakeCluster::builder()
            .brokers(3)
            .topic("t", 1)
            .start()
            .await
            .unwrap();
        let servers = cluster.bootstrap_servers();
        let mut lines = String::new();
        let mut expected = Vec::new();
        let has_headers = real::console_producer_knows_headers_and_nulls();
        for n in 0..2_000 {
            if has_headers {
                lines += "a:1,a:2\t";
                expected.push(format!("a:1,a:2\tkey-{n}\tvalue-{n}"));
            } else {
                expected.push(format!("NO_HEADERS\tkey-{n}\tvalue-{n}"));
            }
            lines += &format!("key-{n}\tvalue-{n}\n");
        }
        if has_headers {
            lines += "NULL\ttombstone\tNULL\n";
            expected.push("NO_HEADERS\ttombstone\tnull".to_owned());
        }
        real::console_produce_to(&servers, "t", codec, lines).await;

        let log = cluster.log("t", 0).await.unwrap();
        assert_eq!(log.len(), expected.len(), "{codec}");
        assert!(log.iter().zip(0..).all(|(record, at)| record.offset == at));
        assert_eq!(log[7].key.as_deref(), Some(&b"key-7"[..]));
        assert_eq!(log[7].value.as_deref(), Some(&b"value-7"[..]));

        let read = real::console_consume_from(&servers, "t", expected.len(), &[]).await;
        let expected = expected.into_iter().zip(&log).map(|(rest, record)| {
            let (time, offset) = (record.timestamp, record.offset);
            format!("CreateTime:{time}\tOffset:{offset}\t{rest}")
        });
        assert!(read.iter().cloned().eq(expected), "{codec}");
        assert_eq!(cluster.violations().await.unwrap(), [], "{codec}");
    }
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
