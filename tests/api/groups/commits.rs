//! Commits of members: their order, their outcomes, and what keeps them from crossing a rebalance.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{AutoOffsetReset, ErrorKind, RebalanceKind};
use ottla_codec::ApiKey;
use ottla_codec::ErrorCode;
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use ottla_codec::messages::sync_group::SyncGroupRequest;
use tokio::time::{Instant, sleep, timeout};

use super::subject::{Running, Subject, all_read, assigned, next, shared_out, try_next};
use crate::support::{PATIENCE, eventually};

/// A member that reads both partitions of the topic, ten records each.
async fn reading(subject: &Subject, strategy: &str) -> Running {
    subject.fill(2, 10).await;
    let member = Running::new(subject.member(strategy));
    shared_out(&[&member.handle], &[2]).await;
    all_read(&[&member], 2, 10).await;
    member
}

async fn commits(subject: &Subject) -> usize {
    let requests = subject.cluster().requests().await.expect("a cluster");
    requests
        .iter()
        .filter(|request| request.api == ApiKey::OffsetCommit)
        .count()
}

/// A commit is asked for by the call itself, whether or not it is awaited, and in that order.
#[tokio::test(start_paused = true)]
async fn commits_are_asked_for_in_order_and_need_not_be_awaited() {
    let subject = Subject::fake(2).await;
    let member = reading(&subject, "range").await;
    let slow = subject.cluster().on::<OffsetCommitRequest>();
    slow.times(1).delay(Duration::from_secs(2));
    drop(member.handle.commit([(subject.tp(0), 3)]));
    let second = member.handle.commit([(subject.tp(0), 5)]);
    let third = member
        .handle
        .commit([(subject.tp(0), 4), (subject.tp(1), 7)]);
    third.await.expect("a commit");
    second.await.expect("a commit");
    assert_eq!(subject.committed(2).await, BTreeMap::from([(0, 4), (1, 7)]));
    assert_eq!(commits(&subject).await, 3);

    let error = member.handle.commit([(("elsewhere", 0).into(), 1)]).await;
    let kind = ErrorKind::NotAssigned {
        partition: ("elsewhere", 0).into(),
    };
    assert_eq!(*error.expect_err("not its own").kind(), kind);
    assert_eq!(commits(&subject).await, 3);
}

/// The coordinator has forgotten the member. A commit is the first to hear of it, and that is the end of it at
/// once: nothing more is handed out, the error is typed, and the member joins anew.
#[tokio::test(start_paused = true)]
async fn f11_a_member_that_a_commit_finds_unknown_stops_at_once_and_joins_anew() {
    let subject = Subject::fake(2).await;
    let member = reading(&subject, "range").await;
    let mut rebalances = member.handle.rebalances();
    let id = member.handle.group_metadata().expect("a member").member_id;
    subject
        .cluster()
        .expire_member(&subject.group, &id)
        .await
        .expect("a member");
    let began = Instant::now();
    let error = member
        .handle
        .commit([(subject.tp(0), 10)])
        .await
        .expect_err("a zombie");
    assert_eq!(
        *error.kind(),
        ErrorKind::Revoked {
            partition: subject.tp(0)
        }
    );
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    let lost = rebalances.next().await.expect("an open consumer");
    assert_eq!(
        (lost.kind(), lost.partitions().len()),
        (RebalanceKind::Lost, 2)
    );
    drop((lost, rebalances));
    shared_out(&[&member.handle], &[2]).await;
    assert_ne!(
        member.handle.group_metadata().expect("a member").member_id,
        id
    );
    // It had committed nothing.
    assert_eq!(subject.committed(2).await, BTreeMap::new());
    eventually("all is read again", async || member.seen().len() == 40).await;
    subject.assert_clean().await;
}

/// Between the answer to a join and that to the sync no commit goes out; it is not refused either, as its
/// partition stays.
#[tokio::test(start_paused = true)]
async fn f24_no_commit_is_sent_between_join_and_sync() {
    let subject = Subject::fake(2).await;
    let member = reading(&subject, "cooperative-sticky").await;
    let sync = subject.cluster().on::<SyncGroupRequest>();
    let held = sync.times(1).hold();
    member.handle.enforce_rebalance("to see what commits do");
    held.arrived().await.expect("a cluster");
    let commit = member.handle.commit([(subject.tp(0), 10)]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(commits(&subject).await, 0);
    held.release().await.expect("a cluster");
    timeout(PATIENCE, commit)
        .await
        .expect("an outcome")
        .expect("a commit");
    assert_eq!(commits(&subject).await, 1);
    assert_eq!(subject.committed(2).await, BTreeMap::from([(0, 10)]));
    subject.assert_clean().await;
}

/// While others are waited for, the commits of those that keep their partitions go on as ever, and none of them
/// costs anybody anything.
#[tokio::test(start_paused = true)]
async fn o06_commits_all_through_a_cooperative_rebalance_lose_nothing() {
    let subject = Subject::fake(2).await;
    let member = reading(&subject, "cooperative-sticky").await;
    let mut rebalances = member.handle.rebalances();
    let listener = tokio::spawn(async move {
        let mut lost = 0;
        while let Some(event) = rebalances.next().await {
            lost += usize::from(event.kind() == RebalanceKind::Lost);
        }
        lost
    });
    let handle = member.handle.clone();
    let committing = tokio::spawn(async move {
        for n in 0..400 {
            for name in handle.assignment() {
                match handle.commit([(name.clone(), n % 10)]).await {
                    Ok(()) => {}
                    Err(error) => assert!(
                        matches!(
                            error.kind(),
                            ErrorKind::Revoked { .. } | ErrorKind::NotAssigned { .. }
                        ),
                        "{error}"
                    ),
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    let second = Running::new(subject.member("cooperative-sticky"));
    shared_out(&[&member.handle, &second.handle], &[1, 1]).await;
    second.finish().await;
    shared_out(&[&member.handle], &[2]).await;
    committing.await.expect("no panic");
    member.finish().await;
    assert_eq!(listener.await.expect("no panic"), 0);
    subject.assert_clean().await;
}

/// The coordinator is in the next generation already, and the answer to the join is still on its way: a commit that is
/// refused for its generation meanwhile is made in the new one, and costs nothing.
#[tokio::test(start_paused = true)]
async fn o06_a_commit_that_its_join_overtakes_is_made_after_it() {
    let subject = Subject::fake(2).await;
    let member = reading(&subject, "cooperative-sticky").await;
    let held = subject.cluster().on::<JoinGroupRequest>().hold();
    member.handle.enforce_rebalance("to be overtaken");
    held.arrived().await.expect("a cluster");
    let commit = subject.cluster().on::<OffsetCommitRequest>();
    let refused = commit.times(2).error(ErrorCode::IllegalGeneration);
    let commit = member.handle.commit([(subject.tp(0), 10)]);
    eventually("it is refused", async || refused.hits() == 2).await;
    assert_eq!(assigned(&member.handle).len(), 2);
    held.release().await.expect("a cluster");
    commit.await.expect("a commit");
    assert_eq!(subject.committed(2).await, BTreeMap::from([(0, 10)]));
    shared_out(&[&member.handle], &[2]).await;
    sleep(Duration::from_secs(5)).await;
    // Who loses its partitions reads what was not committed again.
    assert_eq!(member.seen().len(), 20);
    subject.assert_clean().await;
}

/// A commit whose caller goes away while the coordinator is looked for takes nothing from the member.
#[tokio::test(start_paused = true)]
async fn f22_a_commit_that_is_given_up_does_not_end_the_membership() {
    let subject = Subject::fake(2).await;
    let member = reading(&subject, "range").await;
    let generation = member.handle.health().generation;
    let group = subject
        .cluster()
        .group(&subject.group)
        .await
        .expect("a cluster");
    let coordinator = group.expect("a group").coordinator.expect("a coordinator");
    let looked_for = subject.cluster().on::<FindCoordinatorRequest>();
    let slow = looked_for.always().delay(Duration::from_millis(300));
    let elsewhere = coordinator % 3 + 1;
    subject
        .cluster()
        .move_coordinator(&subject.group, elsewhere)
        .await
        .expect("a broker");
    for _ in 0..20 {
        let commit = member.handle.commit([(subject.tp(0), 1)]);
        drop(timeout(Duration::from_millis(50), commit).await);
    }
    slow.remove();
    member
        .handle
        .commit([(subject.tp(0), 2)])
        .await
        .expect("a commit");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(member.handle.health().generation, generation);
    assert_eq!(assigned(&member.handle).len(), 2);
    subject.assert_clean().await;
}

/// A partition that went and came back is another one for a commit that was asked for before.
#[tokio::test(start_paused = true)]
async fn o03_a_commit_from_before_a_revocation_is_not_made_after_it() {
    let subject = Subject::fake(2).await;
    let member = reading(&subject, "range").await;
    let refused = subject.cluster().on::<OffsetCommitRequest>();
    let refused = refused.always().error(ErrorCode::CoordinatorLoadInProgress);
    let early = member.handle.commit([(subject.tp(0), 3)]);
    sleep(Duration::from_millis(10)).await;
    let generation = member.handle.health().generation.expect("a member");
    member.handle.enforce_rebalance("eagerly");
    eventually("it is all there again", async || {
        let health = member.handle.health();
        health.generation > Some(generation) && assigned(&member.handle).len() == 2
    })
    .await;
    refused.remove();
    let error = early.await.expect_err("from before");
    assert_eq!(
        *error.kind(),
        ErrorKind::Revoked {
            partition: subject.tp(0)
        }
    );
    assert_eq!(subject.committed(2).await, BTreeMap::new());
    subject.assert_clean().await;
}

/// A topic was deleted and created again: what was read of the old one is never committed for the new one, neither
/// by the caller nor for it, until the caller has said where to go on.
#[tokio::test(start_paused = true)]
async fn f25_offsets_of_a_topic_are_not_committed_for_its_successor() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 10).await;
    let mut consumer = subject.consumer(|builder| {
        let builder = builder.auto_commit(true);
        builder.auto_commit_interval(Duration::from_secs(1))
    });
    consumer
        .subscribe([&subject.topic])
        .expect("a subscription");
    let batch = next(&mut consumer).await;
    subject
        .cluster()
        .recreate_topic(&subject.topic)
        .await
        .expect("a topic");
    let error = try_next(&mut consumer).await.expect_err("another topic");
    let kind = ErrorKind::TopicRecreated {
        topic: subject.topic.clone(),
    };
    assert_eq!(*error.kind(), kind);
    let before = subject.committed(1).await;
    let commit = consumer.commit([(subject.tp(0), batch.next_offset())]);
    assert_eq!(*commit.await.expect_err("of another topic").kind(), kind);
    consumer.commit_positions().await.expect("nothing");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(subject.committed(1).await, before);
    consumer.seek(&subject.tp(0), 0).expect("assigned");
    subject.fill(1, 3).await;
    let batch = next(&mut consumer).await;
    consumer
        .commit([(subject.tp(0), batch.next_offset())])
        .await
        .expect("a commit");
}

/// What passes by itself is no reason to give a committed offset up.
#[tokio::test(start_paused = true)]
async fn o11_a_passing_refusal_of_the_offsets_resets_nothing() {
    let subject = Subject::fake(2).await;
    let member = reading(&subject, "range").await;
    member
        .handle
        .commit([(subject.tp(0), 4), (subject.tp(1), 6)])
        .await
        .expect("a commit");
    member.finish().await;
    for code in [
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::NotCoordinator,
        ErrorCode::RequestTimedOut,
        ErrorCode::UnstableOffsetCommit,
    ] {
        let refused = subject.cluster().on::<OffsetFetchRequest>();
        let refused = refused.always().error(code);
        let consumer =
            subject.consumer(|builder| builder.auto_offset_reset(AutoOffsetReset::Latest));
        consumer
            .subscribe([&subject.topic])
            .expect("a subscription");
        let reader = Running::new(consumer);
        // Longer than one look-up goes on.
        sleep(PATIENCE).await;
        assert_eq!(reader.seen(), []);
        refused.remove();
        eventually("it reads on", async || reader.seen().len() == 10).await;
        let first = reader.finish().await;
        assert!(
            first.contains(&(0, 4)) && first.contains(&(1, 6)),
            "{code}: {first:?}"
        );
    }
}

/// Lost and assigned again while the caller was busy with a batch of it: the end of that batch says nothing of the
/// partition any more, where another member may have come further.
#[tokio::test(start_paused = true)]
async fn o03_a_batch_from_before_a_loss_is_not_committed_after_it() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 10).await;
    let mut consumer = subject.member("range");
    let batch = next(&mut consumer).await;
    let id = consumer.group_metadata().expect("a member").member_id;
    subject
        .cluster()
        .expire_member(&subject.group, &id)
        .await
        .expect("a member");
    eventually("it is a member again", async || {
        let metadata = consumer.group_metadata();
        metadata.is_some_and(|now| now.member_id != id) && assigned(&consumer).len() == 1
    })
    .await;
    let done = (subject.tp(0), batch.next_offset());
    let error = consumer
        .commit([done.clone()])
        .await
        .expect_err("of another time");
    assert_eq!(
        *error.kind(),
        ErrorKind::NotAssigned {
            partition: subject.tp(0)
        }
    );
    let again = next(&mut consumer).await;
    assert_eq!(again.next_offset(), batch.next_offset());
    consumer.commit([done]).await.expect("a commit");
    subject.assert_clean().await;
}
