//! Brokers that move, lie, lose and die.

use std::time::Duration;

use bytes::Bytes;
use ottla::{AutoOffsetReset, ErrorKind, StartFrom};
use ottla_codec::messages::fetch::{FetchRequest, FetchResponse};
use ottla_codec::messages::list_offsets::ListOffsetsRequest;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::Release;
use tokio::time::Instant;

use super::{Fixture, assert_silent, next, next_error, offsets, read_to, tp};
use crate::support::fake;

fn all(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

/// Flips a byte near the end of the first partition's records.
fn damage(response: &mut FetchResponse) {
    let records = &mut response.responses[0].partitions[0].records;
    let mut bytes = records.take().unwrap().to_bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 0xff;
    *records = Some(Bytes::from(bytes).into());
}

#[tokio::test(start_paused = true)]
async fn a_moving_leader_loses_and_repeats_nothing() {
    let fixture = Fixture::new(1).await;
    let mut consumer = fixture.reader();
    let mut seen = Vec::new();
    for round in 0..6 {
        fixture.fill(0, 5, 10).await;
        seen.extend(offsets(&next(&mut consumer).await));
        let to = fixture.other_broker().await;
        if round % 2 == 0 {
            fixture.cluster.move_leader("t", 0, to).await.unwrap();
        } else {
            let not_ready = Duration::from_millis(700);
            fixture
                .cluster
                .move_leader_slowly("t", 0, to, not_ready)
                .await
                .unwrap();
        }
        seen.extend(read_to(&mut consumer, 50 * (round + 1)).await);
    }
    assert_eq!(seen, all(0..300));
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_move_found_through_the_refusal_itself_takes_no_metadata() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 1, 10).await;
    let mut consumer = fixture.reader();
    read_to(&mut consumer, 10).await;
    let to = fixture.other_broker().await;
    fixture
        .cluster
        .on::<MetadataRequest>()
        .always()
        .drop_request();
    fixture.cluster.move_leader("t", 0, to).await.unwrap();
    let began = Instant::now();
    fixture.fill(0, 1, 10).await;
    assert_eq!(read_to(&mut consumer, 20).await, all(10..20));
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn o08_a_move_without_a_newer_epoch_is_followed() {
    for epoch in [-1, 0] {
        let fixture = Fixture::new(1).await;
        fixture
            .cluster
            .on::<MetadataRequest>()
            .always()
            .edit(move |_, response| {
                for topic in &mut response.topics {
                    for partition in &mut topic.partitions {
                        partition.leader_epoch = epoch;
                    }
                }
            });
        // Neither may epochs be checked, nor may a hint tell the way.
        fixture
            .cluster
            .on::<FetchRequest>()
            .always()
            .edit(|_, response| {
                response.node_endpoints.clear();
                for topic in &mut response.responses {
                    for partition in &mut topic.partitions {
                        partition.current_leader = Default::default();
                        if partition.error_code == ErrorCode::FencedLeaderEpoch.code() {
                            partition.error_code = ErrorCode::NotLeaderOrFollower.code();
                        }
                    }
                }
            });
        fixture.fill(0, 1, 10).await;
        let mut consumer = fixture.reader();
        read_to(&mut consumer, 10).await;
        let to = fixture.other_broker().await;
        fixture.cluster.move_leader("t", 0, to).await.unwrap();
        fixture.fill(0, 1, 10).await;
        // With epoch 0 the new leader fences us; what counts is that it is asked at all.
        if epoch == -1 {
            assert_eq!(read_to(&mut consumer, 20).await, all(10..20));
        } else {
            assert_silent(&mut consumer, Duration::from_secs(10)).await;
            let requests = fixture.cluster.requests().await.unwrap();
            let asked = ApiKey::OffsetForLeaderEpoch;
            assert!(requests.iter().any(|r| r.broker == to && r.api == asked));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_evicted_session_is_replaced_and_loses_nothing() {
    let fixture = Fixture::new(1).await;
    let leader = fixture.leader(0).await;
    let mut consumer = fixture.reader();
    let mut seen = Vec::new();
    for round in 1..=5 {
        fixture.fill(0, 2, 10).await;
        fixture.cluster.evict_fetch_sessions(leader).await.unwrap();
        seen.extend(read_to(&mut consumer, 20 * round).await);
    }
    assert_eq!(seen, all(0..100));
    // After each eviction: one refused incremental request, one full one.
    let full = fixture
        .fetches()
        .await
        .iter()
        .filter(|(_, f)| f.session_epoch == 0)
        .count();
    assert!((2..=6).contains(&full), "{full}");
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_name_only_what_changed() {
    let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", 20)).await;
    let mut consumer = fixture.consumer(|settings| settings);
    let starts = (0..20).map(|partition| (tp(partition), StartFrom::Beginning));
    consumer.assign(starts).unwrap();
    assert_silent(&mut consumer, Duration::from_secs(3)).await;
    fixture.fill(7, 1, 1).await;
    next(&mut consumer).await;
    assert_silent(&mut consumer, Duration::from_secs(3)).await;
    let fetches = fixture.fetches().await;
    let named = |fetch: &FetchRequest| -> usize {
        fetch
            .topics
            .iter()
            .map(|topic| topic.partitions.len())
            .sum()
    };
    let incremental: Vec<_> = fetches
        .iter()
        .filter(|(_, f)| f.session_epoch > 0)
        .map(|(_, f)| named(f))
        .collect();
    assert!(incremental.len() > 5);
    // The partition that moved was named once; nothing else was ever named again.
    assert_eq!(incremental.iter().sum::<usize>(), 1, "{incremental:?}");
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn f23_a_whole_topic_that_goes_is_forgotten() {
    let topics =
        |cluster: ottla_fake::FakeClusterBuilder| cluster.brokers(1).topic("t", 2).topic("u", 2);
    let fixture = Fixture::with(topics).await;
    let mut consumer = fixture.consumer(|settings| settings);
    let u = |partition| ottla::TopicPartition::new("u", partition);
    let names = [tp(0), tp(1), u(0), u(1)];
    consumer
        .assign(names.map(|name| (name, StartFrom::Beginning)))
        .unwrap();
    assert_silent(&mut consumer, Duration::from_secs(2)).await;
    consumer.incremental_unassign([&u(0), &u(1)]).unwrap();
    assert_silent(&mut consumer, Duration::from_secs(2)).await;
    let fetches = fixture.fetches().await;
    let forgotten: Vec<_> = fetches
        .iter()
        .flat_map(|(_, fetch)| &fetch.forgotten_topics_data)
        .collect();
    assert_eq!(
        forgotten
            .iter()
            .map(|topic| topic.partitions.len())
            .sum::<usize>(),
        2
    );
    // Fetches go by id since 3.1.
    let by_id = fake::release() > Release::V3_0;
    assert!(
        forgotten
            .iter()
            .all(|topic| topic.topic_id.is_zero() != by_id)
    );
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn f28_a_broker_without_sessions_is_read_from_without_a_hot_loop() {
    let fixture = Fixture::with(|c| c.brokers(1).topic("t", 1).fetch_session_slots(0)).await;
    fixture.fill(0, 10, 10).await;
    let mut consumer = fixture.reader();
    assert_eq!(read_to(&mut consumer, 100).await, all(0..100));
    fixture.cluster.clear_requests();
    assert_silent(&mut consumer, Duration::from_secs(10)).await;
    let fetches = fixture.fetches().await;
    assert!(fetches.len() <= 25, "{}", fetches.len());
    // A session is asked for a few times at first, and then no more.
    assert!(
        fetches[3..]
            .iter()
            .all(|(_, fetch)| fetch.session_epoch == -1)
    );
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn o22_idle_fetches_of_many_brokers_are_no_busy_loop() {
    let fixture = Fixture::with(|cluster| cluster.brokers(5).topic("t", 10)).await;
    let mut consumer = fixture.consumer(|settings| settings);
    let starts = (0..10).map(|partition| (tp(partition), StartFrom::Beginning));
    consumer.assign(starts).unwrap();
    assert_silent(&mut consumer, Duration::from_secs(60)).await;
    let fetches = fixture.fetches().await.len();
    // Five brokers, two long polls a second each, and a few to begin with.
    assert!((500..=650).contains(&fetches), "{fetches}");
    let listed = fixture.count(ApiKey::ListOffsets).await;
    assert!(listed <= 10, "{listed}");
}

#[tokio::test(start_paused = true)]
async fn answers_at_once_with_nothing_in_them_are_no_hot_loop() {
    let fixture = Fixture::new(1).await;
    fixture
        .cluster
        .on::<FetchRequest>()
        .always()
        .reply(|_| FetchResponse {
            session_id: 0,
            ..FetchResponse::default()
        });
    let mut consumer = fixture.reader();
    assert_silent(&mut consumer, Duration::from_secs(10)).await;
    let fetches = fixture.fetches().await.len();
    assert!(fetches <= 100, "{fetches}");
}

#[tokio::test(start_paused = true)]
async fn one_slow_broker_holds_up_no_other() {
    let fixture = Fixture::with(|cluster| cluster.brokers(3).topic("t", 3)).await;
    for partition in 0..3 {
        fixture.fill(partition, 50, 10).await;
    }
    let slow = fixture.leader(0).await;
    fixture
        .cluster
        .on::<FetchRequest>()
        .broker(slow)
        .always()
        .delay(Duration::from_secs(20));
    let mut consumer = fixture.consumer(|settings| settings);
    let starts = (0..3).map(|partition| (tp(partition), StartFrom::Beginning));
    consumer.assign(starts).unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        assert_ne!(*next(&mut consumer).await.partition(), tp(0));
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(*next(&mut consumer).await.partition(), tp(0));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_broker_holds_up_no_other() {
    let fixture = Fixture::with(|cluster| cluster.brokers(2).topic("t", 2)).await;
    fixture.fill(0, 2, 10).await;
    fixture.fill(1, 50, 10).await;
    let slow = fixture.leader(0).await;
    fixture
        .cluster
        .on::<FetchRequest>()
        .broker(slow)
        .times(1)
        .throttle(Duration::from_secs(9));
    let mut consumer = fixture.consumer(|settings| settings.max_partition_fetch_bytes(200));
    let starts = (0..2).map(|partition| (tp(partition), StartFrom::Beginning));
    consumer.assign(starts).unwrap();
    let began = Instant::now();
    while consumer.position(&tp(1)).await.unwrap() < 500 {
        next(&mut consumer).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_dies_and_comes_back_is_read_from_again() {
    let fixture = Fixture::with(|cluster| cluster.brokers(1).topic("t", 1)).await;
    fixture.fill(0, 5, 10).await;
    let mut consumer = fixture.reader();
    read_to(&mut consumer, 50).await;
    fixture.cluster.kill_broker(1).await.unwrap();
    assert_silent(&mut consumer, Duration::from_secs(20)).await;
    fixture.cluster.start_broker(1).await.unwrap();
    fixture.fill(0, 5, 10).await;
    assert_eq!(read_to(&mut consumer, 100).await, all(50..100));
}

#[tokio::test(start_paused = true)]
async fn cut_and_lost_answers_lose_and_repeat_nothing() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 30, 10).await;
    fixture
        .cluster
        .on::<FetchRequest>()
        .always()
        .chance(0.3)
        .cut_response_anywhere();
    fixture
        .cluster
        .on::<FetchRequest>()
        .always()
        .chance(0.2)
        .apply_then_close();
    fixture
        .cluster
        .on::<FetchRequest>()
        .skip(3)
        .times(1)
        .apply_then_drop_response();
    let mut consumer = fixture.consumer(|settings| settings.max_partition_fetch_bytes(2000));
    consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
    let mut seen = Vec::new();
    for round in 1..=10 {
        fixture.fill(0, 3, 10).await;
        seen.extend(read_to(&mut consumer, 300 + 30 * round).await);
    }
    assert_eq!(seen, all(0..600));
}

#[tokio::test(start_paused = true)]
async fn o11_refused_fetches_and_look_ups_are_retried_and_reset_nothing() {
    let codes = [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::OffsetNotAvailable,
        ErrorCode::KafkaStorageError,
        ErrorCode::UnknownTopicId,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::ReplicaNotAvailable,
    ];
    for code in codes {
        let fixture = Fixture::new(1).await;
        fixture.fill(0, 10, 10).await;
        fixture
            .cluster
            .on::<FetchRequest>()
            .skip(1)
            .times(3)
            .edit(move |_, response| {
                let topics = response.responses.iter_mut();
                for partition in topics.flat_map(|topic| &mut topic.partitions) {
                    partition.error_code = code.code();
                    partition.records = None;
                }
            });
        // The whole fetch.
        fixture
            .cluster
            .on::<FetchRequest>()
            .skip(5)
            .times(3)
            .error(code);
        fixture
            .cluster
            .on::<ListOffsetsRequest>()
            .times(2)
            .error(ErrorCode::LeaderNotAvailable);
        let mut consumer = fixture.consumer(|settings| {
            settings
                .max_partition_fetch_bytes(200)
                .auto_offset_reset(AutoOffsetReset::Latest)
        });
        consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
        assert_eq!(read_to(&mut consumer, 100).await, all(0..100), "{code}");
        assert_eq!(consumer.metrics().resets, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn f20_a_corrupt_batch_is_an_error_that_a_seek_gets_past() {
    let fixture = Fixture::new(2).await;
    fixture.fill(0, 3, 10).await;
    fixture.fill(1, 3, 10).await;
    fixture
        .cluster
        .on::<FetchRequest>()
        .when(|fetch| {
            fetch
                .topics
                .iter()
                .any(|t| t.partitions.iter().any(|p| p.partition == 0))
        })
        .always()
        .edit(|request, response| {
            let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
            let from = partitions
                .clone()
                .find(|p| p.partition == 0)
                .unwrap()
                .fetch_offset;
            let answered = &response.responses.first().map(|topic| &topic.partitions);
            // The whole log in one answer: its last batch is the bad one.
            if from < 30 && answered.is_some_and(|all| all[0].partition_index == 0) {
                damage(response);
            }
        });
    let mut consumer = fixture.consumer(|settings| settings);
    let both = [(tp(0), StartFrom::Beginning), (tp(1), StartFrom::Beginning)];
    consumer.assign(both).unwrap();
    let expected = ErrorKind::CorruptBatch {
        partition: tp(0),
        offset: 20,
    };
    let mut errors = 0;
    while errors < 3 {
        match super::try_next(&mut consumer).await {
            Ok(batch) => drop(batch),
            Err(error) => {
                assert_eq!(*error.kind(), expected);
                errors += 1;
            }
        }
    }
    assert_eq!(consumer.position(&tp(0)).await.unwrap(), 20);
    assert_eq!(consumer.position(&tp(1)).await.unwrap(), 30);
    fixture.fill(0, 1, 10).await;
    consumer.seek(&tp(0), 30).unwrap();
    assert_eq!(read_to(&mut consumer, 40).await, all(30..40));
}

#[tokio::test(start_paused = true)]
async fn a_recreated_topic_is_an_error_until_it_is_assigned_anew() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 1, 10).await;
    let mut consumer = fixture.reader();
    read_to(&mut consumer, 10).await;
    fixture.cluster.recreate_topic("t").await.unwrap();
    fixture.fill(0, 2, 10).await;
    let error = next_error(&mut consumer).await;
    assert_eq!(
        *error.kind(),
        ErrorKind::TopicRecreated { topic: "t".into() }
    );
    assert_eq!(consumer.position(&tp(0)).await.unwrap(), 10);
    consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
    assert_eq!(read_to(&mut consumer, 20).await, all(0..20));
}

#[tokio::test(start_paused = true)]
async fn a_truncated_log_is_an_error_or_goes_on_where_it_diverges() {
    for policy in [AutoOffsetReset::None, AutoOffsetReset::Latest] {
        let fixture = Fixture::new(1).await;
        fixture.fill(0, 10, 10).await;
        let mut consumer = fixture.consumer(|settings| settings.auto_offset_reset(policy));
        consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
        read_to(&mut consumer, 100).await;
        let to = fixture.other_broker().await;
        fixture
            .cluster
            .elect_uncleanly("t", 0, to, 60)
            .await
            .unwrap();
        fixture.fill(0, 6, 10).await;
        if policy == AutoOffsetReset::None {
            let expected = ErrorKind::LogTruncated {
                partition: tp(0),
                position: 100,
                diverging_offset: Some(60),
            };
            assert_eq!(*next_error(&mut consumer).await.kind(), expected);
            consumer.seek(&tp(0), 60).unwrap();
        }
        assert_eq!(offsets(&next(&mut consumer).await)[0], 60);
        read_to(&mut consumer, 120).await;
        assert_eq!(consumer.metrics().truncations, 1);
    }
}

/// One broker to a rack, the consumer in that of a follower.
async fn near_a_follower() -> (Fixture, ottla::Consumer, i32) {
    let racks = |cluster: ottla_fake::FakeClusterBuilder| {
        cluster.brokers(3).racks(["a", "b", "c"]).topic("t", 1)
    };
    let fixture = Fixture::with(racks).await;
    fixture.fill(0, 10, 10).await;
    let info = fixture.cluster.partition("t", 0).await.unwrap();
    let follower = *info
        .replicas
        .iter()
        .find(|&&id| Some(id) != info.leader)
        .unwrap();
    let rack = ["a", "b", "c"][follower as usize - 1];
    let consumer = fixture.consumer(|settings| settings.client_rack(rack));
    consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
    (fixture, consumer, follower)
}

#[tokio::test(start_paused = true)]
async fn f18_going_back_and_forth_between_leader_and_follower_repeats_nothing() {
    let (fixture, mut consumer, follower) = near_a_follower().await;
    let mut seen = read_to(&mut consumer, 100).await;
    assert!(consumer.metrics().fetches > 1);
    for round in 1..=3 {
        // Beyond the time a follower is preferred for: the leader is asked again.
        assert_silent(&mut consumer, Duration::from_secs(310)).await;
        fixture.fill(0, 2, 10).await;
        seen.extend(read_to(&mut consumer, 100 + 20 * round).await);
    }
    assert_eq!(seen, all(0..160));
    let fetches = fixture.fetches().await;
    let at_follower = fetches
        .iter()
        .filter(|(request, _)| request.broker == follower)
        .count();
    assert!(
        at_follower * 10 > fetches.len() * 9,
        "{at_follower} of {}",
        fetches.len()
    );
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn f19_a_follower_that_lags_behind_resets_nothing_and_spins_nobody() {
    let (fixture, mut consumer, follower) = near_a_follower().await;
    read_to(&mut consumer, 100).await;
    fixture
        .cluster
        .hold_follower("t", 0, follower, Some(40))
        .await
        .unwrap();
    fixture.fill(0, 5, 10).await;
    assert_eq!(read_to(&mut consumer, 150).await, all(100..150));
    assert_eq!(consumer.metrics().resets, 0);
    fixture.cluster.clear_requests();
    assert_silent(&mut consumer, Duration::from_secs(10)).await;
    let fetches = fixture.fetches().await.len();
    assert!(fetches < 100, "{fetches}");
    assert_eq!(consumer.position(&tp(0)).await.unwrap(), 150);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_dies_is_left_for_the_leader() {
    let (fixture, mut consumer, follower) = near_a_follower().await;
    read_to(&mut consumer, 100).await;
    fixture.cluster.kill_broker(follower).await.unwrap();
    fixture.fill(0, 5, 10).await;
    assert_eq!(read_to(&mut consumer, 150).await, all(100..150));
}

#[tokio::test(start_paused = true)]
async fn old_brokers_without_sessions_ids_or_epochs_are_read_from() {
    // Fetch 4 is Kafka 0.11's, 6 is 1.0's, 9 is 2.1's, 12 is 2.7's.
    for version in [4, 6, 9, 11, 12] {
        let old = |cluster: ottla_fake::FakeClusterBuilder| {
            let cluster = cluster.brokers(2).topic("t", 2);
            let cluster = cluster.advertise(ApiKey::Fetch, 4, version);
            match version {
                ..12 => cluster
                    .advertise(ApiKey::Metadata, 0, 6)
                    .without(ApiKey::OffsetForLeaderEpoch),
                _ => cluster,
            }
        };
        let fixture = Fixture::with(old).await;
        fixture.fill(0, 10, 10).await;
        let mut consumer = fixture.reader();
        assert_eq!(read_to(&mut consumer, 100).await, all(0..100));
        let to = fixture.other_broker().await;
        fixture.cluster.move_leader("t", 0, to).await.unwrap();
        fixture.fill(0, 5, 10).await;
        assert_eq!(
            read_to(&mut consumer, 150).await,
            all(100..150),
            "{version}"
        );
        let fetches = fixture.fetches().await;
        assert!(
            fetches
                .iter()
                .all(|(request, _)| request.version == version)
        );
        fixture.assert_clean().await;
    }
}
