//! Groups whose coordinator moves, loads, goes down and comes back.

use std::time::Duration;

use bytes::Bytes;
use ottla_codec::ErrorCode;
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::list_groups::ListGroupsRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use ottla_fake::{FakeCluster, GroupState};
use tokio::time::{Instant, advance, sleep, timeout};

use super::member::{Member, SESSION, assignment, cluster, stabilize, start};
use crate::client::Client;

const LOAD_TIME: Duration = Duration::from_secs(2);

async fn found(client: &mut Client) -> Result<i32, ErrorCode> {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["g".to_owned()],
        ..Default::default()
    };
    let answer = client.ask(&request).await.coordinators.remove(0);
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => Ok(answer.node_id),
        error => Err(error),
    }
}

async fn fetched(client: &mut Client) -> Result<i64, ErrorCode> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = client.call(&request, 9).await.groups.remove(0);
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => Ok(answer.topics[0].partitions[0].committed_offset),
        error => Err(error),
    }
}

#[tokio::test(start_paused = true)]
async fn a_generation_survives_a_move() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    assert_eq!(member.commit(0, 7).await, ErrorCode::None);
    advance(SESSION / 2).await;
    cluster
        .move_coordinator_slowly("g", 2, LOAD_TIME)
        .await
        .unwrap();
    assert_eq!(found(&mut member.client).await, Ok(2));
    assert_eq!(member.heartbeat().await, ErrorCode::NotCoordinator);
    assert_eq!(
        fetched(&mut member.client).await,
        Err(ErrorCode::NotCoordinator)
    );

    member.client = Client::connect(&cluster, 2).await;
    let loading = ErrorCode::CoordinatorLoadInProgress;
    assert_eq!(member.commit(0, 8).await, loading);
    assert_eq!(member.sync(&[]).await.error_code, loading.code());
    assert_eq!(member.join().await.error_code, loading.code());
    assert_eq!(fetched(&mut member.client).await, Err(loading));
    let listed = member.client.ask(&ListGroupsRequest::default()).await;
    assert_eq!(listed.error_code, loading.code());
    assert_eq!(
        member.heartbeat().await,
        ErrorCode::None,
        "nobody is alarmed"
    );
    assert!(cluster.group("g").await.unwrap().unwrap().is_loading);

    advance(LOAD_TIME).await;
    // The session begins anew when the group has been loaded.
    advance(SESSION - Duration::from_millis(1)).await;
    assert_eq!(member.heartbeat().await, ErrorCode::None);
    assert_eq!(fetched(&mut member.client).await, Ok(7));
    assert_eq!(member.sync(&[]).await.assignment, assignment(&[0]));
    advance(SESSION).await;
    assert_eq!(member.heartbeat().await, ErrorCode::UnknownMemberId);
    let listed = member.client.ask(&ListGroupsRequest::default()).await;
    assert_eq!(listed.groups.len(), 1);
    assert_eq!(listed.groups[0].group_state, "Empty");
}

#[tokio::test(start_paused = true)]
async fn a_busy_coordinator_serves_what_it_has_received_in_the_order_of_its_coming() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    let second = Duration::from_secs(1);
    let began = Instant::now();
    cluster.on::<OffsetCommitRequest>().stall(3 * second);
    assert!(timeout(second, member.commit(0, 7)).await.is_err());
    // Its connection has gone when its time comes.
    member.client = Client::connect(&cluster, 1).await;
    assert_eq!(fetched(&mut member.client).await, Ok(7));
    assert_eq!(began.elapsed(), 3 * second);
    // Who hands a group over has nothing more to do for it.
    cluster.on::<OffsetCommitRequest>().stall(3 * second);
    let moves = async {
        sleep(second).await;
        cluster.move_coordinator("g", 2).await.unwrap();
    };
    let (refused, ()) = tokio::join!(member.commit(0, 8), moves);
    assert_eq!(refused, ErrorCode::NotCoordinator);
    assert_eq!(began.elapsed(), 4 * second);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_assigned_is_taken_back() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    assert!(timeout(SESSION / 2, two.joined()).await.is_err());
    // A join that waits is sent elsewhere.
    cluster.move_coordinator("g", 2).await.unwrap();
    let sent = two.joined().await;
    assert_eq!(sent.error_code, ErrorCode::NotCoordinator.code());
    cluster.move_coordinator("g", 1).await.unwrap();
    assert_eq!(one.heartbeat().await, ErrorCode::None);
    let unknown = two.join().await;
    assert_eq!(unknown.error_code, ErrorCode::UnknownMemberId.code());

    two.id.clear();
    two.send_join().await;
    one.join().await;
    two.joined().await;
    two.send_sync(&[]).await;
    assert!(timeout(SESSION / 2, two.synced()).await.is_err());
    cluster.move_coordinator("g", 3).await.unwrap();
    let sent = two.synced().await;
    assert_eq!(sent.error_code, ErrorCode::NotCoordinator.code());
    let group = cluster.group("g").await.unwrap().unwrap();
    assert_eq!((group.state, group.generation), (GroupState::Stable, 1));
    assert_eq!(group.coordinator, Some(3));
    let known: Vec<&String> = group.members.keys().collect();
    assert_eq!(known, [&one.id], "the newer generation was never written");
    one.client = Client::connect(&cluster, 3).await;
    assert_eq!(one.heartbeat().await, ErrorCode::IllegalGeneration);
    assert_eq!(one.join().await.generation_id, 2);
}

#[tokio::test(start_paused = true)]
async fn every_move_takes_its_own_time() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    member.protocols.push(("sticky", Bytes::new()));
    stabilize(&mut [(&mut member, &[0])]).await;
    for broker in [2, 3] {
        let moved = cluster.move_coordinator_slowly("g", broker, LOAD_TIME);
        moved.await.unwrap();
        advance(LOAD_TIME * 3 / 4).await;
        assert!(cluster.group("g").await.unwrap().unwrap().is_loading);
    }
    advance(LOAD_TIME / 4 + Duration::from_millis(1)).await;
    let group = cluster.group("g").await.unwrap().unwrap();
    assert!(!group.is_loading);
    // What was not chosen is not written down.
    assert_eq!(group.members[&member.id].protocols, ["range"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_left_before_a_move_is_back_until_it_expires() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    one.join().await;
    two.joined().await;
    let id = one.id.clone();
    two.send_sync(&[]).await;
    one.sync(&[(&id, assignment(&[0]))]).await;
    two.synced().await;
    assert_eq!(two.leave().await, ErrorCode::None);
    cluster.move_coordinator("g", 2).await.unwrap();
    one.client = Client::connect(&cluster, 2).await;
    assert_eq!(one.heartbeat().await, ErrorCode::None);
    advance(SESSION - Duration::from_millis(1)).await;
    assert_eq!(one.heartbeat().await, ErrorCode::None);
    advance(Duration::from_millis(1)).await;
    assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
    assert_eq!(one.join().await.members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_static_member_survives_a_move() {
    let cluster = cluster().await;
    let mut member = Member::fixed(&cluster, "one").await;
    stabilize(&mut [(&mut member, &[0])]).await;
    let mut again = Member::fixed(&cluster, "one").await;
    again.join().await;
    cluster.move_coordinator("g", 2).await.unwrap();
    for client in [&mut member.client, &mut again.client] {
        *client = Client::connect(&cluster, 2).await;
    }
    assert_eq!(member.heartbeat().await, ErrorCode::FencedInstanceId);
    assert_eq!(again.sync(&[]).await.assignment, assignment(&[0]));
}

#[tokio::test(start_paused = true)]
async fn a_group_goes_where_a_broker_is_and_comes_back() {
    let builder = FakeCluster::builder().group_load_time(LOAD_TIME);
    let builder = builder.initial_rebalance_delay(Duration::ZERO).brokers(2);
    let cluster = builder.topic("t", 3).start_in_memory().await.unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let home = found(&mut client).await.unwrap();
    let other = 3 - home;
    let mut member = Member::new(&cluster).await;
    member.client = Client::connect(&cluster, home).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    cluster.kill_broker(home).await.unwrap();
    member.client = Client::connect(&cluster, other).await;
    assert_eq!(found(&mut member.client).await, Ok(other));
    let loading = ErrorCode::CoordinatorLoadInProgress;
    assert_eq!(member.commit(0, 1).await, loading);
    advance(LOAD_TIME).await;
    assert_eq!(member.commit(0, 1).await, ErrorCode::None);
    cluster.start_broker(home).await.unwrap();
    assert_eq!(member.commit(0, 2).await, ErrorCode::NotCoordinator);
    advance(LOAD_TIME).await;
    member.client = Client::connect(&cluster, home).await;
    assert_eq!(member.commit(0, 3).await, ErrorCode::None);
    assert_eq!(fetched(&mut member.client).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn nothing_expires_while_nobody_coordinates() {
    let cluster = start(FakeCluster::builder()).await;
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    cluster.kill_broker(1).await.unwrap();
    let mut client = Client::connect(&cluster, 2).await;
    let gone = found(&mut client).await;
    assert_eq!(gone, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(cluster.group("g").await.unwrap().unwrap().coordinator, None);
    advance(10 * SESSION).await;
    cluster.start_broker(1).await.unwrap();
    member.client = Client::connect(&cluster, 1).await;
    assert_eq!(member.heartbeat().await, ErrorCode::None);
}
