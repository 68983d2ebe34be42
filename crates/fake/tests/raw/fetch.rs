//! Fetch: limits, waiting, leader epochs, truncation, replicas, isolation.

use std::time::Duration;

use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::{ErrorCode, Uuid};
use ottla_fake::{FakeCluster, Record};
use tokio::time::Instant;

use crate::client::{Client, batch, cluster, fetch, wanted};

fn polling(offset: i64, min_bytes: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 500,
        min_bytes,
        ..fetch("t", 0, offset)
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_poll_waits_its_time() {
    let (_cluster, mut client) = cluster().await;
    let start = Instant::now();
    let answer = client.call(&polling(0, 1), 12).await;
    assert_eq!(start.elapsed(), Duration::from_millis(500));
    let partition = &answer.responses[0].partitions[0];
    assert_eq!((partition.error_code, partition.high_watermark), (0, 0));
    assert!(partition.records.as_ref().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_when_enough_bytes_are_there() {
    let (cluster, mut client) = cluster().await;
    let size = batch(&["a"]).len();
    client
        .send(&polling(0, i32::try_from(size + 1).unwrap()), 12)
        .await;
    while cluster.waiting_fetches(1).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    cluster.append("t", 0, [Record::of("a")]).await.unwrap();
    assert_eq!(
        cluster.waiting_fetches(1).await.unwrap(),
        1,
        "one byte is missing"
    );
    cluster.append("t", 0, [Record::of("b")]).await.unwrap();
    let (_, answer) = client.receive::<FetchRequest>(12).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(
        answer.responses[0].partitions[0]
            .records
            .as_ref()
            .unwrap()
            .len(),
        2 * size
    );
}

#[tokio::test(start_paused = true)]
async fn errors_and_leader_changes_end_a_poll() {
    let (cluster, mut client) = cluster().await;
    client.send(&polling(0, 1), 12).await;
    while cluster.waiting_fetches(1).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    cluster.move_leader("t", 0, 3).await.unwrap();
    cluster.append("t", 0, [Record::of("a")]).await.unwrap();
    let (_, answer) = client.receive::<FetchRequest>(12).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500));
    assert_eq!(
        answer.responses[0].partitions[0].error_code, 0,
        "followers serve reads since v11"
    );
    let older = client.call(&polling(0, 1), 10).await;
    assert_eq!(
        older.responses[0].partitions[0].error_code,
        ErrorCode::NotLeaderOrFollower.code()
    );
}

#[tokio::test(start_paused = true)]
async fn offsets_outside_the_log() {
    let (cluster, mut client) = cluster().await;
    for value in ["a", "b", "c"] {
        client.produce("t", 0, batch(&[value])).await;
    }
    assert!(cluster.delete_records("t", 0, 1).await.unwrap());
    let out_of_range = ErrorCode::OffsetOutOfRange.code();
    for (offset, error) in [
        (0, out_of_range),
        (1, 0),
        (3, 0),
        (4, out_of_range),
        (-1, out_of_range),
    ] {
        let partition = client.fetch("t", 0, offset).await;
        assert_eq!(partition.error_code, error, "offset {offset}");
        let bounds = (partition.high_watermark, partition.log_start_offset);
        assert_eq!(
            bounds,
            if error == 0 { (3, 1) } else { (-1, -1) },
            "offset {offset}"
        );
    }
    let unknown = client.fetch("nope", 0, 0).await;
    assert_eq!(
        unknown.error_code,
        ErrorCode::UnknownTopicOrPartition.code()
    );
}

#[tokio::test(start_paused = true)]
async fn byte_limits() {
    let (cluster, mut client) = cluster().await;
    for _ in 0..3 {
        cluster
            .append("t", 0, [Record::of("0123456789")])
            .await
            .unwrap();
    }
    cluster.move_leader("t", 1, 1).await.unwrap();
    cluster
        .append("t", 1, [Record::of("0123456789")])
        .await
        .unwrap();
    let size = batch(&["0123456789"]).len();
    let mut sizes = async |max_bytes: usize, partition_max_bytes: usize| {
        let mut request = fetch("t", 0, 0);
        request.max_bytes = i32::try_from(max_bytes).unwrap();
        request.topics[0].partitions = vec![wanted(0, 0), wanted(1, 0)];
        for partition in &mut request.topics[0].partitions {
            partition.partition_max_bytes = i32::try_from(partition_max_bytes).unwrap();
        }
        let answer = client.call(&request, 12).await;
        let partitions = answer.responses[0].partitions.iter();
        partitions
            .map(|partition| partition.records.as_ref().unwrap().len())
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(1 << 20, 1 << 20).await, [3 * size, size]);
    assert_eq!(
        sizes(1, 1).await,
        [size, 0],
        "at least one batch, and only one"
    );
    assert_eq!(
        sizes(1 << 20, size + 5).await,
        [size + 5, size],
        "an incomplete tail"
    );
    assert_eq!(sizes(2 * size, 1 << 20).await, [2 * size, 0]);
}

#[tokio::test(start_paused = true)]
async fn leader_epochs_are_checked() {
    let (cluster, mut client) = cluster().await;
    cluster.move_leader("t", 0, 2).await.unwrap();
    cluster.move_leader("t", 0, 1).await.unwrap();
    let mut with_epoch = async |epoch, version: i16| {
        let mut request = fetch("t", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let answer = client.call(&request, version).await;
        answer.responses[0].partitions[0].clone()
    };
    assert_eq!(with_epoch(2, 12).await.error_code, 0);
    assert_eq!(
        with_epoch(1, 12).await.error_code,
        ErrorCode::FencedLeaderEpoch.code()
    );
    assert_eq!(
        with_epoch(3, 12).await.error_code,
        ErrorCode::UnknownLeaderEpoch.code()
    );
}

#[tokio::test(start_paused = true)]
async fn hints_and_topic_ids() {
    let (cluster, _) = cluster().await;
    let id = topic_id(&cluster).await;
    let mut client = Client::connect(&cluster, 1).await;
    let mut request = fetch("", 1, 0);
    request.topics[0].topic_id = id;
    request.topics[0].partitions[0].current_leader_epoch = 0;
    cluster.move_leader("t", 1, 3).await.unwrap();
    let answer = client.call(&request, 16).await;
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::FencedLeaderEpoch.code());
    assert_eq!(
        (
            partition.current_leader.leader_id,
            partition.current_leader.leader_epoch
        ),
        (3, 1)
    );
    assert_eq!(answer.node_endpoints[0].host, "broker-3");

    cluster.recreate_topic("t").await.unwrap();
    let gone = client.call(&request, 18).await;
    assert_eq!(
        gone.responses[0].partitions[0].error_code,
        ErrorCode::UnknownTopicId.code()
    );
}

#[tokio::test(start_paused = true)]
async fn a_truncated_log_says_where_it_diverges() {
    let (cluster, _) = cluster().await;
    for value in ["a", "b", "c", "d"] {
        cluster.append("t", 0, [Record::of(value)]).await.unwrap();
    }
    cluster.elect_uncleanly("t", 0, 2, 2).await.unwrap();
    cluster.append("t", 0, [Record::of("x")]).await.unwrap();
    let info = cluster.partition("t", 0).await.unwrap();
    assert_eq!(
        (info.leader, info.leader_epoch, info.log_end),
        (Some(2), 1, 3)
    );
    let mut request = fetch("t", 0, 4);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let mut leader = Client::connect(&cluster, 2).await;
    for offset in [4, 3] {
        request.topics[0].partitions[0].fetch_offset = offset;
        let answer = leader.call(&request, 12).await;
        let partition = &answer.responses[0].partitions[0];
        assert_eq!((partition.error_code, partition.high_watermark), (0, 3));
        assert_eq!(
            (
                partition.diverging_epoch.epoch,
                partition.diverging_epoch.end_offset
            ),
            (0, 2)
        );
        assert!(partition.records.as_ref().unwrap().is_empty());
    }
    request.topics[0].partitions[0].fetch_offset = 2;
    assert_eq!(
        leader.call(&request, 12).await.responses[0].partitions[0]
            .diverging_epoch
            .end_offset,
        -1
    );
    request.topics[0].partitions[0].last_fetched_epoch = 7;
    let unknown_epoch = leader.call(&request, 12).await;
    let out_of_range = ErrorCode::OffsetOutOfRange.code();
    assert_eq!(
        unknown_epoch.responses[0].partitions[0].error_code,
        out_of_range
    );
}

#[tokio::test(start_paused = true)]
async fn consumers_are_sent_to_the_replica_in_their_rack() {
    let cluster = FakeCluster::builder()
        .brokers(3)
        .racks(["a", "b", "c"])
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    cluster
        .append("t", 0, [Record::of("a"), Record::of("b")])
        .await
        .unwrap();
    let mut leader = Client::connect(&cluster, 1).await;
    let in_rack = |rack: &str, offset| FetchRequest {
        rack_id: rack.to_owned(),
        ..fetch("t", 0, offset)
    };
    let answer = leader.call(&in_rack("c", 0), 12).await;
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(
        (partition.preferred_read_replica, partition.high_watermark),
        (3, 2)
    );
    assert!(partition.records.as_ref().unwrap().is_empty());
    for (rack, preferred) in [("a", -1), ("b", 2), ("z", -1), ("", -1)] {
        let answer = leader.call(&in_rack(rack, 0), 12).await;
        assert_eq!(
            answer.responses[0].partitions[0].preferred_read_replica, preferred,
            "rack {rack:?}"
        );
    }
    let mut follower = Client::connect(&cluster, 3).await;
    let answer = follower.call(&in_rack("c", 0), 12).await;
    assert!(
        !answer.responses[0].partitions[0]
            .records
            .as_ref()
            .unwrap()
            .is_empty()
    );

    cluster.append("t", 0, [Record::of("c")]).await.unwrap();
    cluster.hold_follower("t", 0, 3, Some(2)).await.unwrap();
    let answer = leader.call(&in_rack("c", 3), 12).await;
    assert_eq!(
        answer.responses[0].partitions[0].preferred_read_replica, -1,
        "it is not that far"
    );
    let behind = follower.call(&in_rack("c", 3), 12).await;
    assert_eq!(
        behind.responses[0].partitions[0].error_code,
        ErrorCode::OffsetOutOfRange.code()
    );
    cluster.stop_broker(3).await.unwrap();
    let answer = leader.call(&in_rack("c", 0), 12).await;
    assert_eq!(
        answer.responses[0].partitions[0].preferred_read_replica, -1,
        "it is down"
    );
}

#[tokio::test(start_paused = true)]
async fn read_committed_stops_at_open_transactions_and_names_aborted_ones() {
    let (cluster, mut client) = cluster().await;
    cluster.append("t", 0, [Record::of("0")]).await.unwrap();
    let aborted = cluster
        .append_transaction("t", 0, [Record::of("1"), Record::of("2")], false)
        .await
        .unwrap();
    let committed = cluster
        .append_transaction("t", 0, [Record::of("4")], true)
        .await
        .unwrap();
    assert_eq!((aborted, committed), (1, 4));
    let mut open = cluster.begin_transaction().await.unwrap();
    assert_eq!(open.append("t", 0, [Record::of("6")]).await.unwrap(), 6);
    assert_eq!(open.append("t", 0, [Record::of("7")]).await.unwrap(), 7);
    cluster.append("t", 0, [Record::of("8")]).await.unwrap();
    let mut read = async |isolation_level, offset| {
        let request = FetchRequest {
            isolation_level,
            ..fetch("t", 0, offset)
        };
        let answer = client.call(&request, 12).await;
        answer.responses[0].partitions[0].clone()
    };
    let uncommitted = read(0, 0).await;
    assert_eq!(
        (uncommitted.high_watermark, uncommitted.last_stable_offset),
        (9, 6)
    );
    assert_eq!(uncommitted.aborted_transactions, None);
    let stable = read(1, 0).await;
    let aborted = stable.aborted_transactions.unwrap();
    assert_eq!(
        aborted
            .iter()
            .map(|txn| txn.first_offset)
            .collect::<Vec<_>>(),
        [1]
    );
    assert!(stable.records.unwrap().len() < uncommitted.records.unwrap().len());
    let later = read(1, 4).await;
    assert_eq!(later.aborted_transactions.unwrap(), []);
    open.abort().await.unwrap();
    let after = read(1, 6).await;
    assert_eq!(
        (
            after.last_stable_offset,
            after.aborted_transactions.unwrap().len()
        ),
        (10, 1)
    );
    let markers: Vec<_> = cluster
        .log("t", 0)
        .await
        .unwrap()
        .iter()
        .map(|record| record.control)
        .collect();
    assert_eq!(markers.iter().flatten().count(), 3);
}

async fn topic_id(cluster: &FakeCluster) -> Uuid {
    use ottla_codec::messages::metadata::MetadataRequest;
    let mut client = Client::connect(cluster, 1).await;
    client
        .ask(&MetadataRequest {
            topics: None,
            ..Default::default()
        })
        .await
        .topics[0]
        .topic_id
}

#[tokio::test(start_paused = true)]
async fn an_unknown_partition_waits_with_the_others_and_comes_last() {
    let (_cluster, mut client) = cluster().await;
    let mut request = polling(0, 1);
    request.topics[0].partitions.insert(0, wanted(9, 0));
    let start = Instant::now();
    let answer = client.call(&request, 12).await;
    assert_eq!(start.elapsed(), Duration::from_millis(500));
    let partitions = answer.responses[0].partitions.iter();
    let seen: Vec<_> = partitions
        .map(|p| (p.partition_index, p.error_code))
        .collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(seen, [(0, 0), (9, unknown)]);
    request.topics[0].partitions.truncate(1);
    let start = Instant::now();
    client.call(&request, 12).await;
    assert_eq!(start.elapsed(), Duration::ZERO, "alone it does not wait");
}
