//! rskafka. Its headers are a sorted map without nulls; it has no levels.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_peers::{Batch, Client, Codec, Load, Readings, Result, Tally, Times, records};
use rskafka::chrono::{DateTime, Utc};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client as Cluster, ClientBuilder};
use rskafka::record::Record;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

struct Rskafka;

async fn connect(brokers: &str) -> Result<Cluster> {
    let brokers = brokers.split(',').map(str::to_owned).collect();
    Ok(ClientBuilder::new(brokers).build().await?)
}

fn compression(codec: Codec) -> Compression {
    match codec {
        Codec::None => Compression::NoCompression,
        Codec::Gzip => Compression::Gzip,
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    }
}

/// How many bytes a fetch may bring of its partition: Java's default.
const FETCH_BYTES: i32 = 1 << 20;

/// How many batches wait for a partition that has one on its way.
const BATCHES_WAITING: usize = 2;

/// Read once for each batch.
fn now() -> Result<DateTime<Utc>> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(DateTime::from_timestamp_millis(since.as_millis() as i64).ok_or("timestamp")?)
}

fn record(value: &[u8], timestamp: DateTime<Utc>) -> Record {
    Record {
        key: None,
        value: Some(value.to_vec()),
        headers: Default::default(),
        timestamp,
    }
}

async fn partition(cluster: &Cluster, topic: &str, index: i32) -> Result<PartitionClient> {
    let partition = cluster.partition_client(topic, index, UnknownTopicHandling::Retry);
    Ok(partition.await?)
}

/// The indices of a topic's partitions.
async fn partitions(cluster: &Cluster, topic: &str) -> Result<Vec<i32>> {
    let topics = cluster.list_topics().await?;
    let topic = topics.into_iter().find(|listed| listed.name == topic);
    Ok(topic
        .ok_or("no such topic")?
        .partitions
        .into_iter()
        .collect())
}

impl Client for Rskafka {
    fn version() -> Result<String> {
        ottla_peers::locked("rskafka")
    }

    async fn write(
        brokers: &str,
        topic: &str,
        batch: &Batch,
        records: Vec<records::Record>,
    ) -> Result<()> {
        if batch.level.is_some() {
            return Err("rskafka has no levels".into());
        }
        let records = records.into_iter().map(|record| {
            Ok(Record {
                key: record.key,
                value: record.value,
                headers: (record.headers.into_iter())
                    .map(|(key, value)| Ok((key, value.ok_or("rskafka has no null headers")?)))
                    .collect::<Result<_>>()?,
                timestamp: DateTime::from_timestamp_millis(record.timestamp).ok_or("timestamp")?,
            })
        });
        let partition = connect(brokers)
            .await?
            .partition_client(topic, batch.partition, UnknownTopicHandling::Retry)
            .await?;
        let records = records.collect::<Result<_>>()?;
        partition.produce(records, compression(batch.codec)).await?;
        Ok(())
    }

    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()> {
        let client = connect(brokers).await?;
        for index in readings.partitions() {
            let partition = client
                .partition_client(topic, index, UnknownTopicHandling::Retry)
                .await?;
            let mut offset = 0;
            while readings.partitions().contains(&index) {
                let (records, _) = partition.fetch_records(offset, 1..1 << 20, 1000).await?;
                for read in records {
                    offset = read.offset + 1;
                    let record = read.record;
                    readings.add(
                        index,
                        record.timestamp.timestamp_millis(),
                        record.key.as_deref(),
                        record.value.as_deref(),
                        (record.headers.iter())
                            .map(|(key, value)| (key.as_str(), Some(&value[..]))),
                    );
                }
            }
        }
        Ok(())
    }

    /// Here batches are the caller's: they go round the partitions, each of which has one on its way.
    async fn produce(load: &Load) -> Result<usize> {
        let cluster = connect(&load.brokers).await?;
        let compression = compression(load.codec);
        let mut senders = JoinSet::new();
        let mut queues = Vec::new();
        for index in partitions(&cluster, &load.topic).await? {
            let partition = partition(&cluster, &load.topic, index).await?;
            let (queue, mut batches) = mpsc::channel::<Vec<Record>>(BATCHES_WAITING);
            queues.push(queue);
            senders.spawn(async move {
                let mut acknowledged = 0;
                while let Some(batch) = batches.recv().await {
                    acknowledged += partition.produce(batch, compression).await?.len();
                }
                Result::Ok(acknowledged)
            });
        }
        let mut values = load.values().peekable();
        let mut queues_in_turn = queues.iter().cycle();
        while values.peek().is_some() {
            let (mut bytes, timestamp) = (0, now()?);
            let mut batch = Vec::new();
            while let Some(value) =
                values.next_if(|value| bytes == 0 || bytes + value.len() <= load.batch_bytes)
            {
                bytes += value.len();
                batch.push(record(value, timestamp));
            }
            let queue = queues_in_turn.next().ok_or("no partitions")?;
            // It is closed when its sender has failed, which is told below.
            if queue.send(batch).await.is_err() {
                break;
            }
        }
        drop(queues_in_turn);
        drop(queues);
        let mut acknowledged = 0;
        while let Some(sender) = senders.join_next().await {
            acknowledged += sender??;
        }
        Ok(acknowledged)
    }

    async fn consume(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()> {
        let cluster = connect(brokers).await?;
        let (fetched, mut batches) = mpsc::channel(1);
        let mut fetchers = JoinSet::new();
        for index in 0..partitions {
            let partition = partition(&cluster, topic, index).await?;
            let fetched = fetched.clone();
            fetchers.spawn(async move {
                let mut offset = 0;
                while !fetched.is_closed() {
                    let records = partition.fetch_records(offset, 1..FETCH_BYTES, 500).await;
                    let records = records.map(|(records, _)| records);
                    if let Some(last) = records.as_ref().ok().and_then(|records| records.last()) {
                        offset = last.offset + 1;
                    }
                    // Closed when everything was read.
                    let _ = fetched.send(records).await;
                }
            });
        }
        while !tally.is_done() {
            for read in batches.recv().await.ok_or("no partitions")?? {
                tally.add(read.offset, read.record.value.as_deref());
            }
        }
        Ok(())
    }

    async fn latency(load: &Load, times: &mut Times) -> Result<()> {
        let partition = partition(&connect(&load.brokers).await?, &load.topic, 0).await?;
        for value in load.values() {
            let sent = Instant::now();
            partition
                .produce(vec![record(value, now()?)], Compression::NoCompression)
                .await?;
            times.add(sent.elapsed());
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Rskafka>().await
}
