//! Members come and go, and the partitions are shared out among those there are.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla::{CloseMode, MemberState};
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use rstest::rstest;
use tokio::time::Instant;

use super::subject::{Running, SESSION, Subject, all_read, assigned, shared_out};
use crate::support::{PATIENCE, eventually};

const STRATEGIES: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];

/// Two share four partitions; when one leaves, the other has all of them.
pub(super) async fn two_share_and_one_leaves(subject: Subject, strategy: &str) {
    subject.fill(4, 50).await;
    let first = Running::new(subject.member(strategy));
    shared_out(&[&first.handle], &[4]).await;
    all_read(&[&first], 4, 50).await;
    first.handle.commit_positions().await.expect("a commit");

    let second = Running::new(subject.member(strategy));
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    // Nothing is read twice that was committed before it was handed over.
    assert_eq!(second.seen(), []);
    let had = assigned(&second.handle);
    subject.fill(4, 10).await;
    let counts = all_read(&[&first, &second], 4, 60).await;
    assert!(counts.values().all(|&times| times == 1), "{counts:?}");
    let read: BTreeSet<i32> = second
        .seen()
        .into_iter()
        .map(|(partition, _)| partition)
        .collect();
    assert_eq!(read, had);

    second.handle.commit_positions().await.expect("a commit");
    second.finish().await;
    shared_out(&[&first.handle], &[4]).await;
    subject.fill(4, 10).await;
    let mut all = first.seen();
    eventually("the one that is left reads everything", async || {
        all = first.seen();
        (0..4).all(|partition| all.contains(&(partition, 69)))
    })
    .await;
    first.finish().await;
    subject.assert_clean().await;
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn two_members_share_and_one_leaves(#[values(0, 1, 2, 3)] strategy: usize) {
    two_share_and_one_leaves(Subject::fake(4).await, STRATEGIES[strategy]).await;
}

/// Two that prefer the same two assignors, as by default: range, eagerly.
#[tokio::test(start_paused = true)]
async fn the_default_assignors_work_together() {
    let subject = Subject::fake(4).await;
    two_share_and_one_leaves(subject, "range,cooperative-sticky").await;
}

/// A member that is gone without a word is given up when its session expires, and not before.
#[tokio::test(start_paused = true)]
async fn what_a_crashed_member_had_is_taken_over_when_its_session_expires() {
    let subject = Subject::fake(4).await;
    subject.fill(4, 20).await;
    let (first, second) = (
        Running::new(subject.member("cooperative-sticky")),
        Running::new(subject.member("cooperative-sticky")),
    );
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    all_read(&[&first, &second], 4, 20).await;
    second.kill();
    let began = Instant::now();
    shared_out(&[&first.handle], &[4]).await;
    assert!(began.elapsed() >= SESSION - Duration::from_secs(1));
    assert!(began.elapsed() <= SESSION + Duration::from_secs(5));
    // It had committed nothing, so that it all comes again.
    all_read(&[&first], 4, 20).await;
    subject.assert_clean().await;
}

/// What stays with a member through a cooperative rebalance is read on without a pause, a second fetch of the
/// committed offset, or a record that comes twice; and stays paused if it was.
#[tokio::test(start_paused = true)]
async fn f30_partitions_that_stay_are_read_on_through_a_cooperative_rebalance() {
    let subject = Subject::fake(4).await;
    subject.fill(4, 20).await;
    let first = Running::new(subject.member("cooperative-sticky"));
    shared_out(&[&first.handle], &[4]).await;
    all_read(&[&first], 4, 20).await;
    let paused: Vec<_> = (0..4).map(|partition| subject.tp(partition)).collect();
    first.handle.pause(&paused).expect("assigned");

    let second = Running::new(subject.member("cooperative-sticky"));
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    let kept = first.handle.assignment();
    assert_eq!(first.handle.paused(), kept);
    subject.fill(4, 5).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(first.seen().len(), 80);
    first.handle.resume(&kept).expect("assigned");
    let all: Vec<(i32, i64)> = kept
        .iter()
        .flat_map(|name| (0..25).map(|offset| (name.partition, offset)))
        .collect();
    eventually("what stayed is read on", async || {
        let seen = first.seen();
        all.iter()
            .all(|record| seen.iter().filter(|one| *one == record).count() == 1)
    })
    .await;

    // Nothing was committed: what the other had is read again here, and is not paused any more.
    second.finish().await;
    shared_out(&[&first.handle], &[4]).await;
    assert_eq!(first.handle.paused(), BTreeSet::new());
    eventually("what has come back is read", async || {
        let seen = first.seen();
        (0..4).all(|partition| seen.contains(&(partition, 24)))
    })
    .await;
    subject.assert_clean().await;
}

/// Who remains keeps its partitions from the others until its session expires.
#[tokio::test(start_paused = true)]
async fn closing_leaves_the_group_or_remains_in_it_as_asked() {
    let subject = Subject::fake(2).await;
    let first = Running::new(subject.member("range"));
    for (mode, expected) in [
        (CloseMode::Leave, 0),
        (CloseMode::Default, 0),
        (CloseMode::Remain, 1),
    ] {
        let second = Running::new(subject.member("range"));
        shared_out(&[&first.handle, &second.handle], &[1, 1]).await;
        let id = second.handle.group_metadata().expect("a member").member_id;
        second.stop().await.close_with(mode, PATIENCE).await;
        let group = subject
            .cluster()
            .group(&subject.group)
            .await
            .expect("a cluster");
        let members = group.expect("a group").members;
        assert_eq!(usize::from(members.contains_key(&id)), expected, "{mode:?}");
        shared_out(&[&first.handle], &[2]).await;
    }
    subject.assert_clean().await;
}

/// Health says where a member is, and since when.
#[tokio::test(start_paused = true)]
async fn health_tells_what_the_member_is_doing() {
    let subject = Subject::fake(2).await;
    let consumer = subject.consumer(|builder| builder);
    let health = consumer.health();
    assert_eq!(health.state, MemberState::Unsubscribed);
    assert_eq!((health.generation, health.member_id), (None, None));
    assert_eq!(consumer.group_metadata(), None);
    let looked_for = subject.cluster().on::<FindCoordinatorRequest>();
    let held = looked_for.times(1).hold();
    consumer
        .subscribe([&subject.topic])
        .expect("a subscription");
    held.arrived().await.expect("a cluster");
    assert_eq!(consumer.health().state, MemberState::FindingCoordinator);
    held.release().await.expect("a cluster");

    let member = Running::new(consumer);
    shared_out(&[&member.handle], &[2]).await;
    let health = member.handle.health();
    assert_eq!(health.generation, Some(1));
    eventually("the reader waits", async || {
        member.handle.health().away_since.is_none()
    })
    .await;
    assert!(health.last_confirmed.expect("a heartbeat") + Duration::from_secs(2) > Instant::now());
    let metadata = member.handle.group_metadata().expect("a member");
    assert_eq!(metadata.group_id, subject.group);
    assert_eq!(Some(metadata.member_id), health.member_id);
    assert_eq!((metadata.generation, metadata.instance_id), (1, None));

    let consumer = member.stop().await;
    assert!(consumer.health().away_since.is_some());
    consumer.unsubscribe().await;
    assert_eq!(consumer.health().state, MemberState::Unsubscribed);
    assert_eq!(consumer.assignment(), BTreeSet::new());
}

/// A rebalance that somebody asks for.
#[tokio::test(start_paused = true)]
async fn a_rebalance_can_be_asked_for() {
    let subject = Subject::fake(2).await;
    let member = Running::new(subject.member("range"));
    shared_out(&[&member.handle], &[2]).await;
    member.handle.enforce_rebalance("somebody wants it");
    eventually("there is a new generation", async || {
        member.handle.health().generation == Some(2)
    })
    .await;
    shared_out(&[&member.handle], &[2]).await;
}
