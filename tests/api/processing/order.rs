//! What goes on side by side, what one after the other, and how far.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla::{MemberState, ProcessingOrder, Processor};
use tokio::time::sleep;

use super::world::{Diary, MAX_POLL, Running, World, all};
use crate::support::eventually;

const KEYS: &[Option<&str>] = &[Some("a"), Some("b"), Some("a"), Some("c"), Some("d")];

/// Handles all records of three partitions, each in a time of its own.
async fn handle_all(order: ProcessingOrder, concurrency: usize, keys: &[Option<&str>]) -> Diary {
    let world = World::fake(3).await;
    world.fill(3, 60, keys).await;
    let diary = Diary::default();
    let log = diary.clone();
    let processor = Processor::new().order(order).concurrency(concurrency);
    let running = Running::new(
        processor,
        world.consumer(|builder| builder),
        move |record| {
            let call = log.begin(&record);
            async move {
                sleep(Duration::from_millis(10 + record.offset as u64 * 7 % 40)).await;
                call.done();
                Ok(())
            }
        },
    );
    eventually("all records are handled", async || {
        running.metrics().processed == 180
    })
    .await;
    let done = diary.done();
    assert_eq!(done.len(), 180, "each of them once");
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), all(3, 60));
    let metrics = running.finish().await.expect("an end in order");
    assert_eq!((metrics.processed, metrics.in_flight), (180, 0));
    let committed: Vec<_> = world.committed().await.into_iter().collect();
    assert_eq!(committed, [(0, 60), (1, 60), (2, 60)]);
    world.assert_clean().await;
    diary
}

#[tokio::test(start_paused = true)]
async fn records_of_a_key_are_handled_in_order_and_keys_side_by_side() {
    let diary = handle_all(ProcessingOrder::Key, 8, KEYS).await;
    diary.assert_in_order(|entry| (entry.partition, entry.key.clone()));
    assert_eq!(diary.most_at_once(), 8);
}

#[tokio::test(start_paused = true)]
async fn records_of_a_partition_are_handled_in_order_and_partitions_side_by_side() {
    let diary = handle_all(ProcessingOrder::Partition, 8, KEYS).await;
    diary.assert_in_order(|entry| entry.partition);
    assert_eq!(diary.most_at_once(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_an_order_all_go_on_side_by_side() {
    let diary = handle_all(ProcessingOrder::Unordered, 50, &[Some("a")]).await;
    assert_eq!(diary.most_at_once(), 50);
}

#[tokio::test(start_paused = true)]
async fn records_without_a_key_are_in_no_order() {
    let diary = handle_all(ProcessingOrder::Key, 50, &[None]).await;
    assert_eq!(diary.most_at_once(), 50);
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_is_one_at_a_time() {
    let diary = handle_all(ProcessingOrder::Unordered, 1, KEYS).await;
    assert_eq!(diary.most_at_once(), 1);
}

/// A handler that never ends holds up its key, from the window on its partition, and nobody else; the member stays in its
/// group.
#[tokio::test(start_paused = true)]
async fn a_stuck_handler_holds_up_its_key_and_then_its_partition() {
    let world = World::fake(2).await;
    world.fill(2, 200, KEYS).await;
    let diary = Diary::default();
    let log = diary.clone();
    let processor = Processor::new().window(50).attempt_timeout(Duration::MAX);
    let running = Running::new(
        processor,
        world.consumer(|builder| builder),
        move |record| {
            let call = log.begin(&record);
            async move {
                if (record.partition.partition, record.offset) == (0, 10) {
                    std::future::pending::<()>().await;
                }
                call.done();
                Ok(())
            }
        },
    );
    sleep(MAX_POLL * 3).await;
    assert_eq!(running.consumer.health().state, MemberState::Stable);
    let done: BTreeSet<_> = diary.done().into_iter().collect();
    // Of five records, two have the key that is stuck.
    let expected = (0..60).filter(|offset| *offset < 10 || ![0, 2].contains(&(offset % 5)));
    let expected = expected.map(|offset| (0, offset));
    let others = (0..200).map(|offset| (1, offset));
    assert_eq!(done, expected.chain(others).collect());
    assert_eq!(
        world.committed().await.into_iter().collect::<Vec<_>>(),
        [(0, 10), (1, 200)]
    );
    let metrics = running.metrics();
    assert_eq!(metrics.in_flight, 1);
    let oldest = metrics.oldest.expect("one in flight");
    assert!(oldest.elapsed() > MAX_POLL * 2);
    // What comes later is handled elsewhere, and not there.
    world.fill(2, 10, KEYS).await;
    eventually("the other partition goes on", async || {
        diary.done().contains(&(1, 209))
    })
    .await;
    assert!(!diary.done().contains(&(0, 60)));
}
