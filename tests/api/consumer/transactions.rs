//! read_committed beside open, committed and aborted transactions.

use std::time::Duration;

use ottla::{Consumer, IsolationLevel, StartFrom};
use ottla_codec::messages::fetch::FetchRequest;
use ottla_fake::Record;

use super::{Fixture, assert_silent, next, tp};

const SHORT: Duration = Duration::from_secs(2);

fn records(name: &str, count: usize) -> Vec<Record> {
    (0..count)
        .map(|i| Record::of(format!("{name}{i}")))
        .collect()
}

fn committed(fixture: &Fixture) -> Consumer {
    let consumer =
        fixture.consumer(|settings| settings.isolation_level(IsolationLevel::ReadCommitted));
    consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
    consumer
}

/// Reads until the position is here; the values that came.
async fn values(consumer: &mut Consumer, end: i64) -> Vec<String> {
    let mut all = Vec::new();
    while consumer.position(&tp(0)).await.unwrap() < end {
        let batch = next(consumer).await;
        all.extend(
            batch.records().map(|record| {
                String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap()
            }),
        );
    }
    all
}

async fn end(fixture: &Fixture) -> i64 {
    fixture.cluster.partition("t", 0).await.unwrap().log_end
}

#[tokio::test(start_paused = true)]
async fn aborted_records_are_left_out_and_all_others_come() {
    let fixture = Fixture::new(1).await;
    let cluster = &fixture.cluster;
    cluster.append("t", 0, records("plain", 2)).await.unwrap();
    cluster
        .append_transaction("t", 0, records("no", 3), false)
        .await
        .unwrap();
    cluster
        .append_transaction("t", 0, records("yes", 2), true)
        .await
        .unwrap();
    // Two at a time, ending the other way round.
    let mut one = cluster.begin_transaction().await.unwrap();
    let mut two = cluster.begin_transaction().await.unwrap();
    one.append("t", 0, records("one", 1)).await.unwrap();
    two.append("t", 0, records("two", 1)).await.unwrap();
    one.append("t", 0, records("one", 1)).await.unwrap();
    two.commit().await.unwrap();
    one.abort().await.unwrap();
    cluster.append("t", 0, records("last", 1)).await.unwrap();
    let end = end(&fixture).await;
    let mut consumer = committed(&fixture);
    let expected = ["plain0", "plain1", "yes0", "yes1", "two0", "last0"];
    assert_eq!(values(&mut consumer, end).await, expected);
    assert_eq!(consumer.lag(&tp(0)), Some(0));
    // Without the setting, everything but the markers comes.
    let mut all = fixture.reader();
    assert_eq!(values(&mut all, end).await.len(), 11);
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_transaction_is_the_end_of_what_is_read() {
    let fixture = Fixture::new(1).await;
    fixture
        .cluster
        .append("t", 0, records("a", 2))
        .await
        .unwrap();
    let mut open = fixture.cluster.begin_transaction().await.unwrap();
    open.append("t", 0, records("b", 2)).await.unwrap();
    fixture
        .cluster
        .append("t", 0, records("c", 2))
        .await
        .unwrap();
    let mut consumer = committed(&fixture);
    assert_eq!(values(&mut consumer, 2).await, ["a0", "a1"]);
    assert_silent(&mut consumer, SHORT).await;
    assert_eq!(consumer.lag(&tp(0)), Some(0));
    let ends = consumer.end_offsets([tp(0)]).await.unwrap();
    assert_eq!(ends[&tp(0)], 2);
    let uncommitted = fixture.reader().end_offsets([tp(0)]).await.unwrap();
    assert_eq!(uncommitted[&tp(0)], 6);
    open.commit().await.unwrap();
    assert_eq!(values(&mut consumer, 7).await, ["b0", "b1", "c0", "c1"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_ends_in_an_aborted_transaction_is_read_to_its_end() {
    let fixture = Fixture::new(1).await;
    fixture
        .cluster
        .append("t", 0, records("a", 1))
        .await
        .unwrap();
    fixture
        .cluster
        .append_transaction("t", 0, records("b", 5), false)
        .await
        .unwrap();
    let mut consumer = committed(&fixture);
    assert_eq!(values(&mut consumer, 1).await, ["a0"]);
    assert_silent(&mut consumer, SHORT).await;
    assert_eq!(consumer.position(&tp(0)).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn f04_an_unsorted_list_of_aborted_transactions_is_understood() {
    let fixture = Fixture::new(1).await;
    for round in 0..5 {
        fixture
            .cluster
            .append_transaction("t", 0, records("no", 2), false)
            .await
            .unwrap();
        let yes = records(&format!("yes{round}."), 1);
        fixture
            .cluster
            .append_transaction("t", 0, yes, true)
            .await
            .unwrap();
    }
    fixture
        .cluster
        .on::<FetchRequest>()
        .always()
        .edit(|_, response| {
            for topic in &mut response.responses {
                for partition in &mut topic.partitions {
                    if let Some(aborted) = &mut partition.aborted_transactions {
                        aborted.reverse();
                    }
                }
            }
        });
    let end = end(&fixture).await;
    let mut consumer = committed(&fixture);
    let expected = ["yes0.0", "yes1.0", "yes2.0", "yes3.0", "yes4.0"];
    assert_eq!(values(&mut consumer, end).await, expected);
}

#[tokio::test(start_paused = true)]
async fn o12_an_empty_aborted_transaction_drops_nothing_behind_it() {
    let fixture = Fixture::new(1).await;
    let mut empty = fixture.cluster.begin_transaction().await.unwrap();
    empty.append("t", 0, []).await.unwrap();
    let producer = empty.producer_id();
    empty.abort().await.unwrap();
    fixture
        .cluster
        .append_transaction("t", 0, records("yes", 3), true)
        .await
        .unwrap();
    // Brokers name such a transaction by its marker's own offset, and producers go on under their id.
    fixture
        .cluster
        .on::<FetchRequest>()
        .always()
        .edit(move |_, response| {
            for topic in &mut response.responses {
                for partition in &mut topic.partitions {
                    let aborted = ottla_codec::messages::fetch::AbortedTransaction {
                        producer_id: producer,
                        first_offset: 0,
                        ..Default::default()
                    };
                    partition
                        .aborted_transactions
                        .get_or_insert_default()
                        .push(aborted);
                }
            }
        });
    let end = end(&fixture).await;
    let mut consumer = committed(&fixture);
    assert_eq!(values(&mut consumer, end).await, ["yes0", "yes1", "yes2"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_inside_an_aborted_transaction_leaves_its_rest_out() {
    let fixture = Fixture::new(1).await;
    let mut doomed = fixture.cluster.begin_transaction().await.unwrap();
    for _ in 0..4 {
        doomed.append("t", 0, records("no", 2)).await.unwrap();
    }
    doomed.abort().await.unwrap();
    fixture
        .cluster
        .append("t", 0, records("yes", 1))
        .await
        .unwrap();
    for from in 0..9 {
        let mut consumer = committed(&fixture);
        consumer.seek(&tp(0), from).unwrap();
        assert_eq!(values(&mut consumer, 10).await, ["yes0"], "from {from}");
    }
}
