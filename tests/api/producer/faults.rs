//! What a producer does when brokers refuse, move, die or answer nobody.

use std::time::Duration;

use ottla::{Delivery, Error, ErrorKind, Producer, ProducerBuilder, Record};
use ottla_codec::messages::init_producer_id::InitProducerIdRequest;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::records::Batches;
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::TopicSpec;
use rstest::rstest;
use tokio::time::Instant;

use super::world::{World, client_of, send, send_all};
use crate::support::fake;

/// A producer that puts every record into a batch of its own, so that several are in flight.
fn one_by_one(world: &World) -> ProducerBuilder {
    world
        .client
        .producer()
        .batch_size(70)
        .linger(Duration::ZERO)
}

/// Sends "a" to "f" without waiting in between.
async fn send_six(producer: &Producer) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for value in SIX {
        deliveries.push(send(producer, 0, value).await);
    }
    deliveries
}

const SIX: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

async fn all(deliveries: Vec<Delivery>) -> Vec<Result<Option<i64>, Error>> {
    let mut results = Vec::new();
    for delivery in deliveries {
        results.push(delivery.await.map(|written| written.offset));
    }
    results
}

/// The world whose requests time out after 1 s, and a producer that gives up after 2 s.
async fn impatient(partitions: i32) -> (World, Producer) {
    let mut world = World::new(partitions).await;
    let client = client_of(&world.cluster).request_timeout(Duration::from_secs(1));
    world.client = client.build().unwrap();
    let producer = one_by_one(&world).delivery_timeout(Duration::from_secs(2));
    let producer = producer.build().unwrap();
    (world, producer)
}

#[tokio::test(start_paused = true)]
async fn several_batches_are_in_flight_once_the_leader_has_accepted_one() {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["warm"]).await;
    world
        .cluster
        .on::<ProduceRequest>()
        .always()
        .delay(Duration::from_secs(1));
    let deliveries = send_six(&producer).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(producer.metrics().batches_in_flight, 5);
    assert!(all(deliveries).await.iter().all(Result::is_ok));
    world.assert_no_violations().await;
}

#[rstest]
#[case(ErrorCode::NotEnoughReplicas)]
#[case(ErrorCode::NotLeaderOrFollower)]
#[case(ErrorCode::CorruptMessage)]
#[case(ErrorCode::UnknownTopicOrPartition)]
#[tokio::test(start_paused = true)]
async fn o18_retries_keep_the_order(#[case] error: ErrorCode) {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["warm"]).await;
    for skip in [0, 2] {
        world.cluster.on::<ProduceRequest>().skip(skip).error(error);
    }
    let results = all(send_six(&producer).await).await;
    let offsets: Vec<_> = results.into_iter().map(|r| r.unwrap().unwrap()).collect();
    assert_eq!(offsets, [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.values(0).await[1..], SIX);
    assert!(producer.metrics().retries > 0);
}

#[tokio::test(start_paused = true)]
async fn o17_a_lost_connection_loses_and_doubles_nothing() {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["warm"]).await;
    world.cluster.on::<ProduceRequest>().skip(1).close();
    world
        .cluster
        .on::<ProduceRequest>()
        .skip(3)
        .apply_then_close();
    let results = all(send_six(&producer).await).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.values(0).await[1..], SIX);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_after_the_append_makes_no_duplicate() {
    let world = World::new(1).await;
    let producer = world.producer();
    world
        .cluster
        .on::<ProduceRequest>()
        .times(3)
        .apply_then_close();
    let written = send_all(&producer, &["a"]).await;
    assert_eq!(written[0].offset, Some(0));
    assert_eq!(world.values(0).await, ["a"]);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_ends_with_the_request_timeout() {
    let world = World::new(1).await;
    let producer = world.producer();
    world
        .cluster
        .on::<ProduceRequest>()
        .apply_then_drop_response();
    let began = Instant::now();
    let written = send_all(&producer, &["a"]).await;
    assert_eq!(written[0].offset, Some(0));
    assert!(
        (30..32).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(world.values(0).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn o05_a_retry_is_the_same_batch_byte_for_byte() {
    let world = World::new(1).await;
    let producer = world.client.producer();
    let producer = producer
        .compression(ottla::Compression::Gzip)
        .build()
        .unwrap();
    world.cluster.on::<ProduceRequest>().apply_then_close();
    world
        .cluster
        .on::<ProduceRequest>()
        .error(ErrorCode::NotEnoughReplicas);
    send_all(&producer, &["a", "b", "c"]).await;
    let produced = world.produced().await;
    assert_eq!(produced.len(), 3);
    assert!(
        produced
            .iter()
            .all(|attempt| attempt.bytes == produced[0].bytes)
    );
}

#[tokio::test(start_paused = true)]
async fn f29_a_first_batch_that_is_refused_is_not_overtaken() {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    // The partition does not know the producer, so it would take any sequence after that.
    let refusal = world.cluster.on::<ProduceRequest>();
    refusal.error(ErrorCode::NotEnoughReplicas);
    let results = all(send_six(&producer).await).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.values(0).await, SIX);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn f29_a_new_leader_that_is_not_ready_reorders_nothing() {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["warm"]).await;
    let leader = world
        .cluster
        .partition("t", 0)
        .await
        .unwrap()
        .leader
        .unwrap();
    let next = leader % 3 + 1;
    let not_ready = Duration::from_millis(350);
    let cluster = &world.cluster;
    cluster
        .move_leader_slowly("t", 0, next, not_ready)
        .await
        .unwrap();
    let results = all(send_six(&producer).await).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.values(0).await[1..], SIX);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_to_the_new_leader_before_the_old_one_has_answered() {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["warm"]).await;
    let leader = world
        .cluster
        .partition("t", 0)
        .await
        .unwrap()
        .leader
        .unwrap();
    let held = world.cluster.on::<ProduceRequest>().broker(leader).hold();
    let first = send(&producer, 0, "a").await;
    held.arrived().await.unwrap();
    let next = leader % 3 + 1;
    world.cluster.move_leader("t", 0, next).await.unwrap();
    let others = world.client.admin().describe_topics(["t"]).await.unwrap();
    assert!(others["t"].is_ok());
    let second = send(&producer, 0, "b").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let produced = world.produced().await;
    assert!(produced.iter().all(|attempt| attempt.broker == leader));
    held.release().await.unwrap();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(world.values(0).await[1..], ["a", "b"]);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn an_append_that_waits_for_its_replicas_is_not_repeated() {
    let world = World::new(1).await;
    let producer = world.producer();
    send_all(&producer, &["warm"]).await;
    world.cluster.hold_replication("t", 0).await.unwrap();
    let delivery = send(&producer, 0, "a").await;
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert!(delivery.try_result().is_none());
    world.cluster.release_replication("t", 0).await.unwrap();
    assert_eq!(delivery.await.unwrap().offset, Some(1));
    assert_eq!(world.values(0).await, ["warm", "a"]);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_hint_is_followed_without_waiting() {
    let world = World::new(1).await;
    let producer = world.producer();
    send_all(&producer, &["warm"]).await;
    let leader = world
        .cluster
        .partition("t", 0)
        .await
        .unwrap()
        .leader
        .unwrap();
    world
        .cluster
        .move_leader("t", 0, leader % 3 + 1)
        .await
        .unwrap();
    let began = Instant::now();
    send_all(&producer, &["a"]).await;
    assert!(
        began.elapsed() < Duration::from_millis(50),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn f17_new_records_are_not_taken_for_a_batch_given_up() {
    let (world, producer) = impatient(1).await;
    send_all(&producer, &["warm"]).await;
    let lost = world.cluster.on::<ProduceRequest>();
    let lost = lost.always().apply_then_drop_response();
    let error = send(&producer, 0, "a").await.await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }));
    assert!(error.possibly_written());
    lost.remove();
    let written = send_all(&producer, &["b", "c"]).await;
    assert_eq!(written[1].offset, Some(3));
    assert_eq!(world.values(0).await, ["warm", "a", "b", "c"]);
    let log = world.cluster.log("t", 0).await.unwrap();
    assert_eq!((log[2].producer_epoch, log[2].sequence), (1, 0));
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn what_never_arrived_leaves_no_hole_behind() {
    let (world, producer) = impatient(1).await;
    send_all(&producer, &["warm"]).await;
    let lost = world.cluster.on::<ProduceRequest>().always().drop_request();
    let results = all(send_six(&producer).await).await;
    let possibly: Vec<bool> = results
        .into_iter()
        .map(|result| result.unwrap_err().possibly_written())
        .collect();
    // The sixth had no place in flight beside the other five.
    assert_eq!(possibly, [true, true, true, true, true, false]);
    lost.remove();
    send_all(&producer, &["g", "h"]).await;
    assert_eq!(world.values(0).await, ["warm", "g", "h"]);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_definite_refusal_fails_its_own_batch_alone() {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["warm"]).await;
    let refusal = world.cluster.on::<ProduceRequest>().skip(1);
    refusal.error(ErrorCode::InvalidRecord);
    let mut results = all(send_six(&producer).await).await;
    let refused = results.remove(1).unwrap_err();
    assert!(!refused.possibly_written() && !refused.is_retriable());
    assert!(matches!(
        refused.kind(),
        ErrorKind::Broker { api: "Produce", .. }
    ));
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.values(0).await[1..], ["a", "c", "d", "e", "f"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_too_large_for_the_broker_is_split() {
    let topic = TopicSpec::new("t", 1).config("max.message.bytes", "2000");
    let world = World::of(fake::cluster().topic_spec(topic)).await;
    let producer = world.producer();
    let values: Vec<String> = (0..40).map(|i| format!("{i:0200}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let written = send_all(&producer, &values).await;
    let offsets: Vec<_> = written.iter().map(|w| w.offset.unwrap()).collect();
    assert!(offsets.iter().copied().eq(0..40));
    assert_eq!(world.values(0).await, values);
    assert!(producer.metrics().batches_split > 0);
    assert_eq!(producer.metrics().buffered_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_too_large_for_the_broker_fails_alone() {
    let topic = TopicSpec::new("t", 1).config("max.message.bytes", "2000");
    let world = World::of(fake::cluster().topic_spec(topic)).await;
    let producer = world.producer();
    let large = "x".repeat(3000);
    let mut deliveries = Vec::new();
    for value in ["a", &large, "b"] {
        deliveries.push(send(&producer, 0, value).await);
    }
    let results = all(deliveries).await;
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let refused = results[1].as_ref().unwrap_err();
    assert!(!refused.possibly_written());
    assert_eq!(world.values(0).await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn o01_a_broker_that_denies_knowing_the_topic_changes_nothing() {
    let world = World::new(1).await;
    let producer = world.producer();
    send_all(&producer, &["a", "b"]).await;
    world
        .cluster
        .on::<MetadataRequest>()
        .times(3)
        .edit(|_, response| {
            for topic in &mut response.topics {
                topic.error_code = ErrorCode::UnknownTopicOrPartition.code();
                topic.partitions.clear();
            }
        });
    let denied = world.cluster.on::<ProduceRequest>().times(3);
    denied.error(ErrorCode::UnknownTopicOrPartition);
    let written = send_all(&producer, &["c"]).await;
    assert_eq!(written[0].offset, Some(2));
    let log = world.cluster.log("t", 0).await.unwrap();
    let sequences: Vec<_> = log.iter().map(|r| (r.producer_epoch, r.sequence)).collect();
    assert_eq!(sequences, [(0, 0), (0, 1), (0, 2)]);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_lost_its_tail_is_gone_on_with() {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["a", "b", "c"]).await;
    let leader = world
        .cluster
        .partition("t", 0)
        .await
        .unwrap()
        .leader
        .unwrap();
    let cluster = &world.cluster;
    cluster.elect_uncleanly("t", 0, leader, 1).await.unwrap();
    let written = send_all(&producer, &["d", "e"]).await;
    assert_eq!(written[1].offset, Some(2));
    assert_eq!(world.values(0).await, ["a", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_the_broker_forgot_goes_on() {
    let world = World::new(1).await;
    let producer = world.producer();
    send_all(&producer, &["a"]).await;
    let id = world.cluster.log("t", 0).await.unwrap()[0]
        .producer_id
        .unwrap();
    assert!(world.cluster.expire_producer("t", 0, id).await.unwrap());
    send_all(&producer, &["b"]).await;
    world
        .cluster
        .on::<ProduceRequest>()
        .error(ErrorCode::UnknownProducerId);
    send_all(&producer, &["c"]).await;
    assert_eq!(world.values(0).await, ["a", "b", "c"]);
}

#[rstest]
#[case(ErrorCode::InvalidProducerEpoch)]
#[case(ErrorCode::InvalidProducerIdMapping)]
#[tokio::test(start_paused = true)]
async fn a_producer_id_that_is_no_longer_ours_is_replaced(#[case] error: ErrorCode) {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["a"]).await;
    world.cluster.on::<ProduceRequest>().error(error);
    let results = all(send_six(&producer).await).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.count(ApiKey::InitProducerId).await, 2);
    assert_eq!(world.values(0).await[1..], SIX);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_dies_and_comes_back_loses_nothing() {
    let world = World::new(3).await;
    let producer = one_by_one(&world).build().unwrap();
    let mut deliveries = Vec::new();
    for round in 0..30 {
        match round {
            10 => world.cluster.kill_broker(1).await.unwrap(),
            20 => world.cluster.start_broker(1).await.unwrap(),
            _ => {}
        }
        for partition in 0..3 {
            deliveries.push(send(&producer, partition, &format!("{round}")).await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(all(deliveries).await.iter().all(Result::is_ok));
    let expected: Vec<String> = (0..30).map(|round| round.to_string()).collect();
    for partition in 0..3 {
        assert_eq!(world.values(partition).await, expected);
    }
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_leader_waits_for_one() {
    let world = World::new(1).await;
    world.cluster.remove_leader("t", 0).await.unwrap();
    let producer = world.producer();
    let delivery = send(&producer, 0, "a").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.cluster.move_leader("t", 0, 2).await.unwrap();
    let began = Instant::now();
    delivery.await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn denied_access_is_said_at_once() {
    let world = World::new(1).await;
    let producer = world.producer();
    let denied = world.cluster.on::<ProduceRequest>();
    denied.error(ErrorCode::TopicAuthorizationFailed);
    let error = send(&producer, 0, "a").await.await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotAuthorized { .. }));
    assert!(!error.possibly_written() && !error.is_retriable());
    send_all(&producer, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_producer_id_is_asked_for_until_there_is_one() {
    let world = World::new(1).await;
    let busy = world.cluster.on::<InitProducerIdRequest>().times(3);
    busy.error(ErrorCode::CoordinatorLoadInProgress);
    send_all(&world.producer(), &["a"]).await;
    assert_eq!(world.count(ApiKey::InitProducerId).await, 4);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_a_producer_id_everything_fails() {
    let world = World::new(1).await;
    let denied = world.cluster.on::<InitProducerIdRequest>();
    denied.error(ErrorCode::ClusterAuthorizationFailed);
    let producer = world.producer();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = producer.send(Record::to("t").value("b")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotAuthorized { .. }));
    assert!(!error.possibly_written());
}

#[tokio::test(start_paused = true)]
async fn a_recreated_topic_is_a_typed_error_and_then_a_new_topic() {
    let world = World::new(1).await;
    let producer = one_by_one(&world).build().unwrap();
    send_all(&producer, &["a"]).await;
    let held = world.cluster.on::<ProduceRequest>().hold();
    let delivery = send(&producer, 0, "b").await;
    held.arrived().await.unwrap();
    world.cluster.recreate_topic("t").await.unwrap();
    held.release().await.unwrap();
    let error = delivery.await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::TopicRecreated { .. }),
        "{error}"
    );
    let written = send_all(&producer, &["c"]).await;
    assert_eq!(written[0].offset, Some(0));
    assert_eq!(world.values(0).await, ["c"]);
}

#[tokio::test(start_paused = true)]
async fn one_partition_in_trouble_does_not_hold_up_the_others() {
    let world = World::new(3).await;
    let producer = world.producer();
    for partition in 0..3 {
        send(&producer, partition, "warm").await.await.unwrap();
    }
    let trouble = world.cluster.on::<ProduceRequest>().always();
    let trouble = trouble.when(|request| {
        let mut partitions = request.topic_data.iter().flat_map(|t| &t.partition_data);
        partitions.any(|partition| partition.index == 0)
    });
    trouble.error(ErrorCode::NotEnoughReplicas);
    let stuck = send(&producer, 0, "a").await;
    let began = Instant::now();
    for partition in [1, 2] {
        send(&producer, partition, "a").await.await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_millis(50));
    assert!(stuck.try_result().is_none());
}

#[tokio::test(start_paused = true)]
async fn without_idempotence_one_in_flight_keeps_the_order() {
    let world = World::new(1).await;
    let producer = one_by_one(&world)
        .acks(ottla::Acks::Leader)
        .max_in_flight(1);
    let producer = producer.build().unwrap();
    send_all(&producer, &["warm"]).await;
    world
        .cluster
        .on::<ProduceRequest>()
        .skip(2)
        .times(2)
        .close();
    let results = all(send_six(&producer).await).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(world.values(0).await[1..], SIX);
}

#[tokio::test(start_paused = true)]
async fn f32_a_request_is_whole_whatever_else_fails() {
    let world = World::new(6).await;
    let producer = world.producer();
    world
        .cluster
        .on::<ProduceRequest>()
        .times(4)
        .cut_request_anywhere();
    let mut deliveries = Vec::new();
    for partition in 0..6 {
        for value in SIX {
            deliveries.push(send(&producer, partition, value).await);
        }
    }
    assert!(all(deliveries).await.iter().all(Result::is_ok));
    for attempt in world.produced().await {
        let mut batches = Batches::new(attempt.bytes.clone());
        assert!(batches.next().unwrap().unwrap().verify_crc().is_ok());
        assert!(batches.next().is_none());
    }
    world.assert_no_violations().await;
}
