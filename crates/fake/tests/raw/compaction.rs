//! Compaction and retention.

use std::time::Duration;

use ottla_codec::records::{BatchFields, Batches, Compression};
use ottla_fake::{FakeCluster, LoggedRecord, Record, TopicSpec};

use crate::client::Client;

async fn cluster() -> (FakeCluster, Client) {
    let topic = TopicSpec::new("t", 1)
        .config("cleanup.policy", "compact")
        .config("delete.retention.ms", "1000");
    let cluster = FakeCluster::builder()
        .topic_spec(topic)
        .start_in_memory()
        .await
        .unwrap();
    let client = Client::connect(&cluster, 1).await;
    (cluster, client)
}

fn kv(key: &'static str, value: &'static str) -> Record {
    Record::new(key, value)
}

fn offsets(log: &[LoggedRecord]) -> Vec<i64> {
    log.iter().map(|record| record.offset).collect()
}

#[tokio::test(start_paused = true)]
async fn the_newest_of_each_key_stays_where_it_was() {
    let (cluster, mut client) = cluster().await;
    cluster
        .append("t", 0, [kv("a", "1"), kv("b", "1"), kv("c", "1")])
        .await
        .unwrap();
    cluster.append("t", 0, [kv("a", "2")]).await.unwrap();
    cluster
        .append("t", 0, [kv("a", "3"), kv("c", "2").header("h", "v")])
        .await
        .unwrap();
    let done = cluster.compact("t").await.unwrap();
    assert_eq!(
        (
            done.records_removed,
            done.batches_removed,
            done.batches_emptied
        ),
        (3, 1, 0)
    );
    let log = cluster.log("t", 0).await.unwrap();
    assert_eq!(offsets(&log), [1, 4, 5]);
    assert_eq!(log[2].headers, [("h".to_owned(), Some("v".into()))]);
    // What is left of the first batch still spans offsets 0 to 2.
    let records = client.fetch("t", 0, 0).await.records.unwrap().to_bytes();
    let batches: Vec<_> = Batches::new(records).map(Result::unwrap).collect();
    assert_eq!(
        (
            batches[0].base_offset(),
            batches[0].last_offset(),
            batches[0].records_count()
        ),
        (0, 2, 1)
    );
    assert!(batches.iter().all(|batch| batch.verify_crc().is_ok()));
    assert_eq!(cluster.compact("t").await.unwrap().records_removed, 0);
}

#[tokio::test(start_paused = true)]
async fn an_emptied_batch_stays_for_its_producers_sequence() {
    let (cluster, mut client) = cluster().await;
    let id = client.producer_id().await;
    let mut builder = ottla_codec::records::BatchBuilder::new(1 << 16);
    builder
        .try_append(1, Some(b"k"), Some(b"v"), std::iter::empty())
        .unwrap();
    let fields = BatchFields {
        producer_id: id,
        producer_epoch: 0,
        base_sequence: 0,
        ..Default::default()
    };
    let mut none = ottla_codec::records::Compressor::new(Compression::None).unwrap();
    let batch = builder.seal(&fields, &mut none).unwrap().to_bytes();
    assert_eq!(client.produce("t", 0, batch).await.error_code, 0);
    cluster.append("t", 0, [kv("k", "2")]).await.unwrap();
    let done = cluster.compact("t").await.unwrap();
    assert_eq!(
        (
            done.records_removed,
            done.batches_removed,
            done.batches_emptied
        ),
        (1, 0, 1)
    );
    let records = client.fetch("t", 0, 0).await.records.unwrap().to_bytes();
    let batches: Vec<_> = Batches::new(records).map(Result::unwrap).collect();
    assert_eq!(
        (
            batches[0].base_offset(),
            batches[0].next_offset(),
            batches[0].records_count()
        ),
        (0, 1, 0)
    );
    let next = client
        .produce("t", 0, crate::client::sequenced(&["x"], id, 0, 1))
        .await;
    assert_eq!(
        next.error_code,
        ottla_codec::ErrorCode::InvalidRecord.code(),
        "keyless, but its sequence is right"
    );
}

#[tokio::test(start_paused = true)]
async fn tombstones_wait_for_their_horizon() {
    let (cluster, _) = cluster().await;
    cluster.append("t", 0, [kv("a", "1")]).await.unwrap();
    cluster
        .append(
            "t",
            0,
            [
                Record::tombstone("a").timestamp(123_456),
                kv("b", "1").timestamp(123_457),
            ],
        )
        .await
        .unwrap();
    cluster.append("t", 0, [kv("z", "1")]).await.unwrap();
    cluster.compact("t").await.unwrap();
    let log = cluster.log("t", 0).await.unwrap();
    assert_eq!(offsets(&log), [1, 2, 3]);
    assert_eq!(
        (log[0].timestamp, log[1].timestamp),
        (123_456, 123_457),
        "the horizon does not change timestamps"
    );
    tokio::time::sleep(Duration::from_millis(999)).await;
    assert_eq!(cluster.compact("t").await.unwrap().records_removed, 0);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(cluster.compact("t").await.unwrap().records_removed, 1);
    assert_eq!(offsets(&cluster.log("t", 0).await.unwrap()), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn aborted_records_go_and_open_transactions_hold_everything_up() {
    let (cluster, _) = cluster().await;
    cluster.append("t", 0, [kv("a", "1")]).await.unwrap();
    cluster
        .append_transaction("t", 0, [kv("a", "aborted")], false)
        .await
        .unwrap();
    let mut open = cluster.begin_transaction().await.unwrap();
    open.append("t", 0, [kv("b", "1")]).await.unwrap();
    cluster.append("t", 0, [kv("a", "2")]).await.unwrap();
    cluster.compact("t").await.unwrap();
    let log = cluster.log("t", 0).await.unwrap();
    assert_eq!(
        offsets(&log),
        [0, 2, 3, 4],
        "the aborted record is gone, its marker and what is not stable are there"
    );
    open.commit().await.unwrap();
    cluster.compact("t").await.unwrap();
    assert_eq!(offsets(&cluster.log("t", 0).await.unwrap()), [2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn compressed_batches_are_compacted_too() {
    let (cluster, mut client) = cluster().await;
    for compression in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut builder = ottla_codec::records::BatchBuilder::new(1 << 16);
        for key in [&b"same"[..], compression.name().as_bytes()] {
            builder
                .try_append(1, Some(key), Some(b"v"), std::iter::empty())
                .unwrap();
        }
        let mut compressor = ottla_codec::records::Compressor::new(compression).unwrap();
        let batch = builder
            .seal(&BatchFields::default(), &mut compressor)
            .unwrap()
            .to_bytes();
        assert_eq!(client.produce("t", 0, batch).await.error_code, 0);
    }
    assert_eq!(cluster.compact("t").await.unwrap().records_removed, 3);
    let keys: Vec<_> = cluster
        .log("t", 0)
        .await
        .unwrap()
        .into_iter()
        .map(|record| record.key.unwrap())
        .collect();
    assert_eq!(keys, ["gzip", "snappy", "lz4", "same", "zstd"]);
}

#[tokio::test(start_paused = true)]
async fn retention_deletes_whole_batches_but_never_the_last() {
    let topic = TopicSpec::new("r", 1).config("retention.ms", "1000");
    let cluster = FakeCluster::builder()
        .topic_spec(topic)
        .start_in_memory()
        .await
        .unwrap();
    cluster
        .append("r", 0, [Record::of("old"), Record::of("old")])
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.append("r", 0, [Record::of("new")]).await.unwrap();
    cluster.apply_retention("r").await.unwrap();
    assert_eq!(cluster.partition("r", 0).await.unwrap().log_start, 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.apply_retention("r").await.unwrap();
    assert_eq!(cluster.log("r", 0).await.unwrap().len(), 1);
}
