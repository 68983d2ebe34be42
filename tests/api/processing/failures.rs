//! Records that fail, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{
    AutoOffsetReset, ConsumedRecord, DeadLetters, ErrorKind, Failure, FailureCause, Processor,
    ProcessorEvent, StopReason, Verdict,
};
use ottla_codec::ErrorCode;
use ottla_codec::messages::produce::ProduceRequest;
use rstest::rstest;
use tokio::time::{Instant, sleep};

use super::world::{Broken, COMMIT_INTERVAL, Diary, MAX_POLL, Running, World};
use crate::support::eventually;

/// Fails with that one record as often as that.
fn failing(
    at: i64,
    times: u32,
    log: &Diary,
) -> impl Fn(ConsumedRecord) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>
+ Send
+ Sync
+ 'static {
    let (failures, log) = (AtomicU32::new(0), log.clone());
    move |record| {
        let call = log.begin(&record);
        let is_bad = (record.partition.partition, record.offset) == (0, at);
        let fails = is_bad && failures.fetch_add(1, Ordering::Relaxed) < times;
        Box::pin(async move {
            match fails {
                true => Err("it does not work".into()),
                false => {
                    call.done();
                    Ok(())
                }
            }
        })
    }
}

/// A failed record is tried again after pauses that grow, in its place: those behind it in order wait, others do not.
#[tokio::test(start_paused = true)]
async fn a_failed_record_is_tried_again_in_its_place() {
    let world = World::fake(1).await;
    world.fill(1, 20, &[Some("a"), Some("b")]).await;
    let diary = Diary::default();
    let judged = Arc::new(Mutex::new(Vec::new()));
    let seen = judged.clone();
    let processor = Processor::new()
        .retry_backoff(Duration::from_secs(1), Duration::from_secs(3))
        .on_failure(move |failure: &Failure| {
            seen.lock().expect("no panic").push(failure.attempts);
            assert_eq!(failure.record.value.as_deref(), Some(&b"4"[..]));
            Verdict::Retry
        });
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, failing(4, 4, &diary));
    eventually("all records are handled", async || {
        running.metrics().processed == 20
    })
    .await;
    assert_eq!(*judged.lock().expect("no panic"), [1, 2, 3, 4]);
    assert_eq!(running.metrics().retries, 4);
    let entries = diary.entries();
    let attempts: Vec<Instant> = entries
        .iter()
        .filter(|entry| entry.offset == 4)
        .map(|entry| entry.began)
        .collect();
    let pauses: Vec<f64> = attempts
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect();
    for (pause, expected) in pauses.iter().zip([1.0, 2.0, 3.0, 3.0]) {
        assert!((pause / expected - 1.0).abs() < 0.21, "{pauses:?}");
    }
    let last = attempts[4];
    for entry in entries.iter().filter(|entry| entry.offset != 4) {
        let waits = entry.key.as_deref() == Some("a") && entry.offset > 4;
        assert_eq!(entry.began >= last, waits, "{entry:?}");
    }
    assert!(running.events().is_empty());
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await[&0], 20);
}

#[tokio::test(start_paused = true)]
async fn a_record_is_skipped() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[Some("a")]).await;
    let diary = Diary::default();
    let processor = Processor::new().on_failure(|failure| match failure.attempts < 3 {
        true => Verdict::Retry,
        false => Verdict::Skip,
    });
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, failing(4, u32::MAX, &diary));
    eventually("the rest is handled", async || {
        running.metrics().processed == 9
    })
    .await;
    let metrics = running.metrics();
    assert_eq!((metrics.skipped, metrics.retries), (1, 2));
    let events = running.events();
    let [ProcessorEvent::Skipped(failure)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((failure.record.offset, failure.attempts), (4, 3));
    assert_eq!(failure.cause.to_string(), "it does not work");
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await[&0], 10);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[Some("a")]).await;
    let processor = Processor::new().on_failure(|_| Verdict::Skip);
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, |record| {
        // One panics before it makes a future, one within it.
        assert!(record.offset != 3, "offset {}", record.offset);
        async move {
            tokio::task::yield_now().await;
            assert!(record.offset != 7, "later");
            Ok(())
        }
    });
    eventually("the rest is handled", async || {
        running.metrics().processed == 8
    })
    .await;
    let told = running.events().into_iter().map(|event| match event {
        ProcessorEvent::Skipped(Failure {
            cause: FailureCause::Panicked(message),
            ..
        }) => message,
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), ["offset 3", "later"]);
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await[&0], 10);
}

/// A handler that takes too long is dropped and has failed: by default after `max.poll.interval.ms`.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_has_failed(
    #[values(None, Some(Duration::from_secs(3)))] limit: Option<Duration>,
) {
    let world = World::fake(1).await;
    world.fill(1, 10, &[Some("a")]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let mut processor = Processor::new().on_failure(|_| Verdict::Skip);
    if let Some(limit) = limit {
        processor = processor.attempt_timeout(limit);
    }
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, move |record| {
        let call = log.begin(&record);
        async move {
            if record.offset == 4 {
                std::future::pending::<()>().await;
            }
            call.done();
            Ok(())
        }
    });
    eventually("the rest is handled", async || {
        running.metrics().processed == 9
    })
    .await;
    let limit = limit.unwrap_or(MAX_POLL);
    let events = running.events();
    let [ProcessorEvent::Skipped(failure)] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(matches!(failure.cause, FailureCause::TimedOut(after) if after == limit));
    let entries = diary.entries();
    let stuck = entries.iter().find(|entry| entry.offset == 4).expect("one");
    let (ended, done) = stuck.ended.expect("it was dropped");
    assert!(!done);
    let took = ended - stuck.began;
    assert!(
        took >= limit && took < limit + Duration::from_millis(10),
        "{took:?}"
    );
}

/// A partition stops at the record that failed: what came before it is done and committed, also what waited for its turn, and
/// nothing from it on. Others go on. Who resumes it meets the record again, or passes it by a seek.
#[tokio::test(start_paused = true)]
async fn a_partition_stops_and_others_go_on() {
    let world = World::fake(2).await;
    world.fill(2, 20, &[Some("a"), Some("b")]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(Processor::new(), consumer, move |record| {
        let call = log.begin(&record);
        async move {
            if (record.partition.partition, record.offset) == (0, 7) {
                return Err("it does not work".into());
            }
            // The other key is slower, and still at its first one when this one fails.
            if record.offset % 2 == 0 {
                sleep(Duration::from_millis(500)).await;
            }
            call.done();
            Ok::<_, Broken>(())
        }
    });
    sleep(Duration::from_secs(20)).await;
    let name = world.tp(0);
    assert_eq!(
        running.metrics().stopped.iter().collect::<Vec<_>>(),
        [&name]
    );
    assert!(running.consumer.paused().contains(&name));
    let events = running.events();
    let [
        ProcessorEvent::Stopped {
            partition,
            offset,
            reason,
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((partition, *offset), (&name, Some(7)));
    assert!(matches!(reason, StopReason::Failed(failure) if failure.record.offset == 7));
    let of = |partition| {
        let mut done = diary.done();
        done.retain(|(of, _)| *of == partition);
        done.sort_unstable();
        done.into_iter()
            .map(|(_, offset)| offset)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(0), (0..7).collect::<Vec<_>>());
    assert_eq!(of(1), (0..20).collect::<Vec<_>>());
    assert_eq!(world.committed().await, BTreeMap::from([(0, 7), (1, 20)]));

    running.consumer.resume([&name]).expect("assigned");
    eventually("it stops again", async || !running.events().is_empty()).await;
    assert!(running.metrics().stopped.contains(&name));
    running.consumer.seek(&name, 8).expect("assigned");
    running.consumer.resume([&name]).expect("assigned");
    eventually("the rest is handled", async || of(0).len() == 19).await;
    assert!(running.metrics().stopped.is_empty());
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 20), (1, 20)]));
    let but_one: Vec<i64> = (0..20).filter(|offset| *offset != 7).collect();
    assert_eq!(of(0), but_one);
}

/// One that fails later, further on, does not move the place where its partition has stopped.
#[tokio::test(start_paused = true)]
async fn a_partition_stays_stopped_where_it_stopped_first() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(Processor::new(), consumer, move |record| {
        let call = log.begin(&record);
        let is_first_time = log.entries().len() <= 10;
        async move {
            if [3, 7].contains(&record.offset) && is_first_time {
                sleep(Duration::from_secs(record.offset as u64)).await;
                return Err("it does not work".into());
            }
            call.done();
            Ok::<_, Broken>(())
        }
    });
    sleep(Duration::from_secs(20)).await;
    let events = running.events();
    assert!(
        matches!(
            &events[..],
            [ProcessorEvent::Stopped {
                offset: Some(3),
                ..
            }]
        ),
        "{events:?}"
    );
    running.consumer.resume([&world.tp(0)]).expect("assigned");
    eventually("both are handled", async || {
        let done = diary.done();
        done.contains(&(0, 3)) && done.contains(&(0, 7))
    })
    .await;
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10)]));
}

/// What is still being handled when its partition stops, before the place of the failure, is not lost to whoever resumes it.
#[tokio::test(start_paused = true)]
async fn a_partition_that_is_resumed_leaves_nothing_out() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(Processor::new(), consumer, move |record| {
        let call = log.begin(&record);
        let is_first_time = log.entries().len() <= 10;
        async move {
            match record.offset {
                2 if is_first_time => sleep(Duration::from_secs(1)).await,
                4 if is_first_time => sleep(Duration::from_secs(15)).await,
                7 if is_first_time => return Err("it does not work".into()),
                _ => {}
            }
            call.done();
            Ok::<_, Broken>(())
        }
    });
    eventually("it stops", async || !running.metrics().stopped.is_empty()).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.committed().await, BTreeMap::from([(0, 4)]));
    running.consumer.resume([&world.tp(0)]).expect("assigned");
    sleep(Duration::from_secs(5)).await;
    let again = &diary.entries()[10..];
    let again: Vec<i64> = again.iter().map(|entry| entry.offset).collect();
    assert_eq!(again, [4, 5, 6, 7, 8, 9]);
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10)]));
}

#[tokio::test(start_paused = true)]
async fn deciding_may_panic_as_well() {
    let world = World::fake(2).await;
    world.fill(2, 10, &[Some("a")]).await;
    let diary = Diary::default();
    let processor = Processor::new().on_failure(|_| panic!("no idea"));
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, failing(4, 1, &diary));
    eventually("it stops", async || !running.metrics().stopped.is_empty()).await;
    let events = running.events();
    let [ProcessorEvent::Stopped { reason, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(matches!(reason, StopReason::Undecided(message) if message == "no idea"));
    eventually("others go on", async || running.metrics().processed == 14).await;
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 4), (1, 10)]));
}

/// A record that cannot be read stops its partition: here the group has committed what the log does not hold.
#[tokio::test(start_paused = true)]
async fn a_partition_that_cannot_be_read_stops() {
    let world = World::fake(2).await;
    world.fill(2, 10, &[None]).await;
    let outsider = world.client.consumer().group_id("g").auto_commit(false);
    let outsider = outsider.build().expect("a consumer");
    outsider
        .commit([(world.tp(0), 50)])
        .await
        .expect("a commit");
    outsider.commit([(world.tp(1), 5)]).await.expect("a commit");
    let consumer = world.consumer(|b| b.auto_offset_reset(AutoOffsetReset::None));
    let running = Running::new(Processor::new(), consumer, |_| async { Ok(()) });
    eventually("the other one is handled", async || {
        running.metrics().processed == 5
    })
    .await;
    sleep(Duration::from_secs(10)).await;
    let events = running.events();
    let [
        ProcessorEvent::Stopped {
            partition,
            reason: StopReason::Unreadable(error),
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*partition, world.tp(0));
    assert!(matches!(error.kind(), ErrorKind::OffsetOutOfRange { .. }));
    running.consumer.seek(&world.tp(0), 8).expect("assigned");
    running.consumer.resume([&world.tp(0)]).expect("assigned");
    eventually("it goes on", async || running.metrics().processed == 7).await;
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10), (1, 10)]));
}

/// A dead letter is the record with its headers, and where it is from. It is done once that is acknowledged, not before.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_done_once_it_is_acknowledged() {
    let world = World::fake(1).await;
    let producer = world.client.producer().build().expect("a producer");
    let headers = [
        ottla::Header::new("trace", "abc"),
        ottla::Header::null("empty"),
    ];
    let record = ottla::Record::to("t").key("k").value("v").headers(&headers);
    producer
        .send(record)
        .await
        .expect("room")
        .await
        .expect("a delivery");
    world.fill(1, 5, &[Some("a")]).await;

    let late = world.cluster().on::<ProduceRequest>().times(1);
    let _late = late.delay(COMMIT_INTERVAL * 5);
    let letters = DeadLetters::to(producer, "dead");
    let diary = Diary::default();
    let processor = Processor::new().on_failure(move |failure| match failure.attempts < 2 {
        true => Verdict::Retry,
        false => Verdict::DeadLetter(letters.clone()),
    });
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, failing(0, u32::MAX, &diary));
    eventually("the rest is handled", async || {
        running.metrics().processed == 5
    })
    .await;
    sleep(COMMIT_INTERVAL * 3).await;
    assert_eq!(world.committed().await, BTreeMap::new());
    assert_eq!(running.metrics().dead_lettered, 0);
    eventually("it is acknowledged", async || {
        running.metrics().dead_lettered == 1
    })
    .await;
    let events = running.events();
    let [ProcessorEvent::DeadLettered { failure, written }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((failure.attempts, written.offset), (2, Some(0)));
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 6)]));

    let log = world.cluster().log("dead", 0).await.expect("a log");
    let [letter] = &log[..] else {
        panic!("{log:?}");
    };
    assert_eq!(letter.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(letter.value.as_deref(), Some(&b"v"[..]));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers: Vec<_> = letter
        .headers
        .iter()
        .map(|(key, value)| (text(key.as_ref()), value.as_deref().map(text)))
        .collect();
    let some = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    assert_eq!(
        headers,
        [
            some("trace", "abc"),
            ("empty".to_owned(), None),
            some("__dlq.errors.topic", "t"),
            some("__dlq.errors.partition", "0"),
            some("__dlq.errors.offset", "0"),
            some("__dlq.errors.group", "g"),
            some("__dlq.errors.delivery.count", "2"),
            some("__dlq.errors.message", "it does not work"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_written_stops_the_partition() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[Some("a")]).await;
    let producer = world.client.producer().build().expect("a producer");
    let letters = DeadLetters::to(producer, "dead");
    let refused = world.cluster().on::<ProduceRequest>().always();
    let _refused = refused.error(ErrorCode::TopicAuthorizationFailed);
    let diary = Diary::default();
    let processor = Processor::new().on_failure(move |_| Verdict::DeadLetter(letters.clone()));
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(processor, consumer, failing(4, 1, &diary));
    eventually("it stops", async || !running.metrics().stopped.is_empty()).await;
    let events = running.events();
    let [
        ProcessorEvent::Stopped {
            offset,
            reason: StopReason::NotDeadLettered { error, .. },
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*offset, Some(4));
    assert!(matches!(error.kind(), ErrorKind::NotAuthorized { .. }));
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 4)]));
}
