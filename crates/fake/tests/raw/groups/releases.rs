//! What older releases did otherwise.

use std::time::Duration;

use bytes::Bytes;
use ottla_codec::ErrorCode;
use ottla_fake::{FakeCluster, GroupState, Release};
use tokio::time::{advance, timeout};

use super::member::{Member, REBALANCE, SESSION, assignment, stabilize, start};
use crate::client::Client;

const LOAD_TIME: Duration = Duration::from_secs(2);

async fn cluster(release: Release) -> FakeCluster {
    let builder = FakeCluster::builder().release(release);
    start(builder.initial_rebalance_delay(Duration::ZERO)).await
}

async fn member(cluster: &FakeCluster, release: Release) -> Member {
    Member::new(cluster).await.of_release(release)
}

async fn fixed(cluster: &FakeCluster, release: Release, instance_id: &str) -> Member {
    let member = Member::fixed(cluster, instance_id).await;
    member.of_release(release)
}

#[tokio::test(start_paused = true)]
async fn a_member_lives_and_goes() {
    for (release, before_sync) in [
        (Release::V2_1, ErrorCode::RebalanceInProgress),
        (Release::V2_4, ErrorCode::RebalanceInProgress),
        (Release::V3_0, ErrorCode::None),
        (Release::V4_3, ErrorCode::None),
    ] {
        let cluster = cluster(release).await;
        let (mut one, mut two) = (
            member(&cluster, release).await,
            member(&cluster, release).await,
        );
        stabilize(&mut [(&mut one, &[0])]).await;
        two.send_join().await;
        assert!(timeout(SESSION / 2, two.joined()).await.is_err());
        assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
        one.join().await;
        two.joined().await;
        assert_eq!(one.heartbeat().await, before_sync);
        assert_eq!(one.commit(0, 1).await, ErrorCode::RebalanceInProgress);
        let id = two.id.clone();
        assert_eq!(one.sync(&[(&id, assignment(&[1]))]).await.error_code, 0);
        assert_eq!(two.sync(&[]).await.assignment, assignment(&[1]));
        assert_eq!(two.commit(1, 7).await, ErrorCode::None);
        assert_eq!(one.leave().await, ErrorCode::None);
        assert_eq!(one.leave().await, ErrorCode::UnknownMemberId);
        assert_eq!(two.heartbeat().await, ErrorCode::RebalanceInProgress);
        assert_eq!(two.join().await.members.len(), 1);
        assert_eq!(cluster.violations().await.unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sync_while_the_group_is_loaded() {
    for (release, error) in [
        (Release::V2_1, ErrorCode::RebalanceInProgress),
        (Release::V3_0, ErrorCode::RebalanceInProgress),
        (Release::V4_3, ErrorCode::CoordinatorLoadInProgress),
    ] {
        let cluster = cluster(release).await;
        let mut member = member(&cluster, release).await;
        stabilize(&mut [(&mut member, &[0])]).await;
        let moved = cluster.move_coordinator_slowly("g", 2, LOAD_TIME).await;
        moved.unwrap();
        member.client = Client::connect(&cluster, 2).await;
        assert_eq!(member.sync(&[]).await.error_code, error.code());
        assert_eq!(member.heartbeat().await, ErrorCode::None);
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_syncs_stays_before_3_0() {
    for (release, after) in [
        (Release::V2_4, ErrorCode::None),
        (Release::V3_0, ErrorCode::RebalanceInProgress),
    ] {
        let cluster = cluster(release).await;
        let (mut one, mut two) = (
            member(&cluster, release).await,
            member(&cluster, release).await,
        );
        stabilize(&mut [(&mut one, &[0])]).await;
        two.send_join().await;
        one.join().await;
        two.joined().await;
        one.sync(&[]).await;
        let mut alive = Duration::ZERO;
        while alive < REBALANCE {
            for member in [&mut one, &mut two] {
                assert_eq!(member.heartbeat().await, ErrorCode::None);
            }
            advance(SESSION / 2).await;
            alive += SESSION / 2;
        }
        assert_eq!(one.heartbeat().await, after);
    }
}

#[tokio::test(start_paused = true)]
async fn joins_of_clients_that_went_away_end_since_2_2() {
    for (release, left) in [(Release::V2_1, 2), (Release::V2_4, 1)] {
        let cluster = cluster(release).await;
        let mut one = member(&cluster, release).await;
        one.rebalance_timeout = Duration::from_secs(20 * 60);
        stabilize(&mut [(&mut one, &[0])]).await;
        let mut gone = member(&cluster, release).await;
        gone.send_join().await;
        assert!(timeout(SESSION / 2, gone.joined()).await.is_err());
        drop(gone);
        // The other one takes long to join, but is alive.
        let mut alive = Duration::ZERO;
        while alive < Duration::from_secs(5 * 60) {
            assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
            advance(SESSION / 2).await;
            alive += SESSION / 2;
        }
        let group = cluster.group("g").await.unwrap().unwrap();
        assert_eq!(group.state, GroupState::PreparingRebalance);
        assert_eq!(group.members.len(), left, "{release}");
    }
}

#[tokio::test(start_paused = true)]
async fn static_members_that_come_back_before_the_sync() {
    for (release, after) in [
        (Release::V2_4, ErrorCode::None),
        (Release::V3_0, ErrorCode::RebalanceInProgress),
    ] {
        let cluster = cluster(release).await;
        let mut one = fixed(&cluster, release, "one").await;
        let mut two = fixed(&cluster, release, "two").await;
        stabilize(&mut [(&mut one, &[0])]).await;
        two.send_join().await;
        one.join().await;
        two.joined().await;
        let mut again = fixed(&cluster, release, "two").await;
        again.send_join().await;
        let joined = timeout(SESSION / 2, again.joined()).await;
        assert_eq!(joined.is_ok(), after == ErrorCode::None);
        let synced = one.sync(&[]).await;
        assert_eq!(synced.error_code, after.code());
    }
}

#[tokio::test(start_paused = true)]
async fn static_members_that_come_back_with_another_protocol() {
    for (release, generation) in [(Release::V2_4, 1), (Release::V3_0, 2)] {
        let cluster = cluster(release).await;
        let mut one = fixed(&cluster, release, "one").await;
        stabilize(&mut [(&mut one, &[0])]).await;
        let mut again = fixed(&cluster, release, "one").await;
        again.protocols = vec![("sticky", Bytes::new()), ("range", Bytes::new())];
        assert_eq!(again.join().await.generation_id, generation);
    }
}
