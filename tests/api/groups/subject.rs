//! A topic with a group that reads it, and consumers that read in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{
    AutoOffsetReset, Client, Consumer, ConsumerBuilder, ConsumerHandle, MemberState, Record,
    RecordBatch, Result, TopicPartition,
};
use ottla_fake::{FakeCluster, FakeClusterBuilder};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{PATIENCE, eventually, fake, real};

/// The shortest that brokers allow.
pub(crate) const SESSION: Duration = Duration::from_secs(6);
pub(crate) const MAX_POLL: Duration = Duration::from_secs(20);

/// A topic, a group, and a client.
pub(crate) struct Subject {
    pub(crate) client: Client,
    pub(crate) topic: String,
    pub(crate) group: String,
    /// The cluster, if it is a fake one.
    pub(crate) cluster: Option<FakeCluster>,
}

impl Subject {
    /// On a fake cluster with three brokers.
    pub(crate) async fn fake(partitions: i32) -> Self {
        Self::fake_with(partitions, |cluster| cluster).await
    }

    pub(crate) async fn fake_with(
        partitions: i32,
        configure: impl FnOnce(FakeClusterBuilder) -> FakeClusterBuilder,
    ) -> Self {
        let builder = fake::cluster()
            .brokers(3)
            .topic("t", partitions)
            .initial_rebalance_delay(Duration::ZERO);
        let cluster = configure(builder)
            .start_in_memory()
            .await
            .expect("a cluster");
        Self {
            client: fake::client_of(&cluster).build().expect("a client"),
            topic: "t".to_owned(),
            group: "g".to_owned(),
            cluster: Some(cluster),
        }
    }

    /// On the real Kafka.
    pub(crate) async fn real(partitions: i32) -> Self {
        let client = real::client();
        Self {
            topic: real::topic(&client, "groups", partitions, &[]).await,
            group: real::unique("group"),
            client,
            cluster: None,
        }
    }

    pub(crate) fn cluster(&self) -> &FakeCluster {
        self.cluster.as_ref().expect("a fake cluster")
    }

    pub(crate) fn tp(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), partition)
    }

    /// A consumer of the group that does not commit by itself.
    pub(crate) fn consumer(
        &self,
        configure: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
    ) -> Consumer {
        let builder = self
            .client
            .consumer()
            .group_id(&self.group)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .session_timeout(SESSION)
            .heartbeat_interval(Duration::from_secs(1))
            .max_poll_interval(MAX_POLL)
            .auto_commit(false);
        configure(builder).build().expect("a consumer")
    }

    /// The same, subscribed to the topic, with these assignors.
    pub(crate) fn member(&self, strategy: &str) -> Consumer {
        let consumer = self.consumer(|builder| with_strategy(builder, strategy));
        consumer.subscribe([&self.topic]).expect("a subscription");
        consumer
    }

    /// Writes that many records to each partition.
    pub(crate) async fn fill(&self, partitions: i32, records: i64) {
        self.fill_keyed(partitions, records, &[None]).await;
    }

    /// The same, their keys taking turns.
    pub(crate) async fn fill_keyed(&self, partitions: i32, records: i64, keys: &[Option<&str>]) {
        let producer = self.client.producer().build().expect("a producer");
        let mut deliveries = Vec::new();
        for partition in 0..partitions {
            for (n, key) in (0..records).zip(keys.iter().cycle()) {
                let value = n.to_string();
                let mut record = Record::to(&self.topic).partition(partition).value(&value);
                record.key = key.map(str::as_bytes);
                deliveries.push(producer.send(record).await.expect("room"));
            }
        }
        for delivery in deliveries {
            delivery.await.expect("a delivery");
        }
        producer.close(PATIENCE).await.expect("nothing left");
    }

    /// What the group has committed.
    pub(crate) async fn committed(&self, partitions: i32) -> BTreeMap<i32, i64> {
        let onlooker = self.consumer(|builder| builder);
        let names = (0..partitions).map(|partition| self.tp(partition));
        let found = onlooker.committed(names).await.expect("an answer");
        found
            .into_iter()
            .map(|(name, at)| (name.partition, at.offset))
            .collect()
    }

    /// The cluster found nothing wrong with what it was sent.
    pub(crate) async fn assert_clean(&self) {
        if let Some(cluster) = &self.cluster {
            assert_eq!(cluster.violations().await.expect("a cluster"), []);
        }
    }
}

pub(super) fn with_strategy(builder: ConsumerBuilder, strategy: &str) -> ConsumerBuilder {
    builder
        .properties([("partition.assignment.strategy", strategy)])
        .expect("assignors")
}

/// The next batch or error, which must come.
pub(super) async fn try_next(consumer: &mut Consumer) -> Result<RecordBatch> {
    let next = timeout(PATIENCE, consumer.next())
        .await
        .expect("something comes");
    next.map(|batch| batch.expect("an open consumer"))
}

/// The next batch, which must come.
pub(super) async fn next(consumer: &mut Consumer) -> RecordBatch {
    try_next(consumer).await.expect("a batch")
}

/// The partitions that a consumer has.
pub(super) fn assigned(consumer: &ConsumerHandle) -> BTreeSet<i32> {
    consumer
        .assignment()
        .into_iter()
        .map(|name| name.partition)
        .collect()
}

/// Waits until the group is stable with each of these having that many partitions, no two the same.
pub(super) async fn shared_out(consumers: &[&ConsumerHandle], counts: &[usize]) {
    eventually("the partitions are shared out", async || {
        let all: Vec<_> = consumers
            .iter()
            .map(|consumer| assigned(consumer))
            .collect();
        let union: BTreeSet<i32> = all.iter().flatten().copied().collect();
        let generations: BTreeSet<_> = consumers.iter().map(|c| c.health().generation).collect();
        let mut sizes: Vec<usize> = all.iter().map(BTreeSet::len).collect();
        sizes.sort_unstable();
        consumers
            .iter()
            .all(|consumer| consumer.health().state == MemberState::Stable)
            && generations.len() == 1
            && union.len() == sizes.iter().sum::<usize>()
            && sizes == counts
    })
    .await;
}

/// A consumer that is read in the background.
pub(super) struct Running {
    pub(super) handle: ConsumerHandle,
    seen: Arc<Mutex<Vec<(i32, i64)>>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Consumer>,
}

impl Running {
    pub(super) fn new(mut consumer: Consumer) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handle = consumer.handle();
        let all = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let batch = tokio::select! {
                    biased;
                    _ = &mut stopped => return consumer,
                    next = consumer.next() => next.expect("no error").expect("an open consumer"),
                };
                let partition = batch.partition().partition;
                let offsets = batch
                    .records()
                    .map(|record| record.expect("a record").offset());
                let offsets: Vec<_> = offsets.map(|offset| (partition, offset)).collect();
                all.lock().expect("no panic").extend(offsets);
            }
        });
        Self {
            handle,
            seen,
            stop: Some(stop),
            task,
        }
    }

    /// What it has read so far: partitions and offsets.
    pub(super) fn seen(&self) -> Vec<(i32, i64)> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Stops reading and gives the consumer back.
    pub(super) async fn stop(mut self) -> Consumer {
        self.stopped().await
    }

    /// Stops reading and closes the consumer in order; what it has read.
    pub(super) async fn finish(mut self) -> Vec<(i32, i64)> {
        self.stopped().await.close(PATIENCE).await;
        self.seen()
    }

    async fn stopped(&mut self) -> Consumer {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        (&mut self.task).await.expect("no panic")
    }

    /// Ends it without a word to anybody, as a crash would.
    pub(super) fn kill(self) {
        self.task.abort();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until these have read each record of the topic; then each that was read, with how often.
pub(super) async fn all_read(
    readers: &[&Running],
    partitions: i32,
    records: i64,
) -> BTreeMap<(i32, i64), usize> {
    let mut counts = BTreeMap::new();
    eventually("all records are read", async || {
        counts.clear();
        for seen in readers.iter().flat_map(|reader| reader.seen()) {
            *counts.entry(seen).or_default() += 1;
        }
        counts.len() as i64 == i64::from(partitions) * records
    })
    .await;
    counts
}
