//! A reader that stays away for too long costs its member the partitions, and gets them back by asking.

use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use ottla::{ConsumedRecord, ErrorKind, MemberState, RebalanceKind, RecordStream};
use tokio::time::{sleep, timeout};

use super::subject::{
    MAX_POLL, Running, Subject, all_read, next, shared_out, try_next, with_strategy,
};
use crate::support::PATIENCE;

async fn record(records: &mut RecordStream<'_>) -> ottla::Result<ConsumedRecord> {
    let next = std::future::poll_fn(|context| Pin::new(&mut *records).poll_next(context));
    let record = timeout(PATIENCE, next).await.expect("something comes");
    record.expect("an open consumer")
}

/// It is told so once, and its next call brings the member back.
#[tokio::test(start_paused = true)]
async fn a_reader_that_stays_away_is_told_once_and_then_rejoins() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 10).await;
    let mut consumer = subject.member("range");
    let mut rebalances = consumer.rebalances();
    let listener = tokio::spawn(async move {
        let mut kinds = Vec::new();
        while let Some(event) = rebalances.next().await {
            kinds.push(event.kind());
        }
        kinds
    });
    let batch = next(&mut consumer).await;
    sleep(MAX_POLL - Duration::from_secs(1)).await;
    assert_eq!(consumer.health().state, MemberState::Stable);
    assert!(consumer.health().away_since.is_some());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(consumer.health().state, MemberState::Away);
    assert!(consumer.assignment().is_empty());
    let group = subject
        .cluster()
        .group(&subject.group)
        .await
        .expect("a cluster");
    assert!(group.expect("a group").members.is_empty());
    let late = consumer
        .commit([(batch.partition().clone(), batch.next_offset())])
        .await;
    let kind = ErrorKind::NotAssigned {
        partition: batch.partition().clone(),
    };
    assert_eq!(*late.expect_err("too late").kind(), kind);

    sleep(MAX_POLL * 10).await;
    let error = try_next(&mut consumer).await.expect_err("it was away");
    assert_eq!(
        *error.kind(),
        ErrorKind::MaxPollExceeded {
            interval: MAX_POLL,
            by_listener: false
        }
    );
    assert!(!error.is_fatal());
    // It may take its time to make something of that.
    sleep(MAX_POLL * 2).await;
    assert_eq!(consumer.health().state, MemberState::Away);
    let again = next(&mut consumer).await;
    assert_eq!(
        again
            .records()
            .next()
            .expect("one")
            .expect("a record")
            .offset(),
        0
    );
    drop((batch, again));
    consumer.close(PATIENCE).await;
    use RebalanceKind::{Assigned, Lost, Revoked};
    assert_eq!(
        listener.await.expect("no panic"),
        [Assigned, Lost, Assigned, Revoked]
    );
    subject.assert_clean().await;
}

/// Whoever takes too long over a batch loses its partitions to the others, is told so, and gets some again by asking.
pub(super) async fn a_slow_handler_loses_its_partitions_and_comes_back(subject: Subject) {
    let max_poll = Duration::from_secs(2);
    subject.fill(4, 10).await;
    let other = Running::new(subject.member("range"));
    let mut slow =
        subject.consumer(|builder| with_strategy(builder, "range").max_poll_interval(max_poll));
    slow.subscribe([&subject.topic]).expect("a subscription");
    let batch = next(&mut slow).await;
    let place = (batch.partition().clone(), batch.next_offset());
    shared_out(&[&other.handle], &[4]).await;
    assert_eq!(slow.health().state, MemberState::Away);
    assert!(slow.assignment().is_empty());
    let late = slow.commit([place.clone()]).await.expect_err("too late");
    let partition = place.0;
    assert_eq!(*late.kind(), ErrorKind::NotAssigned { partition });
    let error = try_next(&mut slow).await.expect_err("it was away");
    assert_eq!(
        *error.kind(),
        ErrorKind::MaxPollExceeded {
            interval: max_poll,
            by_listener: false
        }
    );
    assert!(!error.is_fatal());

    let slow = Running::new(slow);
    shared_out(&[&other.handle, &slow.handle], &[2, 2]).await;
    subject.fill(4, 1).await;
    all_read(&[&other, &slow], 4, 11).await;
    subject.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_told_and_comes_back() {
    a_slow_handler_loses_its_partitions_and_comes_back(Subject::fake(4).await).await;
}

/// Waiting is not being away, however long nothing comes.
#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_is_not_away() {
    let subject = Subject::fake(2).await;
    let reader = Running::new(subject.member("range"));
    shared_out(&[&reader.handle], &[2]).await;
    sleep(MAX_POLL * 10).await;
    assert_eq!(reader.handle.health().state, MemberState::Stable);
    assert_eq!(reader.handle.health().generation, Some(1));
}

/// A call that is given up leaves the reader away; so does one that is kept but not followed.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_or_not_followed_is_being_away() {
    let subject = Subject::fake(2).await;
    let mut consumer = subject.member("range");
    for _ in 0..8 {
        // Each call counts, also if it is given up.
        assert!(
            timeout(Duration::from_millis(100), consumer.next())
                .await
                .is_err()
        );
        sleep(MAX_POLL / 2).await;
    }
    assert_eq!(consumer.health().state, MemberState::Stable);
    sleep(MAX_POLL).await;
    assert_eq!(consumer.health().state, MemberState::Away);
    assert!(try_next(&mut consumer).await.is_err());
    assert!(
        timeout(Duration::from_secs(5), consumer.next())
            .await
            .is_err()
    );
    assert_eq!(consumer.health().state, MemberState::Stable);

    let handle = consumer.handle();
    let mut call = Box::pin(consumer.next());
    let first = std::future::poll_fn(|context| {
        assert!(call.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    });
    first.await;
    sleep(MAX_POLL * 3).await;
    assert_eq!(handle.health().state, MemberState::Stable);
    subject.fill(2, 1).await;
    sleep(MAX_POLL + Duration::from_secs(2)).await;
    assert_eq!(handle.health().state, MemberState::Away);
    drop(call);
}

/// Who reads record by record is there with each of them.
#[tokio::test(start_paused = true)]
async fn a_slow_stream_is_not_away_between_records() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 10).await;
    let mut consumer = subject.member("range");
    let handle = consumer.handle();
    let mut records = consumer.records();
    for offset in 0..10 {
        assert_eq!(record(&mut records).await.expect("a record").offset, offset);
        sleep(MAX_POLL * 3 / 4).await;
        assert_eq!(handle.health().state, MemberState::Stable);
    }
    sleep(MAX_POLL * 2).await;
    let error = record(&mut records).await.expect_err("it was away");
    assert!(matches!(error.kind(), ErrorKind::MaxPollExceeded { .. }));
    assert_eq!(record(&mut records).await.expect("a record").offset, 0);
}

/// A listener that does not get back keeps records from the reader, and counts as away like one: once for each time
/// that the reader comes back.
#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_acknowledge_is_away_once_an_interval() {
    let subject = Subject::fake(1).await;
    subject.fill(1, 1).await;
    let consumer = subject.consumer(|builder| builder);
    let mut rebalances = consumer.rebalances();
    consumer
        .subscribe([&subject.topic])
        .expect("a subscription");
    let handle = consumer.handle();
    let reader = tokio::spawn(async move {
        let mut consumer = consumer;
        let mut errors = Vec::new();
        loop {
            match consumer.next().await {
                Ok(batch) => return (errors, batch.expect("a batch")),
                Err(error) => errors.push(error),
            }
            assert!(errors.len() < 10, "it is told all the time");
        }
    });
    let held = rebalances.next().await.expect("an assignment");
    let since = handle.health().unacknowledged_since.expect("it waits");
    assert_eq!(held.deadline(), Some(since + MAX_POLL));
    sleep(MAX_POLL * 3 + Duration::from_secs(1)).await;
    // It is done with what it held, and gets to what has come since.
    drop(held);
    let acknowledging = tokio::spawn(async move { while rebalances.next().await.is_some() {} });
    let (errors, batch) = reader.await.expect("no panic");
    assert_eq!(batch.record_count(), 1);
    assert_eq!(errors.len(), 3, "{errors:?}");
    for error in errors {
        let kind = ErrorKind::MaxPollExceeded {
            interval: MAX_POLL,
            by_listener: true,
        };
        assert_eq!(*error.kind(), kind);
        assert!(error.is_rebalance());
    }
    assert_eq!(handle.health().unacknowledged_since, None);
    acknowledging.abort();
}
