//! One record there and back, through confluent-kafka.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use confluent_kafka::common::TopicPartition;
use confluent_kafka::common::serialization::{ByteArraySerializer, BytesDeserializer};
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use confluent_kafka::producer::{
    KafkaProducer, Producer, ProducerConfig, ProducerRecord, ProducerRecordOptionsBuilder,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut properties =
        HashMap::from([("bootstrap.servers".to_owned(), "localhost:9092".to_owned())]);
    let producer = KafkaProducer::<Vec<u8>, Vec<u8>>::new(
        ProducerConfig::new(&properties)?,
        ByteArraySerializer::default(),
        ByteArraySerializer::default(),
    )?;
    let record = ProducerRecordOptionsBuilder::new()
        .set_topic("minimal".to_owned())
        .set_value(Some(b"value".to_vec()))
        .build()?;
    let record = ProducerRecord::with_options(record)?;
    Producer::send(&producer, record).await?.get().await?;
    properties.insert("group.protocol".to_owned(), "consumer".to_owned());
    properties.insert("auto.offset.reset".to_owned(), "earliest".to_owned());
    let mut consumer = KafkaConsumer::<Bytes, Bytes>::new(
        ConsumerConfig::new(&properties)?,
        BytesDeserializer::new(),
        BytesDeserializer::new(),
    )?;
    consumer
        .assign(vec![TopicPartition::new("minimal".to_owned(), 0)])
        .await?;
    for record in &consumer.poll(Duration::from_secs(1)).await? {
        println!("{}", record.offset());
    }
    Ok(())
}
