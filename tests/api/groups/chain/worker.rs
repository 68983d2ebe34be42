//! A member of a hop: it reads some batches, writes their records to the next topic, flushes, and commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla::{Client, Consumer, ErrorKind, Producer, Record, RecordBatch};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::history::Id;
use super::level::{Level, key_of};
use crate::support::PATIENCE;

/// How long what it reads and what it has written takes it at most; without that, all would be done before anybody goes.
const HANDLING: Duration = Duration::from_millis(50);
/// How long it waits for more, once it has something.
const MORE_WITHIN: Duration = Duration::from_millis(2);

/// Whether a worker goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orders {
    GoOn,
    Leave,
    /// Without committing what it has just done.
    Quit,
}

/// A worker, and how to be rid of it.
pub(super) struct Worker {
    pub(super) id: Id,
    /// Its place in the crew; a static one's name.
    pub(super) place: usize,
    level: Arc<Level>,
    orders: watch::Sender<Orders>,
    task: JoinHandle<Consumer>,
}

impl Worker {
    /// Begins with a client of its own, and does so many records at a time, or a few more.
    pub(super) fn begin(
        level: &Arc<Level>,
        (id, place): (Id, usize),
        instance: Option<&str>,
        client: &Client,
        at_a_time: usize,
    ) -> Self {
        let consumer = level.member(client, instance);
        level.history.begins(id, consumer.handle());
        let (orders, receiver) = watch::channel(Orders::GoOn);
        let producer = client.producer().batch_size(4096);
        let producer = producer.linger(Duration::from_millis(1)).build();
        let work = Work {
            id,
            level: level.clone(),
            consumer,
            producer: producer.expect("a producer"),
            orders: receiver,
            at_a_time,
            rng: fastrand::Rng::with_seed(id as u64),
        };
        Self {
            id,
            place,
            level: level.clone(),
            orders,
            task: tokio::spawn(work.run()),
        }
    }

    /// Whether it has ended by itself, which only a panic makes it do.
    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Finishes what it is at, and leaves.
    pub(super) async fn leave(self) {
        self.end(Orders::Leave).await;
    }

    /// Leaves without committing what it does just now.
    pub(super) async fn quit(self) {
        self.end(Orders::Quit).await;
    }

    async fn end(self, orders: Orders) {
        self.orders.send_replace(orders);
        let consumer = self.task.await.expect("no panic");
        consumer.close(PATIENCE).await;
        self.level.history.ends(self.id);
    }

    /// Dies, wherever it is: its connections break, and nobody is told.
    pub(super) async fn die(self) {
        self.task.abort();
        if let Err(error) = self.task.await {
            assert!(error.is_cancelled(), "{error}");
        }
        self.level.history.ends(self.id);
    }
}

/// What the worker's task has.
struct Work {
    id: Id,
    level: Arc<Level>,
    consumer: Consumer,
    producer: Producer,
    orders: watch::Receiver<Orders>,
    at_a_time: usize,
    rng: fastrand::Rng,
}

impl Work {
    async fn run(mut self) -> Consumer {
        while let Some(batches) = self.read().await {
            self.handle().await;
            self.write(&batches).await;
            self.handle().await;
            if *self.orders.borrow() == Orders::Quit {
                break;
            }
            self.commit(&batches).await;
        }
        self.consumer
    }

    /// Some batches; nothing once it is to end.
    async fn read(&mut self) -> Option<Vec<RecordBatch>> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut records = 0;
        while records < self.at_a_time {
            let next = if batches.is_empty() {
                let ended = self.orders.wait_for(|orders| *orders != Orders::GoOn);
                tokio::select! {
                    biased;
                    _ = ended => return None,
                    next = self.consumer.next() => next,
                }
            } else {
                match timeout(MORE_WITHIN, self.consumer.next()).await {
                    Ok(next) => next,
                    Err(_) => break,
                }
            };
            match next {
                Ok(batch) => {
                    let batch = batch.expect("it is open");
                    records += batch.record_count();
                    let offsets = batch
                        .records()
                        .map(|record| record.expect("a record").offset());
                    self.level
                        .history
                        .handed_out(self.id, batch.partition(), offsets);
                    batches.push(batch);
                }
                // A cluster that is slow to take what it writes has made it late.
                Err(error) if matches!(error.kind(), ErrorKind::MaxPollExceeded { .. }) => {}
                Err(error) => panic!("{} of {}: {error}", self.id, self.level.group),
            }
        }
        Some(batches)
    }

    async fn handle(&mut self) {
        sleep(HANDLING.mul_f64(self.rng.f64())).await;
    }

    async fn write(&self, batches: &[RecordBatch]) {
        let mut deliveries = Vec::new();
        for record in batches.iter().flat_map(|batch| batch.records()) {
            let record = record.expect("a record");
            let (key, value) = (record.key(), record.value());
            let number = key_of(key, value);
            let onward = Record::to(&self.level.to)
                .key(key.unwrap_or_default())
                .value(value.unwrap_or_default());
            deliveries.push((number, self.producer.send(onward).await.expect("room")));
        }
        self.producer.flush().await;
        for (number, delivery) in deliveries {
            delivery.await.expect("a delivery");
            self.level.pass([number]);
        }
    }

    async fn commit(&self, batches: &[RecordBatch]) {
        let ends: BTreeMap<_, _> = batches
            .iter()
            .map(|batch| (batch.partition().clone(), batch.next_offset()))
            .collect();
        match self.consumer.commit(ends.clone()).await {
            Ok(()) => {
                for (partition, offset) in &ends {
                    self.level.history.committed(self.id, partition, *offset);
                }
            }
            // Some of it belongs to somebody else by now, who does it again.
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Revoked { .. }
                        | ErrorKind::NotAssigned { .. }
                        | ErrorKind::Timeout { .. }
                ),
                "{} of {}: {error}",
                self.id,
                self.level.group
            ),
        }
    }
}
