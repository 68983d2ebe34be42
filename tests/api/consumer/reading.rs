//! Reading in order, and what seeks, pauses and new assignments do to it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use ottla::{AutoOffsetReset, ConsumedRecord, ErrorKind, RecordStream, Result, StartFrom};
use ottla_codec::ErrorCode;
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::list_offsets::ListOffsetsRequest;
use ottla_fake::Record;
use rstest::rstest;

use super::{Fixture, assert_silent, next, next_error, offsets, read_to, tp};
use crate::support::eventually;

const SHORT: Duration = Duration::from_secs(2);

/// What a stream yields next.
async fn yielded(stream: &mut RecordStream<'_>) -> Option<Result<ConsumedRecord>> {
    use futures_core::Stream;
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// What a stream yields without waiting.
async fn yielded_now(stream: &mut RecordStream<'_>) -> Option<Result<ConsumedRecord>> {
    use futures_core::Stream;
    poll_fn(|context| match Pin::new(&mut *stream).poll_next(context) {
        Poll::Ready(item) => Poll::Ready(item),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_read_in_order_and_completely() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 100, 7).await;
    let mut consumer = fixture.reader();
    assert_eq!(
        read_to(&mut consumer, 700).await,
        (0..700).collect::<Vec<_>>()
    );
    assert_eq!(consumer.lag(&tp(0)), Some(0));
    // What is appended later comes as well, without a poll of ours in between.
    fixture.fill(0, 1, 3).await;
    assert_eq!(offsets(&next(&mut consumer).await), [700, 701, 702]);
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn records_come_as_they_were_written() {
    let fixture = Fixture::new(1).await;
    let record = Record::new("k", "v")
        .header("a", "1")
        .header("a", "2")
        .timestamp(1_700_000_000_123);
    let all = [record, Record::tombstone("gone"), Record::of("")];
    fixture.cluster.append("t", 0, all).await.unwrap();
    let mut consumer = fixture.reader();
    let batch = next(&mut consumer).await;
    assert_eq!((batch.record_count(), batch.next_offset()), (3, 3));
    let views: Vec<_> = batch.records().map(Result::unwrap).collect();
    assert_eq!(views[0].key(), Some(&b"k"[..]));
    assert_eq!(views[0].timestamp(), 1_700_000_000_123);
    let headers: Vec<_> = views[0].headers().map(|h| (h.key, h.value)).collect();
    assert_eq!(
        headers,
        [("a".into(), Some(&b"1"[..])), ("a".into(), Some(&b"2"[..]))]
    );
    assert_eq!(
        (views[1].key(), views[1].value()),
        (Some(&b"gone"[..]), None)
    );
    assert_eq!((views[2].key(), views[2].value()), (None, Some(&b""[..])));
    let owned: Vec<_> = batch.into_records().map(Result::unwrap).collect();
    assert_eq!(owned[0].headers[1].value.as_deref(), Some(&b"2"[..]));
    assert_eq!(owned[1].value, None);
}

#[tokio::test(start_paused = true)]
async fn all_partitions_of_all_brokers_are_read_and_take_turns() {
    let fixture = Fixture::new(6).await;
    for partition in 0..6 {
        fixture.fill(partition, 20, 5).await;
    }
    let mut consumer = fixture.consumer(|settings| settings);
    let all = (0..6).map(|partition| (tp(partition), StartFrom::Beginning));
    consumer.assign(all).unwrap();
    let mut seen: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let mut order = Vec::new();
    for _ in 0..120 {
        let batch = next(&mut consumer).await;
        order.push(batch.partition().partition);
        seen.entry(batch.partition().partition)
            .or_default()
            .extend(offsets(&batch));
    }
    for partition in 0..6 {
        assert_eq!(seen[&partition], (0..100).collect::<Vec<_>>());
    }
    // Once all have answered, no partition is served twice before each was served once.
    assert!(
        order[20..]
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .count()
            < 10
    );
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_of_next_loses_nothing() {
    let fixture = Fixture::new(1).await;
    let mut consumer = fixture.reader();
    assert_silent(&mut consumer, Duration::from_millis(30)).await;
    fixture.fill(0, 3, 2).await;
    for _ in 0..50 {
        // Dropped after a moment, whatever it was about to return.
        if let Ok(batch) = tokio::time::timeout(Duration::from_micros(10), consumer.next()).await {
            let batch = batch.unwrap().unwrap();
            assert_eq!(
                consumer.position(&tp(0)).await.unwrap(),
                batch.next_offset()
            );
        }
    }
    read_to(&mut consumer, 6).await;
    assert_eq!(consumer.metrics().records, 6);
}

#[tokio::test(start_paused = true)]
async fn a_seek_during_a_fetch_drops_what_it_brings() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 10, 10).await;
    let held = fixture.cluster.on::<FetchRequest>().times(1).hold();
    let mut consumer = fixture.reader();
    held.arrived().await.unwrap();
    consumer.seek(&tp(0), 50).unwrap();
    held.release().await.unwrap();
    assert_eq!(
        read_to(&mut consumer, 100).await,
        (50..100).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_seek_does_not_wait_for_a_long_poll_to_end() {
    let fixture = Fixture::new(2).await;
    fixture.fill(0, 1, 10).await;
    let mut consumer = fixture.reader();
    read_to(&mut consumer, 10).await;
    assert_silent(&mut consumer, Duration::from_millis(600)).await;
    let began = tokio::time::Instant::now();
    consumer.seek(&tp(0), 3).unwrap();
    assert_eq!(
        offsets(&next(&mut consumer).await),
        (3..10).collect::<Vec<_>>()
    );
    assert!(
        began.elapsed() < Duration::from_millis(50),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_seek_between_two_hand_outs_of_one_answer_drops_the_rest() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 10, 10).await;
    let mut consumer = fixture.reader();
    assert_eq!(offsets(&next(&mut consumer).await)[0], 0);
    assert!(consumer.metrics().buffered_bytes > 0);
    consumer.seek(&tp(0), 75).unwrap();
    assert_eq!(consumer.metrics().buffered_bytes, 0);
    assert_eq!(
        offsets(&next(&mut consumer).await),
        (75..80).collect::<Vec<_>>()
    );
    consumer.seek(&tp(0), 12).unwrap();
    assert_eq!(
        offsets(&next(&mut consumer).await),
        (12..20).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_seek_during_a_look_up_of_offsets_wins() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 10, 10).await;
    let held = fixture.cluster.on::<ListOffsetsRequest>().times(1).hold();
    let mut consumer = fixture.reader();
    held.arrived().await.unwrap();
    consumer.seek(&tp(0), 50).unwrap();
    assert_eq!(offsets(&next(&mut consumer).await)[0], 50);
    held.release().await.unwrap();
    assert_eq!(read_to(&mut consumer, 100).await[0], 60);
}

#[tokio::test(start_paused = true)]
async fn a_seek_to_the_end_during_one_to_the_beginning_wins() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 10, 10).await;
    let held = fixture.cluster.on::<ListOffsetsRequest>().times(1).hold();
    let mut consumer = fixture.reader();
    held.arrived().await.unwrap();
    consumer.seek_to_end([&tp(0)]).unwrap();
    held.release().await.unwrap();
    assert_eq!(consumer.position(&tp(0)).await.unwrap(), 100);
    assert_silent(&mut consumer, SHORT).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_is_silent_and_goes_on_where_it_was() {
    let fixture = Fixture::new(2).await;
    fixture.fill(0, 10, 10).await;
    fixture.fill(1, 10, 10).await;
    let mut consumer = fixture.reader();
    assert_eq!(offsets(&next(&mut consumer).await)[0], 0);
    consumer.pause([&tp(0)]).unwrap();
    assert_eq!(consumer.paused(), [tp(0)].into());
    consumer
        .incremental_assign([(tp(1), StartFrom::Beginning)])
        .unwrap();
    for _ in 0..10 {
        assert_eq!(*next(&mut consumer).await.partition(), tp(1));
    }
    assert_silent(&mut consumer, SHORT).await;
    let fetched = fixture.fetches().await.len();
    consumer.resume([&tp(0)]).unwrap();
    consumer.pause([&tp(1)]).unwrap();
    // From the buffer, without asking for it again.
    assert_eq!(offsets(&next(&mut consumer).await)[0], 10);
    for (_, fetch) in &fixture.fetches().await[fetched..] {
        let partitions = fetch.topics.iter().flat_map(|topic| &topic.partitions);
        assert!(
            partitions
                .clone()
                .all(|partition| partition.fetch_offset == 100)
        );
    }
    assert_eq!(
        read_to(&mut consumer, 100).await,
        (20..100).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_partition_comes_after_it_was_taken_away() {
    let fixture = Fixture::new(2).await;
    fixture.fill(0, 10, 10).await;
    fixture.fill(1, 10, 10).await;
    let mut consumer = fixture.consumer(|settings| settings);
    let both = [(tp(0), StartFrom::Beginning), (tp(1), StartFrom::Beginning)];
    consumer.assign(both).unwrap();
    next(&mut consumer).await;
    consumer.incremental_unassign([&tp(0)]).unwrap();
    assert_eq!(consumer.assignment(), [tp(1)].into());
    while consumer.position(&tp(1)).await.unwrap() < 100 {
        assert_eq!(*next(&mut consumer).await.partition(), tp(1));
    }
    consumer.unassign();
    assert_silent(&mut consumer, SHORT).await;
    assert_eq!(consumer.metrics().memory_used, 0);
    let error = consumer.seek(&tp(0), 0).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotAssigned { partition: tp(0) });
}

#[tokio::test(start_paused = true)]
async fn each_partition_starts_where_it_was_told_to() {
    let fixture = Fixture::new(4).await;
    for partition in 0..4 {
        for offset in 0..10_i64 {
            let record = Record::of(offset.to_string()).timestamp(1_000 + offset * 10);
            fixture
                .cluster
                .append("t", partition, [record])
                .await
                .unwrap();
        }
    }
    let consumer = fixture.consumer(|settings| settings);
    let starts = [
        (tp(0), StartFrom::Beginning),
        (tp(1), StartFrom::End),
        (tp(2), StartFrom::Offset(4)),
        (tp(3), StartFrom::Timestamp(1_055)),
    ];
    consumer.assign(starts).unwrap();
    let mut positions = Vec::new();
    for partition in 0..4 {
        positions.push(consumer.position(&tp(partition)).await.unwrap());
    }
    assert_eq!(positions, [0, 10, 4, 6]);
    consumer
        .seek_to(&tp(3), StartFrom::Timestamp(9_999))
        .unwrap();
    assert_eq!(consumer.position(&tp(3)).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_position_outside_the_log_is_reset_by_policy() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 10, 10).await;
    fixture.cluster.delete_records("t", 0, 30).await.unwrap();
    for (policy, from, expected) in [
        (AutoOffsetReset::Earliest, 5, 30),
        (AutoOffsetReset::Earliest, 500, 30),
        (AutoOffsetReset::Latest, 5, 100),
        (
            AutoOffsetReset::ByDuration(Duration::from_secs(3600)),
            5,
            30,
        ),
    ] {
        let mut consumer = fixture.consumer(|settings| settings.auto_offset_reset(policy));
        consumer.assign([(tp(0), StartFrom::Offset(from))]).unwrap();
        if expected < 100 {
            assert_eq!(
                offsets(&next(&mut consumer).await)[0],
                expected,
                "{policy:?}"
            );
        } else {
            assert_silent(&mut consumer, SHORT).await;
            assert_eq!(consumer.position(&tp(0)).await.unwrap(), expected);
        }
        assert_eq!(consumer.metrics().resets, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_a_position_outside_the_log_is_an_error_and_others_go_on() {
    let fixture = Fixture::new(2).await;
    fixture.fill(0, 10, 10).await;
    fixture.fill(1, 10, 10).await;
    fixture.cluster.delete_records("t", 0, 30).await.unwrap();
    let mut consumer =
        fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::None));
    let both = [(tp(0), StartFrom::Offset(5)), (tp(1), StartFrom::Beginning)];
    consumer.assign(both).unwrap();
    let mut errors = 0;
    let expected = ErrorKind::OffsetOutOfRange {
        partition: tp(0),
        position: 5,
        log_start: 30,
        log_end: 100,
    };
    while errors < 3 || consumer.position(&tp(1)).await.unwrap() < 100 {
        match super::try_next(&mut consumer).await {
            Ok(batch) => assert_eq!(*batch.partition(), tp(1)),
            Err(error) => {
                assert_eq!(*error.kind(), expected);
                errors += 1;
            }
        }
    }
    assert_eq!(consumer.position(&tp(0)).await.unwrap(), 5);
    consumer.seek(&tp(0), 30).unwrap();
    assert_eq!(
        read_to(&mut consumer, 100).await,
        (30..100).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn o21_compacted_away_offsets_are_no_reason_to_reset() {
    let fixture = Fixture::new(1).await;
    // A hole inside a batch, a batch without its tail, an emptied batch.
    let keys = [
        ["a", "x", "b"],
        ["c", "x", "y"],
        ["x", "y", "z"],
        ["x", "y", "z"],
    ];
    for batch in keys {
        let records = batch.map(|key| Record::new(key, "v"));
        fixture.cluster.append("t", 0, records).await.unwrap();
    }
    fixture.cluster.compact("t").await.unwrap();
    let live: Vec<_> = fixture
        .cluster
        .log("t", 0)
        .await
        .unwrap()
        .iter()
        .map(|r| r.offset)
        .collect();
    assert_eq!(live, [0, 2, 3, 9, 10, 11]);
    for from in 0..12 {
        let mut consumer =
            fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::None));
        consumer.assign([(tp(0), StartFrom::Offset(from))]).unwrap();
        let mut seen = Vec::new();
        while consumer.position(&tp(0)).await.unwrap() < 12 {
            let batch = next(&mut consumer).await;
            let before = seen.len();
            seen.extend(batch.records().map(|record| record.unwrap().offset()));
            assert!(seen.len() > before, "an empty batch was handed out");
        }
        let expected: Vec<_> = live
            .iter()
            .copied()
            .filter(|&offset| offset >= from)
            .collect();
        assert_eq!(seen, expected, "from {from}");
    }
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn o21_a_log_that_ends_in_emptied_batches_is_read_to_its_end(
    // All batches in one answer, and each in one of its own.
    #[values(1 << 20, 1)] fetch_bytes: usize,
) {
    let fixture = Fixture::new(1).await;
    let batches = [
        Record::new("a", "v"),
        Record::new("k", "v"),
        Record::tombstone("k"),
    ];
    for record in batches {
        fixture.cluster.append("t", 0, [record]).await.unwrap();
    }
    // The tombstone goes a day after it was found to be the last of its key.
    fixture.cluster.compact("t").await.unwrap();
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    fixture.cluster.compact("t").await.unwrap();
    assert_eq!(fixture.cluster.log("t", 0).await.unwrap().len(), 1);
    let mut consumer = fixture.consumer(|settings| settings.max_partition_fetch_bytes(fetch_bytes));
    consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
    assert_eq!(next(&mut consumer).await.next_offset(), 1);
    eventually("it is at the end", async || {
        consumer.position(&tp(0)).await.unwrap() == 3
    })
    .await;
    assert_eq!(consumer.lag(&tp(0)), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_moves_the_position_with_each_record() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 2, 10).await;
    let mut consumer = fixture.reader();
    let handle = consumer.handle();
    let mut stream = consumer.records();
    for expected in 0..4 {
        let record = yielded(&mut stream).await.unwrap().unwrap();
        assert_eq!(record.offset, expected);
        assert_eq!(handle.position(&tp(0)).await.unwrap(), expected + 1);
    }
    // A seek in the middle of a batch.
    handle.seek(&tp(0), 12).unwrap();
    assert_eq!(yielded(&mut stream).await.unwrap().unwrap().offset, 12);
    // A pause in the middle of a batch, and back.
    handle.pause([&tp(0)]).unwrap();
    assert!(yielded_now(&mut stream).await.is_none());
    assert_eq!(handle.position(&tp(0)).await.unwrap(), 13);
    handle.resume([&tp(0)]).unwrap();
    assert_eq!(yielded(&mut stream).await.unwrap().unwrap().offset, 13);
    // Dropped in the middle of a batch: the next reader gets the rest.
    drop(stream);
    assert_eq!(handle.position(&tp(0)).await.unwrap(), 14);
    assert_eq!(
        offsets(&next(&mut consumer).await),
        (14..20).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_consumer_ends_its_reader_and_refuses_calls() {
    let fixture = Fixture::new(1).await;
    let mut consumer = fixture.reader();
    let handle = consumer.handle();
    let reader = tokio::spawn(async move {
        let ended = consumer.next().await.unwrap().is_none();
        (ended, consumer)
    });
    tokio::time::sleep(SHORT).await;
    handle.shut_down();
    let (ended, consumer) = reader.await.unwrap();
    assert!(ended);
    let error = handle.seek(&tp(0), 0).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed { .. }), "{error}");
    assert!(handle.position(&tp(0)).await.is_err());
    consumer.close(SHORT).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_or_closing_a_consumer_leaves_no_connection_and_asks_nothing_more() {
    let fixture = Fixture::new(3).await;
    for close in [false, true] {
        let mut consumer = fixture.consumer(|settings| settings);
        let all = (0..3).map(|partition| (tp(partition), StartFrom::Beginning));
        consumer.assign(all).unwrap();
        assert_silent(&mut consumer, SHORT).await;
        let began = tokio::time::Instant::now();
        if close {
            consumer.close(Duration::from_secs(5)).await;
        } else {
            drop(consumer);
        }
        assert!(began.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(SHORT).await;
        let fetches = fixture.fetches().await.len();
        tokio::time::sleep(SHORT).await;
        assert_eq!(fixture.fetches().await.len(), fetches);
    }
}

#[tokio::test(start_paused = true)]
async fn o21_close_returns_by_its_deadline_with_no_broker_reachable() {
    let fixture = Fixture::new(1).await;
    let mut consumer = fixture.consumer(|settings| settings.group_id("g"));
    consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
    assert_silent(&mut consumer, SHORT).await;
    for broker in fixture.cluster.broker_ids() {
        fixture.cluster.kill_broker(broker).await.unwrap();
    }
    let handle = consumer.handle();
    let commit = tokio::spawn(async move { handle.commit([(tp(0), 5)]).await });
    tokio::time::sleep(SHORT).await;
    let began = tokio::time::Instant::now();
    consumer.close(Duration::from_secs(3)).await;
    assert!(began.elapsed() <= Duration::from_secs(3));
    assert!(commit.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_or_partition_is_an_error_before_long() {
    let fixture = Fixture::with(|c| c.brokers(1).topic("t", 1).auto_create_topics(false)).await;
    let mut consumer = fixture.consumer(|settings| settings);
    consumer
        .assign([(("nowhere", 0).into(), StartFrom::Beginning)])
        .unwrap();
    let error = next_error(&mut consumer).await;
    assert!(matches!(error.kind(), ErrorKind::UnknownTopic { topic } if topic == "nowhere"));
    consumer.assign([(tp(7), StartFrom::Beginning)]).unwrap();
    let error = next_error(&mut consumer).await;
    assert!(
        matches!(
            error.kind(),
            ErrorKind::UnknownPartition {
                partition: 7,
                count: 1,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_deleted_is_an_error_before_long() {
    let fixture = Fixture::with(|c| c.brokers(3).topic("t", 1).auto_create_topics(false)).await;
    fixture.fill(0, 1, 10).await;
    let mut consumer = fixture.reader();
    read_to(&mut consumer, 10).await;
    fixture.cluster.delete_topic("t").await.unwrap();
    let error = next_error(&mut consumer).await;
    assert!(
        matches!(error.kind(), ErrorKind::UnknownTopic { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_ends_the_reader() {
    let fixture = Fixture::new(1).await;
    let mut consumer = fixture.reader();
    let client = fixture.client.clone();
    tokio::spawn(async move {
        tokio::time::sleep(SHORT).await;
        client.close(SHORT).await;
    });
    let ended = tokio::time::timeout(SHORT * 3, consumer.next()).await;
    assert!(ended.expect("it ends").unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn denied_access_is_an_error_that_heals() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 1, 1).await;
    let denied = ErrorCode::TopicAuthorizationFailed;
    fixture
        .cluster
        .on::<FetchRequest>()
        .times(2)
        .edit(move |_, response| {
            for topic in &mut response.responses {
                for partition in &mut topic.partitions {
                    partition.error_code = denied.code();
                    partition.records = None;
                }
            }
        });
    let mut consumer = fixture.reader();
    for _ in 0..2 {
        let error = next_error(&mut consumer).await;
        assert!(
            matches!(error.kind(), ErrorKind::NotAuthorized { .. }),
            "{error:?}"
        );
    }
    assert_eq!(offsets(&next(&mut consumer).await), [0]);
}
