//! Reading from the follower that is near (KIP-392), for as long as it can serve what is read.

use ottla::{AutoOffsetReset, Record, StartFrom, TopicPartition};
use ottla_codec::ApiKey;
use ottla_codec::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::load::{Reader, Writer, read_exactly};
use super::trio::{TOPIC, Trio};
use crate::support::eventually;
use crate::support::tap::Tap;

const LEADER: i32 = 1;
const NEAR: i32 = 2;
/// What answers without records come to, at the most, in one of these tests.
const NO_RECORDS: usize = 200_000;

/// `session` is how long, in milliseconds, a broker may be silent and still counts as alive.
async fn start(session: &'static str) -> Trio {
    let kafka = Trio::start(move |builder| {
        builder
            .set("broker.session.timeout.ms", session)
            .set("zookeeper.session.timeout.ms", session)
            .set(
                "replica.selector.class",
                "org.apache.kafka.common.replica.RackAwareReplicaSelector",
            )
            .set("replica.lag.time.max.ms", "2000")
            // Whoever exceeds a replication quota pays for the rest of the test.
            .set("replication.quota.window.num", "1000")
    })
    .await;
    kafka.create_topic(&[&[LEADER, NEAR, 3]], &[]).await;
    kafka
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn records_come_from_the_near_follower_until_it_dies_and_when_it_is_back() {
    let kafka = start("6000").await;
    let tap = Tap::default();
    let fetched = |node| tap.received(&kafka.address(node), ApiKey::Fetch);
    let consumer = kafka.client_through(&tap).consumer().client_rack("rack-2");
    let policy = consumer.auto_offset_reset(AutoOffsetReset::None);
    let reader = Reader::start(policy.build().unwrap(), 1);
    let writer = Writer::start(&kafka.client(), 1, 1000);

    let comes_from = async |node| {
        let before = fetched(node);
        eventually("records come from the broker", async || {
            fetched(node) - before > 3_000_000
        })
        .await;
    };
    comes_from(NEAR).await;
    assert!(fetched(LEADER) < NO_RECORDS, "{}", fetched(LEADER));
    kafka.control(|kafka| kafka.kill(NEAR).unwrap()).await;
    comes_from(LEADER).await;
    kafka.control(|kafka| kafka.restart(NEAR).unwrap()).await;
    comes_from(NEAR).await;

    let written = writer.finish().await;
    let consumer = reader.finish(written).await;
    assert_eq!(fetched(3), 0);
    assert_eq!(consumer.metrics().resets, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn a_follower_that_lags_is_left_for_the_leader_where_it_has_nothing() {
    // Nobody is to take it for dead while it is halted.
    let kafka = start("20000").await;
    let tap = Tap::default();
    let fetched = |node| tap.received(&kafka.address(node), ApiKey::Fetch);
    let consumer = kafka.client_through(&tap).consumer().client_rack("rack-2");
    let policy = consumer.auto_offset_reset(AutoOffsetReset::None);
    let mut consumer = policy.build().unwrap();
    let partition = TopicPartition::new(TOPIC, 0);
    let first = [(partition.clone(), StartFrom::Beginning)];
    consumer.assign(first).unwrap();
    let mut written = write(&kafka, 0..1_000).await;
    read(&mut consumer, 0..written).await;
    assert!(fetched(NEAR) > 1_000_000, "{}", fetched(NEAR));
    assert!(fetched(LEADER) < NO_RECORDS, "{}", fetched(LEADER));

    // It has to leave the replicas in sync first: those are exempt from the quota. Then it copies once,
    // and that is less than there is.
    throttle(&kafka, Some("1")).await;
    kafka.control(|kafka| kafka.pause(NEAR).unwrap()).await;
    written = write(&kafka, written..written + 5_000).await;
    kafka.control(|kafka| kafka.resume(NEAR).unwrap()).await;
    consumer.seek(&partition, written).unwrap();
    let end = written;
    written = write(&kafka, written..written + 500).await;
    read(&mut consumer, end..written).await;
    assert!(fetched(LEADER) > 500_000, "{}", fetched(LEADER));

    throttle(&kafka, None).await;
    kafka
        .eventually("the follower is in sync", |partitions| {
            partitions[0].isr.contains(&NEAR)
        })
        .await;
    consumer.seek(&partition, 0).unwrap();
    let before = fetched(NEAR);
    read(&mut consumer, 0..written).await;
    assert!(fetched(NEAR) - before > 5_000_000);
    assert_eq!(consumer.metrics().resets, 0);
}

/// Writes values of 1000 bytes that hold their offsets; where they end.
async fn write(kafka: &Trio, offsets: std::ops::Range<i64>) -> i64 {
    let producer = kafka.client().producer().build().unwrap();
    for offset in offsets.clone() {
        let value = value(offset);
        let record = Record::to(TOPIC).partition(0).value(&value);
        drop(producer.send(record).await.unwrap());
    }
    producer.flush().await;
    offsets.end
}

/// Reads exactly these offsets.
async fn read(consumer: &mut ottla::Consumer, offsets: std::ops::Range<i64>) {
    read_exactly(consumer, offsets, value).await;
}

fn value(offset: i64) -> String {
    format!("{offset:1000}")
}

/// Sets the bytes per second at which the near follower may copy while it is out of sync.
async fn throttle(kafka: &Trio, rate: Option<&str>) {
    let set = |resource_type, resource_name: &str, name: &str, value: Option<&str>| {
        let delete = 1;
        AlterConfigsResource {
            resource_type,
            resource_name: resource_name.into(),
            configs: vec![AlterableConfig {
                name: name.into(),
                config_operation: if value.is_some() { 0 } else { delete },
                value: value.map(str::to_owned),
                ..Default::default()
            }],
            ..Default::default()
        }
    };
    let (topic, broker) = (2, 4);
    let replicas = "follower.replication.throttled.replicas";
    let per_second = "follower.replication.throttled.rate";
    let request = IncrementalAlterConfigsRequest {
        resources: vec![
            set(topic, TOPIC, replicas, rate.map(|_| "*")),
            set(broker, &NEAR.to_string(), per_second, rate),
        ],
        ..Default::default()
    };
    let answer = kafka.admin().raw_request(Some(NEAR), &request).await;
    let answer = answer.unwrap();
    let mut resources = answer.responses.iter();
    assert!(resources.all(|r| r.error_code == 0), "{answer:?}");
}
