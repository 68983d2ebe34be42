//! One record there and back, through rskafka.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::SystemTime;

use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::record::Record;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = ClientBuilder::new(vec!["localhost:9092".to_owned()])
        .build()
        .await?;
    let partition = client
        .partition_client("minimal", 0, UnknownTopicHandling::Retry)
        .await?;
    let record = Record {
        key: None,
        value: Some(b"value".to_vec()),
        headers: BTreeMap::new(),
        timestamp: SystemTime::now().into(),
    };
    partition
        .produce(vec![record], Compression::NoCompression)
        .await?;
    let (records, _) = partition.fetch_records(0, 1..1_000_000, 1_000).await?;
    for record in records {
        println!("{}", record.offset);
    }
    Ok(())
}
