//! kacrab.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kacrab::common::TopicPartition;
use kacrab::consumer::Consumer;
use kacrab::producer::{Producer, ProducerRecord};
use ottla_peers::records::Record;
use ottla_peers::{BUFFER_BYTES, Batch, Client, Deliveries, Load, Readings, Result, Tally, Times};

struct Kacrab;

/// That of a load's settings.
async fn producer(load: &Load) -> Result<Producer> {
    let producer = Producer::builder()
        .set("bootstrap.servers", load.brokers.as_str())
        .set("enable.idempotence", "true")
        .set("buffer.memory", BUFFER_BYTES.to_string())
        .set("compression.type", load.codec.name())
        .set("batch.size", load.batch_bytes.to_string())
        .set("linger.ms", load.linger.as_millis().to_string())
        // Java's default of 9 is another, slow kind of LZ4 here; up to 2 it is that of the others.
        .set("compression.lz4.level", "2")
        .build()
        .await?;
    Ok(producer)
}

impl Client for Kacrab {
    fn version() -> Result<String> {
        ottla_peers::locked("kacrab")
    }

    async fn write(brokers: &str, topic: &str, batch: &Batch, records: Vec<Record>) -> Result<()> {
        let codec = batch.codec.name();
        let mut config = Producer::builder()
            .set("bootstrap.servers", brokers)
            .set("compression.type", codec)
            .set("batch.size", "1000000")
            .set("linger.ms", "1000");
        if let Some(level) = batch.level {
            config = config.set(format!("compression.{codec}.level"), level.to_string());
        }
        let producer = config.build().await?;
        let mut deliveries = Vec::new();
        for record in records {
            let mut sent =
                ProducerRecord::new(topic, batch.partition).try_timestamp_ms(record.timestamp)?;
            sent.key = record.key.map(Into::into);
            sent.value = record.value.map(Into::into);
            for (key, value) in record.headers {
                sent = match value {
                    Some(value) => sent.header(key, value),
                    None => sent.header_null(key),
                };
            }
            deliveries.push(producer.send(sent)?);
        }
        producer.flush().await?;
        for delivery in deliveries {
            delivery.await?;
        }
        producer.close().await?;
        Ok(())
    }

    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()> {
        let mut consumer = Consumer::from_map([
            ("bootstrap.servers", brokers),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
        ])
        .await?;
        let partitions = readings.partitions().into_iter();
        consumer.assign(partitions.map(|index| TopicPartition::new(topic, index)))?;
        while !readings.is_done() {
            for record in consumer.poll(Duration::from_secs(1)).await?.iter() {
                let headers = record.headers.iter().map(|header| {
                    let key = str::from_utf8(&header.key)?;
                    Ok((key, header.value.as_deref()))
                });
                readings.add(
                    record.partition,
                    record.timestamp,
                    record.key.as_deref(),
                    record.value.as_deref(),
                    headers.collect::<Result<Vec<_>>>()?.into_iter(),
                );
            }
        }
        Ok(())
    }

    async fn produce(load: &Load) -> Result<usize> {
        let producer = producer(load).await?;
        let topic: Arc<str> = load.topic.as_str().into();
        let mut deliveries = Deliveries::new();
        for (number, value) in load.values().enumerate() {
            let record = match load.partition(number) {
                Some(partition) => {
                    let mut record = ProducerRecord::new(Arc::clone(&topic), partition);
                    record.value = Some(value.clone());
                    record
                }
                None => ProducerRecord::topic_value(Arc::clone(&topic), value.clone()),
            };
            deliveries.push(producer.send(record)?).await?;
        }
        producer.flush().await?;
        let acknowledged = deliveries.acknowledged().await?;
        producer.close().await?;
        Ok(acknowledged)
    }

    async fn consume(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()> {
        let mut consumer = Consumer::from_map([
            ("bootstrap.servers", brokers),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("max.poll.records", "10000"),
        ])
        .await?;
        consumer.assign((0..partitions).map(|index| TopicPartition::new(topic, index)))?;
        while !tally.is_done() {
            for record in consumer.poll(Duration::from_secs(1)).await?.iter() {
                tally.add(record.offset, record.value.as_deref());
            }
        }
        Ok(())
    }

    async fn latency(load: &Load, times: &mut Times) -> Result<()> {
        let producer = producer(load).await?;
        let topic: Arc<str> = load.topic.as_str().into();
        for value in load.values() {
            let sent = Instant::now();
            let record = ProducerRecord::topic_value(Arc::clone(&topic), value.clone());
            producer.send(record)?.await?;
            times.add(sent.elapsed());
        }
        producer.close().await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Kacrab>().await
}
