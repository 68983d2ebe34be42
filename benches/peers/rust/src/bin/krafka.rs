//! krafka. Its snappy and LZ4 have no levels.

use std::time::{Duration, Instant};

use krafka::consumer::AutoOffsetReset;
use krafka::producer::Producer;
use krafka::{Compression, Kafka};
use ottla_peers::records::Record;
use ottla_peers::{
    BUFFER_BYTES, Batch, Client, Codec, Deliveries, Load, Readings, Result, Tally, Times,
};

struct Krafka;

/// How many records a poll may return, and be held for the next: of short ones, several fetches. With the 500 of the
/// default it asks the broker for each poll again.
const POLL_RECORDS: i32 = 100_000;

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
async fn producer(load: &Load) -> Result<Producer> {
    let kafka = Kafka::builder(&load.brokers).connect().await?;
    let producer = kafka
        .producer()
        .idempotent(true)
        .buffer_memory(BUFFER_BYTES)
        .compression(compression(load.codec))
        .batch_size(load.batch_bytes)
        .linger(load.linger)
        .build()
        .await?;
    Ok(producer)
}

impl Client for Krafka {
    fn version() -> Result<String> {
        ottla_peers::locked("krafka")
    }

    async fn write(brokers: &str, topic: &str, batch: &Batch, records: Vec<Record>) -> Result<()> {
        let kafka = Kafka::builder(brokers).connect().await?;
        let producer = kafka
            .producer()
            .compression(compression(batch.codec))
            .compression_level(batch.level)
            .batch_size(1 << 20)
            .linger(Duration::from_secs(1))
            .build()
            .await?;
        let mut acknowledgements = Vec::new();
        for record in records {
            let mut sent = krafka::Record::new(topic, "")
                .partition(batch.partition)
                .timestamp(record.timestamp);
            sent.value = record.value.map(Into::into);
            sent.key = record.key.map(Into::into);
            let headers = record.headers.into_iter();
            sent.headers = headers
                .map(|(key, value)| (key, value.map(Into::into)))
                .collect();
            acknowledgements.push(producer.enqueue(sent).await?);
        }
        producer.flush().await?;
        for acknowledgement in acknowledgements {
            drop(acknowledgement.await?);
        }
        producer.close().await?;
        Ok(())
    }

    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()> {
        let kafka = Kafka::builder(brokers).connect().await?;
        let consumer = kafka
            .consumer_without_group()
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .build()
            .await?;
        consumer.assign(topic, readings.partitions()).await?;
        while !readings.is_done() {
            for record in consumer.poll(Duration::from_secs(1)).await? {
                readings.add(
                    record.partition,
                    record.timestamp,
                    record.key.as_deref(),
                    record.value.as_deref(),
                    (record.headers.iter()).map(|(key, value)| (key.as_str(), value.as_deref())),
                );
            }
        }
        Ok(())
    }

    async fn produce(load: &Load) -> Result<usize> {
        let producer = producer(load).await?;
        let mut deliveries = Deliveries::new();
        for (number, value) in load.values().enumerate() {
            let mut record = krafka::Record::new(&load.topic, value.clone());
            if let Some(partition) = load.partition(number) {
                record = record.partition(partition);
            }
            deliveries.push(producer.enqueue(record).await?).await?;
        }
        producer.flush().await?;
        let acknowledged = deliveries.acknowledged().await?;
        producer.close().await?;
        Ok(acknowledged)
    }

    async fn consume(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()> {
        let kafka = Kafka::builder(brokers).connect().await?;
        let consumer = kafka
            .consumer_without_group()
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .max_poll_records(POLL_RECORDS)
            .max_buffered_records(POLL_RECORDS)
            .build()
            .await?;
        consumer.assign(topic, (0..partitions).collect()).await?;
        while !tally.is_done() {
            for record in consumer.poll(Duration::from_secs(1)).await? {
                tally.add(record.offset, record.value.as_deref());
            }
        }
        consumer.close().await?;
        Ok(())
    }

    async fn latency(load: &Load, times: &mut Times) -> Result<()> {
        let producer = producer(load).await?;
        for value in load.values() {
            let sent = Instant::now();
            let record = krafka::Record::new(&load.topic, value.clone());
            drop(producer.send(record).await?);
            times.add(sent.elapsed());
        }
        producer.close().await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Krafka>().await
}
