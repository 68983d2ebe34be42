//! The producer on several threads, over TCP, with the real clock.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{Client, Compression, Record};
use rstest::rstest;

use super::world::text;
use crate::support::fake;

const TASKS: usize = 4;
const RECORDS: usize = 10_000;

#[rstest]
#[case(Compression::None)]
#[case(Compression::Zstd)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_share_one_producer(#[case] compression: Compression) {
    let cluster = fake::cluster().brokers(3).topic("t", 3);
    let cluster = cluster.start().await.unwrap();
    let client = Client::builder().bootstrap_servers(cluster.bootstrap_servers());
    let client = client.build().unwrap();
    let producer = client
        .producer()
        .compression(compression)
        .memory(512 * 1024)
        .batch_size(16 * 1024)
        .build()
        .unwrap();
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let producer = producer.clone();
        tasks.push(tokio::spawn(async move {
            let mut last = None;
            for number in 0..RECORDS {
                let value = format!("{task} {number:08} {}", "x".repeat(number % 200));
                let key = (number % 7).to_string();
                let record = Record::to("t").key(&key).value(&value);
                last = Some(producer.send(record).await.unwrap());
            }
            last.unwrap().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    producer.close(Duration::from_secs(30)).await.unwrap();
    let metrics = producer.metrics();
    assert_eq!(metrics.records_written, (TASKS * RECORDS) as u64);
    assert_eq!((metrics.buffered_bytes, metrics.records_failed), (0, 0));

    let mut total = 0;
    for partition in 0..3 {
        let mut newest: BTreeMap<String, String> = BTreeMap::new();
        for record in cluster.log("t", partition).await.unwrap() {
            let value = text(&record.value.unwrap());
            let (task, rest) = value.split_once(' ').unwrap();
            let number = rest.split_once(' ').unwrap().0.to_owned();
            let before = newest.insert(task.to_owned(), number.clone());
            assert!(before.is_none_or(|before| before < number));
            total += 1;
        }
    }
    assert_eq!(total, TASKS * RECORDS);
    assert_eq!(cluster.violations().await.unwrap(), []);
}
