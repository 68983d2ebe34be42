//! Groups whose brokers and connections misbehave.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla::RebalanceKind;
use ottla_codec::ErrorCode;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::leave_group::LeaveGroupRequest;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use ottla_codec::messages::sync_group::SyncGroupRequest;
use rstest::rstest;
use tokio::time::{Instant, sleep, timeout};

use super::subject::{Running, SESSION, Subject, all_read, assigned, shared_out, with_strategy};
use crate::support::eventually;

async fn coordinator(subject: &Subject) -> i32 {
    let group = subject
        .cluster()
        .group(&subject.group)
        .await
        .expect("a cluster");
    group.expect("a group").coordinator.expect("a coordinator")
}

/// The coordinator moves, and takes its time to load the group: nobody notices but for commits that wait.
#[tokio::test(start_paused = true)]
async fn a_membership_survives_its_coordinators_move() {
    let subject = Subject::fake(4).await;
    subject.fill(4, 10).await;
    let (first, second) = (
        Running::new(subject.member("cooperative-sticky")),
        Running::new(subject.member("cooperative-sticky")),
    );
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    let generation = first.handle.health().generation;
    for _ in 0..3 {
        let to = coordinator(&subject).await % 3 + 1;
        let moved = subject.cluster();
        moved
            .move_coordinator_slowly(&subject.group, to, Duration::from_secs(2))
            .await
            .expect("a broker");
        first.handle.commit_positions().await.expect("a commit");
        sleep(SESSION).await;
    }
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    assert_eq!(first.handle.health().generation, generation);
    subject.assert_clean().await;
}

/// The coordinator dies, and another takes over.
#[rstest]
#[tokio::test(start_paused = true)]
async fn f15_a_dead_coordinator_is_replaced(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::fake(3).await;
    subject.fill(3, 10).await;
    let (first, second) = (
        Running::new(subject.member(strategy)),
        Running::new(subject.member(strategy)),
    );
    shared_out(&[&first.handle, &second.handle], &[1, 2]).await;
    let dead = coordinator(&subject).await;
    subject.cluster().kill_broker(dead).await.expect("a broker");
    sleep(Duration::from_secs(1)).await;
    first.handle.commit_positions().await.expect("a commit");
    second.handle.commit_positions().await.expect("a commit");
    let third = Running::new(subject.member(strategy));
    shared_out(&[&first.handle, &second.handle, &third.handle], &[1, 1, 1]).await;
    subject
        .cluster()
        .start_broker(dead)
        .await
        .expect("a broker");
    third.finish().await;
    shared_out(&[&first.handle, &second.handle], &[1, 2]).await;
    subject.assert_clean().await;
}

/// Requests whose answers never come are asked again; no answer is missed for good.
#[rstest]
#[case::lost("lost")]
#[case::closed("closed")]
#[case::unapplied("unapplied")]
#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_stop_nobody(#[case] fault: &str) {
    let subject = Subject::fake(4).await;
    subject.fill(4, 10).await;
    let cluster = subject.cluster();
    macro_rules! disturb {
        ($($request:ty),*) => {
            $(
                let rule = cluster.on::<$request>().times(2);
                match fault {
                    "lost" => rule.apply_then_drop_response(),
                    "closed" => rule.apply_then_close(),
                    _ => rule.close(),
                };
            )*
        };
    }
    disturb!(
        JoinGroupRequest,
        SyncGroupRequest,
        HeartbeatRequest,
        OffsetFetchRequest,
        LeaveGroupRequest
    );
    let first = Running::new(subject.member("cooperative-sticky"));
    let second = Running::new(subject.member("cooperative-sticky"));
    settled(&[&first, &second], &[2, 2]).await;
    all_read(&[&first, &second], 4, 10).await;
    second.finish().await;
    settled(&[&first], &[4]).await;
    subject.assert_clean().await;
}

/// As [`shared_out`], with the patience that lost answers take.
async fn settled(members: &[&Running], counts: &[usize]) {
    let handles: Vec<_> = members.iter().map(|member| &member.handle).collect();
    for _ in 0..600 {
        let mut sizes: Vec<_> = handles
            .iter()
            .map(|handle| assigned(handle).len())
            .collect();
        sizes.sort_unstable();
        if sizes == counts {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    shared_out(&handles, counts).await;
}

/// Cut off from its coordinator, a member gives everything up before the coordinator may give it to others:
/// no two hold a partition at once.
#[tokio::test(start_paused = true)]
async fn a_member_that_is_cut_off_stops_before_others_begin() {
    let subject = Subject::fake(2).await;
    let first = Running::new(subject.member("cooperative-sticky"));
    shared_out(&[&first.handle], &[2]).await;
    let mut rebalances = first.handle.rebalances();
    let id = first.handle.group_metadata().expect("a member").member_id;
    let cut = subject.cluster().on::<HeartbeatRequest>();
    let cut = cut.when(move |beat| beat.member_id == id);
    let cut = cut.always().drop_request();
    let second = Running::new(subject.member("cooperative-sticky"));
    let began = Instant::now();
    let handles = [&first.handle, &second.handle];
    let mut overlapped = false;
    eventually("the second has everything, or its part", async || {
        let all: Vec<BTreeSet<i32>> = handles.iter().map(|handle| assigned(handle)).collect();
        overlapped |= all[0].intersection(&all[1]).next().is_some();
        !all[1].is_empty()
    })
    .await;
    assert!(!overlapped);
    assert!(began.elapsed() < SESSION * 3);
    cut.remove();
    let mut kinds = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_secs(20), rebalances.next()).await {
        kinds.push(event.kind());
    }
    assert!(kinds.contains(&RebalanceKind::Lost), "{kinds:?}");
    shared_out(&[&first.handle, &second.handle], &[1, 1]).await;
    subject.assert_clean().await;
}

/// The group's offsets are slow to come: heartbeats go on, and the partitions begin once they are there.
#[tokio::test(start_paused = true)]
async fn f14_slow_offsets_hold_nothing_else_up() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 10).await;
    let fetch = subject.cluster().on::<OffsetFetchRequest>();
    let unstable = fetch.always().error(ErrorCode::UnstableOffsetCommit);
    let first = Running::new(subject.member("cooperative-sticky"));
    shared_out(&[&first.handle], &[2]).await;
    sleep(SESSION * 3).await;
    assert_eq!(first.seen(), []);
    assert_eq!(first.handle.health().generation, Some(1));
    // A rebalance before they are there changes nothing for what stays.
    let second = Running::new(subject.member("cooperative-sticky"));
    shared_out(&[&first.handle, &second.handle], &[1, 1]).await;
    unstable.remove();
    let counts = all_read(&[&first, &second], 2, 10).await;
    assert!(counts.values().all(|&times| times == 1));
    subject.assert_clean().await;
}

/// Closing ends by its deadline with no broker reachable.
#[rstest]
#[tokio::test(start_paused = true)]
async fn o21_closing_ends_by_its_deadline_whoever_is_reachable(
    #[values(false, true)] auto_commit: bool,
) {
    let subject = Subject::fake(2).await;
    subject.fill(2, 10).await;
    let consumer =
        subject.consumer(|builder| with_strategy(builder, "range").auto_commit(auto_commit));
    consumer
        .subscribe([&subject.topic])
        .expect("a subscription");
    let reader = Running::new(consumer);
    all_read(&[&reader], 2, 10).await;
    for broker in subject.cluster().broker_ids() {
        subject
            .cluster()
            .kill_broker(broker)
            .await
            .expect("a broker");
    }
    let consumer = reader.stop().await;
    let deadline = Duration::from_secs(5);
    let closed = timeout(deadline, consumer.close(deadline)).await;
    closed.expect("closed by its deadline");
}

/// A group goes from one way of rebalancing to the other, member by member, and back.
#[tokio::test(start_paused = true)]
async fn f26_a_group_changes_its_way_of_rebalancing_member_by_member() {
    let subject = Subject::fake(4).await;
    subject.fill(4, 10).await;
    let mut members = vec![
        Running::new(subject.member("range")),
        Running::new(subject.member("range")),
    ];
    let both = "cooperative-sticky,range";
    for strategy in [
        both,
        both,
        "cooperative-sticky",
        "cooperative-sticky",
        both,
        both,
        "range",
        "range",
    ] {
        let handles: Vec<_> = members.iter().map(|member| &member.handle).collect();
        shared_out(&handles, &[2, 2]).await;
        members.remove(0).finish().await;
        members.push(Running::new(subject.member(strategy)));
    }
    let handles: Vec<_> = members.iter().map(|member| &member.handle).collect();
    shared_out(&handles, &[2, 2]).await;
    all_read(&members.iter().collect::<Vec<_>>(), 4, 10).await;
    subject.assert_clean().await;
}
