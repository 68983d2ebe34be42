//! One record there and back, through krafka.

use std::error::Error;
use std::time::Duration;

use krafka::consumer::AutoOffsetReset;
use krafka::{Kafka, Record};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let kafka = Kafka::builder("localhost:9092").connect().await?;
    let producer = kafka.producer().build().await?;
    drop(producer.send(Record::new("minimal", "value")).await?);
    let consumer = kafka
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .build()
        .await?;
    consumer.assign("minimal", vec![0]).await?;
    for record in consumer.poll(Duration::from_secs(1)).await? {
        println!("{}", record.offset);
    }
    Ok(())
}
