//! A fake cluster in memory and a client of it.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use ottla::{Client, ClientBuilder, Delivery, Producer, Record, RecordMetadata};
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::records::{Batches, RecordBatch};
use ottla_codec::{ApiKey, frame};
use ottla_fake::{FakeCluster, FakeClusterBuilder, LoggedRequest};

use crate::support::fake;

/// When the clusters' and clients' wall clocks begin.
const START_MS: i64 = 1_700_000_000_000;

pub(crate) struct World {
    pub(crate) cluster: FakeCluster,
    pub(crate) client: Client,
}

impl World {
    /// Three brokers and a topic "t" with this many partitions.
    pub(crate) async fn new(partitions: i32) -> Self {
        Self::of(fake::cluster().brokers(3).topic("t", partitions)).await
    }

    pub(crate) async fn of(cluster: FakeClusterBuilder) -> Self {
        Self::seeded(cluster, 1).await
    }

    pub(crate) async fn seeded(cluster: FakeClusterBuilder, seed: u64) -> Self {
        let cluster = cluster
            .seed(seed)
            .wall_clock_start_ms(START_MS)
            .keep_frames(true);
        let cluster = cluster.start_in_memory().await.unwrap();
        let client = client_of(&cluster).seed(seed).build().unwrap();
        Self { cluster, client }
    }

    /// A producer with all settings at their defaults.
    pub(crate) fn producer(&self) -> Producer {
        self.client.producer().build().unwrap()
    }

    /// The values of a partition's log, as text, in their order.
    pub(crate) async fn values(&self, partition: i32) -> Vec<String> {
        let records = self.cluster.log("t", partition).await.unwrap();
        let values = records.into_iter().map(|record| record.value.unwrap());
        values.map(|value| text(&value)).collect()
    }

    /// The batches of every Produce request so far, in the order of their arrival.
    pub(crate) async fn produced(&self) -> Vec<Produced> {
        let requests = self.cluster.requests().await.unwrap();
        let produces = requests
            .iter()
            .filter(|request| request.api == ApiKey::Produce);
        produces.flat_map(Produced::of).collect()
    }

    /// How many requests of an API have arrived.
    pub(crate) async fn count(&self, api: ApiKey) -> usize {
        let requests = self.cluster.requests().await.unwrap();
        requests.iter().filter(|request| request.api == api).count()
    }

    /// The cluster found nothing wrong with what it was sent.
    pub(crate) async fn assert_no_violations(&self) {
        assert_eq!(self.cluster.violations().await.unwrap(), []);
    }
}

/// A client in the making whose wall clock begins with the cluster's.
pub(crate) fn client_of(cluster: &FakeCluster) -> ClientBuilder {
    fake::client_of(cluster).wall_clock(UNIX_EPOCH + Duration::from_millis(START_MS.unsigned_abs()))
}

/// One batch in one Produce request.
#[derive(Clone, Debug)]
pub(crate) struct Produced {
    pub(crate) broker: i32,
    pub(crate) bytes: Bytes,
    pub(crate) batch: RecordBatch,
}

impl Produced {
    fn of(request: &LoggedRequest) -> Vec<Self> {
        let frame = request.frame.as_ref().unwrap();
        let (header, body) = frame::decode_request_header(frame).unwrap();
        let produce: ProduceRequest =
            ottla_codec::decode_message(&body, header.request_api_version).unwrap();
        let topics = produce.topic_data.iter();
        let partitions = topics.flat_map(|topic| &topic.partition_data);
        let batches = partitions.map(|partition| {
            let bytes = partition.records.as_ref().unwrap().to_bytes();
            let batch = Batches::new(bytes.clone()).next().unwrap().unwrap();
            Self {
                broker: request.broker,
                bytes,
                batch,
            }
        });
        batches.collect()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Sends a value to a partition of "t".
pub(crate) async fn send(producer: &Producer, partition: i32, value: &str) -> Delivery {
    let record = Record::to("t").partition(partition).value(value);
    producer.send(record).await.unwrap()
}

/// Sends values to partition 0 and waits until all are written; their metadata.
pub(crate) async fn send_all(producer: &Producer, values: &[&str]) -> Vec<RecordMetadata> {
    let mut deliveries = Vec::new();
    for value in values {
        deliveries.push(send(producer, 0, value).await);
    }
    let mut written = Vec::new();
    for delivery in deliveries {
        written.push(delivery.await.unwrap());
    }
    written
}
