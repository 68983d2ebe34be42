//! Answers to a reset that come late, twice, or when nobody wants them any more.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{AutoOffsetReset, ErrorKind, StartFrom};
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::Hold;
use tokio::time::{Instant, sleep, timeout};

use super::{Fixture, assert_silent, next, next_error, offsets, read_to, tp, try_next};
use crate::support::{PATIENCE, eventually};

const END: i64 = 100;
/// Beyond the log.
const LOST: i64 = 500;

/// One broker and as many full partitions.
async fn full(partitions: i32) -> Fixture {
    let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", partitions)).await;
    for partition in 0..partitions {
        fixture.fill(partition, 10, 10).await;
    }
    fixture
}

fn hold(fixture: &Fixture) -> Hold {
    fixture.cluster.on::<ListOffsetsRequest>().times(1).hold()
}

/// Whichever answer comes first, the earlier question's is nobody's.
#[tokio::test(start_paused = true)]
async fn of_two_resets_the_later_ones_answer_counts() {
    for earlier_first in [true, false] {
        let fixture = full(1).await;
        let mut consumer = fixture.reader();
        next(&mut consumer).await;
        let to_the_end = hold(&fixture);
        consumer.seek_to_end([&tp(0)]).unwrap();
        to_the_end.arrived().await.unwrap();
        let to_the_beginning = hold(&fixture);
        consumer.seek_to_beginning([&tp(0)]).unwrap();
        to_the_beginning.arrived().await.unwrap();
        let holds = match earlier_first {
            true => [&to_the_end, &to_the_beginning],
            false => [&to_the_beginning, &to_the_end],
        };
        for (hold, answers) in holds.into_iter().zip([!earlier_first, true]) {
            hold.release().await.unwrap();
            sleep(Duration::from_millis(100)).await;
            let position = consumer.positions().get(&tp(0)).map(|at| at.offset);
            assert_eq!(position, answers.then_some(0));
        }
        assert!(read_to(&mut consumer, END).await.into_iter().eq(0..END));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_told_twice_is_one() {
    let fixture = full(2).await;
    let refused = fixture.cluster.on::<FetchRequest>().times(1);
    drop(refused.edit(|_, response| {
        for topic in &mut response.responses {
            topic.partitions.retain(|data| data.partition_index == 0);
            for data in &mut topic.partitions {
                data.error_code = ErrorCode::OffsetOutOfRange.code();
                data.records = None;
            }
            let again = topic.partitions.clone();
            topic.partitions.extend(again);
        }
        let again = response.responses.clone();
        response.responses.extend(again);
    }));
    let mut consumer =
        fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::Earliest));
    let both = [
        (tp(0), StartFrom::Offset(40)),
        (tp(1), StartFrom::Offset(40)),
    ];
    consumer.assign(both).unwrap();
    let mut starts = BTreeMap::new();
    while starts.len() < 2 {
        let batch = next(&mut consumer).await;
        starts
            .entry(batch.partition().partition)
            .or_insert(offsets(&batch)[0]);
    }
    assert_eq!(starts, BTreeMap::from([(0, 0), (1, 40)]));
    assert_eq!(fixture.count(ApiKey::ListOffsets).await, 1);
    assert_eq!(consumer.metrics().resets, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_names_the_partition_twice_is_one() {
    let fixture = full(1).await;
    let edit = |_: &ListOffsetsRequest, response: &mut ListOffsetsResponse| {
        for topic in &mut response.topics {
            let again = topic.partitions.clone();
            topic.partitions.extend(again);
        }
    };
    drop(
        fixture
            .cluster
            .on::<ListOffsetsRequest>()
            .times(1)
            .edit(edit),
    );
    let mut consumer =
        fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::Earliest));
    consumer.assign([(tp(0), StartFrom::Offset(LOST))]).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 100 {
        seen.extend(offsets(&next(&mut consumer).await));
    }
    assert!(seen.into_iter().eq(0..END));
    assert_eq!(fixture.count(ApiKey::ListOffsets).await, 1);
}

/// Taken away, or closed, while the answer is outstanding: nothing comes of it.
#[tokio::test(start_paused = true)]
async fn who_is_gone_when_the_answer_comes_is_left_alone() {
    for close in [false, true] {
        let fixture = full(2).await;
        let mut consumer =
            fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::Earliest));
        let question = hold(&fixture);
        consumer.assign([(tp(0), StartFrom::Offset(LOST))]).unwrap();
        question.arrived().await.unwrap();
        if close {
            let began = Instant::now();
            consumer.close(Duration::from_secs(5)).await;
            assert!(began.elapsed() <= Duration::from_secs(5));
            question.release().await.unwrap();
            continue;
        }
        // Away and back again: the answer is not for this time.
        consumer.assign([(tp(1), StartFrom::Beginning)]).unwrap();
        consumer.assign([(tp(0), StartFrom::Offset(30))]).unwrap();
        question.release().await.unwrap();
        sleep(Duration::from_millis(100)).await;
        assert!(read_to(&mut consumer, END).await.into_iter().eq(30..END));
        assert_eq!(consumer.metrics().resets, 1);
    }
}

/// Without a policy each lost partition is an error by itself, told once for each `next` and not in a spin, whichever of the
/// calls are dropped; the others are read all the same, and a seek puts an end to it.
#[tokio::test(start_paused = true)]
async fn without_a_policy_each_loss_is_told_and_the_others_go_on() {
    const PARTITIONS: i32 = 4;
    let fixture = full(PARTITIONS).await;
    let mut consumer =
        fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::None));
    let starts = (0..PARTITIONS).map(|partition| match partition {
        0 | 1 => (
            tp(partition),
            StartFrom::Offset(LOST + i64::from(partition)),
        ),
        _ => (tp(partition), StartFrom::Beginning),
    });
    consumer.assign(starts).unwrap();
    let began = Instant::now();
    let (mut told, mut read) = (BTreeMap::new(), BTreeMap::new());
    let mut given_up = 0;
    while began.elapsed() < Duration::from_secs(10) {
        // Every other call hardly waits.
        let patience = match given_up % 2 {
            0 => Duration::from_millis(1),
            _ => PATIENCE,
        };
        given_up += 1;
        let Ok(result) = timeout(patience, consumer.next()).await else {
            continue;
        };
        match result {
            Ok(batch) => {
                let batch = batch.unwrap();
                let seen: &mut Vec<i64> = read.entry(batch.partition().partition).or_default();
                seen.extend(offsets(&batch));
            }
            Err(error) => {
                let ErrorKind::OffsetOutOfRange {
                    partition,
                    position,
                    log_start,
                    log_end,
                } = error.kind()
                else {
                    panic!("{error}");
                };
                assert_eq!(*position, LOST + i64::from(partition.partition));
                assert_eq!((*log_start, *log_end), (0, END));
                *told.entry(partition.partition).or_insert(0) += 1;
            }
        }
    }
    for (partition, offsets) in read {
        assert!(
            partition > 1 && offsets.into_iter().eq(0..END),
            "{partition}"
        );
    }
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), [0, 1]);
    assert!(
        told.values().all(|times| (15..=21).contains(times)),
        "{told:?}"
    );
    // Each range was asked for once, which takes two requests, and the others' beginning.
    assert_eq!(fixture.count(ApiKey::ListOffsets).await, 3);
    for partition in [0, 1] {
        consumer.seek(&tp(partition), END).unwrap();
    }
    assert_silent(&mut consumer, Duration::from_secs(5)).await;
    assert_eq!(consumer.metrics().resets, 0);
}

/// No record is that new: the reset goes to the end, with one more question.
#[tokio::test(start_paused = true)]
async fn a_duration_shorter_than_the_logs_silence_leads_to_its_end() {
    let fixture = full(1).await;
    sleep(Duration::from_secs(7200)).await;
    let policy = AutoOffsetReset::ByDuration(Duration::from_secs(3600));
    let mut consumer = fixture.consumer(|settings| settings.auto_offset_reset(policy));
    consumer.assign([(tp(0), StartFrom::Offset(LOST))]).unwrap();
    eventually("the position is reset", async || {
        consumer
            .positions()
            .get(&tp(0))
            .is_some_and(|at| at.offset == END)
    })
    .await;
    assert_eq!(fixture.count(ApiKey::ListOffsets).await, 2);
    fixture.fill(0, 1, 10).await;
    assert_eq!(offsets(&next(&mut consumer).await)[0], END);
    assert_eq!(consumer.metrics().resets, 1);
}

/// What cannot be read of an answer closes that connection and no other; the reset goes on over the next.
#[tokio::test(start_paused = true)]
async fn a_reset_survives_cuts_at_every_point() {
    for cut in 0..4 {
        let fixture = full(2).await;
        let rule = fixture.cluster.on::<ListOffsetsRequest>().times(1);
        drop(match cut {
            0 => rule.close(),
            1 => rule.apply_then_close(),
            2 => rule.cut_response_anywhere(),
            _ => rule.cut_request_anywhere(),
        });
        let mut consumer =
            fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::Earliest));
        let both = [
            (tp(0), StartFrom::Offset(LOST)),
            (tp(1), StartFrom::Beginning),
        ];
        consumer.assign(both).unwrap();
        let began = Instant::now();
        let mut seen: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        while seen.values().map(Vec::len).sum::<usize>() < 200 {
            let batch = try_next(&mut consumer).await.unwrap();
            let partition = batch.partition().partition;
            seen.entry(partition).or_default().extend(offsets(&batch));
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{cut}");
        assert!(seen.values().all(|seen| seen.iter().copied().eq(0..END)));
        let metrics = consumer.metrics();
        assert_eq!((metrics.resets, metrics.truncations), (1, 0));
    }
    // And an error that will not pass by itself is told, while the rest goes on.
    let fixture = full(1).await;
    let denied = fixture.cluster.on::<ListOffsetsRequest>().times(1);
    drop(denied.error(ErrorCode::TopicAuthorizationFailed));
    let mut consumer =
        fixture.consumer(|settings| settings.auto_offset_reset(AutoOffsetReset::Earliest));
    consumer.assign([(tp(0), StartFrom::Offset(LOST))]).unwrap();
    let error = next_error(&mut consumer).await;
    assert!(
        error.to_string().contains("TOPIC_AUTHORIZATION_FAILED"),
        "{error}"
    );
    assert_eq!(offsets(&next(&mut consumer).await)[0], 0);
}
