//! kacrab.

use std::time::Duration;

use kacrab::common::TopicPartition;
use kacrab::consumer::Consumer;
use kacrab::producer::{Producer, ProducerRecord};
use ottla_peers::records::Record;
use ottla_peers::{Batch, Client, Readings, Result};

struct Kacrab;

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
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Kacrab>().await
}
