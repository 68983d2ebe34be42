//! The consumer on the fake cluster, under a paused clock.

mod faults;
mod limits;
mod offsets;
pub(crate) mod old_formats;
mod out_of_range;
mod reading;
mod reset_commits;
mod scripted_resets;
mod seeded;
mod transactions;

use std::time::{Duration, UNIX_EPOCH};

use ottla::{
    Client, Consumer, ConsumerBuilder, Error, RecordBatch, Result, StartFrom, TopicPartition,
};
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::{ApiKey, frame};
use ottla_fake::{FakeCluster, FakeClusterBuilder, LoggedRequest, Record};
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::fake;

/// When the clusters' and clients' wall clocks begin.
const START_MS: i64 = 1_700_000_000_000;

/// A cluster in memory, and a client of it.
struct Fixture {
    cluster: FakeCluster,
    client: Client,
}

impl Fixture {
    /// Three brokers and a topic "t" with this many partitions, partition n led by broker n % 3 + 1 or so.
    async fn new(partitions: i32) -> Self {
        Self::with(|cluster| cluster.brokers(3).topic("t", partitions)).await
    }

    async fn with(configure: impl FnOnce(FakeClusterBuilder) -> FakeClusterBuilder) -> Self {
        Self::seeded(1, configure).await
    }

    async fn seeded(
        seed: u64,
        configure: impl FnOnce(FakeClusterBuilder) -> FakeClusterBuilder,
    ) -> Self {
        let builder = fake::cluster()
            .seed(seed)
            .wall_clock_start_ms(START_MS)
            .keep_frames(true);
        let cluster = configure(builder).start_in_memory().await.unwrap();
        let client = fake::client_of(&cluster)
            .seed(seed)
            .cpu_work(fake::cpu_work(seed))
            .wall_clock(UNIX_EPOCH + Duration::from_millis(START_MS.unsigned_abs()))
            .build()
            .unwrap();
        Self { cluster, client }
    }

    /// A consumer with these settings.
    fn consumer(&self, configure: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder) -> Consumer {
        configure(self.client.consumer()).build().unwrap()
    }

    /// A consumer with all settings at their defaults that reads partition 0 from its beginning.
    fn reader(&self) -> Consumer {
        let consumer = self.consumer(|settings| settings);
        consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
        consumer
    }

    /// Appends batches of this many records, each record's value being its offset.
    async fn fill(&self, partition: i32, batches: usize, records: usize) {
        for _ in 0..batches {
            let end = self
                .cluster
                .partition("t", partition)
                .await
                .unwrap()
                .log_end;
            let record = |offset: i64| Record::of(offset.to_string());
            let records = (end..end + records as i64).map(record);
            self.cluster.append("t", partition, records).await.unwrap();
        }
    }

    /// A leader for partition 0 that is not the present one.
    async fn other_broker(&self) -> i32 {
        let leader = self.leader(0).await;
        self.cluster
            .broker_ids()
            .into_iter()
            .find(|&id| id != leader)
            .unwrap()
    }

    async fn leader(&self, partition: i32) -> i32 {
        let info = self.cluster.partition("t", partition).await.unwrap();
        info.leader.unwrap()
    }

    /// The fetches that reached brokers so far.
    async fn fetches(&self) -> Vec<(LoggedRequest, FetchRequest)> {
        let requests = self.cluster.requests().await.unwrap();
        let fetch = |request: LoggedRequest| {
            let (_, body) = frame::decode_request_header(request.frame.as_ref().unwrap()).unwrap();
            let fetch = ottla_codec::decode_message(&body, request.version).unwrap();
            (request, fetch)
        };
        let fetches = requests
            .into_iter()
            .filter(|request| request.api == ApiKey::Fetch);
        fetches.map(fetch).collect()
    }

    async fn count(&self, api: ApiKey) -> usize {
        let requests = self.cluster.requests().await.unwrap();
        requests.iter().filter(|request| request.api == api).count()
    }

    /// The cluster found nothing wrong with what it was sent.
    async fn assert_clean(&self) {
        assert_eq!(self.cluster.violations().await.unwrap(), []);
    }
}

/// Partitions of topic "t".
fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// The next batch or error, which must come.
async fn try_next(consumer: &mut Consumer) -> Result<RecordBatch> {
    let next = timeout(PATIENCE, consumer.next()).await;
    next.expect("nothing came")
        .map(|batch| batch.expect("the consumer is open"))
}

async fn next(consumer: &mut Consumer) -> RecordBatch {
    try_next(consumer).await.expect("a batch")
}

async fn next_error(consumer: &mut Consumer) -> Error {
    try_next(consumer).await.expect_err("an error")
}

/// Nothing comes for this long.
async fn assert_silent(consumer: &mut Consumer, time: Duration) {
    if let Ok(next) = timeout(time, consumer.next()).await {
        panic!("unexpected: {next:?}");
    }
}

/// The offsets of a batch's records, whose values must be those offsets too.
fn offsets(batch: &RecordBatch) -> Vec<i64> {
    let offset = |record: Result<ottla::RecordView<'_>>| {
        let record = record.unwrap();
        assert_eq!(
            record.value().unwrap(),
            record.offset().to_string().as_bytes()
        );
        record.offset()
    };
    batch.records().map(offset).collect()
}

/// Reads until the position of partition 0 is here; the offsets that came.
async fn read_to(consumer: &mut Consumer, end: i64) -> Vec<i64> {
    let mut all = Vec::new();
    while consumer.position(&tp(0)).await.unwrap() < end {
        let batch = next(consumer).await;
        assert_eq!(*batch.partition(), tp(0));
        all.extend(offsets(&batch));
    }
    all
}
