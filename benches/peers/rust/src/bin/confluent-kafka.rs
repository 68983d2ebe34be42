//! confluent-kafka, the client in Rust.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use confluent_kafka::common::TopicPartition;
use confluent_kafka::common::header::{Header, Headers, RecordHeader, RecordHeaders};
use confluent_kafka::common::serialization::{ByteArraySerializer, BytesDeserializer};
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use confluent_kafka::producer::{
    KafkaProducer, Producer, ProducerConfig, ProducerRecord, ProducerRecordOptionsBuilder,
};
use ottla_peers::records::Record;
use ottla_peers::{BUFFER_BYTES, Batch, Client, Deliveries, Load, Readings, Result, Tally, Times};

struct ConfluentKafka;

fn properties(of: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    of.iter().map(owned).collect()
}

type BytesProducer = KafkaProducer<Vec<u8>, Vec<u8>>;

/// That of a load's settings.
fn producer(load: &Load) -> Result<BytesProducer> {
    let config = ProducerConfig::new(&properties(&[
        ("bootstrap.servers", &load.brokers),
        ("enable.idempotence", "true"),
        ("buffer.memory", &BUFFER_BYTES.to_string()),
        ("compression.type", load.codec.name()),
        ("batch.size", &load.batch_bytes.to_string()),
        ("linger.ms", &load.linger.as_millis().to_string()),
    ]))?;
    let (keys, values) = (
        ByteArraySerializer::default(),
        ByteArraySerializer::default(),
    );
    Ok(BytesProducer::new(config, keys, values)?)
}

/// A record whose value is lent: this client then copies it once, into its batch.
fn lent<'a>(
    load: &Load,
    number: usize,
    value: &'a [u8],
) -> Result<ProducerRecord<&'a [u8], &'a [u8]>> {
    let options = ProducerRecordOptionsBuilder::new()
        .set_topic(load.topic.clone())
        .set_partition(load.partition(number))
        .set_value(Some(value))
        .build()?;
    Ok(ProducerRecord::with_options(options)?)
}

/// One that reads partitions from their beginnings.
async fn consumer(
    brokers: &str,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<KafkaConsumer<Bytes, Bytes>> {
    let config = ConsumerConfig::new(&properties(&[
        ("bootstrap.servers", brokers),
        ("group.protocol", "consumer"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("max.poll.records", "10000"),
    ]))?;
    let (keys, values) = (BytesDeserializer::new(), BytesDeserializer::new());
    let mut consumer = KafkaConsumer::<Bytes, Bytes>::new(config, keys, values)?;
    let partitions = partitions.into_iter();
    let partitions = partitions.map(|index| TopicPartition::new(topic.to_owned(), index));
    consumer.assign(partitions.collect()).await?;
    Ok(consumer)
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
        let mut consumer = consumer(brokers, topic, readings.partitions()).await?;
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

    async fn produce(load: &Load) -> Result<usize> {
        let producer = producer(load)?;
        let mut deliveries = Deliveries::new();
        for (number, value) in load.values().enumerate() {
            let delivery = producer.send(lent(load, number, value)?, None).await?;
            deliveries.push(async move { delivery.get().await }).await?;
        }
        producer.flush().await?;
        let acknowledged = deliveries.acknowledged().await?;
        producer.close().await?;
        Ok(acknowledged)
    }

    async fn consume(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()> {
        let mut consumer = consumer(brokers, topic, 0..partitions).await?;
        while !tally.is_done() {
            for record in &consumer.poll(Duration::from_secs(1)).await? {
                tally.add(record.offset(), record.value().map(|value| &value[..]));
            }
        }
        Ok(())
    }

    async fn latency(load: &Load, times: &mut Times) -> Result<()> {
        let producer = producer(load)?;
        for (number, value) in load.values().enumerate() {
            let sent = Instant::now();
            let delivery = producer.send(lent(load, number, value)?, None).await?;
            delivery.get().await?;
            times.add(sent.elapsed());
        }
        producer.close().await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<ConfluentKafka>().await
}
