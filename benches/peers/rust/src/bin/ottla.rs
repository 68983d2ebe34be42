//! ottla, in the place of a peer.

use std::time::Duration;

use ottla::{Compression, Header, StartFrom, TopicPartition};
use ottla_peers::records::Record;
use ottla_peers::{Batch, Client, Codec, Readings, Result};

struct Ottla;

fn connect(brokers: &str) -> Result<ottla::Client> {
    Ok(ottla::Client::builder()
        .bootstrap_servers(brokers)
        .build()?)
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
            .compression(match batch.codec {
                Codec::None => Compression::None,
                Codec::Gzip => Compression::Gzip,
                Codec::Snappy => Compression::Snappy,
                Codec::Lz4 => Compression::Lz4,
                Codec::Zstd => Compression::Zstd,
            });
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
        producer.close(Duration::from_secs(10)).await?;
        Ok(())
    }

    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()> {
        let mut consumer = connect(brokers)?.consumer().build()?;
        let partitions = readings.partitions().into_iter();
        consumer.assign(partitions.map(|index| {
            let partition = TopicPartition::new(topic, index);
            (partition, StartFrom::Beginning)
        }))?;
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
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Ottla>().await
}
