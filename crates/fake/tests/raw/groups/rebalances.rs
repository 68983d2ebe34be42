//! Dynamic members: joining, syncing, living, leaving.

use std::time::Duration;

use bytes::Bytes;
use ottla_codec::ErrorCode;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_fake::{FakeCluster, GroupState, Violation};
use tokio::time::{Instant, advance, timeout};

use super::member::{
    Member, REBALANCE, SESSION, assignment, cluster, stabilize, start, subscription,
};

const A_WHILE: Duration = Duration::from_secs(1);

async fn state(cluster: &FakeCluster) -> GroupState {
    cluster.group("g").await.unwrap().unwrap().state
}

/// Nothing comes of what was sent for so long.
macro_rules! waits {
    ($future:expr, $for:expr) => {
        assert!(timeout($for, $future).await.is_err())
    };
}

#[tokio::test(start_paused = true)]
async fn the_first_member_waits_for_others() {
    let cluster = start(FakeCluster::builder()).await;
    let mut member = Member::new(&cluster).await;
    let begin = Instant::now();
    member.send_join().await;
    waits!(member.joined(), A_WHILE);
    assert!(member.id.starts_with("raw-") && member.id.len() == 40);
    assert_eq!(state(&cluster).await, GroupState::PreparingRebalance);
    let joined = member.joined().await;
    assert_eq!(begin.elapsed(), Duration::from_secs(3));
    assert_eq!(
        (joined.generation_id, joined.leader.as_str()),
        (1, &*member.id)
    );
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.members[0].metadata, subscription(&[], -1));
    assert_eq!(state(&cluster).await, GroupState::CompletingRebalance);
    let id = member.id.clone();
    let synced = member.sync(&[(&id, assignment(&[0, 2]))]).await;
    assert_eq!(synced.assignment, assignment(&[0, 2]));
    assert_eq!(synced.protocol_name.as_deref(), Some("range"));
    assert_eq!(member.heartbeat().await, ErrorCode::None);
    let group = cluster.group("g").await.unwrap().unwrap();
    assert_eq!((group.state, group.generation), (GroupState::Stable, 1));
    assert_eq!(group.coordinator, Some(1));
    let places = [("t".to_owned(), 0), ("t".to_owned(), 2)];
    assert_eq!(group.members[&member.id].partitions, places);
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn each_that_comes_prolongs_the_initial_delay() {
    let cluster = start(FakeCluster::builder()).await;
    let begin = Instant::now();
    let mut first = Member::new(&cluster).await;
    first.send_join().await;
    waits!(first.joined(), Duration::from_secs(2));
    let mut second = Member::new(&cluster).await;
    second.send_join().await;
    first.joined().await;
    assert_eq!(begin.elapsed(), Duration::from_secs(6));
    assert!(second.joined().await.members.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let cluster = start(FakeCluster::builder()).await;
    let begin = Instant::now();
    let mut first = Member::new(&cluster).await;
    first.send_join().await;
    let mut others = Vec::new();
    while timeout(A_WHILE * 3 / 2, first.joined()).await.is_err() {
        let mut other = Member::new(&cluster).await;
        other.send_join().await;
        others.push(other);
    }
    assert_eq!(begin.elapsed(), REBALANCE);
}

#[tokio::test(start_paused = true)]
async fn a_second_member_makes_a_rebalance() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0, 1, 2])]).await;
    two.send_join().await;
    waits!(two.joined(), A_WHILE);
    assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
    assert_eq!(one.commit(0, 5).await, ErrorCode::None);
    let joined = one.join().await;
    assert_eq!((joined.generation_id, joined.members.len()), (2, 2));
    assert!(two.joined().await.members.is_empty());
    assert!(one.leads && !two.leads);
    // Heartbeats are normal again, commits are not.
    assert_eq!(one.heartbeat().await, ErrorCode::None);
    assert_eq!(one.commit(0, 6).await, ErrorCode::RebalanceInProgress);
    two.send_sync(&[]).await;
    waits!(two.synced(), A_WHILE);
    let (first, second) = (one.id.clone(), two.id.clone());
    let given = [(&*first, assignment(&[0])), (&*second, assignment(&[1]))];
    assert_eq!(one.sync(&given).await.assignment, assignment(&[0]));
    assert_eq!(two.synced().await.assignment, assignment(&[1]));
    assert_eq!(two.commit(1, 7).await, ErrorCode::None);
    assert_eq!(cluster.committed("g").await.unwrap().len(), 2);
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_expires() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    one.join().await;
    two.joined().await;
    let (first, second) = (one.id.clone(), two.id.clone());
    two.send_sync(&[]).await;
    one.sync(&[(&first, assignment(&[0])), (&second, assignment(&[1]))])
        .await;
    two.synced().await;
    advance(SESSION - Duration::from_millis(1)).await;
    assert_eq!(one.heartbeat().await, ErrorCode::None);
    advance(Duration::from_millis(1)).await;
    assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
    assert_eq!(two.heartbeat().await, ErrorCode::UnknownMemberId);
    assert_eq!(two.commit(1, 1).await, ErrorCode::UnknownMemberId);
    // A commit is a sign of life too.
    advance(SESSION - Duration::from_millis(1)).await;
    assert_eq!(one.commit(0, 1).await, ErrorCode::None);
    advance(SESSION - Duration::from_millis(1)).await;
    assert_eq!(one.join().await.generation_id, 3);
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_for_long_is_expected_again() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    one.join().await;
    two.joined().await;
    two.send_sync(&[]).await;
    waits!(two.synced(), SESSION / 2);
    assert_eq!(one.heartbeat().await, ErrorCode::None);
    // Its session would have ended, but nothing is expected of who waits.
    waits!(two.synced(), SESSION * 3 / 4);
    one.sync(&[]).await;
    assert_eq!(two.synced().await.error_code, 0);
    advance(SESSION / 2).await;
    assert_eq!(one.heartbeat().await, ErrorCode::None);
    advance(SESSION / 2).await;
    assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
    assert_eq!(two.heartbeat().await, ErrorCode::UnknownMemberId);
}

#[tokio::test(start_paused = true)]
async fn the_handle_expires_a_member() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    cluster.expire_member("g", &member.id).await.unwrap();
    assert_eq!(member.heartbeat().await, ErrorCode::UnknownMemberId);
    assert_eq!(state(&cluster).await, GroupState::Empty);
    cluster.expire_member("g", &member.id).await.unwrap_err();
    cluster
        .expire_member("other", &member.id)
        .await
        .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_join_again_is_out() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    // It lives, but does not come.
    let begin = Instant::now();
    while begin.elapsed() < REBALANCE {
        assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
        advance(SESSION / 2).await;
    }
    let joined = two.joined().await;
    assert_eq!(begin.elapsed(), REBALANCE);
    assert_eq!((joined.generation_id, joined.members.len()), (2, 1));
    assert_eq!(joined.leader, two.id);
    assert_eq!(one.heartbeat().await, ErrorCode::UnknownMemberId);
    assert_eq!(
        one.join().await.error_code,
        ErrorCode::UnknownMemberId.code()
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_sync_is_out() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    one.join().await;
    two.joined().await;
    two.send_sync(&[]).await;
    // The leader lives, but does not assign.
    let begin = Instant::now();
    while begin.elapsed() < REBALANCE {
        assert_eq!(one.heartbeat().await, ErrorCode::None);
        advance(SESSION / 2).await;
    }
    let synced = two.synced().await;
    assert_eq!(synced.error_code, ErrorCode::RebalanceInProgress.code());
    assert_eq!(one.heartbeat().await, ErrorCode::UnknownMemberId);
    assert_eq!(two.join().await.members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_not_used_holds_the_group_up() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    let asked = two.client.ask(&two.join_request()).await;
    assert_eq!(asked.error_code, ErrorCode::MemberIdRequired.code());
    let begin = Instant::now();
    stabilize(&mut [(&mut one, &[0])]).await;
    assert_eq!(
        begin.elapsed(),
        Duration::ZERO,
        "the first phase does not wait"
    );
    one.send_join().await;
    one.joined().await;
    assert_eq!(begin.elapsed(), SESSION, "until the id has expired");
    // A stable group does not mind.
    one.sync(&[]).await;
    two.client.ask(&two.join_request()).await;
    for _ in 0..4 {
        assert_eq!(one.heartbeat().await, ErrorCode::None);
        advance(SESSION / 2).await;
    }
    two.id = asked.member_id;
    assert_eq!(
        two.join().await.error_code,
        ErrorCode::UnknownMemberId.code()
    );
}

#[tokio::test(start_paused = true)]
async fn members_leave() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    one.join().await;
    two.joined().await;
    assert_eq!(one.leave().await, ErrorCode::None);
    assert_eq!(one.leave().await, ErrorCode::UnknownMemberId);
    assert_eq!(two.heartbeat().await, ErrorCode::RebalanceInProgress);
    assert_eq!(two.join().await.leader, two.id);
    assert_eq!(two.leave().await, ErrorCode::None);
    let group = cluster.group("g").await.unwrap().unwrap();
    assert_eq!((group.state, group.generation), (GroupState::Empty, 4));
    assert_eq!(two.heartbeat().await, ErrorCode::UnknownMemberId);
}

#[tokio::test(start_paused = true)]
async fn the_generation_and_the_member_have_to_be_right() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    member.generation = 0;
    assert_eq!(member.heartbeat().await, ErrorCode::IllegalGeneration);
    assert_eq!(member.commit(0, 1).await, ErrorCode::IllegalGeneration);
    let synced = member.sync(&[]).await;
    assert_eq!(synced.error_code, ErrorCode::IllegalGeneration.code());
    member.generation = -1;
    assert_eq!(member.commit(0, 1).await, ErrorCode::IllegalGeneration);
    let id = std::mem::take(&mut member.id);
    assert_eq!(member.commit(0, 1).await, ErrorCode::UnknownMemberId);
    member.generation = 1;
    assert_eq!(member.heartbeat().await, ErrorCode::UnknownMemberId);
    member.id = id;
    assert_eq!(member.commit(0, 1).await, ErrorCode::None);
}

#[tokio::test(start_paused = true)]
async fn a_join_says_what_fits() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    let mut refused = async |change: fn(&mut JoinGroupRequest)| {
        let mut request = member.join_request();
        change(&mut request);
        let answer = member.client.ask(&request).await;
        ErrorCode::from_code(answer.error_code)
    };
    for timeout in [5_999, 1_800_001, -1] {
        let error = refused(match timeout {
            5_999 => |request| request.session_timeout_ms = 5_999,
            1_800_001 => |request| request.session_timeout_ms = 1_800_001,
            _ => |request| request.session_timeout_ms = -1,
        });
        assert_eq!(error.await, ErrorCode::InvalidSessionTimeout, "{timeout}");
    }
    let error = refused(|request| request.group_id.clear());
    assert_eq!(error.await, ErrorCode::InvalidGroupId);
    let error = refused(|request| request.member_id = "raw-1".to_owned());
    assert_eq!(error.await, ErrorCode::UnknownMemberId);
    let error = refused(|request| request.protocols.clear());
    assert_eq!(error.await, ErrorCode::InconsistentGroupProtocol);
    let mut other = Member::new(&cluster).await;
    stabilize(&mut [(&mut other, &[0])]).await;
    let error = refused(|request| request.protocol_type = "connect".to_owned());
    assert_eq!(error.await, ErrorCode::InconsistentGroupProtocol);
    let error = refused(|request| request.protocols[0].name = "sticky".to_owned());
    assert_eq!(error.await, ErrorCode::InconsistentGroupProtocol);
}

#[tokio::test(start_paused = true)]
async fn most_votes_decide_among_what_all_support() {
    let cluster = cluster().await;
    let lists: [&[&'static str]; 3] = [
        &["sticky", "range", "roundrobin"],
        &["roundrobin", "sticky", "range"],
        &["own", "roundrobin", "range"],
    ];
    let mut members = Vec::new();
    for names in lists {
        let mut member = Member::new(&cluster).await;
        member.protocols = names.iter().map(|name| (*name, Bytes::new())).collect();
        members.push(member);
    }
    members[0].join().await;
    for index in [1, 2, 0] {
        members[index].send_join().await;
    }
    for member in &mut members {
        let joined = member.joined().await;
        assert_eq!(joined.protocol_name.as_deref(), Some("roundrobin"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_in_a_stable_group_repeats_it_unless_something_changes() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    one.join().await;
    two.joined().await;
    // The answer was lost: the same is told again.
    assert_eq!(one.join().await.members.len(), 2);
    assert_eq!(two.join().await.generation_id, 2);
    one.sync(&[]).await;
    assert_eq!(two.join().await.generation_id, 2);
    assert_eq!(two.sync(&[]).await.assignment, Bytes::new());
    two.protocols = vec![("range", subscription(&[1], 2))];
    two.send_join().await;
    waits!(two.joined(), A_WHILE);
    assert_eq!(one.join().await.generation_id, 3);
    two.joined().await;
    one.sync(&[]).await;
    // The leader's join alone is a wish.
    one.send_join().await;
    waits!(one.joined(), A_WHILE);
    assert_eq!(two.heartbeat().await, ErrorCode::RebalanceInProgress);
}

#[tokio::test(start_paused = true)]
async fn a_join_whose_connection_has_gone_still_counts() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    waits!(two.joined(), A_WHILE);
    two.client = Member::new(&cluster).await.client;
    assert_eq!(one.join().await.members.len(), 2);
    // It learns what it has missed by joining again.
    let joined = two.join().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    one.sync(&[]).await;
    // Later, while its second join waits, its first one is not there any more.
    one.send_join().await;
    waits!(one.joined(), A_WHILE);
    two.send_join().await;
    one.joined().await;
    assert_eq!(two.joined().await.generation_id, 3);
}

#[tokio::test(start_paused = true)]
async fn a_full_group_takes_nobody() {
    let builder = FakeCluster::builder().max_group_size(1);
    let cluster = start(builder.initial_rebalance_delay(Duration::ZERO)).await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0])]).await;
    let answer = two.client.ask(&two.join_request()).await;
    assert_eq!(answer.error_code, ErrorCode::GroupMaxSizeReached.code());
    one.join().await;
    let answer = two.client.ask(&two.join_request()).await;
    assert_eq!(answer.error_code, ErrorCode::GroupMaxSizeReached.code());
}

#[tokio::test(start_paused = true)]
async fn two_owners_of_a_partition_are_noticed() {
    let cluster = cluster().await;
    let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
    stabilize(&mut [(&mut one, &[0, 1])]).await;
    one.protocols = vec![("range", subscription(&[0, 1], 1))];
    two.send_join().await;
    one.join().await;
    two.joined().await;
    let (first, second) = (one.id.clone(), two.id.clone());
    let given = [(&*first, assignment(&[0])), (&*second, assignment(&[1]))];
    one.sync(&given).await;
    let early = Violation::AssignedWhileOwned {
        group: "g".to_owned(),
        generation: 2,
        topic: "t".to_owned(),
        partition: 1,
        owner: first.clone(),
        member: second.clone(),
    };
    assert_eq!(cluster.violations().await.unwrap(), [early]);
    cluster.clear_violations();
    // What it had when it joined it may still commit, what it never had it may not.
    assert_eq!(one.commit(1, 3).await, ErrorCode::None);
    assert_eq!(cluster.violations().await.unwrap(), []);
    assert_eq!(one.commit(2, 3).await, ErrorCode::None);
    let foreign = Violation::CommitOfOthers {
        group: "g".to_owned(),
        topic: "t".to_owned(),
        partition: 2,
        member: first.clone(),
    };
    assert_eq!(cluster.violations().await.unwrap(), [foreign]);
    cluster.clear_violations();
    // What it had two generations ago may be anybody's by now.
    one.protocols = vec![("range", subscription(&[0], 1))];
    one.send_join().await;
    waits!(one.joined(), A_WHILE);
    two.join().await;
    one.joined().await;
    let given = [(&*first, assignment(&[0])), (&*second, assignment(&[0]))];
    one.sync(&given).await;
    let violations = cluster.violations().await.unwrap();
    let mut members = [first, second];
    members.sort();
    let twice = Violation::AssignedTwice {
        group: "g".to_owned(),
        generation: 3,
        topic: "t".to_owned(),
        partition: 0,
        members,
    };
    assert_eq!(violations, [twice]);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_ids() {
    async fn ids(seed: u64) -> Vec<String> {
        let builder = FakeCluster::builder().seed(seed);
        let cluster = start(builder.initial_rebalance_delay(Duration::ZERO)).await;
        let (mut one, mut two) = (Member::new(&cluster).await, Member::new(&cluster).await);
        stabilize(&mut [(&mut one, &[0])]).await;
        two.send_join().await;
        one.join().await;
        vec![one.id, two.id]
    }
    let (first, second, other) = (ids(7).await, ids(7).await, ids(8).await);
    assert_eq!(first, second);
    assert_ne!(first, other);
    assert_ne!(first[0], first[1]);
}

#[tokio::test(start_paused = true)]
async fn other_brokers_know_nothing_of_it() {
    let cluster = cluster().await;
    let mut member = Member::new(&cluster).await;
    stabilize(&mut [(&mut member, &[0])]).await;
    member.client = crate::client::Client::connect(&cluster, 2).await;
    assert_eq!(member.heartbeat().await, ErrorCode::NotCoordinator);
    assert_eq!(member.commit(0, 1).await, ErrorCode::NotCoordinator);
    let joined = member.join().await;
    assert_eq!(joined.error_code, ErrorCode::NotCoordinator.code());
    let synced = member.sync(&[]).await;
    assert_eq!(synced.error_code, ErrorCode::NotCoordinator.code());
    let beat = HeartbeatRequest::default();
    let answer = member.client.ask(&beat).await;
    assert_eq!(answer.error_code, ErrorCode::InvalidGroupId.code());
}
