//! rskafka. Its headers are a sorted map without nulls; it has no levels.

use ottla_peers::{Batch, Client, Codec, Readings, Result, records};
use rskafka::chrono::DateTime;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::client::{Client as Cluster, ClientBuilder};
use rskafka::record::Record;

struct Rskafka;

async fn connect(brokers: &str) -> Result<Cluster> {
    let brokers = brokers.split(',').map(str::to_owned).collect();
    Ok(ClientBuilder::new(brokers).build().await?)
}

impl Client for Rskafka {
    fn version() -> Result<String> {
        ottla_peers::locked("rskafka")
    }

    async fn write(
        brokers: &str,
        topic: &str,
        batch: &Batch,
        records: Vec<records::Record>,
    ) -> Result<()> {
        if batch.level.is_some() {
            return Err("rskafka has no levels".into());
        }
        let compression = match batch.codec {
            Codec::None => Compression::NoCompression,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        };
        let records = records.into_iter().map(|record| {
            Ok(Record {
                key: record.key,
                value: record.value,
                headers: (record.headers.into_iter())
                    .map(|(key, value)| Ok((key, value.ok_or("rskafka has no null headers")?)))
                    .collect::<Result<_>>()?,
                timestamp: DateTime::from_timestamp_millis(record.timestamp).ok_or("timestamp")?,
            })
        });
        let partition = connect(brokers)
            .await?
            .partition_client(topic, batch.partition, UnknownTopicHandling::Retry)
            .await?;
        let records = records.collect::<Result<_>>()?;
        partition.produce(records, compression).await?;
        Ok(())
    }

    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()> {
        let client = connect(brokers).await?;
        for index in readings.partitions() {
            let partition = client
                .partition_client(topic, index, UnknownTopicHandling::Retry)
                .await?;
            let mut offset = 0;
            while readings.partitions().contains(&index) {
                let (records, _) = partition.fetch_records(offset, 1..1 << 20, 1000).await?;
                for read in records {
                    offset = read.offset + 1;
                    let record = read.record;
                    readings.add(
                        index,
                        record.timestamp.timestamp_millis(),
                        record.key.as_deref(),
                        record.value.as_deref(),
                        (record.headers.iter())
                            .map(|(key, value)| (key.as_str(), Some(&value[..]))),
                    );
                }
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    ottla_peers::run::<Rskafka>().await
}
