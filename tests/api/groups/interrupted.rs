//! Rebalances that come at any moment of a fetch or a look-up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::StartFrom;
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use rstest::rstest;
use tokio::time::{Instant, sleep, timeout};

use super::subject::{Running, Subject, all_read, shared_out};
use crate::support::{PATIENCE, eventually};

/// Every one of many brokers has a fetch to answer when the partitions go; none of it is waited for, and none of it
/// is in the way of what comes after.
#[rstest]
#[tokio::test(start_paused = true)]
async fn f10_fetches_under_way_at_many_brokers_hold_no_rebalance_up(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::fake_with(16, |cluster| cluster.brokers(8)).await;
    let cluster = subject.cluster();
    let first = Running::new(subject.member(strategy));
    shared_out(&[&first.handle], &[16]).await;
    let mut earlier = Vec::new();
    for round in 1..=3 {
        eventually("every broker has a fetch to answer", async || {
            for broker in cluster.broker_ids() {
                if cluster.waiting_fetches(broker).await.expect("a broker") == 0 {
                    return false;
                }
            }
            true
        })
        .await;
        let unanswered = cluster.on::<FetchRequest>().times(8).drop_request();
        sleep(Duration::from_secs(1)).await;
        subject.fill(16, 5).await;
        let began = Instant::now();
        let second = Running::new(subject.member(strategy));
        shared_out(&[&first.handle, &second.handle], &[8, 8]).await;
        assert!(began.elapsed() < Duration::from_secs(10));
        unanswered.remove();
        eventually("all is read", async || {
            let now = [first.seen(), second.seen()].concat();
            earlier
                .iter()
                .copied()
                .chain(now)
                .collect::<BTreeSet<_>>()
                .len()
                == 16 * 5 * round
        })
        .await;
        // What stays in place goes on with its fetch, and that is given up in its own time.
        assert!(strategy != "range" || began.elapsed() < Duration::from_secs(10));
        for member in [&first, &second] {
            member.handle.commit_positions().await.expect("a commit");
        }
        earlier.extend(second.finish().await);
        shared_out(&[&first.handle], &[16]).await;
    }
    // Nothing was read twice: each handed over what it had committed.
    assert_eq!(earlier.len() + first.seen().len(), 16 * 5 * 3);
    subject.assert_clean().await;
}

/// Partitions go and come back just before a fetch leaves, just behind it, and at every moment between.
#[rstest]
#[tokio::test(start_paused = true)]
async fn f31_partitions_that_come_back_at_any_moment_are_read_on(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::fake(3).await;
    let member = Running::new(subject.member(strategy));
    shared_out(&[&member.handle], &[3]).await;
    let mut written = 0;
    for moment in 0..60 {
        subject.fill(3, 1).await;
        written += 1;
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        member.handle.enforce_rebalance("to see where it goes on");
        for _ in 0..moment % 7 {
            tokio::task::yield_now().await;
        }
        subject.fill(3, 1).await;
        written += 1;
        let began = Instant::now();
        all_read(&[&member], 3, written).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(15), "at {moment}: {took:?}");
        member.handle.commit_positions().await.expect("a commit");
    }
    subject.assert_clean().await;
}

/// The same where the caller assigns them, at exact offsets.
#[tokio::test(start_paused = true)]
async fn f31_offsets_asked_for_at_any_moment_are_read() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 100).await;
    let mut consumer = subject.consumer(|builder| builder);
    let all = |offset| (0..2).map(move |partition| (partition, StartFrom::Offset(offset)));
    for moment in 0..90 {
        let assign = |offset| {
            let starts = all(offset).map(|(partition, from)| (subject.tp(partition), from));
            consumer.assign(starts).expect("assigned");
        };
        assign(0);
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        match moment % 3 {
            0 => assign(moment),
            1 => {
                consumer.unassign();
                assign(moment);
            }
            _ => (0..2).for_each(|p| consumer.seek(&subject.tp(p), moment).expect("assigned")),
        }
        let mut left = [moment; 2];
        while left != [100, 100] {
            let batch = timeout(Duration::from_secs(5), consumer.next()).await;
            let batch = batch.unwrap_or_else(|_| panic!("a stall at {moment}"));
            let batch = batch.expect("no error").expect("an open consumer");
            let left = &mut left[usize::try_from(batch.partition().partition).expect("0 or 1")];
            for record in batch.records() {
                assert_eq!(record.expect("a record").offset(), *left, "at {moment}");
                *left += 1;
            }
        }
    }
}

/// Nothing is read of a group's partitions before their committed offsets are known to be final, and a rebalance that
/// comes before them does not make those that stay wait for ever.
#[rstest]
#[tokio::test(start_paused = true)]
async fn f30_partitions_that_stay_begin_once_their_offsets_come_however_many_rebalances_later(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::fake(4).await;
    subject.fill(4, 10).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let look_ups = subject.cluster().on::<OffsetFetchRequest>();
    let look_ups = look_ups.when(move |look_up| {
        noted.lock().expect("no panic").push(look_up.require_stable);
        true
    });
    let held = look_ups.times(1).hold();
    let first = Running::new(subject.member(strategy));
    held.arrived().await.expect("a cluster");
    let second = Running::new(subject.member(strategy));
    shared_out(&[&first.handle, &second.handle], &[2, 2]).await;
    second.finish().await;
    shared_out(&[&first.handle], &[4]).await;
    held.release().await.expect("a cluster");
    let began = Instant::now();
    all_read(&[&first], 4, 10).await;
    assert!(began.elapsed() < PATIENCE / 2);
    let asked = asked.lock().expect("no panic").clone();
    assert!(asked.iter().all(|stable| *stable), "f14: {asked:?}");
    subject.assert_clean().await;
}
