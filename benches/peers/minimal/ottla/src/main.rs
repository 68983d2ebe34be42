//! One record there and back, through ottla.

use std::error::Error;

use ottla::{Client, Record, StartFrom, TopicPartition};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::builder()
        .bootstrap_servers("localhost:9092")
        .build()?;
    let producer = client.producer().build()?;
    let record = Record::to("minimal").value("value");
    producer.send(record).await?.await?;
    let mut consumer = client.consumer().build()?;
    consumer.assign([(TopicPartition::new("minimal", 0), StartFrom::Beginning)])?;
    for record in &consumer.next().await?.ok_or("closed")? {
        println!("{}", record?.offset());
    }
    Ok(())
}
