//! One record there and back, through kacrab.

use std::error::Error;
use std::time::Duration;

use kacrab::common::TopicPartition;
use kacrab::consumer::Consumer;
use kacrab::producer::{Producer, ProducerRecord};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let producer = Producer::builder()
        .set("bootstrap.servers", "localhost:9092")
        .build()
        .await?;
    let mut record = ProducerRecord::new("minimal", 0);
    record.value = Some("value".into());
    producer.send(record)?.await?;
    let mut consumer = Consumer::from_map([
        ("bootstrap.servers", "localhost:9092"),
        ("auto.offset.reset", "earliest"),
    ])
    .await?;
    consumer.assign([TopicPartition::new("minimal", 0)])?;
    for record in consumer.poll(Duration::from_secs(1)).await?.iter() {
        println!("{}", record.offset);
    }
    Ok(())
}
