//! Leaders die in the middle of a produce, and nothing acknowledged is lost, doubled or reordered.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use ottla::{Delivery, Producer, Record};
use xtask::kafka::Cluster;

use super::trio::{TOPIC, Trio};
use crate::support::{PATIENCE, long_runs};

const PARTITIONS: i32 = 3;

/// What is known of one record after its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    PossiblyWritten,
    NotWritten,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn every_acknowledged_record_survives_its_leaders_death() {
    let records: usize = if long_runs() { 2_000_000 } else { 300_000 };
    let kafka = Trio::start(|builder| builder.set("min.insync.replicas", "2")).await;
    kafka
        .create_topic(&[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]], &[])
        .await;
    let producer = kafka.client().producer().build().unwrap();

    let mut fates = Vec::with_capacity(records);
    let mut open = VecDeque::new();
    let third = records / 3;
    produce(&producer, 0..third, &mut open, &mut fates).await;

    // It leads partition 0.
    let victim = 1;
    kafka
        .control(move |kafka| kafka.kill(victim).unwrap())
        .await;
    produce(&producer, third..2 * third, &mut open, &mut fates).await;
    let restart = kafka.control(move |kafka| kafka.restart(victim).unwrap());
    let rest = produce(&producer, 2 * third..records, &mut open, &mut fates);
    tokio::join!(restart, rest);
    for delivery in open.drain(..) {
        fates.push(fate(delivery).await);
    }
    producer.close(PATIENCE).await.unwrap();

    let acknowledged = fates
        .iter()
        .filter(|&&fate| fate == Fate::Acknowledged)
        .count();
    assert!(
        acknowledged > records / 2,
        "only {acknowledged} of {records} were acknowledged"
    );
    kafka
        .eventually("the partitions have leaders again", |partitions| {
            partitions.iter().all(|p| p.leader.is_some())
        })
        .await;
    for partition in 0..PARTITIONS {
        let in_log = read_with_java(&kafka, partition).await;
        check(partition, &in_log, &fates);
    }
}

/// Keeps at most this many deliveries open, so that outcomes are seen while producing goes on.
const OPEN: usize = 50_000;

async fn produce(
    producer: &Producer,
    numbers: std::ops::Range<usize>,
    open: &mut VecDeque<Delivery>,
    fates: &mut Vec<Fate>,
) {
    for number in numbers {
        let value = number.to_string();
        let record = Record::to(TOPIC)
            .value(&value)
            .partition(partition_of(number));
        open.push_back(producer.send(record).await.unwrap());
        if open.len() > OPEN {
            fates.push(fate(open.pop_front().unwrap()).await);
        }
    }
}

fn partition_of(number: usize) -> i32 {
    i32::try_from(number % PARTITIONS as usize).unwrap()
}

async fn fate(delivery: Delivery) -> Fate {
    match delivery.await {
        Ok(_) => Fate::Acknowledged,
        Err(error) if error.possibly_written() => Fate::PossiblyWritten,
        Err(_) => Fate::NotWritten,
    }
}

/// All values of a partition, in order, as Java's console consumer prints them.
async fn read_with_java(kafka: &Trio, partition: i32) -> Vec<usize> {
    let brokers = kafka.bootstrap_servers();
    let read = move |kafka: &mut Cluster| {
        let mut java = kafka
            .java_class(
                kafka.version().console_consumer(),
                [
                    "--bootstrap-server",
                    &brokers,
                    "--topic",
                    TOPIC,
                    "--partition",
                    &partition.to_string(),
                    "--offset",
                    "earliest",
                    // It ends when nothing has come for this long: the end of the log.
                    "--timeout-ms",
                    "5000",
                ],
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let numbers = BufReader::new(java.stdout.take().unwrap())
            .lines()
            .map(|line| line.unwrap().parse().unwrap())
            .collect();
        java.wait().unwrap();
        numbers
    };
    kafka.control(read).await
}

fn check(partition: i32, in_log: &[usize], fates: &[Fate]) {
    let disorder = in_log.windows(2).find(|pair| pair[0] >= pair[1]);
    assert_eq!(
        disorder, None,
        "partition {partition} is out of order or holds a record twice"
    );
    let mut in_log = in_log.iter().copied().peekable();
    for (number, &fate) in fates.iter().enumerate() {
        if partition_of(number) != partition {
            continue;
        }
        let found = in_log.next_if_eq(&number).is_some();
        match fate {
            Fate::Acknowledged => assert!(found, "{number} was acknowledged and is lost"),
            Fate::NotWritten => assert!(!found, "{number} is there and was said not to be"),
            Fate::PossiblyWritten => {}
        }
    }
    assert_eq!(
        in_log.next(),
        None,
        "partition {partition} holds a record nobody sent"
    );
}
