//! krafka. Its snappy and LZ4 have no levels.

use std::time::Duration;

use krafka::consumer::AutoOffsetReset;
use krafka::{Compression, Kafka};
use ottla_peers::records::Record;
use ottla_peers::{Batch, Client, Codec, Readings, Result};

struct Krafka;

impl Client for Krafka {
    fn version() -> Result<String> {
        ottla_peers::locked("krafka")
    }

    async fn write(brokers: &str, topic: &str, batch: &Batch, records: Vec<Record>) -> Result<()> {
        let kafka = Kafka::builder(brokers).connect().await?;
        let compression = match batch.codec {
            Codec::None => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        };
        let producer = kafka
            .producer()
            .compression(compression)
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
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Krafka>().await
}
