//! Records that were read and are gone (KIP-320): an unclean election on a real cluster.

use std::ops::Range;

use ottla::{AutoOffsetReset, Consumer, ErrorKind, Record, StartFrom, TopicPartition};
use tokio::time::timeout;

use super::load::read_exactly;
use super::trio::{TOPIC, Trio};
use crate::support::PATIENCE;

const LEADER: i32 = 1;
const FOLLOWER: i32 = 2;
/// What the follower has as well.
const SHARED: Range<i64> = 0..100;
/// What only the leader has.
const LOST: Range<i64> = 100..150;
/// What is written over it.
const OTHER: Range<i64> = 100..120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn an_unclean_election_is_an_error_or_goes_on_where_the_logs_diverge() {
    // The third broker holds nothing: it is there for the controllers' quorum.
    let kafka = Trio::start(|builder| builder.set("min.insync.replicas", "1")).await;
    let unclean = [("unclean.leader.election.enable", "true")];
    kafka.create_topic(&[&[LEADER, FOLLOWER]], &unclean).await;
    write(&kafka, SHARED, "shared").await;
    kafka.control(|kafka| kafka.stop(FOLLOWER).unwrap()).await;
    write(&kafka, LOST, "lost").await;

    let policies = [
        AutoOffsetReset::None,
        AutoOffsetReset::Earliest,
        AutoOffsetReset::Latest,
    ];
    let mut consumers = policies.map(|policy| consumer(&kafka, policy));
    for consumer in &mut consumers {
        read(consumer, SHARED, "shared").await;
        read(consumer, LOST, "lost").await;
    }

    kafka
        .control(|kafka| {
            kafka.kill(LEADER).unwrap();
            kafka.restart(FOLLOWER).unwrap();
        })
        .await;
    kafka
        .eventually("the follower leads what it has", |partitions| {
            partitions[0].leader == Some(FOLLOWER)
        })
        .await;
    write(&kafka, OTHER, "other").await;

    let [strict, earliest, latest] = &mut consumers;
    let error = timeout(PATIENCE, strict.next()).await.expect("an error");
    let truncated = ErrorKind::LogTruncated {
        partition: partition(),
        position: LOST.end,
        diverging_offset: Some(SHARED.end),
    };
    assert_eq!(*error.unwrap_err().kind(), truncated);
    strict.seek(&partition(), SHARED.end).unwrap();
    for consumer in [strict, earliest, latest] {
        read(consumer, OTHER, "other").await;
        assert_eq!(consumer.metrics().truncations, 1);
    }

    // The old leader comes back, cuts its log, and leads again: nothing of that is news to a reader.
    kafka.control(|kafka| kafka.restart(LEADER).unwrap()).await;
    kafka.reassign(&[vec![LEADER, FOLLOWER]]).await;
    let next = OTHER.end..OTHER.end + 30;
    write(&kafka, next.clone(), "next").await;
    for consumer in &mut consumers {
        read(consumer, next.clone(), "next").await;
        assert_eq!(consumer.metrics().truncations, 1);
        assert_eq!(consumer.metrics().resets, 0);
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

fn consumer(kafka: &Trio, policy: AutoOffsetReset) -> Consumer {
    let settings = kafka.client().consumer().auto_offset_reset(policy);
    let consumer = settings.build().unwrap();
    let from = [(partition(), StartFrom::Beginning)];
    consumer.assign(from).unwrap();
    consumer
}

/// Writes records that say which they are, to exactly these offsets.
async fn write(kafka: &Trio, offsets: Range<i64>, kind: &str) {
    let producer = kafka.client().producer().build().unwrap();
    for offset in offsets {
        let value = value(kind, offset);
        let record = Record::to(TOPIC).partition(0).value(&value);
        let delivery = producer.send(record).await.unwrap();
        assert_eq!(delivery.await.unwrap().offset, Some(offset));
    }
}

/// Reads exactly these records.
async fn read(consumer: &mut Consumer, offsets: Range<i64>, kind: &str) {
    read_exactly(consumer, offsets, |offset| value(kind, offset)).await;
}

fn value(kind: &str, offset: i64) -> String {
    format!("{kind} {offset}")
}
