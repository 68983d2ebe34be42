//! Java's clients read what ottla writes, and ottla reads what they write.

use ottla::{Compression, Consumer, Header, IsolationLevel, Record, StartFrom, TopicPartition};
use rstest::rstest;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

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

/// Each level's records are batches of their own, in one log.
#[rstest]
#[case(Compression::Gzip, (1..=9).collect())]
#[case(Compression::Lz4, (1..=17).collect())]
#[case(Compression::Zstd, [-131_072].into_iter().chain(-7..=22).collect())]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn java_reads_every_level(#[case] compression: Compression, #[case] levels: Vec<i32>) {
    const TIME: i64 = 1_700_000_000_000;
    let client = real::client();
    let topic = real::topic(&client, "levels-to-java", 1, &[("retention.ms", "-1")]).await;
    // More than one block of any codec, and text that levels differ in.
    let mut rng = fastrand::Rng::with_seed(7);
    let mut values = vec!["0".repeat(140_000)];
    values.extend((0..200).map(|n| format!("{{\"n\":{n},\"of\":{}}}", rng.u16(..))));
    let mut expected = Vec::new();
    for level in levels {
        let producer = client
            .producer()
            .compression(compression)
            .compression_level(level)
            .build()
            .unwrap();
        let key = level.to_string();
        let mut deliveries = Vec::new();
        for value in &values {
            let record = Record::to(&topic).key(&key).value(value).timestamp(TIME);
            deliveries.push(producer.send(record).await.unwrap());
            expected.push(printed(TIME, expected.len(), "NO_HEADERS", &key, value));
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        producer.close(PATIENCE).await.unwrap();
    }

    let read = real::console_consume(&topic, expected.len(), &[]).await;
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(&expected) {
        assert!(read == expected, "{read:.80} is not {expected:.80}");
    }
}

/// What is compared of a record: its key, value and headers.
type Parts = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
);

fn parts(key: Option<&str>, value: Option<&str>, headers: &[(&str, &str)]) -> Parts {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let headers = headers
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Some(bytes(v))))
        .collect();
    (key.map(bytes), value.map(bytes), headers)
}

/// Reads one partition until its end, as it is now.
async fn read_to_end(consumer: &mut Consumer, partition: &TopicPartition) -> Vec<Parts> {
    let ends = consumer.end_offsets([partition.clone()]).await.unwrap();
    let end = ends[partition];
    let mut read = Vec::new();
    while consumer.position(partition).await.unwrap() < end {
        let batch = timeout(PATIENCE, consumer.next())
            .await
            .expect("no stall")
            .unwrap()
            .unwrap();
        for record in &batch {
            let record = record.unwrap();
            let headers = record
                .headers()
                .map(|header| (header.key.to_string(), header.value.map(<[u8]>::to_vec)))
                .collect();
            let owned = |bytes: &[u8]| bytes.to_vec();
            read.push((record.key().map(owned), record.value().map(owned), headers));
        }
    }
    read
}

#[rstest]
#[case("none")]
#[case("gzip")]
#[case("snappy")]
#[case("lz4")]
#[case("zstd")]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn keys_and_values_of_a_java_producer_are_read(#[case] codec: &str) {
    let mut expected = vec![
        parts(Some("ünï"), Some("cöde"), &[]),
        parts(Some(""), Some(""), &[]),
    ];
    let mut lines = "ünï\tcöde\n\t\n".to_owned();
    let long = "long ".repeat(200);
    for n in 0..2_000 {
        let key = n.to_string();
        lines += &format!("{key}\t{long}\n");
        expected.push(parts(Some(&key), Some(&long), &[]));
    }
    assert_read(codec, lines, &[], &expected).await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn headers_and_nulls_of_a_java_producer_are_read() {
    let expected = [
        parts(Some("k"), Some("v"), &[("a", "1"), ("a", "2")]),
        parts(Some("tombstone"), None, &[]),
        parts(None, Some("no key"), &[]),
    ];
    let lines = "a:1,a:2\tk\tv\nNULL\ttombstone\tNULL\nNULL\tNULL\tno key\n";
    assert_read("lz4", lines.to_owned(), real::HEADERS_AND_NULLS, &expected).await;
}

/// What Java's producer writes of these lines is this.
async fn assert_read(codec: &str, lines: String, more: &[&str], expected: &[Parts]) {
    let client = real::client();
    let topic = real::topic(&client, "from-java", 1, &[]).await;
    real::console_produce(&topic, codec, lines, more).await;

    let mut consumer = client.consumer().build().unwrap();
    let partition = TopicPartition::new(topic, 0);
    consumer
        .assign([(partition.clone(), StartFrom::Beginning)])
        .unwrap();
    let read = read_to_end(&mut consumer, &partition).await;
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(expected) {
        assert_eq!(read, expected);
    }
    assert_eq!(consumer.lag(&partition), Some(0));
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn read_committed_sees_what_javas_transactions_committed_and_nothing_else() {
    const RECORDS: usize = 3_000;
    let client = real::client();
    let source = real::topic(&client, "copy-from", 1, &[]).await;
    let copy = real::topic(&client, "copy-to", 1, &[]).await;
    let producer = client.producer().build().unwrap();
    for n in 0..RECORDS {
        let value = n.to_string();
        drop(
            producer
                .send(Record::to(&source).value(&value))
                .await
                .unwrap(),
        );
    }
    producer.close(PATIENCE).await.unwrap();

    let group = real::unique("copier");
    let args = [
        "--input-topic",
        &source,
        "--input-partition",
        "0",
        "--output-topic",
        &copy,
        "--broker-list",
        &real::brokers(),
        "--consumer-group",
        &group,
        "--transaction-size",
        "50",
        "--transactional-id",
        &group,
        "--enable-random-aborts",
    ];
    let mut copier = real::java("org.apache.kafka.tools.TransactionalMessageCopier", &args);
    let output = spawn_blocking(move || copier.output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let partition = TopicPartition::new(copy, 0);
    let committed = IsolationLevel::ReadCommitted;
    let mut consumer = client
        .consumer()
        .isolation_level(committed)
        .build()
        .unwrap();
    consumer
        .assign([(partition.clone(), StartFrom::Beginning)])
        .unwrap();
    let read = read_to_end(&mut consumer, &partition).await;
    let expected: Vec<Parts> = (0..RECORDS)
        .map(|n| parts(None, Some(&n.to_string()), &[]))
        .collect();
    assert_eq!(read.len(), expected.len());
    assert!(read == expected, "committed records, in order, once each");

    let mut consumer = client.consumer().build().unwrap();
    consumer
        .assign([(partition.clone(), StartFrom::Beginning)])
        .unwrap();
    let uncommitted = read_to_end(&mut consumer, &partition).await;
    assert!(
        uncommitted.len() > RECORDS,
        "nothing was aborted, so this shows nothing"
    );
}
