//! What a listener, or the reader, may do while partitions change hands.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ottla::{
    Consumer, ConsumerHandle, ErrorKind, Rebalance, RebalanceKind, Rebalances, RecordView, Result,
};
use ottla_codec::ErrorCode;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use rstest::rstest;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::subject::{Running, Subject, all_read, assigned, next, shared_out, with_strategy};
use crate::support::{PATIENCE, eventually};

/// A consumer whose rebalances are listened to from the first one on.
fn listened_to(subject: &Subject, strategy: &str) -> (Consumer, Rebalances) {
    let consumer = subject.consumer(|builder| with_strategy(builder, strategy));
    let rebalances = consumer.rebalances();
    consumer
        .subscribe([&subject.topic])
        .expect("a subscription");
    (consumer, rebalances)
}

async fn event(rebalances: &mut Rebalances, kind: RebalanceKind) -> Rebalance {
    let event = timeout(PATIENCE, rebalances.next())
        .await
        .expect("something happens");
    let event = event.expect("an open consumer");
    assert_eq!(event.kind(), kind, "{event:?}");
    event
}

/// Commits the positions of what is revoked; in the end, what happened.
fn committing(
    mut rebalances: Rebalances,
    handle: ConsumerHandle,
) -> JoinHandle<Vec<(RebalanceKind, usize)>> {
    tokio::spawn(async move {
        let mut happened = Vec::new();
        while let Some(rebalance) = rebalances.next().await {
            if rebalance.kind() == RebalanceKind::Revoked {
                assert!(rebalance.deadline().expect("a deadline") > Instant::now());
                for name in rebalance.partitions() {
                    let position = handle.position(name).await.expect("a position");
                    handle
                        .commit([(name.clone(), position)])
                        .await
                        .expect("a commit");
                }
            }
            happened.push((rebalance.kind(), rebalance.partitions().len()));
            rebalance.done();
        }
        happened
    })
}

/// With a listener that commits what it has to give up, nothing is read twice, whoever comes and goes.
pub(super) async fn nothing_is_read_twice_if_the_listener_commits(
    subject: Subject,
    strategy: &str,
) {
    subject.fill(4, 50).await;
    let (first, rebalances) = listened_to(&subject, strategy);
    let first_heard = committing(rebalances, first.handle());
    let first = Running::new(first);
    all_read(&[&first], 4, 50).await;
    let (second, rebalances) = listened_to(&subject, strategy);
    let second_heard = committing(rebalances, second.handle());
    let second = Running::new(second);
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    subject.fill(4, 50).await;
    all_read(&[&first, &second], 4, 100).await;

    let stopped = first.finish().await;
    shared_out(&[&second.handle], &[4]).await;
    subject.fill(4, 10).await;
    let mut all = Vec::new();
    eventually("all records are read", async || {
        all = [stopped.clone(), second.seen()].concat();
        all.len() >= 440
    })
    .await;
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (440, 440));

    second.finish().await;
    let heard = first_heard.await.expect("no panic");
    assert_eq!(heard[0], (RebalanceKind::Assigned, 4));
    assert!(
        heard.iter().all(|(kind, _)| *kind != RebalanceKind::Lost),
        "{heard:?}"
    );
    assert_eq!(*heard.last().expect("some"), (RebalanceKind::Revoked, 2));
    let heard = second_heard.await.expect("no panic");
    assert_eq!(*heard.last().expect("some"), (RebalanceKind::Revoked, 4));
    subject.assert_clean().await;
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_listener_commits_inside_revoked(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::fake(4).await;
    nothing_is_read_twice_if_the_listener_commits(subject, strategy).await;
}

/// Nobody listens: partitions stay until their reader comes back for more, and can be committed as long.
#[rstest]
#[tokio::test(start_paused = true)]
async fn without_a_listener_the_readers_next_call_lets_go(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::fake(2).await;
    subject.fill(2, 10).await;
    let mut first = subject.member(strategy);
    let batch = next(&mut first).await;
    let second = Running::new(subject.member(strategy));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(assigned(&first), BTreeSet::from([0, 1]));
    assert_eq!(assigned(&second.handle), BTreeSet::new());
    let done = (batch.partition().clone(), batch.next_offset());
    first.commit([done]).await.expect("a commit");

    let first = Running::new(first);
    shared_out(&[&first.handle, &second.handle], &[1, 1]).await;
    subject.fill(2, 5).await;
    eventually("both read on", async || {
        let seen = [first.seen(), second.seen()].concat();
        seen.contains(&(0, 14)) && seen.contains(&(1, 14))
    })
    .await;
    subject.assert_clean().await;
}

/// A listener that overruns its deadline has lost the partitions by then, and learns so when it commits.
#[tokio::test(start_paused = true)]
async fn a_listener_that_overruns_its_deadline_commits_nothing() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 10).await;
    let (first, mut rebalances) = listened_to(&subject, "range");
    let handle = first.handle();
    let first = Running::new(first);
    event(&mut rebalances, RebalanceKind::Assigned).await.done();
    all_read(&[&first], 2, 10).await;

    let second = Running::new(subject.member("range"));
    let revoked = event(&mut rebalances, RebalanceKind::Revoked).await;
    assert_eq!(revoked.generation(), Some(1));
    let deadline = revoked.deadline().expect("a deadline");
    // One that was asked for in time but could not be sent in time.
    let refused = subject.cluster().on::<OffsetCommitRequest>();
    let refused = refused.always().error(ErrorCode::CoordinatorLoadInProgress);
    let early = handle.commit([(subject.tp(0), 10)]);
    sleep_until(deadline + Duration::from_secs(1)).await;
    refused.remove();
    let error = early.await.expect_err("too late");
    assert_eq!(
        *error.kind(),
        ErrorKind::Revoked {
            partition: subject.tp(0)
        }
    );
    let error = handle
        .commit([(subject.tp(0), 10)])
        .await
        .expect_err("too late");
    assert_eq!(
        *error.kind(),
        ErrorKind::NotAssigned {
            partition: subject.tp(0)
        }
    );
    revoked.done();
    let lost = event(&mut rebalances, RebalanceKind::Lost).await;
    assert_eq!(lost.partitions().len(), 2);
    lost.done();
    event(&mut rebalances, RebalanceKind::Assigned).await.done();
    shared_out(&[&handle, &second.handle], &[1, 1]).await;
    subject.assert_clean().await;
}

/// Nothing of new partitions is handed out before the listener is ready, so that a seek comes first.
#[tokio::test(start_paused = true)]
async fn a_listener_seeks_before_the_first_record() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 10).await;
    let (consumer, mut rebalances) = listened_to(&subject, "range");
    let consumer = Running::new(consumer);
    let assigned = event(&mut rebalances, RebalanceKind::Assigned).await;
    assert_eq!(assigned.generation(), Some(1));
    for name in assigned.partitions() {
        assert_eq!(consumer.handle.position(name).await.expect("a position"), 0);
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(consumer.seen(), []);
    for name in assigned.partitions() {
        consumer.handle.seek(name, 7).expect("assigned");
    }
    assigned.done();
    eventually("the rest is read", async || consumer.seen().len() >= 6).await;
    assert!(consumer.seen().iter().all(|(_, offset)| *offset >= 7));
}

/// No record is handed out of a partition whose revocation the listener has heard of.
#[tokio::test(start_paused = true)]
async fn o15_nothing_of_a_revoked_partition_is_handed_out() {
    let subject = Subject::fake(4).await;
    subject.fill(4, 10).await;
    let (first, mut rebalances) = listened_to(&subject, "cooperative-sticky");
    let first = Running::new(first);
    event(&mut rebalances, RebalanceKind::Assigned).await.done();
    all_read(&[&first], 4, 10).await;
    let _second = Running::new(subject.member("cooperative-sticky"));
    // What stays is acknowledged as it comes, until something goes.
    let revoked = loop {
        let event = timeout(PATIENCE, rebalances.next())
            .await
            .expect("something happens");
        let event = event.expect("an open consumer");
        if event.kind() == RebalanceKind::Revoked {
            break event;
        }
    };
    let gone: BTreeSet<i32> = revoked
        .partitions()
        .iter()
        .map(|name| name.partition)
        .collect();
    assert_eq!(gone.len(), 2);
    subject.fill(4, 10).await;
    eventually("what stays is read on", async || first.seen().len() >= 60).await;
    sleep(Duration::from_secs(2)).await;
    let seen = first.seen();
    assert!(
        seen.iter()
            .all(|(partition, offset)| *offset < 10 || !gone.contains(partition))
    );
    assert_eq!(seen.len(), 60);
    revoked.done();
    subject.assert_clean().await;
}

/// Who listens last hears; the one before hears that it is over.
#[tokio::test(start_paused = true)]
async fn one_listener_takes_over_from_another() {
    let subject = Subject::fake(2).await;
    let (consumer, mut old) = listened_to(&subject, "range");
    let mut new = consumer.rebalances();
    assert!(
        timeout(PATIENCE, old.next())
            .await
            .expect("an end")
            .is_none()
    );
    event(&mut new, RebalanceKind::Assigned).await.done();
    let closing = tokio::spawn(consumer.close(PATIENCE));
    event(&mut new, RebalanceKind::Revoked).await.done();
    closing.await.expect("no panic");
    assert!(
        timeout(PATIENCE, new.next())
            .await
            .expect("an end")
            .is_none()
    );
}

/// A listener that goes away has nothing against anything.
#[tokio::test(start_paused = true)]
async fn a_listener_that_is_gone_holds_nothing_up() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 10).await;
    let (first, rebalances) = listened_to(&subject, "range");
    let first = Running::new(first);
    eventually("there is an assignment", async || {
        first.handle.assignment().len() == 2
    })
    .await;
    drop(rebalances);
    all_read(&[&first], 2, 10).await;
    let second = Running::new(subject.member("range"));
    shared_out(&[&first.handle, &second.handle], &[1, 1]).await;
}

/// Asks for records, and gives up after that many looks; what came.
async fn look(consumer: &mut Consumer, looks: usize) -> Vec<(i32, i64)> {
    let mut call = pin!(consumer.next());
    for _ in 0..looks {
        let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        if let Poll::Ready(batch) = polled {
            let batch = batch.expect("no error").expect("an open consumer");
            let partition = batch.partition().partition;
            let offset = |record: Result<RecordView<'_>>| record.expect("a record").offset();
            return batch
                .records()
                .map(|record| (partition, offset(record)))
                .collect();
        }
        tokio::task::yield_now().await;
    }
    Vec::new()
}

/// A reader that gives its calls up at every point loses nothing, gets nothing twice, and holds no rebalance up.
#[rstest]
#[tokio::test(start_paused = true)]
async fn calls_for_records_are_given_up_at_every_point(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::fake(4).await;
    subject.fill(4, 30).await;
    let (mut first, rebalances) = listened_to(&subject, strategy);
    let heard = committing(rebalances, first.handle());
    let mut seen = Vec::new();
    for round in 0..3 {
        let (second, rebalances) = listened_to(&subject, strategy);
        let second_heard = committing(rebalances, second.handle());
        let second = Running::new(second);
        for n in 0..400 {
            seen.extend(look(&mut first, n % 7).await);
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            assigned(&first).len() + assigned(&second.handle).len(),
            4,
            "round {round}"
        );
        assert_eq!(assigned(&first).len(), 2, "round {round}");
        subject.fill(4, 10).await;
        for n in 0..400 {
            seen.extend(look(&mut first, n % 7).await);
            sleep(Duration::from_millis(10)).await;
        }
        seen.extend(second.finish().await);
        second_heard.await.expect("no panic");
    }
    for n in 0..400 {
        seen.extend(look(&mut first, n % 7).await);
        sleep(Duration::from_millis(10)).await;
    }
    first.close(PATIENCE).await;
    let heard = heard.await.expect("no panic");
    assert!(
        heard.iter().all(|(kind, _)| *kind != RebalanceKind::Lost),
        "{heard:?}"
    );
    let distinct: BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (240, 240));
    subject.assert_clean().await;
}
