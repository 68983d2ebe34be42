//! How a processor begins and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::{ErrorKind, Processor, ProcessorEvent, Verdict};
use rstest::rstest;
use tokio::time::{Instant, sleep};

use super::world::{Broken, Diary, Running, World, all};
use crate::support::{PATIENCE, eventually};

/// Handles each record in that time.
fn taking(
    time: Duration,
    log: &Diary,
) -> impl Fn(ottla::ConsumedRecord) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>
+ Send
+ Sync
+ 'static {
    let log = log.clone();
    move |record| {
        let call = log.begin(&record);
        Box::pin(async move {
            sleep(time).await;
            call.done();
            Ok(())
        })
    }
}

/// What is at work is waited for and committed, what waits is not begun, and the member leaves its group.
#[tokio::test(start_paused = true)]
async fn shutting_down_waits_commits_and_leaves() {
    let world = World::fake(1).await;
    world.fill(1, 100, &[None]).await;
    let diary = Diary::default();
    let processor = Processor::new().concurrency(10);
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, taking(Duration::from_secs(5), &diary));
    eventually("ten are at work", async || {
        running.metrics().in_flight == 10
    })
    .await;
    let began = Instant::now();
    let metrics = running.finish().await.expect("an end in order");
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!((metrics.processed, metrics.abandoned), (10, 0));
    assert_eq!(diary.entries().len(), 10);
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10)]));
    let group = world.cluster().group("g").await.expect("a cluster");
    assert!(group.expect("a group").members.is_empty());
    world.assert_clean().await;
}

/// Who is not done in time is dropped; what is done is committed all the same, by the deadline.
#[tokio::test(start_paused = true)]
async fn shutting_down_takes_no_longer_than_it_may() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let processor = Processor::new().shutdown_timeout(Duration::from_secs(10));
    let consumer = world.consumer(|builder| builder);
    let mut running = Running::new(processor, consumer, move |record| {
        let call = log.begin(&record);
        async move {
            if record.offset == 4 {
                std::future::pending::<()>().await;
            }
            call.done();
            Ok(())
        }
    });
    eventually("the others are done", async || {
        running.metrics().processed == 9
    })
    .await;
    let began = Instant::now();
    running.stop();
    let metrics = running.ended().await.expect("an end in order");
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(8) && took <= Duration::from_secs(10),
        "{took:?}"
    );
    assert_eq!((metrics.abandoned, metrics.in_flight), (1, 0));
    assert_eq!(metrics.oldest, None);
    let events = running.events();
    let [ProcessorEvent::Abandoned { partition, offsets }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((partition, &offsets[..]), (&world.tp(0), &[4][..]));
    assert_eq!(world.committed().await, BTreeMap::from([(0, 4)]));
}

/// What waits to be tried again is not, so that nobody waits for it.
#[tokio::test(start_paused = true)]
async fn shutting_down_does_not_wait_for_pauses_between_attempts() {
    let world = World::fake(1).await;
    world.fill(1, 1, &[None]).await;
    let processor = Processor::new()
        .retry_backoff(Duration::from_secs(20), Duration::from_secs(20))
        .on_failure(|_| Verdict::Retry);
    let consumer = world.consumer(|builder| builder);
    let diary = Diary::default();
    let log = diary.clone();
    let running = Running::new(processor, consumer, move |record| {
        drop(log.begin(&record));
        async { Err("no".into()) }
    });
    eventually("it has failed", async || !diary.entries().is_empty()).await;
    let began = Instant::now();
    running.finish().await.expect("an end in order");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(world.committed().await, BTreeMap::new());
}

/// Dropped, it takes its handlers with it, and nothing more is committed.
#[tokio::test(start_paused = true)]
async fn a_processor_that_is_dropped_drops_its_handlers() {
    let world = World::fake(1).await;
    world.fill(1, 100, &[None]).await;
    let diary = Diary::default();
    let processor = Processor::new().concurrency(10);
    let consumer = world.consumer(|builder| builder);
    let mut running = Running::new(processor, consumer, taking(Duration::from_secs(5), &diary));
    eventually("twenty have begun", async || diary.entries().len() == 20).await;
    let before = world.committed().await;
    running.kill().await;
    // Tasks end when they are next looked at.
    eventually("handlers are dropped", async || {
        diary.entries().iter().all(|entry| entry.ended.is_some())
    })
    .await;
    sleep(PATIENCE).await;
    assert_eq!(diary.done().len(), 10);
    assert_eq!(diary.entries().len(), 20);
    assert_eq!(world.committed().await, before);
}

/// It would wait for ever.
#[tokio::test(start_paused = true)]
async fn a_consumer_with_nothing_to_read_is_refused() {
    let world = World::fake(1).await;
    let consumer = world.client.consumer().group_id("g").auto_commit(false);
    let consumer = consumer.build().expect("a consumer");
    let handler = async |_| Ok::<(), Broken>(());
    let ended = Processor::new().run(consumer, handler, std::future::pending());
    let error = ended.await.expect_err("a refusal");
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }));
}

#[rstest]
#[case::commits_by_itself("enable.auto.commit")]
#[case::no_group("group.id")]
#[case::no_concurrency("concurrency")]
#[case::no_window("window")]
#[case::no_interval("commit_interval")]
#[case::no_time("attempt_timeout")]
#[tokio::test(start_paused = true)]
async fn what_cannot_work_is_refused(#[case] what: &str) {
    let world = World::fake(1).await;
    let consumer = match what {
        "group.id" => world.client.consumer().build().expect("a consumer"),
        _ => world.consumer(|builder| builder.auto_commit(what == "enable.auto.commit")),
    };
    let processor = Processor::new();
    let processor = match what {
        "concurrency" => processor.concurrency(0),
        "window" => processor.window(0),
        "commit_interval" => processor.commit_interval(Duration::ZERO),
        "attempt_timeout" => processor.attempt_timeout(Duration::ZERO),
        _ => processor,
    };
    let handler = |_| async { Ok::<_, Broken>(()) };
    let refused = processor
        .run(consumer, handler, std::future::pending())
        .await;
    let error = refused.expect_err("refused");
    assert!(
        matches!(error.kind(), ErrorKind::InvalidConfig { property, .. } if property == what),
        "{error}"
    );
}

/// Without word of rebalances it cannot know what is its own.
#[tokio::test(start_paused = true)]
async fn another_listener_ends_it() {
    let world = World::fake(1).await;
    world.fill(1, 5, &[None]).await;
    let consumer = world.consumer(|builder| builder);
    let mut running = Running::new(Processor::new(), consumer, |_| async { Ok(()) });
    eventually("it works", async || running.metrics().processed == 5).await;
    let _another = running.consumer.rebalances();
    let error = running.ended().await.expect_err("it cannot go on");
    assert!(
        matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_consumer() {
    let world = World::fake(1).await;
    world.fill(1, 5, &[None]).await;
    let consumer = world.consumer(|builder| builder);
    let mut running = Running::new(Processor::new(), consumer, |_| async { Ok(()) });
    eventually("it works", async || running.metrics().processed == 5).await;
    running.consumer.shut_down();
    assert_eq!(running.ended().await.expect("an end").processed, 5);
}

/// Another static member with its name fences it: it ends with that error.
#[tokio::test(start_paused = true)]
async fn it_ends_when_its_consumer_cannot_go_on() {
    let world = World::fake(1).await;
    let consumer = world.consumer(|builder| builder.group_instance_id("one"));
    let mut running = Running::new(Processor::new(), consumer, |_| async { Ok(()) });
    eventually("it is a member", async || {
        !running.consumer.assignment().is_empty()
    })
    .await;
    let _other = world.consumer(|builder| builder.group_instance_id("one"));
    let error = running.ended().await.expect_err("it is fenced");
    assert!(
        matches!(error.kind(), ErrorKind::FencedInstance { .. }),
        "{error}"
    );
}

/// Partitions that are stuck give back what they hold when another one needs the memory: one that is read too far ahead
/// of, or several with a batch each.
#[rstest]
#[case::one(1)]
#[case::several(2)]
#[tokio::test(start_paused = true)]
async fn stuck_partitions_starve_no_other(#[case] stuck: i32) {
    let world = World::fake(stuck + 1).await;
    // Room for two batches, and not for what may come with a third.
    let consumer = world.consumer(|builder| {
        builder
            .memory_limit(20_000)
            .max_partition_fetch_bytes(10_000)
    });
    let diary = Diary::default();
    let log = diary.clone();
    let processor = Processor::new().window(1).attempt_timeout(Duration::MAX);
    let running = Running::new(processor, consumer, move |record| {
        let call = log.begin(&record);
        async move {
            if record.partition.partition < stuck {
                std::future::pending::<()>().await;
            }
            call.done();
            Ok(())
        }
    });
    let large = vec![b'x'; 9500];
    for _ in 0..10 {
        for partition in 0..=stuck {
            let record = ottla_fake::Record::of(large.clone());
            world
                .cluster()
                .append("t", partition, [record])
                .await
                .expect("an append");
        }
        sleep(Duration::from_secs(3)).await;
    }
    eventually("the other partition is handled", async || {
        running.metrics().processed == 10
    })
    .await;
    let begun = diary.entries().into_iter();
    let begun = begun.filter(|entry| entry.partition < stuck);
    assert_eq!(begun.count(), stuck as usize);
    assert!(running.consumer.metrics().memory_used <= 20_000);
}

/// Large records: what is in work takes no more than the consumer may hold, in equal parts; one of each partition passes.
#[rstest]
#[case::as_many_as_fit(100_000, 5)]
#[case::one_in_any_case(15_000, 1)]
#[tokio::test(start_paused = true)]
async fn records_in_work_take_no_more_than_the_limit(
    #[case] memory_limit: usize,
    #[case] of_each: i64,
) {
    let world = World::fake(2).await;
    let large = vec![b'x'; 10_000];
    for _ in 0..20 {
        for partition in 0..2 {
            let record = ottla_fake::Record::of(large.clone());
            let appended = world.cluster().append("t", partition, [record]).await;
            appended.expect("an append");
        }
    }
    let consumer = world.consumer(|builder| builder.memory_limit(memory_limit));
    let (go_on, stuck) = tokio::sync::watch::channel(());
    let diary = Diary::default();
    let log = diary.clone();
    let processor = Processor::new().concurrency(100);
    let running = Running::new(processor, consumer, move |record| {
        let (call, mut stuck) = (log.begin(&record), stuck.clone());
        async move {
            drop(stuck.changed().await);
            call.done();
            Ok(())
        }
    });
    sleep(Duration::from_secs(10)).await;
    let entries = diary.entries().into_iter();
    let begun = entries.map(|entry| (entry.partition, entry.offset));
    assert_eq!(begun.collect::<BTreeSet<_>>(), all(2, of_each));
    drop(go_on);
    eventually("the rest is handled", async || {
        running.metrics().processed == 40
    })
    .await;
    running.finish().await.expect("an end in order");
}

/// `Duration::MAX` is a way to say as long as it takes.
#[tokio::test(start_paused = true)]
async fn the_longest_times_are_no_trouble() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    world.client.ready(Duration::MAX).await.expect("a cluster");
    let processor = Processor::new()
        .attempt_timeout(Duration::MAX)
        .retry_backoff(Duration::MAX, Duration::MAX)
        .shutdown_timeout(Duration::MAX);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let handle = processor.commit_interval(Duration::MAX);
    let metrics = handle.handle();
    let consumer = world.consumer(|builder| builder);
    let running = tokio::spawn(handle.run(
        consumer,
        |_| async { Ok::<_, Broken>(()) },
        async move { drop(stopped.await) },
    ));
    eventually("all are handled", async || {
        metrics.metrics().processed == 10
    })
    .await;
    drop(stop);
    running.await.expect("no panic").expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10)]));
    let consumer = world.consumer(|builder| builder);
    consumer.close(Duration::MAX).await;
    let producer = world.client.producer().build().expect("a producer");
    producer.close(Duration::MAX).await.expect("nothing left");
    world.client.close(Duration::MAX).await;
}
