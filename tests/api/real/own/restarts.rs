//! Brokers that are restarted, that never come back, and that come back elsewhere.

use ottla::Client;

use super::load::{Reader, Writer};
use super::trio::Trio;
use crate::support::long_runs;
use crate::support::tap::Tap;

const PARTITIONS: u64 = 3;

async fn start() -> Trio {
    let kafka = Trio::start(|builder| builder.set("min.insync.replicas", "2")).await;
    kafka
        .create_topic(&[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]], &[])
        .await;
    kafka
}

async fn load(client: &Client) -> (Writer, Reader) {
    let writer = Writer::start(client, PARTITIONS, 100);
    let reader = Reader::start(client.consumer().build().unwrap(), PARTITIONS);
    writer.advance(1_000).await;
    reader.advance(1_000).await;
    (writer, reader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn a_rolling_restart_to_new_ports_and_a_death_for_good_lose_and_repeat_nothing() {
    let kafka = start().await;
    let (writer, reader) = load(&kafka.client()).await;
    let rounds = if long_runs() { 5 } else { 1 };
    for round in 0..rounds {
        for id in 1..=3 {
            let restart = move |kafka: &mut xtask::kafka::Cluster| {
                // In the last round the addresses that the client began with are gone one by one.
                if round == rounds - 1 {
                    kafka.change_port(id).unwrap();
                }
                kafka.restart(id).unwrap();
            };
            kafka.control(restart).await;
            // The next one may go once no partition needs it.
            kafka.in_sync().await;
            writer.advance(500).await;
            reader.advance(500).await;
        }
    }

    // And one of them for good.
    kafka.control(|kafka| kafka.kill(1).unwrap()).await;
    kafka
        .eventually("the others lead everything", |partitions| {
            partitions.iter().all(|p| matches!(p.leader, Some(2 | 3)))
        })
        .await;
    writer.advance(5_000).await;
    reader.advance(5_000).await;
    let written = writer.finish().await;
    reader.finish(written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn a_cluster_that_comes_back_elsewhere_is_found_by_its_name() {
    let kafka = start().await;
    let tap = Tap::default();
    tap.route("kafka.test", &kafka.address(1));
    let client = Client::builder()
        .bootstrap_servers("kafka.test:9092")
        .connector(tap.connector())
        .build()
        .unwrap();
    let (writer, reader) = load(&client).await;
    kafka
        .control(|kafka| {
            for id in 1..=3 {
                kafka.kill(id).unwrap();
                kafka.change_port(id).unwrap();
            }
            for id in 1..=3 {
                kafka.restart_unready(id).unwrap();
            }
            kafka.await_ready(&[1, 2, 3]).unwrap();
        })
        .await;
    tap.route("kafka.test", &kafka.address(2));
    writer.advance(1_000).await;
    reader.advance(1_000).await;
    let written = writer.finish().await;
    reader.finish(written).await;
}
