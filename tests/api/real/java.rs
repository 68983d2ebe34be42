//! Java's clients read what ottla writes.

use ottla::{Compression, Header, Record};
use rstest::rstest;

use crate::support::{PATIENCE, real};

/// What `ConsoleConsumer` prints for one record, with everything it can print.
fn printed(timestamp: i64, offset: usize, headers: &str, key: &str, value: &str) -> String {
    format!("CreateTime:{timestamp}\tOffset:{offset}\t{headers}\t{key}\t{value}")
}

#[rstest]
#[case(Compression::None)]
#[case(Compression::Gzip)]
#[case(Compression::Snappy)]
#[case(Compression::Lz4)]
#[case(Compression::Zstd)]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn java_reads_every_part_of_a_record(#[case] compression: Compression) {
    let client = real::client();
    let topic = real::topic(&client, "to-java", 1, &[("retention.ms", "-1")]).await;
    let producer = client.producer().compression(compression).build().unwrap();

    let headers = [
        Header::new("a", "1"),
        Header::new("a", "2"),
        Header::null("none"),
    ];
    let mut expected = Vec::new();
    let send = async |record: Record<'_>| {
        producer
            .send(record.timestamp(1_700_000_000_000))
            .await
            .unwrap()
            .await
            .unwrap()
    };
    send(Record::to(&topic).key("k").value("v").headers(&headers)).await;
    expected.push(printed(1_700_000_000_000, 0, "a:1,a:2,none:null", "k", "v"));
    send(Record::to(&topic).key("tombstone")).await;
    expected.push(printed(
        1_700_000_000_000,
        1,
        "NO_HEADERS",
        "tombstone",
        "null",
    ));
    send(Record::to(&topic).value("ünïcode")).await;
    expected.push(printed(
        1_700_000_000_000,
        2,
        "NO_HEADERS",
        "null",
        "ünïcode",
    ));
    send(Record::to(&topic).key("").value("")).await;
    expected.push(printed(1_700_000_000_000, 3, "NO_HEADERS", "", ""));

    let long = "long ".repeat(2_000);
    let mut deliveries = Vec::new();
    for n in 4..1_004 {
        let key = n.to_string();
        let timestamp = 1_700_000_000_000 + n as i64;
        let record = Record::to(&topic)
            .key(&key)
            .value(&long)
            .timestamp(timestamp);
        deliveries.push(producer.send(record).await.unwrap());
        expected.push(printed(timestamp, n, "NO_HEADERS", &key, &long));
    }
    for (delivery, offset) in deliveries.into_iter().zip(4..) {
        assert_eq!(delivery.await.unwrap().offset, Some(offset));
    }
    producer.close(PATIENCE).await.unwrap();

    let read = real::console_consume(&topic, expected.len(), &[]).await;
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!(read, expected);
    }
}
