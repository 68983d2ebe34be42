//! Auto-commit covers what the caller has come back from, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{AutoOffsetReset, Consumer};
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::{ApiKey, ErrorCode};
use rstest::rstest;
use tokio::time::{sleep, timeout};

use super::subject::{Running, Subject, next, shared_out, with_strategy};
use crate::support::{PATIENCE, eventually};

const INTERVAL: Duration = Duration::from_secs(1);

/// A member that commits by itself.
fn member(subject: &Subject, strategy: &str) -> Consumer {
    let consumer = subject.consumer(|builder| {
        let builder = builder.auto_commit(true).auto_commit_interval(INTERVAL);
        with_strategy(builder, strategy)
    });
    consumer
        .subscribe([&subject.topic])
        .expect("a subscription");
    consumer
}

async fn commits(subject: &Subject) -> usize {
    let requests = subject.cluster().requests().await.expect("a cluster");
    requests
        .iter()
        .filter(|request| request.api == ApiKey::OffsetCommit)
        .count()
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_callers_hands_is_not_committed() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 10).await;
    let mut consumer = member(&subject, "range");
    let batch = next(&mut consumer).await;
    let end = batch.next_offset();
    sleep(INTERVAL * 3).await;
    assert_eq!(subject.committed(1).await, BTreeMap::from([(0, 0)]));
    // It asks for more: whatever comes of that, it is done with what it had.
    let more = timeout(Duration::from_millis(1), consumer.next()).await;
    let end = more.map_or(end, |_| end);
    sleep(INTERVAL * 2).await;
    assert_eq!(subject.committed(1).await, BTreeMap::from([(0, end)]));

    // What has not changed is not committed again.
    let so_far = commits(&subject).await;
    sleep(INTERVAL * 5).await;
    assert_eq!(commits(&subject).await, so_far);

    // Dropped without a word: what it holds will come again.
    drop(consumer);
    assert_eq!(subject.committed(1).await, BTreeMap::from([(0, end)]));
}

/// A caller that closes the consumer is done with everything.
#[tokio::test(start_paused = true)]
async fn closing_commits_what_was_handed_out() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 1).await;
    let mut consumer = member(&subject, "range");
    assert_eq!(next(&mut consumer).await.next_offset(), 1);
    consumer.close(PATIENCE).await;
    assert_eq!(subject.committed(1).await, BTreeMap::from([(0, 1)]));
}

/// Partitions are handed over with what was done: nothing comes twice, without anybody having committed.
#[tokio::test(start_paused = true)]
async fn partitions_are_committed_before_they_are_given_up() {
    for strategy in ["range", "cooperative-sticky"] {
        let subject = Subject::fake(4).await;
        subject.fill(4, 20).await;
        let first = Running::new(member(&subject, strategy));
        super::subject::all_read(&[&first], 4, 20).await;
        let second = Running::new(member(&subject, strategy));
        shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
        subject.fill(4, 20).await;
        let counts = super::subject::all_read(&[&first, &second], 4, 40).await;
        assert!(
            counts.values().all(|&times| times == 1),
            "{strategy}: {counts:?}"
        );
        let mut seen = first.finish().await;
        shared_out(&[&second.handle], &[4]).await;
        subject.fill(4, 5).await;
        eventually("the rest is read", async || {
            seen.len() + second.seen().len() >= 180
        })
        .await;
        seen.extend(second.finish().await);
        assert_eq!(seen.len(), 180, "{strategy}");
        subject.assert_clean().await;
    }
}

/// A stream is done with a record when it is asked for the next one.
#[tokio::test(start_paused = true)]
async fn a_stream_comes_back_record_by_record() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 10).await;
    let mut consumer = member(&subject, "range");
    let mut records = consumer.records();
    for _ in 0..4 {
        let next = std::future::poll_fn(|context| {
            futures_core::Stream::poll_next(std::pin::Pin::new(&mut records), context)
        });
        let record = timeout(PATIENCE, next).await.expect("something comes");
        record.expect("an open consumer").expect("no error");
    }
    sleep(INTERVAL * 2).await;
    assert_eq!(subject.committed(1).await, BTreeMap::from([(0, 3)]));
    // The fourth is still in its hands when it drops the stream.
    drop(records);
    sleep(INTERVAL * 2).await;
    assert_eq!(subject.committed(1).await, BTreeMap::from([(0, 3)]));
    consumer.close(PATIENCE).await;
    assert_eq!(subject.committed(1).await, BTreeMap::from([(0, 4)]));
}

/// A partition from which nothing has come yet has its place committed all the same, or what arrives while
/// nobody is there would be passed over.
#[tokio::test(start_paused = true)]
async fn o20_the_place_in_a_quiet_partition_is_pinned() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 10).await;
    let latest = |subject: &Subject| {
        let consumer = subject.consumer(|builder| {
            let builder = builder.auto_offset_reset(AutoOffsetReset::Latest);
            builder.auto_commit(true).auto_commit_interval(INTERVAL)
        });
        consumer
            .subscribe([&subject.topic])
            .expect("a subscription");
        consumer
    };
    let first = Running::new(latest(&subject));
    shared_out(&[&first.handle], &[1]).await;
    sleep(INTERVAL * 3).await;
    assert_eq!(first.finish().await, []);
    subject.fill(1, 5).await;
    let second = Running::new(latest(&subject));
    eventually("what came meanwhile is read", async || {
        second.seen().len() == 5
    })
    .await;
    assert_eq!(second.seen()[0], (0, 10));
}

/// Auto-commits that fail cost nothing but time: what they were of is committed by the next, and read again where none
/// succeeded.
#[rstest]
#[tokio::test(start_paused = true)]
async fn o20_an_auto_commit_that_fails_loses_nothing(
    #[values(
        ErrorCode::RequestTimedOut,
        ErrorCode::UnknownServerError,
        ErrorCode::TopicAuthorizationFailed
    )]
    code: ErrorCode,
    #[values(false, true)] recovers: bool,
) {
    let subject = Subject::fake(1).await;
    subject.fill(1, 10).await;
    let refused = subject.cluster().on::<OffsetCommitRequest>();
    let refused = refused.always().error(code);
    let first = Running::new(member(&subject, "range"));
    eventually("all is read", async || first.seen().len() == 10).await;
    sleep(INTERVAL * 3).await;
    assert!(refused.hits() > 0);
    if recovers {
        refused.remove();
        sleep(INTERVAL * 3).await;
        assert_eq!(subject.committed(1).await, BTreeMap::from([(0, 10)]));
    }
    assert_eq!(first.finish().await.len(), 10);
    refused.remove();
    subject.fill(1, 1).await;
    let second = Running::new(member(&subject, "range"));
    let (from, count) = if recovers { (10, 1) } else { (0, 11) };
    eventually("it goes on", async || second.seen().len() == count).await;
    assert_eq!(second.seen()[0], (0, from));
}

/// A consumer that was given its partitions by hand commits for its group as well.
#[tokio::test(start_paused = true)]
async fn partitions_assigned_by_hand_are_committed_too() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 10).await;
    for (enabled, expected) in [(false, BTreeMap::new()), (true, BTreeMap::from([(0, 10)]))] {
        let consumer =
            subject.consumer(|builder| builder.auto_commit(enabled).auto_commit_interval(INTERVAL));
        consumer
            .assign([(subject.tp(0), ottla::StartFrom::Beginning)])
            .expect("assigned");
        let reader = Running::new(consumer);
        eventually("all is read", async || reader.seen().len() == 10).await;
        sleep(INTERVAL * 2).await;
        assert_eq!(subject.committed(1).await, expected);
        reader.finish().await;
    }
}
