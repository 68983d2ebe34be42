//! Partitions that come and go while their records are being handled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::{ConsumedRecord, Consumer, ProcessingOrder, Processor, ProcessorEvent, Verdict};
use ottla_codec::ErrorCode;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use rstest::rstest;
use tokio::time::{Instant, sleep};

use super::world::{Broken, Diary, MAX_POLL, Running, SESSION, World, all};
use crate::support::{PATIENCE, eventually};

fn member(world: &World, strategy: &str) -> Consumer {
    let strategy = [("partition.assignment.strategy", strategy)];
    world.consumer(|builder| builder.properties(strategy).expect("assignors"))
}

/// Handles each record in a time of its own, up to that.
fn slow(
    longest: Duration,
    log: &Diary,
) -> impl Fn(ConsumedRecord) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>
+ Send
+ Sync
+ 'static {
    let log = log.clone();
    move |record| {
        let call = log.begin(&record);
        Box::pin(async move {
            sleep(longest * (record.offset % 4 + 1) as u32 / 4).await;
            call.done();
            Ok(())
        })
    }
}

const KEYS: &[Option<&str>] = &[Some("a"), Some("b"), Some("a"), Some("c")];

/// A second member joins and the first one leaves, in the middle of it: what is at work is finished and committed
/// before its partition goes, so that nothing is handled twice, and order holds across members.
pub(super) async fn nothing_is_handled_twice_when_partitions_change_hands(
    world: World,
    strategy: &str,
    longest: Duration,
) {
    world.fill(4, 40, KEYS).await;
    let diary = Diary::default();
    let processor = || {
        Processor::new()
            .order(ProcessingOrder::Partition)
            .concurrency(4)
            .shutdown_timeout(PATIENCE / 2)
    };
    let begin = || Running::new(processor(), member(&world, strategy), slow(longest, &diary));
    let first = begin();
    eventually("it has begun", async || first.metrics().processed >= 10).await;
    let second = begin();
    eventually("they share", async || {
        first.consumer.assignment().len() == 2 && second.consumer.assignment().len() == 2
    })
    .await;
    eventually("both work", async || second.metrics().processed >= 10).await;
    let metrics = first.finish().await.expect("an end in order");
    assert_eq!(metrics.abandoned, 0);
    eventually("all records are handled", async || {
        diary.done().len() >= 160
    })
    .await;
    let metrics = second.finish().await.expect("an end in order");
    assert_eq!((metrics.abandoned, metrics.failed_commits), (0, 0));

    let done = diary.done();
    assert_eq!((done.len(), diary.entries().len()), (160, 160));
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), all(4, 40));
    diary.assert_in_order(|entry| entry.partition);
    let committed: Vec<_> = world.committed().await.into_iter().collect();
    assert_eq!(committed, [(0, 40), (1, 40), (2, 40), (3, 40)]);
    world.assert_clean().await;
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn partitions_change_hands(#[values("range", "cooperative-sticky")] strategy: &str) {
    let world = World::fake(4).await;
    nothing_is_handled_twice_when_partitions_change_hands(world, strategy, Duration::from_secs(2))
        .await;
}

/// Of what stays in a cooperative rebalance nothing is held up by what goes.
#[tokio::test(start_paused = true)]
async fn what_stays_goes_on_while_what_goes_is_waited_for() {
    let world = World::fake(2).await;
    world.fill(2, 1, &[None]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let consumer = member(&world, "cooperative-sticky");
    let first = Running::new(Processor::new(), consumer, move |record| {
        let call = log.begin(&record);
        async move {
            if record.offset == 0 {
                sleep(Duration::from_secs(15)).await;
            }
            call.done();
            Ok(())
        }
    });
    eventually("both are at work", async || first.metrics().in_flight == 2).await;
    let second = member(&world, "cooperative-sticky");
    sleep(Duration::from_secs(5)).await;
    world.fill(2, 10, &[None]).await;
    sleep(Duration::from_secs(2)).await;
    let later: BTreeSet<i32> = diary
        .done()
        .into_iter()
        .map(|(partition, _)| partition)
        .collect();
    assert_eq!(later.len(), 1, "the one that stays");
    assert_eq!(first.consumer.assignment().len(), 2);
    eventually("the other one goes", async || {
        second.assignment().len() == 1
    })
    .await;
    assert_eq!(first.metrics().abandoned, 0);
    let gone = second.assignment().first().expect("one").partition;
    assert!(!later.contains(&gone));
    assert_eq!(world.committed().await[&gone], 1);
}

/// A handler that is not done by the revocation's deadline is dropped shortly before, and what is done is committed.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_handler_that_overruns_a_revocation_is_dropped(
    #[values("range", "cooperative-sticky")] strategy: &str,
) {
    let world = World::fake(2).await;
    world.fill(2, 10, &[None]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let processor = Processor::new().attempt_timeout(Duration::MAX);
    let first = Running::new(processor, member(&world, strategy), move |record| {
        let call = log.begin(&record);
        async move {
            if record.offset == 6 {
                std::future::pending::<()>().await;
            }
            call.done();
            Ok(())
        }
    });
    eventually("two are stuck", async || first.metrics().processed == 18).await;
    let second_diary = Diary::default();
    let began = Instant::now();
    let second = Running::new(
        Processor::new(),
        member(&world, strategy),
        slow(Duration::ZERO, &second_diary),
    );
    eventually("it goes on elsewhere", async || {
        !second_diary.done().is_empty()
    })
    .await;
    let took = began.elapsed();
    assert!(took > MAX_POLL / 2 && took < MAX_POLL + SESSION, "{took:?}");
    // Not one that was committed, and each that was not.
    let again: Vec<i64> = second_diary
        .done()
        .into_iter()
        .map(|(_, offset)| offset)
        .collect();
    assert_eq!(again, [6, 7, 8, 9]);
    let abandoned: Vec<_> = first
        .events()
        .into_iter()
        .map(|event| match event {
            ProcessorEvent::Abandoned { partition, offsets } => (partition.partition, offsets),
            other => panic!("{other:?}"),
        })
        .collect();
    let gone = second.consumer.assignment().first().expect("one").partition;
    assert!(abandoned.contains(&(gone, vec![6])), "{abandoned:?}");
    let of_eager: usize = match strategy {
        "range" => 2,
        _ => 1,
    };
    assert_eq!(abandoned.len(), of_eager);
    world.assert_clean().await;
}

/// Partitions that are lost: handlers are dropped, and nothing they did is committed, though the same member gets the same
/// partitions back.
#[tokio::test(start_paused = true)]
async fn what_is_lost_is_dropped_and_not_committed() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let processor = Processor::new().attempt_timeout(Duration::MAX);
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, move |record| {
        let call = log.begin(&record);
        let is_first_time = log.entries().len() <= 10;
        async move {
            if record.offset == 4 && is_first_time {
                std::future::pending::<()>().await;
            }
            call.done();
            Ok(())
        }
    });
    eventually("one is stuck", async || running.metrics().processed == 9).await;
    eventually("what is done is committed", async || {
        world.committed().await.get(&0) == Some(&4)
    })
    .await;
    let group = world.cluster().group("g").await.expect("a cluster");
    let group = group.expect("a group");
    let member = group.members.keys().next().expect("one");
    let expired = world.cluster().expire_member("g", member).await;
    expired.expect("a member");
    eventually("it is handled again", async || {
        running.metrics().processed == 15
    })
    .await;
    let events = running.events();
    let [ProcessorEvent::Abandoned { offsets, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(offsets, &[4]);
    let again: Vec<i64> = diary.entries()[10..]
        .iter()
        .map(|entry| entry.offset)
        .collect();
    assert_eq!(again, [4, 5, 6, 7, 8, 9]);
    let now = world.cluster().group("g").await.expect("a cluster");
    assert!(now.expect("a group").generation > group.generation);
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10)]));
    world.assert_clean().await;
}

/// A commit that could not be made before partitions were lost is not made when they are back either, not of one of them.
#[tokio::test(start_paused = true)]
async fn a_late_commit_is_not_made_for_partitions_that_have_come_back() {
    let world = World::fake(2).await;
    world.fill(2, 10, &[None]).await;
    let held_up = world.cluster().on::<OffsetCommitRequest>().always();
    let held_up = held_up.error(ErrorCode::CoordinatorLoadInProgress);
    let diary = Diary::default();
    let log = diary.clone();
    let processor = Processor::new().concurrency(20);
    let running = Running::new(processor, member(&world, "range"), move |record| {
        let call = log.begin(&record);
        let is_first_time = log.entries().len() <= 20;
        async move {
            if !is_first_time {
                sleep(MAX_POLL / 2).await;
            }
            call.done();
            Ok(())
        }
    });
    eventually("all are handled", async || {
        running.metrics().processed == 20
    })
    .await;
    running.consumer.enforce_rebalance("for a change");
    eventually("all are at work again", async || {
        diary.entries().len() == 40
    })
    .await;
    held_up.remove();
    sleep(MAX_POLL / 4).await;
    assert!(running.metrics().failed_commits > 0);
    assert_eq!(world.committed().await, BTreeMap::new());
    sleep(MAX_POLL / 2).await;
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10), (1, 10)]));
    running.finish().await.expect("an end in order");
    world.assert_clean().await;
}

/// What fails while its partition goes is not tried again: the next owner does that, at once.
#[tokio::test(start_paused = true)]
async fn what_waits_to_be_tried_again_holds_up_no_rebalance() {
    let world = World::fake(1).await;
    world.fill(1, 5, &[None]).await;
    let processor = Processor::new()
        .retry_backoff(Duration::from_secs(15), Duration::from_secs(15))
        .on_failure(|_| Verdict::Retry);
    let first = Running::new(processor, member(&world, "range"), |record| async move {
        match record.offset {
            3 => Err("not yet".into()),
            _ => Ok(()),
        }
    });
    eventually("one waits", async || first.metrics().processed == 4).await;
    let diary = Diary::default();
    let began = Instant::now();
    let consumer = member(&world, "range");
    // The one that goes is given to the member that is there.
    let second = Running::new(Processor::new(), consumer, slow(Duration::ZERO, &diary));
    eventually("both are members", async || {
        let group = world.cluster().group("g").await.expect("a cluster");
        group.is_some_and(|group| group.members.len() == 2)
    })
    .await;
    first.finish().await.expect("an end in order");
    eventually("the other one has it", async || diary.done().len() == 2).await;
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(diary.done(), [(0, 3), (0, 4)]);
    second.finish().await.expect("an end in order");
}
