//! Brokers that let in only whom they know, over connections that nobody else reads.

use ottla::{Client, ConnectionFault, ErrorKind, NewTopic, Tls};
use rstest::rstest;
use std::time::Duration;
use xtask::kafka::{Cluster, Security};

use crate::security::round_trip;
use crate::support::{PATIENCE, real};

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
async fn records_pass(#[values(Security::Ssl, Security::Mtls)] security: Security) {
    let cluster = start(security);
    round_trip(&client_of(&cluster).await, "t").await;
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
