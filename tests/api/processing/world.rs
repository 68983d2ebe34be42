//! A topic with keyed records, a group, and processors whose handlers do as they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla::{
    ConsumedRecord, Consumer, ConsumerBuilder, ConsumerHandle, Processor, ProcessorEvent,
    ProcessorHandle, ProcessorMetrics, Result,
};
use ottla_fake::FakeClusterBuilder;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::groups::subject::Subject;
use crate::support::PATIENCE;

pub(super) use crate::groups::subject::{MAX_POLL, SESSION};

pub(super) const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// What a handler fails with.
pub(super) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// What groups are tried with, and a topic for dead letters.
pub(super) struct World {
    subject: Subject,
    partitions: i32,
}

impl Deref for World {
    type Target = Subject;

    fn deref(&self) -> &Subject {
        &self.subject
    }
}

impl World {
    pub(super) async fn fake(partitions: i32) -> Self {
        Self::fake_with(partitions, |builder| builder).await
    }

    pub(super) async fn fake_with(
        partitions: i32,
        configure: impl FnOnce(FakeClusterBuilder) -> FakeClusterBuilder,
    ) -> Self {
        let configure = |builder: FakeClusterBuilder| configure(builder.topic("dead", 1));
        Self {
            subject: Subject::fake_with(partitions, configure).await,
            partitions,
        }
    }

    pub(super) async fn real(partitions: i32) -> Self {
        Self {
            subject: Subject::real(partitions).await,
            partitions,
        }
    }

    /// A consumer of the group, subscribed to the topic.
    pub(super) fn consumer(
        &self,
        configure: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
    ) -> Consumer {
        let consumer = self.subject.consumer(configure);
        consumer.subscribe([&self.topic]).expect("a subscription");
        consumer
    }

    /// Writes that many records to each partition, their keys taking turns.
    pub(super) async fn fill(&self, partitions: i32, records: i64, keys: &[Option<&str>]) {
        self.subject.fill_keyed(partitions, records, keys).await;
    }

    /// What the group has committed.
    pub(super) async fn committed(&self) -> BTreeMap<i32, i64> {
        self.subject.committed(self.partitions).await
    }
}

/// What handlers were at, and when.
#[derive(Clone, Default)]
pub(super) struct Diary {
    entries: Arc<Mutex<Vec<Entry>>>,
}

/// One call of a handler.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Option<String>,
    pub(super) began: Instant,
    /// When it was over, and whether it came to its end rather than being dropped.
    pub(super) ended: Option<(Instant, bool)>,
}

/// A call under way; its drop is noticed.
pub(super) struct Call {
    diary: Diary,
    index: usize,
}

impl Diary {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, record: &ConsumedRecord) -> Call {
        let mut entries = self.lock();
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        entries.push(Entry {
            partition: record.partition.partition,
            offset: record.offset,
            key: record.key.as_deref().map(text),
            began: Instant::now(),
            ended: None,
        });
        Call {
            diary: self.clone(),
            index: entries.len() - 1,
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// The records whose handling came to an end, in the order in which it did not matter: partition and offset.
    pub(super) fn done(&self) -> Vec<(i32, i64)> {
        let entries = self.lock();
        let done = entries.iter().filter(|entry| entry.is_done());
        done.map(|entry| (entry.partition, entry.offset)).collect()
    }

    /// The highest number of calls at a time.
    pub(super) fn most_at_once(&self) -> usize {
        let entries = self.lock();
        let at = |moment: Instant| {
            let under_way = |entry: &&Entry| {
                entry.began <= moment && entry.ended.is_none_or(|(ended, _)| ended > moment)
            };
            entries.iter().filter(under_way).count()
        };
        entries
            .iter()
            .map(|entry| at(entry.began))
            .max()
            .unwrap_or(0)
    }

    /// Records of the same lane begin in order, each after the end of the one before it.
    pub(super) fn assert_in_order<L: Ord + std::fmt::Debug>(&self, lane: impl Fn(&Entry) -> L) {
        let mut lanes: BTreeMap<L, Vec<Entry>> = BTreeMap::new();
        for entry in self.entries() {
            lanes.entry(lane(&entry)).or_default().push(entry);
        }
        for (lane, entries) in lanes {
            for pair in entries.windows(2) {
                let [before, after] = pair else { continue };
                assert!(before.offset < after.offset, "{lane:?}: {pair:#?}");
                let ended = before.ended.expect("an end").0;
                assert!(ended <= after.began, "{lane:?}: {pair:#?}");
            }
        }
    }
}

impl Entry {
    pub(super) fn is_done(&self) -> bool {
        self.ended.is_some_and(|(_, done)| done)
    }
}

impl Call {
    pub(super) fn done(self) {
        self.end(true);
    }

    fn end(&self, done: bool) {
        let mut entries = self.diary.lock();
        let entry = &mut entries[self.index];
        if entry.ended.is_none() {
            entry.ended = Some((Instant::now(), done));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// A processor that runs in the background.
pub(super) struct Running {
    pub(super) processor: ProcessorHandle,
    pub(super) consumer: ConsumerHandle,
    events: Arc<Mutex<Vec<ProcessorEvent>>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<ProcessorMetrics>>,
}

impl Running {
    pub(super) fn new<F>(
        processor: Processor,
        consumer: Consumer,
        handler: impl Fn(ConsumedRecord) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Broken>> + Send + 'static,
    {
        let events = Arc::new(Mutex::new(Vec::new()));
        let all = events.clone();
        let processor = processor
            .commit_interval(COMMIT_INTERVAL)
            .on_event(move |event| all.lock().expect("no panic").push(event));
        let (stop, stopped) = oneshot::channel();
        Self {
            processor: processor.handle(),
            consumer: consumer.handle(),
            events,
            stop: Some(stop),
            task: tokio::spawn(async move {
                let shutdown = async move { drop(stopped.await) };
                processor.run(consumer, handler, shutdown).await
            }),
        }
    }

    pub(super) fn metrics(&self) -> ProcessorMetrics {
        self.processor.metrics()
    }

    /// What it told, and has not been asked for.
    pub(super) fn events(&self) -> Vec<ProcessorEvent> {
        std::mem::take(&mut self.events.lock().expect("no panic"))
    }

    /// Tells it to shut down.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Shuts it down in order.
    pub(super) async fn finish(mut self) -> Result<ProcessorMetrics> {
        self.stop();
        self.ended().await
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) -> Result<ProcessorMetrics> {
        let ended = timeout(PATIENCE, &mut self.task).await;
        ended.expect("it ends").expect("no panic")
    }

    /// Drops it where it is.
    pub(super) async fn kill(&mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All records of a topic that has as many in each partition.
pub(super) fn all(partitions: i32, records: i64) -> BTreeSet<(i32, i64)> {
    let of = |partition| (0..records).map(move |offset| (partition, offset));
    (0..partitions).flat_map(of).collect()
}
