//! librdkafka, through the rdkafka crate.

use ottla_peers::records::Record;
use ottla_peers::{Batch, Client, Readings, Result};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

struct Librdkafka;

impl Client for Librdkafka {
    fn version() -> Result<String> {
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        let wrapper = ottla_peers::locked("rdkafka")?;
        Ok(format!("{librdkafka} (rdkafka {wrapper})"))
    }

    async fn write(brokers: &str, topic: &str, batch: &Batch, records: Vec<Record>) -> Result<()> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "1000")
            .set("compression.codec", batch.codec.name());
        if let Some(level) = batch.level {
            config.set("compression.level", level.to_string());
        }
        let producer: FutureProducer = config.create()?;
        let mut deliveries = Vec::new();
        for record in &records {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let headers = record
                .headers
                .iter()
                .fold(headers, |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: value.as_ref(),
                    })
                });
            let sent = FutureRecord {
                topic,
                partition: Some(batch.partition),
                payload: record.value.as_ref(),
                key: record.key.as_ref(),
                timestamp: Some(record.timestamp),
                headers: (!record.headers.is_empty()).then_some(headers),
            };
            deliveries.push(producer.send_result(sent).map_err(|(error, _)| error)?);
        }
        producer.flush(Timeout::Never)?;
        for delivery in deliveries {
            delivery.await?.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "unused")
            .set("enable.auto.commit", "false")
            .set("check.crcs", "true")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        for partition in readings.partitions() {
            partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        while !readings.is_done() {
            let record = consumer.recv().await?;
            let timestamp = record.timestamp().to_millis().ok_or("no timestamp")?;
            let headers: Vec<_> = record.headers().map_or_else(Vec::new, |headers| {
                headers
                    .iter()
                    .map(|header| (header.key, header.value))
                    .collect()
            });
            readings.add(
                record.partition(),
                timestamp,
                record.key(),
                record.payload(),
                headers.into_iter(),
            );
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Librdkafka>().await
}
