//! Brokers that go and come, leaders that move, metadata that is old.

use std::time::Duration;

use ottla_codec::ErrorCode;
use ottla_codec::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponsePartition,
};
use ottla_fake::{FakeCluster, FakeError, Record};
use tokio::io::AsyncReadExt;

use crate::client::{Client, batch, fetch, produce};

async fn metadata(client: &mut Client) -> MetadataResponse {
    client
        .ask(&MetadataRequest {
            topics: None,
            ..Default::default()
        })
        .await
}

async fn partition(client: &mut Client) -> MetadataResponsePartition {
    metadata(client).await.topics[0].partitions[0].clone()
}

async fn cluster() -> (FakeCluster, Client) {
    let cluster = FakeCluster::builder()
        .brokers(3)
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    let client = Client::connect(&cluster, 2).await;
    (cluster, client)
}

#[tokio::test(start_paused = true)]
async fn a_killed_broker_breaks_its_connections_and_loses_its_leadership() {
    let (cluster, mut client) = cluster().await;
    let mut doomed = Client::connect(&cluster, 1).await;
    doomed.produce("t", 0, batch(&["a"])).await;
    doomed
        .send(
            &ottla_codec::messages::fetch::FetchRequest {
                max_wait_ms: 500,
                min_bytes: 1,
                ..fetch("t", 0, 1)
            },
            12,
        )
        .await;
    while cluster.waiting_fetches(1).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    cluster.kill_broker(1).await.unwrap();
    assert!(doomed.frame().await.is_err());
    let (host, port) = cluster.address(1).unwrap();
    let refused = cluster.connect(host, port).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    let seen = metadata(&mut client).await;
    assert_eq!(
        seen.brokers
            .iter()
            .map(|broker| broker.node_id)
            .collect::<Vec<_>>(),
        [2, 3]
    );
    let now = partition(&mut client).await;
    assert_eq!((now.leader_id, now.leader_epoch), (2, 1));
    assert_eq!(
        (now.isr_nodes.as_slice(), now.offline_replicas.as_slice()),
        (&[2, 3][..], &[1][..])
    );
    assert_eq!(
        client.produce("t", 0, batch(&["b"])).await.base_offset,
        1,
        "nothing is lost"
    );

    cluster.start_broker(1).await.unwrap();
    let now = partition(&mut client).await;
    assert_eq!(
        (now.leader_id, now.leader_epoch, now.isr_nodes.len()),
        (2, 1, 3)
    );
    let mut back = Client::connect(&cluster, 1).await;
    assert_eq!(
        back.produce("t", 0, batch(&["c"])).await.error_code,
        ErrorCode::NotLeaderOrFollower.code()
    );
}

#[tokio::test(start_paused = true)]
async fn without_an_in_sync_replica_there_is_no_leader() {
    let cluster = FakeCluster::builder()
        .brokers(2)
        .replication(1)
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 2).await;
    cluster.append("t", 0, [Record::of("a")]).await.unwrap();
    cluster.stop_broker(1).await.unwrap();
    let now = partition(&mut client).await;
    assert_eq!(
        (now.error_code, now.leader_id),
        (ErrorCode::LeaderNotAvailable.code(), -1)
    );
    cluster.start_broker(1).await.unwrap();
    let now = partition(&mut client).await;
    assert_eq!((now.error_code, now.leader_id, now.leader_epoch), (0, 1, 2));
    assert_eq!(cluster.log("t", 0).await.unwrap().len(), 1, "state is kept");
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_may_need_a_moment() {
    let (cluster, mut client) = cluster().await;
    cluster
        .move_leader_slowly("t", 0, 2, Duration::from_millis(200))
        .await
        .unwrap();
    assert_eq!(partition(&mut client).await.leader_id, 2);
    let mut old = Client::connect(&cluster, 1).await;
    let refused = old.call(&produce("t", 0, -1, batch(&["a"])), 12).await;
    let refused = &refused.responses[0].partition_responses[0];
    assert_eq!(
        (refused.error_code, refused.current_leader.leader_id),
        (ErrorCode::NotLeaderOrFollower.code(), 2)
    );
    let not_ready = client.call(&produce("t", 0, -1, batch(&["a"])), 12).await;
    let not_ready = &not_ready.responses[0].partition_responses[0];
    assert_eq!(not_ready.error_code, ErrorCode::NotLeaderOrFollower.code());
    assert_eq!(
        (
            not_ready.current_leader.leader_id,
            not_ready.current_leader.leader_epoch
        ),
        (1, 0),
        "its old belief"
    );
    let mut knowing = fetch("t", 0, 0);
    knowing.topics[0].partitions[0].current_leader_epoch = 1;
    let answer = client.call(&knowing, 12).await;
    assert_eq!(
        answer.responses[0].partitions[0].error_code,
        ErrorCode::UnknownLeaderEpoch.code()
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.produce("t", 0, batch(&["a"])).await.error_code, 0);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_broker_tells_of_the_past() {
    let (cluster, mut client) = cluster().await;
    cluster.freeze_metadata(2).await.unwrap();
    cluster.move_leader("t", 0, 3).await.unwrap();
    let seen = partition(&mut client).await;
    assert_eq!((seen.leader_id, seen.leader_epoch), (1, 0));
    let mut other = Client::connect(&cluster, 3).await;
    assert_eq!(partition(&mut other).await.leader_id, 3);
    cluster.thaw_metadata(2).await.unwrap();
    assert_eq!(partition(&mut client).await.leader_id, 3);
}

#[tokio::test(start_paused = true)]
async fn an_unclean_leader_loses_records_and_rewinds_producers() {
    let (cluster, mut client) = cluster().await;
    let id = client.producer_id().await;
    let mut leader = Client::connect(&cluster, 1).await;
    for sequence in 0..4 {
        leader
            .produce("t", 0, crate::client::sequenced(&["v"], id, 0, sequence))
            .await;
    }
    cluster.elect_uncleanly("t", 0, 2, 2).await.unwrap();
    assert_eq!(cluster.log("t", 0).await.unwrap().len(), 2);
    let gap = client
        .produce("t", 0, crate::client::sequenced(&["v"], id, 0, 4))
        .await;
    assert_eq!(gap.error_code, ErrorCode::OutOfOrderSequenceNumber.code());
    let next = client
        .produce("t", 0, crate::client::sequenced(&["v"], id, 0, 2))
        .await;
    assert_eq!((next.error_code, next.base_offset), (0, 2));
    assert_eq!(cluster.partition("t", 0).await.unwrap().isr, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn mistakes_of_the_test_are_errors() {
    let (cluster, _) = cluster().await;
    assert!(matches!(
        cluster.kill_broker(9).await,
        Err(FakeError::UnknownBroker { broker: 9 })
    ));
    assert!(matches!(
        cluster.log("nope", 0).await,
        Err(FakeError::UnknownTopic { .. })
    ));
    assert!(matches!(
        cluster.log("t", 5).await,
        Err(FakeError::UnknownPartition { partition: 5, .. })
    ));
    cluster.stop_broker(3).await.unwrap();
    assert!(matches!(
        cluster.move_leader("t", 0, 3).await,
        Err(FakeError::BrokerDown { broker: 3 })
    ));
    cluster.shutdown();
    tokio::task::yield_now().await;
    assert!(matches!(cluster.requests().await, Err(FakeError::Stopped)));
    let (host, port) = cluster.address(1).unwrap();
    assert!(cluster.connect(host, port).await.is_err());
}

#[tokio::test]
async fn a_tcp_broker_comes_back_on_its_port() {
    let cluster = FakeCluster::builder().brokers(1).start().await.unwrap();
    let (host, port) = cluster.address(1).unwrap();
    let mut stream = tokio::net::TcpStream::connect((host, port)).await.unwrap();
    // The connection counts once it is accepted.
    while cluster.connections(1).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    cluster.kill_broker(1).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    while tokio::net::TcpStream::connect((host, port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    cluster.start_broker(1).await.unwrap();
    assert!(tokio::net::TcpStream::connect((host, port)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn cut_connections_leave_the_broker_up() {
    let (cluster, mut client) = cluster().await;
    metadata(&mut client).await;
    cluster.cut_connections(2).await.unwrap();
    assert!(client.frame().await.is_err());
    let mut client = Client::connect(&cluster, 2).await;
    assert_eq!(metadata(&mut client).await.brokers.len(), 3);
    assert_eq!(
        (
            cluster.connections(2).await.unwrap(),
            cluster.connections_accepted(2).await.unwrap()
        ),
        (1, 2)
    );
}
