//! librdkafka, through the rdkafka crate.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use ottla_peers::records::Record;
use ottla_peers::{BUFFER_BYTES, Batch, Client, Load, Readings, Result, Tally, Times};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, FutureProducer, FutureRecord, Producer,
    ProducerContext,
};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

struct Librdkafka;

/// How many records are sent between two looks at what became of earlier ones.
const SENT_AT_ONCE: usize = 1000;

/// What became of the records.
#[derive(Debug, Default)]
struct Outcomes {
    acknowledged: usize,
    failure: Option<KafkaError>,
}

#[derive(Debug, Default)]
struct Acknowledgements(Mutex<Outcomes>);

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Ok(mut outcomes) = self.0.lock() else {
            return;
        };
        match result {
            Ok(_) => outcomes.acknowledged += 1,
            Err((error, _)) => outcomes.failure = Some(error.clone()),
        }
    }
}

/// Those of a load.
fn producer_config(load: &Load) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &load.brokers)
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.messages", "1000000")
        .set(
            "queue.buffering.max.kbytes",
            (BUFFER_BYTES >> 10).to_string(),
        )
        // Else the greatest batch is one of this many records.
        .set("batch.num.messages", "1000000")
        .set("batch.size", load.batch_bytes.to_string())
        .set("linger.ms", load.linger.as_millis().to_string())
        .set("compression.codec", load.codec.name());
    config
}

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

    async fn produce(load: &Load) -> Result<usize> {
        let producer: BaseProducer<Acknowledgements> =
            producer_config(load).create_with_context(Acknowledgements::default())?;
        for (number, value) in load.values().enumerate() {
            let mut record = BaseRecord::<(), [u8]>::to(&load.topic).payload(value);
            record.partition = load.partition(number);
            while let Err((error, refused)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                producer.poll(Duration::from_millis(100));
                record = refused;
            }
            if number % SENT_AT_ONCE == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(Timeout::Never)?;
        let outcomes = producer.context().0.lock();
        let mut outcomes = outcomes.map_err(|_| "a panic in a callback")?;
        match outcomes.failure.take() {
            Some(failure) => Err(failure.into()),
            None => Ok(outcomes.acknowledged),
        }
    }

    async fn consume(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "unused")
            .set("enable.auto.commit", "false")
            .set("check.crcs", "true")
            // By default it stops fetching a partition for a second at 100,000 records.
            .set("queued.min.messages", "1000000")
            .set("fetch.queue.backoff.ms", "10")
            .create()?;
        let mut assigned = TopicPartitionList::new();
        for partition in 0..partitions {
            assigned.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assigned)?;
        while !tally.is_done() {
            if let Some(record) = consumer.poll(Duration::from_secs(1)) {
                let record = record?;
                tally.add(record.offset(), record.payload());
            }
        }
        Ok(())
    }

    async fn latency(load: &Load, times: &mut Times) -> Result<()> {
        let producer: FutureProducer = producer_config(load).create()?;
        for value in load.values() {
            let sent = Instant::now();
            let record = FutureRecord::<(), [u8]>::to(&load.topic).payload(value);
            producer
                .send(record, Timeout::Never)
                .await
                .map_err(|(error, _)| error)?;
            times.add(sent.elapsed());
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Librdkafka>().await
}
