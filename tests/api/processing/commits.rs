//! What is committed, and when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{ConsumedRecord, IsolationLevel, ProcessingOrder, Processor, ProcessorEvent};
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::list_offsets::ListOffsetsRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::Record;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::world::{Broken, COMMIT_INTERVAL, Running, World};
use crate::support::{PATIENCE, eventually};

/// Handlers that end when they are told to.
#[derive(Clone, Default)]
struct Gates {
    gates: Arc<Mutex<BTreeMap<i64, Arc<Semaphore>>>>,
}

impl Gates {
    fn gate(&self, offset: i64) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().expect("no panic");
        let closed = || Arc::new(Semaphore::new(0));
        gates.entry(offset).or_insert_with(closed).clone()
    }

    fn open(&self, offset: i64) {
        self.gate(offset).add_permits(1);
    }

    async fn pass(self, record: ConsumedRecord) -> Result<(), Broken> {
        let gate = self.gate(record.offset);
        gate.acquire().await?.forget();
        Ok(())
    }
}

fn processor() -> Processor {
    Processor::new().order(ProcessingOrder::Unordered)
}

#[tokio::test(start_paused = true)]
async fn a_commit_never_passes_what_is_unfinished() {
    let world = World::fake(1).await;
    world.fill(1, 5, &[None]).await;
    let gates = Gates::default();
    let opened = gates.clone();
    let running = Running::new(
        processor(),
        world.consumer(|builder| builder),
        move |record| opened.clone().pass(record),
    );
    eventually("all are at work", async || running.metrics().in_flight == 5).await;
    for (offset, committed) in [
        (1, None),
        (4, None),
        (0, Some(2)),
        (3, Some(2)),
        (2, Some(5)),
    ] {
        gates.open(offset);
        sleep(COMMIT_INTERVAL * 2).await;
        assert_eq!(
            world.committed().await.get(&0).copied(),
            committed,
            "{offset}"
        );
    }
    running.finish().await.expect("an end in order");
    world.assert_clean().await;
}

/// What is no record (a transaction's end here) is committed with the last record before it, with the leader's epoch.
#[tokio::test(start_paused = true)]
async fn what_holds_no_record_is_committed_as_well() {
    let world = World::fake(1).await;
    let mut transaction = world
        .cluster()
        .begin_transaction()
        .await
        .expect("a cluster");
    let records = [Record::of("one"), Record::of("two")];
    transaction
        .append("t", 0, records)
        .await
        .expect("an append");
    transaction.commit().await.expect("a commit");
    let consumer = world.consumer(|b| b.isolation_level(IsolationLevel::ReadCommitted));
    let running = Running::new(processor(), consumer, |_| async { Ok(()) });
    eventually("both are handled", async || {
        running.metrics().processed == 2
    })
    .await;
    running.finish().await.expect("an end in order");
    let end = world
        .cluster()
        .partition("t", 0)
        .await
        .expect("a partition");
    let committed = world.cluster().committed("g").await.expect("a cluster");
    let committed = &committed[&("t".to_owned(), 0)];
    assert_eq!((committed.offset, end.high_watermark), (3, 3));
    assert_eq!(committed.leader_epoch, Some(end.leader_epoch));
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_is_not_committed_again() {
    let world = World::fake(2).await;
    world.fill(2, 20, &[None]).await;
    let running = Running::new(processor(), world.consumer(|builder| builder), |_| async {
        Ok(())
    });
    eventually("all are committed", async || {
        world.committed().await.values().sum::<i64>() == 40
    })
    .await;
    world.cluster().clear_requests();
    sleep(COMMIT_INTERVAL * 10).await;
    running.finish().await.expect("an end in order");
    let requests = world.cluster().requests().await.expect("a cluster");
    let commits = requests
        .iter()
        .filter(|request| request.api == ApiKey::OffsetCommit);
    assert_eq!(commits.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_is_told_and_made_up_for() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let rule = world.cluster().on::<OffsetCommitRequest>();
    let rule = rule.always().error(ErrorCode::InvalidCommitOffsetSize);
    let running = Running::new(processor(), world.consumer(|builder| builder), |_| async {
        Ok(())
    });
    eventually("it fails", async || running.metrics().failed_commits > 0).await;
    let events = running.events();
    assert!(
        matches!(&events[..], [ProcessorEvent::CommitFailed(_), ..]),
        "{events:?}"
    );
    assert!(world.committed().await.is_empty());
    rule.remove();
    sleep(COMMIT_INTERVAL * 2).await;
    assert_eq!(world.committed().await[&0], 10);
    running.finish().await.expect("an end in order");
}

/// A topic that was created again takes no commits; those of other topics go on.
#[tokio::test(start_paused = true)]
async fn what_can_never_be_committed_keeps_nothing_else_from_it() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    world
        .cluster()
        .append("dead", 0, [Record::of("one")])
        .await
        .expect("an append");
    let consumer = world.consumer(|builder| builder);
    consumer.subscribe(["t", "dead"]).expect("a subscription");
    let gates = Gates::default();
    let opened = gates.clone();
    let running = Running::new(processor(), consumer, move |record| {
        let opened = opened.clone();
        async move {
            match &*record.partition.topic {
                "t" => Ok(()),
                _ => opened.pass(record).await,
            }
        }
    });
    eventually("one is at work", async || {
        running.metrics().processed == 10 && running.metrics().in_flight == 1
    })
    .await;
    world
        .cluster()
        .recreate_topic("dead")
        .await
        .expect("a topic");
    eventually("it is noticed", async || {
        !running.metrics().stopped.is_empty()
    })
    .await;
    gates.open(0);
    world.fill(1, 10, &[None]).await;
    sleep(Duration::from_secs(10)).await;
    let committed = world.cluster().committed("g").await.expect("a cluster");
    assert_eq!(committed[&("t".to_owned(), 0)].offset, 20);
    assert!(
        !committed.contains_key(&("dead".to_owned(), 0)),
        "{committed:?}"
    );
    assert!(running.metrics().failed_commits <= 1);
    running.finish().await.expect("an end in order");
}

/// Who seeks back has the partition handled anew from there, and committed from there.
#[tokio::test(start_paused = true)]
async fn a_seek_back_begins_anew() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let gates = Gates::default();
    let opened = gates.clone();
    let running = Running::new(
        processor(),
        world.consumer(|builder| builder),
        move |record| opened.clone().pass(record),
    );
    for offset in 1..10 {
        gates.open(offset);
    }
    eventually("one is left", async || running.metrics().processed == 9).await;
    // What is at work is of another time, and when that is done it moves nothing.
    running.consumer.seek(&world.tp(0), 0).expect("assigned");
    eventually("all are at work again", async || {
        running.metrics().in_flight == 10
    })
    .await;
    gates.open(0);
    gates.open(1);
    sleep(COMMIT_INTERVAL * 2).await;
    assert_eq!(world.committed().await[&0], 2);
    let events = running.events();
    assert!(
        matches!(&events[..], [ProcessorEvent::Abandoned { offsets, .. }] if *offsets == [0]),
        "{events:?}"
    );
    for offset in 2..10 {
        gates.open(offset);
    }
    eventually("all are handled", async || {
        running.metrics().processed == 19
    })
    .await;
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await[&0], 10);
}

/// What is done while the position is being reset is of a log that may be no more; when it was reset, what is at work is
/// of another time.
#[tokio::test(start_paused = true)]
async fn a_reset_while_records_are_at_work_begins_anew() {
    let world = World::fake(1).await;
    world.fill(1, 10, &[None]).await;
    let gates = Gates::default();
    let opened = gates.clone();
    let running = Running::new(
        processor(),
        world.consumer(|builder| builder),
        move |record| opened.clone().pass(record),
    );
    eventually("all are at work", async || {
        running.metrics().in_flight == 10
    })
    .await;
    let question = world.cluster().on::<ListOffsetsRequest>().times(1).hold();
    let fetch = world.cluster().on::<FetchRequest>().always();
    let refused = fetch.edit(|_, response| {
        let partitions = response.responses.iter_mut();
        for data in partitions.flat_map(|topic| &mut topic.partitions) {
            data.error_code = ErrorCode::OffsetOutOfRange.code();
            data.records = None;
        }
    });
    // The fetch that waits is answered as ever. It is answers with something in them that name the partition.
    world.fill(1, 1, &[None]).await;
    eventually("it is at work", async || running.metrics().in_flight == 11).await;
    world.fill(1, 1, &[None]).await;
    let arrived = timeout(PATIENCE, question.arrived()).await;
    arrived.expect("a question").expect("a cluster");
    refused.remove();
    assert!(running.consumer.positions().is_empty());
    for offset in 0..10 {
        gates.open(offset);
    }
    sleep(COMMIT_INTERVAL * 2).await;
    assert_eq!(running.metrics().processed, 10);
    assert_eq!(world.committed().await, BTreeMap::new());

    question.release().await.expect("a cluster");
    eventually("it begins anew", async || running.metrics().in_flight == 12).await;
    let events = running.events();
    assert!(
        matches!(&events[..], [ProcessorEvent::Abandoned { offsets, .. }] if *offsets == [10]),
        "{events:?}"
    );
    for offset in [0, 1, 3] {
        gates.open(offset);
    }
    sleep(COMMIT_INTERVAL * 2).await;
    assert_eq!(world.committed().await, BTreeMap::from([(0, 2)]));
    for offset in 0..12 {
        gates.open(offset);
    }
    eventually("all are handled", async || {
        running.metrics().processed == 22
    })
    .await;
    running.finish().await.expect("an end in order");
    assert_eq!(world.committed().await, BTreeMap::from([(0, 12)]));
}

/// Of a log that was cut off, nothing is committed beyond its end, though it was done and nothing new has come.
#[tokio::test(start_paused = true)]
async fn nothing_is_committed_beyond_a_truncation() {
    let world = World::fake(1).await;
    // Two batches, one of which stays.
    world.fill(1, 5, &[None]).await;
    world.fill(1, 5, &[None]).await;
    let gates = Gates::default();
    let opened = gates.clone();
    let running = Running::new(
        processor(),
        world.consumer(|builder| builder),
        move |record| opened.clone().pass(record),
    );
    eventually("all are at work", async || {
        running.metrics().in_flight == 10
    })
    .await;
    let info = world.cluster().partition("t", 0).await;
    let leader = info.expect("a partition").leader;
    let brokers = world.cluster().broker_ids().into_iter();
    let mut others = brokers.filter(|id| Some(*id) != leader);
    let other = others.next().expect("another broker");
    let elected = world.cluster().elect_uncleanly("t", 0, other, 5).await;
    elected.expect("a broker");
    eventually("it is noticed", async || {
        let positions = running.consumer.positions();
        positions.get(&world.tp(0)).is_some_and(|at| at.offset == 5)
    })
    .await;
    for offset in 0..10 {
        gates.open(offset);
    }
    sleep(COMMIT_INTERVAL * 3).await;
    let committed = world.committed().await;
    assert!(committed.get(&0).is_none_or(|at| *at <= 5), "{committed:?}");
    world.fill(1, 5, &[None]).await;
    for offset in 5..10 {
        gates.open(offset);
    }
    sleep(COMMIT_INTERVAL * 3).await;
    assert_eq!(world.committed().await, BTreeMap::from([(0, 10)]));
    running.finish().await.expect("an end in order");
}
