//! ottla, in the place of a peer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use ottla::{Compression, Consumer, Header, Producer, StartFrom, TopicPartition};
use ottla_peers::records::Record;
use ottla_peers::{
    BUFFER_BYTES, Batch, Client, Codec, Deliveries, Load, Readings, Result, Tally, Tasks, Times,
};
use tokio::task::JoinSet;

/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(10);

struct Ottla;

fn connect(brokers: &str) -> Result<ottla::Client> {
    Ok(ottla::Client::builder()
        .bootstrap_servers(brokers)
        .build()?)
}

fn compression(codec: Codec) -> Compression {
    match codec {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    }
}

/// That of a load's settings.
fn producer(load: &Load) -> Result<Producer> {
    let producer = connect(&load.brokers)?
        .producer()
        .memory(BUFFER_BYTES)
        .linger(load.linger)
        .batch_size(load.batch_bytes)
        .compression(compression(load.codec))
        .build()?;
    Ok(producer)
}

/// One that reads partitions from their beginnings.
fn consumer(
    brokers: &str,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<Consumer> {
    let consumer = connect(brokers)?.consumer().build()?;
    consumer.assign(partitions.into_iter().map(|index| {
        let partition = TopicPartition::new(topic, index);
        (partition, StartFrom::Beginning)
    }))?;
    Ok(consumer)
}

impl Client for Ottla {
    fn version() -> Result<String> {
        ottla_peers::locked("ottla")
    }

    async fn write(brokers: &str, topic: &str, batch: &Batch, records: Vec<Record>) -> Result<()> {
        let client = connect(brokers)?;
        let mut builder = client
            .producer()
            .linger(Duration::from_secs(1))
            .batch_size(1 << 20)
            .compression(compression(batch.codec));
        if let Some(level) = batch.level {
            builder = builder.compression_level(level);
        }
        let producer = builder.build()?;
        let mut deliveries = Vec::new();
        for record in &records {
            let headers = record.headers.iter().map(|(key, value)| match value {
                Some(value) => Header::new(key, value),
                None => Header::null(key),
            });
            let headers: Vec<Header<'_>> = headers.collect();
            let mut sent = ottla::Record::to(topic)
                .partition(batch.partition)
                .timestamp(record.timestamp)
                .headers(&headers);
            if let Some(key) = &record.key {
                sent = sent.key(key);
            }
            if let Some(value) = &record.value {
                sent = sent.value(value);
            }
            deliveries.push(producer.send(sent).await?);
        }
        producer.flush().await;
        for delivery in deliveries {
            delivery.await?;
        }
        producer.close(CLOSING).await?;
        Ok(())
    }

    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()> {
        let mut consumer = consumer(brokers, topic, readings.partitions())?;
        while !readings.is_done() {
            let batch = consumer.next().await?.ok_or("closed")?;
            let partition = batch.partition().partition;
            for record in &batch {
                let record = record?;
                let headers: Vec<_> = record.headers().collect();
                readings.add(
                    partition,
                    record.timestamp(),
                    record.key(),
                    record.value(),
                    headers.iter().map(|header| (&*header.key, header.value)),
                );
            }
        }
        Ok(())
    }

    async fn produce(load: &Load) -> Result<usize> {
        let producer = producer(load)?;
        let mut deliveries = Deliveries::new();
        for (number, value) in load.values().enumerate() {
            let mut record = ottla::Record::to(&load.topic).value(value);
            if let Some(partition) = load.partition(number) {
                record = record.partition(partition);
            }
            deliveries.push(producer.send(record).await?).await?;
        }
        producer.flush().await;
        let acknowledged = deliveries.acknowledged().await?;
        producer.close(CLOSING).await?;
        Ok(acknowledged)
    }

    async fn produce_by(load: Load, tasks: Tasks) -> Result<usize> {
        let (producer, load) = (producer(&load)?, Arc::new(load));
        // A value too many for the log would not be this work: the first task has one less to send.
        let warmed = usize::from(tasks.warm);
        for value in load.values().take(warmed) {
            let record = ottla::Record::to(&load.topic).value(value);
            producer.send(record).await?.await?;
        }
        let parts = (0..tasks.count).map(|task| {
            let (producer, load) = (producer.clone(), Arc::clone(&load));
            async move {
                let mut deliveries = Deliveries::new();
                let sent = if task == 0 { warmed } else { 0 };
                for value in load.share(task, tasks.count).skip(sent) {
                    let record = ottla::Record::to(&load.topic).value(value);
                    deliveries.push(producer.send(record).await?).await?;
                }
                deliveries.acknowledged().await
            }
        });
        let mut acknowledged = warmed;
        if tasks.spawned {
            let mut spawned = JoinSet::from_iter(parts);
            while let Some(part) = spawned.join_next().await {
                acknowledged += part??;
            }
        } else {
            acknowledged += try_join_all(parts).await?.into_iter().sum::<usize>();
        }
        producer.close(CLOSING).await?;
        Ok(acknowledged)
    }

    async fn consume(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()> {
        let mut consumer = consumer(brokers, topic, 0..partitions)?;
        while !tally.is_done() {
            for record in &consumer.next().await?.ok_or("closed")? {
                let record = record?;
                tally.add(record.offset(), record.value());
            }
        }
        consumer.close(CLOSING).await;
        Ok(())
    }

    async fn stream(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()> {
        let mut consumer = consumer(brokers, topic, 0..partitions)?;
        let mut records = consumer.records();
        while !tally.is_done() {
            let record = records.next().await.ok_or("closed")??;
            tally.add(record.offset, record.value.as_deref());
        }
        drop(records);
        consumer.close(CLOSING).await;
        Ok(())
    }

    async fn latency(load: &Load, times: &mut Times) -> Result<()> {
        let producer = producer(load)?;
        for value in load.values() {
            let sent = Instant::now();
            let record = ottla::Record::to(&load.topic).value(value);
            producer.send(record).await?.await?;
            times.add(sent.elapsed());
        }
        producer.close(CLOSING).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Ottla>().await
}
