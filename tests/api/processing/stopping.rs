//! Where partitions stop, and from where they go on.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ottla::{ErrorKind, Processor, ProcessorEvent, StopReason};
use ottla_codec::messages::fetch::FetchRequest;
use ottla_fake::Record;
use tokio::time::sleep;

use super::world::{Broken, Diary, Running, World};
use crate::support::eventually;

fn stops(running: &Running) -> Vec<(i32, Option<i64>)> {
    let events = running.events().into_iter();
    let stops = events.map(|event| match event {
        ProcessorEvent::Stopped {
            partition, offset, ..
        } => (partition.partition, offset),
        other => panic!("{other:?}"),
    });
    stops.collect()
}

fn offsets(diary: &Diary) -> Vec<i64> {
    let entries = diary.entries().into_iter();
    entries.map(|entry| entry.offset).collect()
}

/// What comes before it in its batch is handled and committed, and nothing is passed over.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_stops_its_partition_right_there() {
    let world = World::fake(2).await;
    world.fill(2, 2, &[None]).await;
    let values = ["2", "3", "4", "five", "6", "7"];
    for partition in 0..2 {
        let batch = values.map(Record::of);
        let appended = world.cluster().append("t", partition, batch).await;
        assert_eq!(appended.expect("an append"), 2);
    }
    // Of one record in the middle, its value claims to be longer than the record.
    let damaged = world.cluster().on::<FetchRequest>().always();
    damaged.edit(|_, response| {
        let partitions = response.responses.iter_mut();
        for data in partitions.flat_map(|topic| &mut topic.partitions) {
            let records = data.records.as_ref().map(|records| records.to_bytes());
            let Some(mut bytes) = records.map(Vec::from) else {
                continue;
            };
            let found = bytes.windows(4).position(|part| part == b"five");
            if let (0, Some(at)) = (data.partition_index, found) {
                bytes[at - 1] = 40;
                data.records = Some(Bytes::from(bytes).into());
            }
        }
    });
    let consumer = world.consumer(|builder| builder.check_crcs(false));
    let diary = Diary::default();
    let log = diary.clone();
    let running = Running::new(Processor::new(), consumer, move |record| {
        let call = log.begin(&record);
        async move {
            // The partition stops before those are done that come before the damage.
            sleep(Duration::from_secs(1)).await;
            call.done();
            Ok(())
        }
    });
    eventually("the rest is handled", async || {
        running.metrics().processed == 5 + 8
    })
    .await;
    let events = running.events();
    let [
        ProcessorEvent::Stopped {
            partition,
            offset: Some(5),
            reason: StopReason::Unreadable(error),
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*partition, world.tp(0));
    assert!(
        matches!(error.kind(), ErrorKind::CorruptBatch { offset: 5, .. }),
        "{error}"
    );
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.committed().await, BTreeMap::from([(0, 5), (1, 8)]));

    let name = world.tp(0);
    assert_eq!(running.consumer.positions()[&name].offset, 5);
    running.consumer.resume([&name]).expect("assigned");
    eventually("it stops again", async || {
        running.metrics().stopped.contains(&name) && stops(&running) == [(0, Some(5))]
    })
    .await;
    running.consumer.seek(&name, 6).expect("assigned");
    running.consumer.resume([&name]).expect("assigned");
    world.fill(1, 1, &[None]).await;
    sleep(Duration::from_secs(5)).await;
    running.finish().await.expect("an end in order");
    let done = diary.done();
    assert!((0..5).all(|offset| done.contains(&(0, offset))), "{done:?}");
    assert_eq!(done.iter().filter(|(at, _)| *at == 0).count(), 5);
}

/// One that fails later, but comes before the place where its partition has stopped, moves that there.
#[tokio::test(start_paused = true)]
async fn a_partition_is_stopped_at_the_first_record_that_failed() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(Processor::new(), consumer, move |record| async move {
        if [3, 5, 7].contains(&record.offset) {
            sleep(Duration::from_secs(
                [0, 0, 0, 7, 0, 9, 0, 3][record.offset as usize],
            ))
            .await;
            return Err("it does not work".into());
        }
        Ok::<_, Broken>(())
    });
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.committed().await, BTreeMap::from([(0, 3)]));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(stops(&running), [(0, Some(7)), (0, Some(3))]);
    assert_eq!(running.consumer.positions()[&world.tp(0)].offset, 3);
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 3)]));
}

/// The place from which a stopped partition is read again follows what is done, until somebody says another one.
#[tokio::test(start_paused = true)]
async fn a_seek_of_a_stopped_partition_is_the_last_word() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let diary = Diary::default();
    let log = diary.clone();
    let consumer = world.consumer(|builder| builder);
    let running = Running::new(Processor::new(), consumer, move |record| {
        let call = log.begin(&record);
        async move {
            match record.offset {
                2 => sleep(Duration::from_secs(2)).await,
                4 => sleep(Duration::from_secs(6)).await,
                7 => return Err("it does not work".into()),
                _ => {}
            }
            call.done();
            Ok::<_, Broken>(())
        }
    });
    eventually("it stops", async || !running.metrics().stopped.is_empty()).await;
    let name = world.tp(0);
    let position = || running.consumer.positions()[&name].offset;
    assert_eq!(position(), 2);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(position(), 4);
    running.consumer.seek(&name, 8).expect("assigned");
    sleep(Duration::from_secs(5)).await;
    assert_eq!((diary.done().len(), position()), (9, 8));
    assert_eq!(world.committed().await, BTreeMap::from([(0, 7)]));
    running.consumer.resume([&name]).expect("assigned");
    eventually("the rest is handled again", async || {
        running.metrics().processed == 11
    })
    .await;
    assert_eq!(offsets(&diary)[10..], [8, 9]);
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10)]));
}
