//! Callers who want one thing and then another, before anything has come of it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ottla::Consumer;
use rstest::rstest;
use tokio::time::{Instant, sleep, timeout};

use super::subject::{Running, SESSION, Subject, all_read, assigned, shared_out, with_strategy};
use crate::support::{eventually, long_runs};

/// Goes on for that many turns of the scheduler.
async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// Begins to wait for something, and gives up after that many looks.
async fn begin(what: impl Future, looks: usize) {
    let mut what = pin!(what);
    for _ in 0..looks {
        let polled = poll_fn(|context| Poll::Ready(what.as_mut().poll(context).is_ready()));
        if polled.await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Closing ends by its deadline at every moment of joining, and leaves nobody behind for longer than a session.
#[rstest]
#[tokio::test(start_paused = true)]
async fn closing_while_joining_leaves_nobody_behind(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let subject = Subject::fake(2).await;
    let steady = Running::new(subject.member(strategy));
    shared_out(&[&steady.handle], &[2]).await;
    for moment in 0..60 {
        let mut second = subject.member(strategy);
        begin(second.next(), moment).await;
        sleep(Duration::from_millis(
            u64::try_from(moment).expect("small") * 25,
        ))
        .await;
        let began = Instant::now();
        second.close(Duration::from_secs(5)).await;
        let took = began.elapsed();
        assert!(took <= Duration::from_secs(5), "at {moment}: {took:?}");
        let began = Instant::now();
        shared_out(&[&steady.handle], &[2]).await;
        assert!(began.elapsed() < SESSION * 2, "at {moment}");
    }
    eventually("nobody else is there", async || {
        let group = subject.cluster().group(&subject.group).await;
        group.expect("a cluster").expect("a group").members.len() == 1
    })
    .await;
    subject.assert_clean().await;
}

/// Does one thing or another.
async fn whim(subject: &Subject, consumer: &mut Consumer, rng: &mut fastrand::Rng) {
    let looks = rng.usize(..20);
    // What is asked for in between may be refused; it is never to hang.
    match rng.u8(..9) {
        0 => drop(consumer.subscribe(["t"])),
        1 => drop(consumer.subscribe(["t", "u"])),
        2 => drop(consumer.subscribe_matching(|topic| topic == "u")),
        3 => begin(consumer.unsubscribe(), looks).await,
        4 => consumer.enforce_rebalance("a whim"),
        5 => begin(consumer.commit_positions(), looks).await,
        6 => {
            let mut rebalances = consumer.rebalances();
            begin(rebalances.next(), looks).await;
        }
        7 => begin(consumer.position(&subject.tp(0)), looks).await,
        _ => begin(consumer.next(), looks).await,
    }
    match rng.u8(..3) {
        0 => sleep(Duration::from_millis(rng.u64(..4_000))).await,
        _ => turns(looks).await,
    }
}

/// Subscribing, unsubscribing, listening, committing, in any order and given up at any point: in the end what was
/// asked for last is so, and others were never kept from theirs.
#[rstest]
#[tokio::test(start_paused = true)]
async fn what_was_asked_for_last_is_so(
    #[values("range", "cooperative-sticky")] strategy: &str,
    #[values(true, false)] auto_commit: bool,
) {
    for seed in 0..if long_runs() { 1_000 } else { 40 } {
        let subject = Subject::fake_with(4, |cluster| cluster.topic("u", 2)).await;
        let mut rng = fastrand::Rng::with_seed(seed);
        let steady = Running::new(subject.member(strategy));
        let mut fickle =
            subject.consumer(|builder| with_strategy(builder, strategy).auto_commit(auto_commit));
        for _ in 0..rng.usize(1..30) {
            whim(&subject, &mut fickle, &mut rng).await;
            let both = assigned(&steady.handle);
            let held = fickle.assignment();
            let twice = both.iter().find(|p| held.contains(&subject.tp(**p)));
            assert_eq!(twice, None, "seed {seed}");
        }
        timeout(Duration::from_secs(60), fickle.unsubscribe())
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: unsubscribing hangs"));
        fickle.subscribe(["t"]).expect("a subscription");
        let fickle = Running::new(fickle);
        shared_out(&[&steady.handle, &fickle.handle], &[2, 2]).await;
        subject.fill(4, 5).await;
        all_read(&[&steady, &fickle], 4, 5).await;
        let began = Instant::now();
        fickle.finish().await;
        assert!(began.elapsed() < Duration::from_secs(10), "seed {seed}");
        subject.assert_clean().await;
    }
}
