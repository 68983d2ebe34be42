//! A whole life on each release: everything that clients do, in the newest versions that both sides have.

use std::collections::BTreeMap;

use ottla::{
    Acks, Admin, AutoOffsetReset, Client, Compression, Header, IsolationLevel, NewTopic,
    OffsetAndMetadata, Record, StartFrom,
};
use ottla_codec::ApiKey;
use ottla_fake::{FakeCluster, Release};
use rstest::rstest;
use tokio::time::timeout;

use super::t0;
use crate::support::PATIENCE;
use crate::support::fake::client_of;

/// The versions in which a client asks: in the order of `Release::ALL`.
const ASKED: [(ApiKey, [i16; 4]); 13] = [
    (ApiKey::Produce, [7, 8, 9, 13]),
    (ApiKey::Fetch, [10, 11, 12, 18]),
    (ApiKey::ListOffsets, [4, 5, 7, 11]),
    (ApiKey::Metadata, [7, 9, 11, 13]),
    (ApiKey::OffsetCommit, [6, 8, 8, 9]),
    (ApiKey::OffsetFetch, [5, 6, 8, 9]),
    (ApiKey::FindCoordinator, [2, 3, 4, 6]),
    (ApiKey::CreateTopics, [3, 5, 7, 7]),
    (ApiKey::DeleteTopics, [3, 4, 6, 6]),
    (ApiKey::DeleteRecords, [1, 1, 2, 2]),
    (ApiKey::InitProducerId, [1, 2, 4, 5]),
    (ApiKey::OffsetForLeaderEpoch, [2, 3, 4, 4]),
    (ApiKey::CreatePartitions, [1, 1, 3, 3]),
];

#[rstest]
#[case(Release::V2_1, 0)]
#[case(Release::V2_4, 1)]
#[case(Release::V3_0, 2)]
#[case(Release::V4_3, 3)]
#[tokio::test(start_paused = true)]
async fn everything_works_in_the_newest_versions_there_are(
    #[case] release: Release,
    #[case] column: usize,
) {
    let cluster = FakeCluster::builder().brokers(3).release(release);
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = client_of(&cluster).build().unwrap();
    let admin = client.admin();
    let topic = NewTopic::new("t").partitions(1).replication_factor(3);
    admin.create_topic(topic).await.unwrap();
    grows(&admin).await;
    let written = produced(&client).await;
    let written = written + transactions(&cluster, written).await;
    consumed(&client, &cluster, written).await;
    commits(&client).await;
    let start = admin.delete_records([(t0(), 3)]).await;
    assert_eq!(start[&t0()].as_ref().unwrap(), &3);
    admin.delete_topics(["t"]).await.unwrap()["t"]
        .as_ref()
        .unwrap();

    assert_eq!(cluster.violations().await.unwrap(), []);
    let mut seen = BTreeMap::new();
    for request in cluster.requests().await.unwrap() {
        let (least, most) = seen.entry(request.api).or_insert((i16::MAX, i16::MIN));
        (*least, *most) = ((*least).min(request.version), (*most).max(request.version));
    }
    for (api, versions) in ASKED {
        let version = versions[column];
        assert_eq!(seen.get(&api), Some(&(version, version)), "{api:?}");
    }
}

async fn grows(admin: &Admin) {
    admin.create_partitions([("t", 2)]).await.unwrap()["t"]
        .as_ref()
        .unwrap();
    let described = admin.describe_topics(["t"]).await.unwrap();
    assert_eq!(described["t"].as_ref().unwrap().partitions.len(), 2);
    let listed = admin.list_topics().await.unwrap();
    assert_eq!((listed.len(), listed[0].partitions), (1, 2));
    assert_eq!(admin.describe_cluster().await.unwrap().brokers.len(), 3);
}

/// Produces with every codec, idempotent and not, to partition 0; how many records that were.
async fn produced(client: &Client) -> i64 {
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let headers = [Header::new("h", "v")];
    let mut written = 0;
    for codec in codecs {
        for (acks, idempotence) in [
            (Acks::All, true),
            (Acks::All, false),
            (Acks::Leader, false),
            (Acks::None, false),
        ] {
            let producer = client.producer().compression(codec).acks(acks);
            let producer = producer.idempotence(idempotence).build().unwrap();
            let value = written.to_string();
            let record = Record::to("t").partition(0).headers(&headers).value(&value);
            let metadata = producer.send(record).await.unwrap().await.unwrap();
            let offset = (acks != Acks::None).then_some(written);
            assert_eq!(metadata.offset, offset);
            written += 1;
            producer.close(PATIENCE).await.unwrap();
        }
    }
    written
}

/// Appends an aborted and a committed transaction, markers included; how many offsets they take.
async fn transactions(cluster: &FakeCluster, from: i64) -> i64 {
    for (value, commit) in [
        ("aborted".to_owned(), false),
        ((from + 2).to_string(), true),
    ] {
        let records = [ottla_fake::Record::of(value)];
        cluster
            .append_transaction("t", 0, records, commit)
            .await
            .unwrap();
    }
    4
}

/// Reads it all, before and after the leader has moved.
async fn consumed(client: &Client, cluster: &FakeCluster, end: i64) {
    let consumer = client.consumer();
    let consumer = consumer.isolation_level(IsolationLevel::ReadCommitted);
    let consumer = consumer.auto_offset_reset(AutoOffsetReset::None);
    let mut consumer = consumer.build().unwrap();
    consumer.assign([(t0(), StartFrom::Beginning)]).unwrap();
    let leader = cluster.partition("t", 0).await.unwrap().leader.unwrap();
    let mut values = Vec::new();
    let mut moved = false;
    while consumer.position(&t0()).await.unwrap() < end + 1 {
        if !moved && consumer.position(&t0()).await.unwrap() == end {
            let to = leader % 3 + 1;
            cluster.move_leader("t", 0, to).await.unwrap();
            let record = ottla_fake::Record::of(end.to_string());
            cluster.append("t", 0, [record]).await.unwrap();
            moved = true;
        }
        let batch = timeout(PATIENCE, consumer.next()).await.expect("something");
        let batch = batch.unwrap().unwrap();
        for record in batch.records() {
            let record = record.unwrap();
            assert_eq!(
                record.value().unwrap(),
                record.offset().to_string().as_bytes()
            );
            values.push(record.offset());
        }
    }
    // Without the aborted record and the two markers.
    let expected: Vec<i64> = (0..=end)
        .filter(|at| ![end - 4, end - 3, end - 1].contains(at))
        .collect();
    assert_eq!(values, expected);
    let ends = consumer.end_offsets([t0()]).await.unwrap();
    assert_eq!(ends[&t0()], end + 1);
    let found = consumer.offsets_for_times([(t0(), 0)]).await.unwrap();
    assert_eq!(found[&t0()].as_ref().map(|found| found.offset), Some(0));
}

async fn commits(client: &Client) {
    let consumer = client.consumer().group_id("g").build().unwrap();
    consumer.assign([(t0(), StartFrom::Committed)]).unwrap();
    let offset = OffsetAndMetadata {
        leader_epoch: Some(0),
        ..OffsetAndMetadata::new(3)
    };
    consumer.commit([(t0(), offset.clone())]).await.unwrap();
    let committed = consumer.committed([t0()]).await.unwrap();
    assert_eq!(committed[&t0()], offset);
}

/// Newest first, then what the broker says it has, or the oldest if it does not say (KIP-511).
#[rstest]
#[case(Release::V2_1, &[4, 0])]
#[case(Release::V2_4, &[4, 3])]
#[case(Release::V3_0, &[4, 3])]
#[case(Release::V4_3, &[4])]
#[tokio::test(start_paused = true)]
async fn versions_are_negotiated(#[case] release: Release, #[case] asked: &[i16]) {
    let cluster = FakeCluster::builder().release(release).topic("t", 1);
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = client_of(&cluster).build().unwrap();
    client.ready(PATIENCE).await.unwrap();
    let requests = cluster.requests().await.unwrap();
    let connection = requests[0].connection;
    let versions: Vec<i16> = requests
        .iter()
        .filter(|request| request.connection == connection)
        .filter(|request| request.api == ApiKey::ApiVersions)
        .map(|request| request.version)
        .collect();
    assert_eq!(versions, asked);
}
