//! TLS: records pass through it, and whatever is wrong with it is said.

use std::time::Duration;

use ottla::{Client, ConnectionFault, ErrorKind, Record, Tls, TlsVersion};
use ottla_fake::{Authority, FakeCluster};
use rstest::rstest;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::world::{BROKERS, cluster, for_brokers, refusal, round_trip, trouble, trusting};
use crate::support::fake::{self, client_of};

#[rstest]
#[tokio::test]
async fn records_pass(#[values(TlsVersion::V1_2, TlsVersion::V1_3)] version: TlsVersion) {
    let authority = Authority::new();
    let cluster = cluster(&for_brokers(&authority)).await;
    let tls = trusting(&authority).versions([version]);
    let client = client_of(&cluster).tls(tls).build().unwrap();
    round_trip(&client, "t").await;
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test]
async fn records_pass_over_tcp_with_properties() {
    let authority = Authority::new();
    let own = authority.issue(["client"]);
    let cluster = fake::cluster()
        .topic("t", 1)
        .tls(&authority.issue(["127.0.0.1"]))
        .tls_clients(&authority)
        .start()
        .await
        .unwrap();
    let servers = cluster.bootstrap_servers();
    let client = Client::from_properties([
        ("bootstrap.servers", servers.as_str()),
        ("security.protocol", "SSL"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.certificates", authority.pem()),
        ("ssl.keystore.certificate.chain", own.chain()),
        ("ssl.keystore.key", own.key()),
    ]);
    round_trip(&client.unwrap().build().unwrap(), "t").await;
}

#[tokio::test]
async fn an_expired_certificate_is_said() {
    let authority = Authority::new();
    let cluster = cluster(&authority.issue_expired(BROKERS)).await;
    let client = client_of(&cluster).tls(trusting(&authority)).build();
    let (fault, message) = refusal(&client.unwrap()).await;
    assert_eq!(fault, ConnectionFault::CertificateExpired);
    assert!(
        message.contains("expired") && message.contains("days ago"),
        "{message}"
    );
}

#[rstest]
#[case::another_authority(true)]
#[case::the_systems(false)]
#[tokio::test]
async fn an_unknown_issuer_is_said(#[case] own: bool) {
    let cluster = cluster(&for_brokers(&Authority::new())).await;
    let tls = match own {
        true => trusting(&Authority::new()),
        // Machines without any authority have nothing to begin with.
        false if client_of(&cluster).tls(Tls::new()).build().is_err() => return,
        false => Tls::new(),
    };
    let client = client_of(&cluster).tls(tls).build().unwrap();
    let (fault, message) = refusal(&client).await;
    assert_eq!(
        fault,
        ConnectionFault::CertificateUnknownIssuer,
        "{message}"
    );
}

#[tokio::test]
async fn a_certificate_for_other_names_is_refused_and_names_them() {
    let authority = Authority::new();
    let cluster = cluster(&authority.issue(["kafka.example.org", "10.0.0.9"])).await;
    let client = client_of(&cluster).tls(trusting(&authority)).build();
    let (fault, message) = refusal(&client.unwrap()).await;
    assert_eq!(fault, ConnectionFault::CertificateName);
    for name in ["broker-1", "kafka.example.org, 10.0.0.9"] {
        assert!(message.contains(name), "{message}");
    }

    let tls = trusting(&authority).verify_hostname(false);
    let client = client_of(&cluster).tls(tls).build().unwrap();
    round_trip(&client, "t").await;
}

#[tokio::test]
async fn without_the_name_the_rest_is_still_verified() {
    let authority = Authority::new();
    let tls = |authority| trusting(authority).verify_hostname(false);
    let expired = cluster(&authority.issue_expired(["x"])).await;
    let client = client_of(&expired).tls(tls(&authority)).build().unwrap();
    let (fault, _) = refusal(&client).await;
    assert_eq!(fault, ConnectionFault::CertificateExpired);

    let foreign = cluster(&Authority::new().issue(["x"])).await;
    let client = client_of(&foreign).tls(tls(&authority)).build().unwrap();
    let (fault, _) = refusal(&client).await;
    assert_eq!(fault, ConnectionFault::CertificateUnknownIssuer);
}

#[rstest]
#[tokio::test]
async fn a_broker_that_wants_a_certificate_gets_it_or_says_so(
    #[values(TlsVersion::V1_2, TlsVersion::V1_3)] version: TlsVersion,
) {
    let (authority, clients) = (Authority::new(), Authority::new());
    let cluster = fake::cluster()
        .topic("t", 1)
        .tls(&for_brokers(&authority))
        .tls_clients(&clients)
        .start_in_memory()
        .await
        .unwrap();
    let told = async |tls: Tls| {
        let client = client_of(&cluster).tls(tls.versions([version])).build();
        refusal(&client.unwrap()).await.0
    };
    let fault = told(trusting(&authority)).await;
    assert_eq!(fault, ConnectionFault::ClientCertificateMissing);
    let foreign = Authority::new().issue(["client"]);
    let tls = trusting(&authority).certificate_pem(foreign.chain(), foreign.key());
    assert_eq!(told(tls).await, ConnectionFault::ClientCertificateRefused);

    let own = clients.issue(["client"]);
    let tls = trusting(&authority).certificate_pem(own.chain(), own.key());
    let client = client_of(&cluster).tls(tls.versions([version])).build();
    round_trip(&client.unwrap(), "t").await;
}

#[tokio::test]
async fn plaintext_spoken_to_a_tls_port_is_said() {
    let cluster = cluster(&for_brokers(&Authority::new())).await;
    let client = client_of(&cluster).build().unwrap();
    let (fault, message) = trouble(&client).await;
    assert_eq!(fault, ConnectionFault::TlsExpected, "{message}");
}

/// Closes every connection once it has read this many bytes, as brokers do that take a TLS record for a request of
/// hundreds of megabytes.
async fn closing_after(bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _gone = stream.read_exact(&mut vec![0; bytes]).await;
        }
    });
    address
}

#[tokio::test]
async fn tls_spoken_to_a_plaintext_port_is_said() {
    let client = Client::builder().bootstrap_servers(closing_after(4).await);
    let tls = trusting(&Authority::new());
    let (fault, message) = trouble(&client.tls(tls).build().unwrap()).await;
    assert_eq!(fault, ConnectionFault::PlaintextExpected);
    assert!(message.contains("TLS handshake"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs_costs_no_more_than_the_setup_timeout() {
    let cluster = FakeCluster::builder().start_in_memory().await.unwrap();
    let hanging = |_: String, _: u16| async {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        // Nobody reads it, and nobody closes it.
        std::mem::forget(theirs);
        Ok(ours)
    };
    let client = client_of(&cluster)
        .connector(hanging)
        .connect_timeout(Duration::from_millis(500))
        .tls(trusting(&Authority::new()));
    let (fault, message) = trouble(&client.build().unwrap()).await;
    assert_eq!(fault, ConnectionFault::TimedOut);
    assert!(message.contains("no handshake answer"), "{message}");
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_record_fails_at_once_when_the_broker_cannot_be_trusted(
    // Without it a producer asks for nothing but metadata.
    #[values(true, false)] idempotence: bool,
) {
    let cluster = cluster(&for_brokers(&Authority::new())).await;
    let client = client_of(&cluster).tls(trusting(&Authority::new())).build();
    let producer = client.unwrap().producer().idempotence(idempotence);
    let producer = producer.build().unwrap();
    let began = tokio::time::Instant::now();
    let delivery = producer.send(Record::to("t").value("v")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Connection { fault, .. }
            if *fault == ConnectionFault::CertificateUnknownIssuer),
        "{error}"
    );
    assert!(!error.possibly_written());
    assert!(began.elapsed() < Duration::from_secs(2));
}
