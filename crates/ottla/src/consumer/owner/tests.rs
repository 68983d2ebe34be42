use std::future::pending;

use tokio::io::DuplexStream;
use tokio::time::{advance, timeout};

use super::*;
use crate::{Client, Consumer, StartFrom};

const TICK: Duration = Duration::from_millis(1);

/// A consumer of one partition that reaches nobody.
async fn stranded() -> Consumer {
    let client = Client::builder()
        .bootstrap_servers("nowhere:9092")
        .connector(|_: String, _| pending::<std::io::Result<DuplexStream>>())
        .build()
        .unwrap();
    let consumer = client.consumer().build().unwrap();
    let start = (TopicPartition::new("t", 0), StartFrom::Offset(7));
    consumer.assign([start]).unwrap();
    tokio::time::sleep(TICK).await;
    consumer
}

/// What is asked for the partition got no answer: it is to be asked again after a pause.
fn fail(shared: &Shared) {
    let mut rng = fastrand::Rng::with_seed(1);
    shared.with_around(&mut rng, |assignment, around| {
        let (name, partition) = assignment.partitions().next().unwrap();
        let (name, generation) = (name.clone(), partition.lineage());
        assignment.unanswered(&name, generation, None, around);
    });
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_pause_is_announced() {
    let consumer = stranded().await;
    let mut work = consumer.shared.work();
    fail(&consumer.shared);
    work.borrow_and_update();
    let announced = timeout(Duration::from_secs(10), work.changed()).await;
    assert!(announced.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_before_the_owner_looks_is_announced_all_the_same() {
    let consumer = stranded().await;
    let mut work = consumer.shared.work();
    fail(&consumer.shared);
    // A fetcher that looks now finds that there is a pause, and waits to be told of its end.
    work.borrow_and_update();
    // The owner gets to run only when it is over, as on a machine that is busy with other things.
    advance(Duration::from_secs(10)).await;
    let announced = timeout(TICK, work.changed()).await;
    assert!(announced.is_ok());
    // Once is enough.
    let again = timeout(Duration::from_secs(10), work.changed()).await;
    assert!(again.is_err());
}
