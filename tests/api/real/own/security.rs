//! Brokers that let in only whom they know, over connections that nobody else reads.

use std::time::Duration;

use ottla::{
    Client, ConnectionFault, ErrorKind, NewTopic, Record, Sasl, StartFrom, Tls, TopicPartition,
};
use rstest::rstest;
use tokio::time::{Instant, timeout};
use xtask::kafka::{Cluster, Security};

use crate::security::round_trip;
use crate::support::{PATIENCE, long_runs, real};

fn start(security: Security) -> Cluster {
    Cluster::builder()
        .version(real::version())
        .security(security)
        .start()
        .unwrap()
}

async fn client_of(cluster: &Cluster) -> Client {
    let mut properties = cluster.client_properties();
    properties.push(("bootstrap.servers".into(), cluster.bootstrap_servers()));
    let client = Client::from_properties(properties)
        .unwrap()
        .build()
        .unwrap();
    let admin = client.admin().with_timeout(PATIENCE);
    admin.create_topic(NewTopic::new("t")).await.unwrap();
    client
}

async fn fault(client: Client) -> ConnectionFault {
    let error = client.ready(Duration::from_secs(5)).await.unwrap_err();
    let reason = match error.kind() {
        ErrorKind::Timeout { .. } => std::error::Error::source(&error)
            .and_then(|reason| reason.downcast_ref::<ottla::Error>())
            .unwrap(),
        _ => &error,
    };
    match reason.kind() {
        ErrorKind::Connection { fault, .. } => *fault,
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn records_pass(
    #[values(Security::Ssl, Security::Mtls, Security::SaslPlaintext)] security: Security,
) {
    let cluster = start(security);
    round_trip(&client_of(&cluster).await, "t").await;
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn every_mechanism_over_tls_and_what_is_wrong_with_it() {
    let cluster = start(Security::SaslSsl);
    let client = client_of(&cluster).await;
    round_trip(&client, "t").await;
    let with = |sasl: Sasl| {
        let mut properties = cluster.client_properties();
        properties.push(("bootstrap.servers".into(), cluster.bootstrap_servers()));
        let builder = Client::from_properties(properties).unwrap();
        builder.sasl(sasl).build().unwrap()
    };
    let (name, password) = xtask::kafka::USER;
    for sasl in [
        Sasl::plain(name, password),
        Sasl::scram_sha_256(name, password),
    ] {
        let client = with(sasl);
        client.ready(PATIENCE).await.unwrap();
        client.admin().describe_topics(["t"]).await.unwrap();
    }
    for sasl in [
        Sasl::plain(name, "guess"),
        Sasl::scram_sha_256(name, "guess"),
        Sasl::scram_sha_512("nobody", password),
    ] {
        assert_eq!(fault(with(sasl)).await, ConnectionFault::Authentication);
    }
}

/// Records go on for a while at a broker that wants to know every three seconds who sends and reads them.
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn f09_authenticating_again_disturbs_nothing() {
    let cluster = Cluster::builder()
        .version(real::version())
        .security(Security::SaslPlaintext)
        .set("connections.max.reauth.ms", "3000")
        .start()
        .unwrap();
    let client = client_of(&cluster).await;
    let producer = client.producer().build().unwrap();
    let mut consumer = client.consumer().build().unwrap();
    let partition = TopicPartition::new("t", 0);
    consumer
        .assign([(partition, StartFrom::Beginning)])
        .unwrap();
    let time = Duration::from_secs(if long_runs() { 60 } else { 12 });
    let began = Instant::now();
    let (mut sent, mut read) = (0_u32, 0_u32);
    while began.elapsed() < time {
        let mut deliveries = Vec::new();
        for _ in 0..100 {
            let value = sent.to_string();
            deliveries.push(producer.send(Record::to("t").value(&value)).await.unwrap());
            sent += 1;
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        while read < sent {
            let batch = timeout(PATIENCE, consumer.next()).await.unwrap();
            for record in batch.unwrap().unwrap().records() {
                assert_eq!(
                    record.unwrap().value().unwrap(),
                    read.to_string().as_bytes()
                );
                read += 1;
            }
        }
    }
    assert_eq!(client.metrics().connections_lost, 0);
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn what_is_wrong_with_tls_is_said() {
    let cluster = start(Security::Mtls);
    let ca = cluster
        .client_properties()
        .into_iter()
        .find(|(name, _)| name == "ssl.ca.location");
    let trusting = || Tls::new().ca_file(ca.clone().unwrap().1);
    let client = || Client::builder().bootstrap_servers(cluster.bootstrap_servers());

    let plain = client().build().unwrap();
    assert_eq!(fault(plain).await, ConnectionFault::TlsExpected);
    let without = client().tls(trusting()).build().unwrap();
    assert_eq!(
        fault(without).await,
        ConnectionFault::ClientCertificateMissing
    );
    let foreign = ottla_fake::Authority::new();
    let own = foreign.issue(["client"]);
    let tls = trusting().certificate_pem(own.chain(), own.key());
    let refused = client().tls(tls).build().unwrap();
    assert_eq!(
        fault(refused).await,
        ConnectionFault::ClientCertificateRefused
    );
    let tls = Tls::new().ca_pem(foreign.pem());
    let distrusted = client().tls(tls).build().unwrap();
    assert_eq!(
        fault(distrusted).await,
        ConnectionFault::CertificateUnknownIssuer
    );
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn tls_spoken_to_a_plaintext_port_is_said() {
    let cluster = start(Security::Plaintext);
    let tls = Tls::new().ca_pem(ottla_fake::Authority::new().pem());
    let client = Client::builder().bootstrap_servers(cluster.bootstrap_servers());
    let client = client.tls(tls).build().unwrap();
    assert_eq!(fault(client).await, ConnectionFault::PlaintextExpected);
}
