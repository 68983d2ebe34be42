//! Records of topics that are not known yet: nobody could be asked, or nobody knows them so far.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use ottla::{Client, Delivery, ErrorKind, Header, Producer, ProducerBuilder, Record};
use ottla_codec::ErrorCode;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_fake::{FakeCluster, TopicSpec};
use rstest::rstest;
use tokio::time::{Instant, sleep};

use super::world::{World, send, text};
use crate::support::fake;

const KIB: usize = 1024;

/// Three brokers with a topic "t", and none of them can be reached.
async fn unreachable(partitions: i32) -> World {
    let world = World::new(partitions).await;
    for broker in 1..=3 {
        world.cluster.kill_broker(broker).await.unwrap();
    }
    world
}

async fn start(cluster: &FakeCluster) {
    for broker in 1..=3 {
        cluster.start_broker(broker).await.unwrap();
    }
}

async fn create(cluster: &FakeCluster, topic: &str, partitions: i32) {
    let spec = TopicSpec::new(topic, partitions);
    cluster.create_topic(spec).await.unwrap();
}

async fn send_to(producer: &Producer, topic: &str, value: &str) -> Delivery {
    let record = Record::to(topic).value(value);
    producer.send(record).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn with_nobody_reachable_memory_bounds_what_is_taken_in_and_all_of_it_expires() {
    let world = unreachable(1).await;
    let builder = world.client.producer().memory(64 * KIB);
    let producer = builder.max_block(Duration::from_secs(7)).build().unwrap();
    let value = "x".repeat(KIB);
    let record = Record::to("t").partition(0).value(&value);
    let began = Instant::now();
    let mut deliveries = Vec::new();
    let refused = loop {
        match producer.send(record).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(error) => break error,
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    };
    assert!(
        matches!(refused.kind(), ErrorKind::Timeout { .. }),
        "{refused:?}"
    );
    assert_eq!(began.elapsed().as_secs(), 7);
    assert!(deliveries.len() >= 40, "{}", deliveries.len());
    let metrics = producer.metrics();
    assert!(metrics.buffered_bytes <= 64 * KIB, "{metrics:?}");
    assert_eq!(metrics.unassigned_records, deliveries.len());
    assert_eq!(metrics.records_sent as usize, deliveries.len());
    let full = producer.try_send(record).unwrap_err();
    assert_eq!(full.kind(), &ErrorKind::MemoryFull);
    for delivery in &mut deliveries {
        let error = delivery.await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Timeout { .. }),
            "{error:?}"
        );
        assert!(!error.possibly_written());
        assert!(error.source().is_some(), "{error:?}");
    }
    assert_eq!(began.elapsed().as_secs(), 120);
    let metrics = producer.metrics();
    assert_eq!(metrics.records_failed as usize, deliveries.len());
    assert_eq!((metrics.buffered_bytes, metrics.unassigned_records), (0, 0));
    // What failed is forgotten; what comes now is taken in as before.
    start(&world.cluster).await;
    send(&producer, 0, "now").await.await.unwrap();
    assert_eq!(world.values(0).await, ["now"]);
}

#[tokio::test(start_paused = true)]
async fn with_nobody_reachable_a_close_is_in_time() {
    let world = unreachable(1).await;
    let producer = world.producer();
    let delivery = send(&producer, 0, "a").await;
    let began = Instant::now();
    let error = producer.close(Duration::from_secs(3)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }));
    assert_eq!(began.elapsed().as_secs(), 3);
    let error = delivery.try_result().unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed { .. }));
    assert!(!error.possibly_written());
}

#[tokio::test(start_paused = true)]
async fn a_drop_fails_what_waits_at_once() {
    let world = unreachable(1).await;
    let producer = world.producer();
    let delivery = send(&producer, 0, "a").await;
    drop(producer);
    let error = delivery.try_result().unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed { .. }));
    assert!(!error.possibly_written());
}

#[tokio::test(start_paused = true)]
async fn closing_the_client_fails_what_waits() {
    let world = unreachable(1).await;
    let producer = world.producer();
    let delivery = send(&producer, 0, "a").await;
    world.client.close(Duration::from_secs(1)).await;
    let error = delivery.await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed { .. }));
}

fn builtin(builder: ProducerBuilder) -> ProducerBuilder {
    builder
}

/// Everything without an explicit partition goes to the last one but one.
fn own(builder: ProducerBuilder) -> ProducerBuilder {
    builder.partitioner(|_: &Record<'_>, count: usize| Some(i32::try_from(count).unwrap() - 2))
}

#[rstest]
#[case::builtin(builtin, &[1, 2, 3, 4, 5])]
#[case::own(own, &[3])]
#[tokio::test(start_paused = true)]
async fn when_a_broker_comes_everything_is_written_in_order(
    #[case] with: fn(ProducerBuilder) -> ProducerBuilder,
    #[case] chosen: &[i32],
) {
    let world = unreachable(5).await;
    let producer = with(world.client.producer().batch_size(500))
        .build()
        .unwrap();
    let mut sent = Vec::new();
    let headers = [Header::new("h", "1"), Header::null("n")];
    for number in 0..900 {
        let value = format!("{number:04}");
        let record = Record::to("t").value(&value).headers(&headers);
        let record = match number % 3 {
            // Of five partitions "foobar" is for 1 and "abc" for 2.
            0 => record.key(if number % 2 == 0 { "foobar" } else { "abc" }),
            1 => record.partition(number / 3 % 5),
            _ => record,
        };
        sent.push((number, producer.send(record).await.unwrap()));
        match number {
            300 => sleep(Duration::from_secs(20)).await,
            600 => start(&world.cluster).await,
            // From here on they are known, while older ones still move.
            _ if number > 600 && number % 10 == 0 => sleep(Duration::from_millis(10)).await,
            _ => {}
        }
    }
    producer.flush().await;
    let mut places: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for (number, delivery) in &sent {
        let written = delivery.try_result().unwrap().unwrap();
        let partition = written.partition.partition;
        match number % 3 {
            1 => assert_eq!(partition, number / 3 % 5),
            0 if chosen.len() > 1 => assert_eq!(partition, if number % 2 == 0 { 1 } else { 2 }),
            _ if chosen.len() == 1 => assert_eq!(partition, chosen[0]),
            _ => {}
        }
        places
            .entry(partition)
            .or_default()
            .push(written.offset.unwrap());
    }
    for (partition, offsets) in places {
        assert!(offsets.is_sorted(), "partition {partition}: {offsets:?}");
        let log = world.cluster.log("t", partition).await.unwrap();
        let values: Vec<_> = log
            .iter()
            .map(|r| text(r.value.as_ref().unwrap()))
            .collect();
        assert_eq!(values.len(), offsets.len());
        assert!(values.is_sorted(), "partition {partition}: {values:?}");
        assert!(log.iter().all(|record| record.headers.len() == 2));
    }
    assert_eq!(producer.metrics().buffered_bytes, 0);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_keeps_the_time_of_its_admission() {
    let world = unreachable(1).await;
    let producer = world.producer();
    let first = send(&producer, 0, "a").await;
    sleep(Duration::from_secs(20)).await;
    let second = send(&producer, 0, "b").await;
    let given = Record::to("t").partition(0).timestamp(42);
    let given = producer.send(given).await.unwrap();
    start(&world.cluster).await;
    let first = first.await.unwrap().timestamp;
    assert_eq!(second.await.unwrap().timestamp - first, 20_000);
    assert_eq!(given.await.unwrap().timestamp, 42);
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_full_when_a_broker_comes_is_no_deadlock() {
    let world = unreachable(3).await;
    let producer = world.client.producer().memory(12 * KIB).build().unwrap();
    let mut tasks = Vec::new();
    for task in 0..20 {
        let producer = producer.clone();
        tasks.push(tokio::spawn(async move {
            let value = "x".repeat(500);
            for _ in 0..20 {
                send(&producer, task % 3, &value).await.await.unwrap();
                assert!(producer.metrics().buffered_bytes <= 12 * KIB);
            }
        }));
    }
    sleep(Duration::from_secs(5)).await;
    assert!(producer.metrics().waiting_sends > 0);
    let began = Instant::now();
    start(&world.cluster).await;
    for task in tasks {
        task.await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(producer.metrics().records_written, 400);
}

#[tokio::test(start_paused = true)]
async fn p02_a_topic_that_brokers_deny_fails_its_records_after_ten_seconds() {
    let world = World::new(1).await;
    let producer = world.producer();
    let began = Instant::now();
    let record = Record::to("unknown").value("v");
    let deliveries = [
        producer.try_send(record).unwrap(),
        send_to(&producer, "unknown", "w").await,
    ];
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Others are not kept waiting.
    send(&producer, 0, "known").await.await.unwrap();
    for delivery in deliveries {
        let error = delivery.await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::UnknownTopic { topic } if topic == "unknown"),
            "{error:?}"
        );
        assert!(!error.possibly_written());
    }
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(producer.metrics().buffered_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_waited_for_as_long_as_it_was_set() {
    let world = World::new(1).await;
    let builder = world.client.producer();
    let builder = builder.unknown_topic_timeout(Duration::from_secs(2));
    let producer = builder.build().unwrap();
    let began = Instant::now();
    let delivery = send_to(&producer, "unknown", "v").await;
    assert!(delivery.await.is_err());
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_appears_takes_what_has_waited_for_it() {
    let world = World::new(1).await;
    let producer = world.producer();
    let mut deliveries = Vec::new();
    for value in ["a", "b", "c"] {
        deliveries.push(send_to(&producer, "new", value).await);
        sleep(Duration::from_secs(1)).await;
    }
    create(&world.cluster, "new", 1).await;
    for (delivery, offset) in deliveries.into_iter().zip(0..) {
        assert_eq!(delivery.await.unwrap().offset, Some(offset));
    }
    // From now on it is known.
    let began = Instant::now();
    send_to(&producer, "new", "d").await.await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(100));
    assert_eq!(producer.metrics().unassigned_records, 0);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_created_because_it_is_asked_for_takes_its_records() {
    let cluster = fake::cluster().brokers(3).auto_create_topics(true);
    let world = World::of(cluster).await;
    let producer = world.producer();
    let delivery = send_to(&producer, "made", "v").await;
    assert_eq!(delivery.await.unwrap().offset, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_nobodys_to_write_to_fails_its_records_at_once() {
    let world = World::new(1).await;
    let producer = world.producer();
    let metadata = world.cluster.on::<MetadataRequest>().always();
    metadata.edit(|_, response| {
        for topic in &mut response.topics {
            topic.error_code = ErrorCode::TopicAuthorizationFailed.code();
            topic.partitions.clear();
        }
    });
    let began = Instant::now();
    let error = send(&producer, 0, "a").await.await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotAuthorized { .. }),
        "{error:?}"
    );
    assert!(!error.possibly_written());
    assert!(began.elapsed() < Duration::from_secs(1));
    // Once it is allowed, one of the next finds its way.
    world.cluster.clear_rules();
    sleep(Duration::from_secs(5)).await;
    send(&producer, 0, "b").await.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_name_that_no_topic_can_have_fails_its_records_at_once() {
    let world = World::new(1).await;
    let producer = world.producer();
    let began = Instant::now();
    let delivery = send_to(&producer, "not a name", "v").await;
    assert!(!delivery.await.unwrap_err().possibly_written());
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_partition_out_of_range_is_the_deliverys_error_while_the_topic_is_unknown() {
    let world = World::new(2).await;
    let producer = world.producer();
    let good = send(&producer, 1, "good").await;
    let bad = send(&producer, 2, "bad").await;
    let error = bad.await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::UnknownPartition { count: 2, .. }
    ));
    good.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_partitioner_that_panics_fails_only_its_record() {
    let world = World::new(1).await;
    let fragile = |record: &Record<'_>, _: usize| {
        assert!(record.topic != "fragile", "this is expected");
        None
    };
    let producer = world.client.producer().partitioner(fragile);
    let producer = producer.build().unwrap();
    create(&world.cluster, "fragile", 1).await;
    let error = send_to(&producer, "fragile", "v").await.await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
        "{error:?}"
    );
    send_to(&producer, "t", "v").await.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_waits_and_does_not_let_it_linger() {
    let world = unreachable(1).await;
    let builder = world.client.producer().linger(Duration::from_secs(30));
    let producer = builder.build().unwrap();
    let delivery = send(&producer, 0, "a").await;
    let began = Instant::now();
    let up = async {
        sleep(Duration::from_secs(5)).await;
        start(&world.cluster).await;
    };
    tokio::join!(producer.flush(), up);
    delivery.try_result().unwrap().unwrap();
    let took = began.elapsed();
    assert!((5..10).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_what_nobody_can_take_ends_with_the_delivery_timeout() {
    let world = unreachable(1).await;
    let producer = world.producer();
    let delivery = send(&producer, 0, "a").await;
    let began = Instant::now();
    producer.flush().await;
    assert_eq!(began.elapsed().as_secs(), 120);
    assert!(delivery.try_result().unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_given_up_while_it_waits_for_memory_takes_nothing_in() {
    let world = unreachable(1).await;
    let producer = world.client.producer().memory(4 * KIB).build().unwrap();
    let value = "x".repeat(3 * KIB);
    let first = send(&producer, 0, &value).await;
    {
        let mut given_up = pin!(send(&producer, 0, &value));
        let mut context = Context::from_waker(Waker::noop());
        assert!(given_up.as_mut().poll(&mut context).is_pending());
        assert_eq!(producer.metrics().waiting_sends, 1);
    }
    let small = send(&producer, 0, "small").await;
    start(&world.cluster).await;
    first.await.unwrap();
    small.await.unwrap();
    assert_eq!(world.values(0).await, [value.as_str(), "small"]);
    assert_eq!(producer.metrics().records_sent, 2);
}

#[tokio::test(start_paused = true)]
async fn a_close_wakes_who_waits_for_memory() {
    let world = unreachable(1).await;
    let producer = world.client.producer().memory(4 * KIB).build().unwrap();
    let value = "x".repeat(3 * KIB);
    drop(send(&producer, 0, &value).await);
    let waiting = producer.send(Record::to("t").value(&value));
    let close = async {
        sleep(Duration::from_secs(1)).await;
        producer.close(Duration::from_secs(1)).await
    };
    let (refused, closed) = tokio::join!(waiting, close);
    let refused = refused.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Closed { .. }));
    assert!(closed.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tasks_order_is_kept_while_its_topic_becomes_known() {
    const TASKS: usize = 4;
    const TOPICS: usize = 10;
    const RECORDS: usize = 300;
    let mut cluster = fake::cluster().brokers(1);
    for topic in 0..TOPICS {
        cluster = cluster.topic(format!("t{topic}"), 1);
    }
    let cluster = cluster.start().await.unwrap();
    let client = Client::builder().bootstrap_servers(cluster.bootstrap_servers());
    let client = client.build().unwrap();
    let producer = client
        .producer()
        .partitioner(|_: &Record<'_>, _: usize| None);
    let producer = producer.build().unwrap();
    for topic in 0..TOPICS {
        let sending = (0..TASKS).map(|task| {
            let producer = producer.clone();
            tokio::spawn(async move {
                let topic = format!("t{topic}");
                for number in 0..RECORDS {
                    let value = format!("{task}:{number:04}");
                    drop(send_to(&producer, &topic, &value).await);
                }
            })
        });
        for task in sending.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
    producer.flush().await;
    for topic in 0..TOPICS {
        let log = cluster.log(&format!("t{topic}"), 0).await.unwrap();
        let values = log
            .iter()
            .map(|record| text(record.value.as_ref().unwrap()));
        let mut of_task: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for value in values {
            let (task, number) = value.split_once(':').unwrap();
            of_task.entry(task.into()).or_default().push(number.into());
        }
        assert_eq!(of_task.len(), TASKS);
        for numbers in of_task.values() {
            assert_eq!(numbers.len(), RECORDS);
            assert!(numbers.is_sorted(), "{numbers:?}");
        }
    }
}
