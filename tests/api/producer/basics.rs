//! What a producer does when nothing goes wrong.

use std::time::Duration;

use ottla::{Acks, Compression, ErrorKind, Header, Record};
use ottla_codec::ApiKey;
use ottla_fake::TopicSpec;
use rstest::rstest;
use tokio::time::Instant;

use super::world::{World, send, send_all};
use crate::support::fake;

#[tokio::test(start_paused = true)]
async fn records_come_back_as_they_were_sent() {
    let world = World::new(3).await;
    let producer = world.producer();
    let headers = [
        Header::new("a", "1"),
        Header::null("b"),
        Header::new("a", "2"),
    ];
    let record = Record::to("t")
        .partition(2)
        .key("k")
        .value("v")
        .headers(&headers)
        .timestamp(42);
    let first = producer.send(record).await.unwrap();
    let second = producer.send(Record::to("t").partition(2)).await.unwrap();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.partition.partition, first.offset), (2, Some(0)));
    assert_eq!((first.timestamp, second.offset), (42, Some(1)));
    let log = world.cluster.log("t", 2).await.unwrap();
    assert_eq!(log[0].key.as_deref(), Some(b"k".as_slice()));
    assert_eq!(log[0].value.as_deref(), Some(b"v".as_slice()));
    assert_eq!((log[0].timestamp, log[1].timestamp), (42, second.timestamp));
    assert_eq!((&log[1].key, &log[1].value), (&None, &None));
    let names: Vec<_> = log[0].headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "b", "a"]);
    assert_eq!(log[0].headers[1].1, None);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_when_the_linger_is_over() {
    let world = World::new(1).await;
    let producer = world.client.producer().linger(Duration::from_millis(50));
    let producer = producer.build().unwrap();
    send_all(&producer, &["warm"]).await;
    let began = Instant::now();
    let first = send(&producer, 0, "a").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = send(&producer, 0, "b").await;
    let offsets = (first.await.unwrap().offset, second.await.unwrap().offset);
    assert_eq!(offsets, (Some(1), Some(2)));
    let took = began.elapsed();
    assert!((50..=55).contains(&took.as_millis()), "{took:?}");
    let produced = world.produced().await;
    assert_eq!(produced[1].batch.records_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait() {
    let world = World::new(1).await;
    let producer = world.client.producer().linger(Duration::from_secs(30));
    let producer = producer.batch_size(1000).build().unwrap();
    let began = Instant::now();
    let value = "x".repeat(400);
    let written = send(&producer, 0, &value).await;
    for _ in 0..2 {
        drop(send(&producer, 0, &value).await);
    }
    written.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn o16_the_first_record_does_not_stall() {
    let world = World::new(1).await;
    let producer = world.producer();
    let began = Instant::now();
    send_all(&producer, &["a"]).await;
    let took = began.elapsed();
    assert!(took <= Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_go_where_java_sends_them() {
    let world = World::new(5).await;
    let producer = world.producer();
    // (murmur2("foobar") & 0x7fffffff) % 5, and so on.
    for (key, partition) in [("foobar", 1), ("21", 0), ("abc", 2)] {
        let delivery = producer.send(Record::to("t").key(key).value("v")).await;
        let written = delivery.unwrap().await.unwrap();
        assert_eq!(written.partition.partition, partition, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_partitioner_of_ones_own_chooses() {
    let world = World::new(6).await;
    let last = |record: &Record<'_>, partitions: usize| {
        (record.topic == "t").then(|| i32::try_from(partitions).unwrap() - 1)
    };
    let producer = world.client.producer().partitioner(last).build().unwrap();
    let delivery = producer.send(Record::to("t").key("k").value("v")).await;
    assert_eq!(delivery.unwrap().await.unwrap().partition.partition, 5);
    let explicit = Record::to("t").key("k").partition(1);
    let delivery = producer.send(explicit).await;
    assert_eq!(delivery.unwrap().await.unwrap().partition.partition, 1);
}

#[tokio::test(start_paused = true)]
async fn a_partition_out_of_range_is_a_typed_error() {
    let world = World::new(2).await;
    let producer = world.producer();
    send_all(&producer, &["warm"]).await;
    let error = producer
        .send(Record::to("t").partition(2).value("v"))
        .await
        .unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::UnknownPartition {
            partition: 2,
            count: 2,
            ..
        }
    ));
    assert!(!error.is_retriable());
}

#[rstest]
#[case(Compression::None)]
#[case(Compression::Gzip)]
#[case(Compression::Snappy)]
#[case(Compression::Lz4)]
#[case(Compression::Zstd)]
#[tokio::test(start_paused = true)]
async fn every_codec_is_read_by_the_broker(#[case] compression: Compression) {
    let world = World::new(1).await;
    let producer = world.client.producer().compression(compression);
    let producer = producer.batch_size(10_000).build().unwrap();
    let value = "abcdefgh".repeat(50);
    for _ in 0..300 {
        drop(send(&producer, 0, &value).await);
    }
    producer.flush().await;
    assert_eq!(world.values(0).await, vec![value; 300]);
    let metrics = producer.metrics();
    assert_eq!(metrics.records_written, 300);
    assert_eq!(metrics.buffered_bytes, 0);
    if compression != Compression::None {
        assert!(metrics.bytes_sent < 300 * 400 / 4, "{metrics:?}");
    }
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn with_acks_0_a_record_is_written_when_it_has_left() {
    let world = World::new(1).await;
    let producer = world.client.producer().acks(Acks::None).build().unwrap();
    let written = send_all(&producer, &["a", "b"]).await;
    assert_eq!(written[0].offset, None);
    // The next one is answered after the broker has worked off the first.
    send_all(&world.producer(), &["c"]).await;
    assert_eq!(world.values(0).await, ["a", "b", "c"]);
    assert_eq!(
        world.cluster.log("t", 0).await.unwrap()[0].producer_id,
        None
    );
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn with_acks_1_there_is_an_offset_and_no_producer_id() {
    let world = World::new(1).await;
    let producer = world.client.producer().acks(Acks::Leader).build().unwrap();
    let written = send_all(&producer, &["a", "b"]).await;
    assert_eq!(written[1].offset, Some(1));
    assert_eq!(world.count(ApiKey::InitProducerId).await, 0);
    assert_eq!(
        world.cluster.log("t", 0).await.unwrap()[0].producer_id,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn log_append_time_is_what_the_broker_says() {
    let topic = TopicSpec::new("t", 1).config("message.timestamp.type", "LogAppendTime");
    let world = World::of(fake::cluster().topic_spec(topic)).await;
    let producer = world.producer();
    let record = Record::to("t").value("v").timestamp(42);
    let written = producer.send(record).await.unwrap().await.unwrap();
    assert!(written.timestamp > 1_600_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn settings_that_contradict_each_other_are_refused() {
    let world = World::new(1).await;
    let producer = || world.client.producer();
    for (builder, property) in [
        (producer().acks(Acks::Leader).idempotence(true), "acks"),
        (
            producer().max_in_flight(6),
            "max.in.flight.requests.per.connection",
        ),
        (
            producer().delivery_timeout(Duration::from_secs(30)),
            "delivery.timeout.ms",
        ),
        (producer().memory(0), "buffer.memory"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidConfig { property: p, .. } if p == property),
            "{error}"
        );
    }
    assert!(
        producer()
            .acks(Acks::Leader)
            .max_in_flight(6)
            .build()
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn properties_set_what_setters_set() {
    let world = World::new(1).await;
    let builder = world.client.producer().properties([
        ("acks", "1"),
        ("linger.ms", "0"),
        ("compression.codec", "lz4"),
        ("compression.gzip.level", "99"),
        ("queue.buffering.max.kbytes", "2048"),
        ("bootstrap.servers", "elsewhere:1"),
        ("key.serializer", "StringSerializer"),
    ]);
    let builder = builder.unwrap();
    // A level of a codec that is not in use harms nobody.
    assert!(builder.clone().build().is_ok());
    let shown = format!("{builder:?}");
    for part in [
        "acks: Leader",
        "linger: 0ns",
        "compression: Lz4",
        "memory: 2097152",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    let error = world
        .client
        .producer()
        .properties([("ack", "1")])
        .unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::UnknownProperty {
            nearest: Some("acks"),
            ..
        }
    ));
    let error = world
        .client
        .producer()
        .properties([("acks", "2")])
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidConfig { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_record_over_the_limit_is_refused_before_it_takes_memory() {
    let world = World::new(1).await;
    let producer = world.producer();
    let value = vec![0; 2 << 20];
    let error = producer
        .send(Record::to("t").value(&value))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RecordTooLarge { .. }));
    assert!(!error.possibly_written());
    assert_eq!(producer.metrics().buffered_bytes, 0);
}
