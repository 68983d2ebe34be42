//! What the tests of security share.

use std::error::Error as _;
use std::time::Duration;

use ottla::{Client, ConnectionFault, Error, ErrorKind, Record, StartFrom, Tls, TopicPartition};
use ottla_fake::{Authority, Certificate, FakeCluster};
use tokio::time::timeout;

use crate::support::PATIENCE;

/// What brokers in memory are called.
pub(super) const BROKERS: [&str; 3] = ["broker-1", "broker-2", "broker-3"];

/// Trusts an authority and nobody else.
pub(super) fn trusting(authority: &Authority) -> Tls {
    Tls::new().ca_pem(authority.pem())
}

/// A certificate for the brokers of a cluster in memory.
pub(super) fn for_brokers(authority: &Authority) -> Certificate {
    authority.issue(BROKERS)
}

/// What a client that waits for a first answer is told is the matter, and in which words. It is told within the time
/// that one try takes, and not at the end of its patience, if there is no hope.
pub(super) async fn refusal(client: &Client) -> (ConnectionFault, String) {
    let error = client.ready(Duration::from_secs(60)).await.unwrap_err();
    match error.kind() {
        ErrorKind::Connection { fault, message } => {
            assert!(!error.is_retriable(), "{error}");
            (*fault, message.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// What a client is told that goes on trying until its time is over.
pub(super) async fn trouble(client: &Client) -> (ConnectionFault, String) {
    let error = client.ready(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
    let reason = error.source().unwrap().downcast_ref::<Error>().unwrap();
    match reason.kind() {
        ErrorKind::Connection { fault, message } => (*fault, message.clone()),
        other => panic!("{other:?}"),
    }
}

/// Writes records to a topic's partition 0 and reads them again, the larger ones of many TLS records each.
pub(crate) async fn round_trip(client: &Client, topic: &str) {
    let sizes = [0, 1, 100, 16 * 1024, 900 * 1024];
    let value = |size: usize| (0..size).map(|n| (n % 251) as u8).collect::<Vec<_>>();
    let producer = client.producer().build().unwrap();
    let mut sent = Vec::new();
    for size in sizes {
        let value = value(size);
        let record = Record::to(topic).partition(0).value(&value);
        sent.push(producer.send(record).await.unwrap());
    }
    for delivery in sent {
        delivery.await.unwrap();
    }
    let mut consumer = client.consumer().build().unwrap();
    let partition = TopicPartition::new(topic, 0);
    consumer
        .assign([(partition.clone(), StartFrom::Beginning)])
        .unwrap();
    let mut read = Vec::new();
    while read.len() < sizes.len() {
        let batch = timeout(PATIENCE, consumer.next()).await.unwrap();
        for record in batch.unwrap().unwrap().records() {
            read.push(record.unwrap().value().unwrap().to_vec());
        }
    }
    assert!(read == sizes.map(value));
}

/// A cluster over TLS in memory, with one topic.
pub(super) async fn cluster(certificate: &Certificate) -> FakeCluster {
    crate::support::fake::cluster()
        .brokers(3)
        .topic("t", 3)
        .tls(certificate)
        .start_in_memory()
        .await
        .unwrap()
}
