//! Somebody who writes numbers and somebody who reads them, while the cluster goes through things.
//!
//! Number n goes to partition n modulo their number, so that its offset there is known as well: an order
//! that changes, a record that is lost and one that comes twice are all seen at the first wrong offset.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use ottla::{Client, Consumer, Delivery, Record, RecordBatch, StartFrom, TopicPartition};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::trio::TOPIC;
use crate::support::PATIENCE;

const TICK: Duration = Duration::from_millis(5);

/// How much is written at the most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// So many records each [`TICK`].
    per_tick: u64,
    /// More deliveries than this are never open.
    open: usize,
}

impl Pace {
    /// Where the test is of the cluster's trouble, not of speed.
    pub(crate) const CALM: Self = Self {
        per_tick: 50,
        open: 5_000,
    };
    /// As much as the cluster takes.
    pub(crate) const FULL: Self = Self {
        per_tick: 10_000,
        open: 50_000,
    };

    pub(crate) fn per_second(rate: u64) -> Self {
        let ticks = Duration::from_secs(1).div_duration_f64(TICK) as u64;
        Self {
            per_tick: rate / ticks,
            ..Self::FULL
        }
    }
}

/// Counts on in another task.
struct Progress(watch::Receiver<u64>);

impl Progress {
    /// Waits until it has counted this much more.
    async fn advance(&self, by: u64) {
        let mut count = self.0.clone();
        let wanted = *count.borrow_and_update() + by;
        let arrival = timeout(PATIENCE, count.wait_for(|&count| count >= wanted)).await;
        arrival.expect("it goes on").expect("it has not ended");
    }
}

/// Writes, and insists on every delivery.
pub(crate) struct Writer {
    acknowledged: Progress,
    /// Nothing more is written without one.
    pace: watch::Sender<Option<Pace>>,
    task: JoinHandle<u64>,
}

impl Writer {
    /// Starts to write values of `size` bytes.
    pub(crate) fn start(client: &Client, partitions: u64, size: usize) -> Self {
        let (count, acknowledged) = watch::channel(0);
        let (pace, paced) = watch::channel(Some(Pace::CALM));
        let client = client.clone();
        Self {
            acknowledged: Progress(acknowledged),
            pace,
            task: tokio::spawn(write(client, partitions, size, count, paced)),
        }
    }

    /// Goes on at another pace.
    pub(crate) fn pace(&self, pace: Pace) {
        self.pace.send_replace(Some(pace));
    }

    /// How many are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        *self.acknowledged.0.borrow()
    }

    /// Waits until this many more are acknowledged.
    pub(crate) async fn advance(&self, by: u64) {
        self.acknowledged.advance(by).await;
    }

    /// Ends the writing; how many there are, all of them acknowledged.
    pub(crate) async fn finish(self) -> u64 {
        self.pace.send_replace(None);
        self.task.await.unwrap()
    }
}

async fn write(
    client: Client,
    partitions: u64,
    size: usize,
    acknowledged: watch::Sender<u64>,
    paced: watch::Receiver<Option<Pace>>,
) -> u64 {
    let producer = client.producer().build().unwrap();
    let mut open: VecDeque<Delivery> = VecDeque::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut next, mut done) = (0, 0);
    loop {
        let pace = *paced.borrow();
        let most = pace.map_or(0, |pace| pace.open);
        if let Some(pace) = pace {
            for _ in 0..pace.per_tick {
                let value = format!("{next:size$}");
                let partition = i32::try_from(next % partitions).unwrap();
                let record = Record::to(TOPIC).partition(partition).value(&value);
                open.push_back(producer.send(record).await.unwrap());
                next += 1;
            }
        }
        while let Some(oldest) = open.front() {
            let wait = open.len() > most;
            let Some(result) = (match wait {
                false => oldest.try_result(),
                true => Some(open.pop_front().unwrap().await),
            }) else {
                break;
            };
            if !wait {
                open.pop_front();
            }
            let written = result.expect("every record is acknowledged");
            let offset = i64::try_from(done / partitions).unwrap();
            assert_eq!(written.offset.unwrap_or(offset), offset, "record {done}");
            done += 1;
        }
        acknowledged.send_replace(done);
        if pace.is_none() {
            producer.close(PATIENCE).await.unwrap();
            return done;
        }
        tick.tick().await;
    }
}

/// Reads, and insists on every record, once and in its order.
pub(crate) struct Reader {
    read: Progress,
    total: watch::Sender<u64>,
    task: JoinHandle<Consumer>,
}

impl Reader {
    /// Starts to read all partitions from their beginning.
    pub(crate) fn start(consumer: Consumer, partitions: u64) -> Self {
        let (count, read) = watch::channel(0);
        let (total, wanted) = watch::channel(u64::MAX);
        Self {
            read: Progress(read),
            total,
            task: tokio::spawn(read_all(consumer, partitions, count, wanted)),
        }
    }

    /// Waits until this many more were read.
    pub(crate) async fn advance(&self, by: u64) {
        self.read.advance(by).await;
    }

    /// Reads on until there are `total`, and no more.
    pub(crate) async fn finish(self, total: u64) -> Consumer {
        self.total.send_replace(total);
        self.task.await.unwrap()
    }
}

async fn read_all(
    mut consumer: Consumer,
    partitions: u64,
    count: watch::Sender<u64>,
    mut total: watch::Receiver<u64>,
) -> Consumer {
    let names = (0..i32::try_from(partitions).unwrap()).map(|p| TopicPartition::new(TOPIC, p));
    let starts = names.map(|name| (name, StartFrom::Beginning));
    consumer.assign(starts).unwrap();
    let mut next = vec![0; usize::try_from(partitions).unwrap()];
    let mut read = 0;
    while read < *total.borrow_and_update() {
        let batch = tokio::select! {
            biased;
            _ = total.changed() => continue,
            batch = timeout(PATIENCE, consumer.next()) => batch.expect("something comes"),
        };
        let batch = batch.expect("no error").expect("an open consumer");
        read += check(&batch, partitions, &mut next);
        count.send_replace(read);
    }
    assert_eq!(read, *total.borrow(), "records that nobody wrote");
    consumer
}

fn check(batch: &RecordBatch, partitions: u64, next: &mut [u64]) -> u64 {
    let partition = u64::try_from(batch.partition().partition).unwrap();
    let next = &mut next[usize::try_from(partition).unwrap()];
    let first = *next;
    for record in batch.records() {
        let record = record.unwrap();
        assert_eq!(
            u64::try_from(record.offset()),
            Ok(*next),
            "of partition {partition}"
        );
        let value = str::from_utf8(record.value().unwrap()).unwrap();
        let number: u64 = value.trim().parse().unwrap();
        assert_eq!(number, *next * partitions + partition);
        *next += 1;
    }
    *next - first
}

/// Reads exactly these offsets of one partition, each with its value.
pub(crate) async fn read_exactly(
    consumer: &mut Consumer,
    offsets: Range<i64>,
    value: impl Fn(i64) -> String,
) {
    let mut next = offsets.start;
    while next < offsets.end {
        let batch = timeout(PATIENCE, consumer.next()).await;
        let batch = batch.expect("something comes").unwrap().unwrap();
        for record in batch.records() {
            let record = record.unwrap();
            let read = str::from_utf8(record.value().unwrap()).unwrap();
            assert_eq!((record.offset(), read), (next, &*value(next)));
            next += 1;
        }
    }
    assert_eq!(next, offsets.end);
}
