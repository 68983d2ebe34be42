//! confluent-kafka, the client in Rust.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use confluent_kafka::common::TopicPartition;
use confluent_kafka::common::header::{Header, Headers, RecordHeader, RecordHeaders};
use confluent_kafka::common::serialization::{ByteArraySerializer, BytesDeserializer};
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use confluent_kafka::producer::{
    KafkaProducer, Producer, ProducerConfig, ProducerRecord, ProducerRecordOptionsBuilder,
};
use ottla_peers::records::Record;
use ottla_peers::{Batch, Client, Readings, Result};

struct ConfluentKafka;

fn properties(of: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    of.iter().map(owned).collect()
}

impl Client for ConfluentKafka {
    fn version() -> Result<String> {
        ottla_peers::locked("confluent-kafka")
    }

    async fn write(brokers: &str, topic: &str, batch: &Batch, records: Vec<Record>) -> Result<()> {
        let codec = batch.codec.name();
        let mut properties = properties(&[
            ("bootstrap.servers", brokers),
            ("compression.type", codec),
            ("batch.size", "1000000"),
            ("linger.ms", "1000"),
        ]);
        if let Some(level) = batch.level {
            properties.insert(format!("compression.{codec}.level"), level.to_string());
        }
        let config = ProducerConfig::new(&properties)?;
        let producer = KafkaProducer::<Vec<u8>, Vec<u8>>::new(
            config,
            ByteArraySerializer::default(),
            ByteArraySerializer::default(),
        )?;
        let mut deliveries = Vec::new();
        for record in records {
            let headers = record.headers.into_iter();
            let headers = headers.map(|(key, value)| RecordHeader::new(key, value));
            let options = ProducerRecordOptionsBuilder::new()
                .set_topic(topic.to_owned())
                .set_partition(Some(batch.partition))
                .set_timestamp(Some(record.timestamp))
                .set_key(record.key)
                .set_value(record.value)
                .set_headers(Some(RecordHeaders::with_header_iter(headers)))
                .build()?;
            let record = ProducerRecord::with_options(options)?;
            deliveries.push(Producer::send(&producer, record).await?);
        }
        producer.flush().await?;
        for delivery in deliveries {
            delivery.get().await?;
        }
        producer.close().await?;
        Ok(())
    }

    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()> {
        let config = ConsumerConfig::new(&properties(&[
            ("bootstrap.servers", brokers),
            ("group.protocol", "consumer"),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
        ]))?;
        let mut consumer = KafkaConsumer::<Bytes, Bytes>::new(
            config,
            BytesDeserializer::new(),
            BytesDeserializer::new(),
        )?;
        let partitions = readings.partitions().into_iter();
        let partitions = partitions.map(|index| TopicPartition::new(topic.to_owned(), index));
        consumer.assign(partitions.collect()).await?;
        while !readings.is_done() {
            for record in &consumer.poll(Duration::from_secs(1)).await? {
                readings.add(
                    record.partition(),
                    record.timestamp(),
                    record.key().map(|key| &key[..]),
                    record.value().map(|value| &value[..]),
                    (record.headers().to_array().iter())
                        .map(|header| (header.key(), header.value())),
                );
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<ConfluentKafka>().await
}
