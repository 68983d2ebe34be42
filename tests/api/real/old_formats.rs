//! Topics whose records are kept in the formats from before 0.11: what brokers that still write them take, and what is
//! read from such logs. What compaction leaves of them is in `compaction`.

use ottla::{
    Client, Compression, Consumer, ErrorKind, Header, Producer, Record, StartFrom, TopicPartition,
};
use ottla_codec::Uuid;
use rstest::rstest;
use tokio::time::timeout;

use crate::support::raw::{Broker, Raw, TopicRef, fetch};
use crate::support::{PATIENCE, real};

/// A version in which a 2.8 broker sends old records as they are.
const FETCH: i16 = 12;
/// Where both formats and the new one say which they are.
const MAGIC: usize = 16;

async fn topic(client: &Client, format: &str) -> String {
    let configs = [("message.format.version", format)];
    real::topic(client, "old-format", 1, &configs).await
}

fn plain(client: &Client, compression: Compression) -> Producer {
    let producer = client.producer().idempotence(false);
    producer.compression(compression).build().unwrap()
}

/// Writes records as one batch.
async fn write(producer: &Producer, topic: &str, records: &[(String, String)]) -> Vec<i64> {
    let mut deliveries = Vec::new();
    for (key, value) in records {
        let record = Record::to(topic).key(key).value(value);
        deliveries.push(producer.send(record).await.unwrap());
    }
    producer.flush().await;
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.unwrap().offset.unwrap());
    }
    offsets
}

/// A record as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    offset: i64,
    timestamp: i64,
    key: String,
    value: String,
}

/// All that is in the topic's one partition.
async fn read(client: &Client, topic: &str) -> Vec<Read> {
    let partition = TopicPartition::new(topic, 0);
    let mut consumer: Consumer = client.consumer().build().unwrap();
    let end = consumer.end_offsets([partition.clone()]).await.unwrap()[&partition];
    let first = [(partition.clone(), StartFrom::Beginning)];
    consumer.assign(first).unwrap();
    let mut all = Vec::new();
    while consumer.position(&partition).await.unwrap() < end {
        let batch = timeout(PATIENCE, consumer.next()).await.expect("records");
        for record in &batch.unwrap().unwrap() {
            let record = record.unwrap();
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            all.push(Read {
                offset: record.offset(),
                timestamp: record.timestamp(),
                key: text(record.key()),
                value: text(record.value()),
            });
        }
    }
    all
}

/// The format of the log's first records.
async fn magic(topic: &str) -> u8 {
    let mut raw = Raw::connect(&Broker::Real(real::brokers())).await;
    let topic = TopicRef {
        name: topic.to_owned(),
        id: Uuid::ZERO,
    };
    let answer = raw.call(&fetch(&topic, FETCH, 0, 0), FETCH).await;
    let records = answer.responses[0].partitions[0].records.as_ref().unwrap();
    records.to_bytes()[MAGIC]
}

#[rstest]
#[case::format_0("0.9.0")]
#[case::format_1("0.10.2")]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn idempotence_is_refused_with_what_to_do(#[case] format: &str) {
    let client = real::client();
    let topic = topic(&client, format).await;
    let producer = client.producer().build().unwrap();
    for _ in 0..2 {
        let delivery = producer.send(Record::to(&topic).value("v")).await.unwrap();
        let error = delivery.await.unwrap_err();
        assert!(!error.possibly_written());
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }));
        let expected = format!(
            "idempotence needs message.format.version 0.11 or newer (or turn it off: \
             enable.idempotence=false), the broker offers an older one for {topic}-0"
        );
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(read(&client, &topic).await, []);
}

#[rstest]
#[case::format_0("0.9.0", 0)]
#[case::format_1("0.10.2", 1)]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn what_is_written_without_idempotence_is_read(#[case] format: &str, #[case] expected: u8) {
    let client = real::client();
    let topic = topic(&client, format).await;
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
    ];
    let mut written = Vec::new();
    for codec in codecs {
        let records: Vec<_> = (0..100)
            .map(|n| (format!("{codec:?} {n}"), "value ".repeat(n)))
            .collect();
        let offsets = write(&plain(&client, codec), &topic, &records).await;
        written.extend(offsets.into_iter().zip(records));
    }
    assert_eq!(magic(&topic).await, expected);
    let read = read(&client, &topic).await;
    assert_eq!(read.len(), written.len());
    for (read, (offset, (key, value))) in read.iter().zip(written) {
        assert_eq!(
            (read.offset, &read.key, &read.value),
            (offset, &key, &value)
        );
        // Format 0 has no place for times.
        assert_eq!(read.timestamp == -1, expected == 0);
    }
    let java = real::console_consume(&topic, read.len(), &[]).await;
    for (line, read) in java.iter().zip(&read) {
        let end = format!("\t{}\t{}", read.key, read.value);
        assert!(line.ends_with(&end), "{line}");
    }
}

/// Brokers find no words for it.
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn headers_are_more_than_an_old_format_holds() {
    let client = real::client();
    let topic = topic(&client, "0.10.2").await;
    let headers = [Header::new("h", "v")];
    let producer = plain(&client, Compression::None);
    let record = Record::to(&topic).value("v").headers(&headers);
    let error = producer.send(record).await.unwrap().await.unwrap_err();
    let ErrorKind::Broker { code, .. } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(code.name(), "UNKNOWN_SERVER_ERROR");
    assert_eq!(read(&client, &topic).await, []);
}
