//! The client itself: reaching a cluster, losing it, and what is said when there is none.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use ottla::{Client, ConnectionFault, CpuWork, Error, ErrorKind, Record};
use ottla_codec::ApiKey;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_fake::{DialFault, FakeCluster, TopicSpec};
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::PATIENCE;
use crate::support::fake::{self, client_of};

/// Why a client that waits for a first answer never got one.
async fn why_unreachable(servers: &str) -> (ConnectionFault, Error) {
    let client = Client::builder()
        .bootstrap_servers(servers)
        .build()
        .unwrap();
    let error = client.ready(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
    let cause = error
        .source()
        .expect("the reason")
        .downcast_ref::<Error>()
        .unwrap()
        .clone();
    match cause.kind() {
        ErrorKind::Connection { fault, .. } => (*fault, cause),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_such_host_is_said() {
    let (fault, error) = why_unreachable("no-such-host.invalid:9092").await;
    assert_eq!(fault, ConnectionFault::Unreachable);
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_listening_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (fault, error) = why_unreachable(&address).await;
    assert_eq!(fault, ConnectionFault::Unreachable);
    assert!(error.to_string().contains(&address), "{error}");
}

/// A server that answers whatever it is sent with these bytes.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 16];
            if stream.read(&mut request).await.is_ok() {
                let _gone = stream.write_all(bytes).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_port_that_speaks_http_is_no_kafka_port() {
    let address = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_eq!(why_unreachable(&address).await.0, ConnectionFault::NotKafka);
}

#[tokio::test]
async fn a_port_that_wants_tls_is_told_apart() {
    let address = answering(b"\x15\x03\x03\x00\x02\x02\x32").await;
    assert_eq!(
        why_unreachable(&address).await.0,
        ConnectionFault::TlsExpected
    );
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn o14_brokers_that_hang_hold_up_nothing_else(#[values(1, 2, 3, 4, 5, 6)] seed: u64) {
    let cluster = fake::cluster()
        .brokers(3)
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    let client = client_of(&cluster).seed(seed).build().unwrap();
    client.ready(PATIENCE).await.unwrap();

    // All but the one that leads the new topic's partition hang from now on.
    for hanging in [1, 2] {
        cluster
            .fail_dials(hanging, DialFault::Hang, 1_000)
            .await
            .unwrap();
        cluster.cut_connections(hanging).await.unwrap();
    }
    cluster
        .create_topic(TopicSpec::new("new", -1).assignments([vec![3]]))
        .await
        .unwrap();
    cluster.cut_connections(3).await.unwrap();

    let producer = client.producer().build().unwrap();
    let began = Instant::now();
    producer
        .send(Record::to("new").value("v"))
        .await
        .unwrap()
        .await
        .unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn o14_a_cluster_that_was_replaced_is_found_again_through_the_bootstrap_servers() {
    let first = fake::cluster()
        .brokers(1)
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    let second = fake::cluster()
        .brokers(2)
        .topic_spec(TopicSpec::new("t", -1).assignments([vec![2]]))
        .start_in_memory()
        .await
        .unwrap();
    let replaced = Arc::new(AtomicBool::new(false));
    let dials = Arc::new(AtomicU32::new(0));
    let connector = {
        let (first, second) = (first.clone(), second.clone());
        let (replaced, dials) = (replaced.clone(), dials.clone());
        move |host: String, port| {
            let (first, second) = (first.clone(), second.clone());
            let replaced = replaced.load(Ordering::Relaxed);
            dials.fetch_add(1, Ordering::Relaxed);
            async move {
                match (&*host, replaced) {
                    // The seed's name leads to whatever cluster there is, under its first broker.
                    ("seed", false) => first.connect("broker-1", port).await,
                    ("seed", true) => second.connect("broker-1", port).await,
                    ("broker-1", true) => Err(io::ErrorKind::ConnectionRefused.into()),
                    (_, false) => first.connect(&host, port).await,
                    (_, true) => second.connect(&host, port).await,
                }
            }
        }
    };
    let client = Client::builder()
        .bootstrap_servers("seed:9092")
        .connector(connector)
        .cpu_work(CpuWork::Inline)
        .build()
        .unwrap();
    let producer = client.producer().build().unwrap();
    producer
        .send(Record::to("t").value("before"))
        .await
        .unwrap()
        .await
        .unwrap();

    replaced.store(true, Ordering::Relaxed);
    first.kill_broker(1).await.unwrap();
    dials.store(0, Ordering::Relaxed);
    // The new cluster's topic has another id: what was under way fails, and says so.
    let mut written = false;
    for _ in 0..3 {
        let delivery = producer.send(Record::to("t").value("after")).await;
        match delivery {
            Ok(delivery) => written |= delivery.await.is_ok(),
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::TopicRecreated { .. }),
                    "{error}"
                );
            }
        }
    }
    assert!(written);
    assert!(!second.log("t", 0).await.unwrap().is_empty());
    let dials = dials.load(Ordering::Relaxed);
    assert!(dials < 100, "{dials} dials: that is a loop");
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_refresh_share_it() {
    let cluster = fake::cluster()
        .brokers(1)
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    let client = client_of(&cluster).build().unwrap();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.ready(PATIENCE).await })
        })
        .collect();
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    let asked = requests_for_metadata(&cluster).await;
    assert!(asked <= 2, "{asked} metadata requests");
}

#[tokio::test(start_paused = true)]
async fn what_was_never_asked_for_does_not_wait_for_the_backoff() {
    let cluster = fake::cluster()
        .topic("t", 1)
        .topic("u", 1)
        .start_in_memory()
        .await
        .unwrap();
    let client = client_of(&cluster)
        .retry_backoff(Duration::from_secs(20), Duration::from_secs(20))
        .build()
        .unwrap();
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    let began = Instant::now();
    client.ready(PATIENCE).await.unwrap();
    for topic in ["t", "u"] {
        let delivery = producer.send(Record::to(topic).value("v")).await.unwrap();
        delivery.await.unwrap();
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    // What is not there is asked for at the pace of the backoff.
    let before = requests_for_metadata(&cluster).await;
    let nowhere = producer.send(Record::to("no topic").value("v"));
    let refused = tokio::time::timeout(Duration::from_secs(30), async { nowhere.await?.await });
    let error = refused.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("\"no topic\""), "{error}");
    assert!(requests_for_metadata(&cluster).await - before <= 2);
}

async fn requests_for_metadata(cluster: &FakeCluster) -> usize {
    let requests = cluster.requests().await.unwrap();
    let metadata = requests.iter().filter(|r| r.api == ApiKey::Metadata);
    metadata.count()
}

#[tokio::test(start_paused = true)]
async fn brokers_that_only_a_description_names_are_known_to_all() {
    let cluster = fake::cluster()
        .brokers(1)
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    let (host, port) = cluster.address(1).unwrap();
    let (old, moved) = (host.to_owned(), Arc::new(AtomicBool::new(false)));
    let connector = {
        let (cluster, moved, old) = (cluster.clone(), moved.clone(), old.clone());
        move |host: String, _: u16| {
            let (cluster, old) = (cluster.clone(), old.clone());
            let moved = moved.load(Ordering::Relaxed);
            async move {
                if moved == (host == "elsewhere") {
                    cluster.connect(&old, port).await
                } else {
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
            }
        }
    };
    let client = client_of(&cluster).connector(connector).build().unwrap();
    client.ready(PATIENCE).await.unwrap();

    drop(
        cluster
            .on::<MetadataRequest>()
            .always()
            .edit(|_, response| {
                response.brokers[0].host = "elsewhere".to_owned();
            }),
    );
    let described = client.admin().describe_cluster().await.unwrap();
    assert_eq!(described.brokers[0].host, "elsewhere");

    // Nothing is left at the address that the client began with.
    moved.store(true, Ordering::Relaxed);
    cluster.cut_connections(1).await.unwrap();
    let producer = client.producer().build().unwrap();
    let record = Record::to("t").partition(0).value("v");
    producer.send(record).await.unwrap().await.unwrap();
}
