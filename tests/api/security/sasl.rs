//! SASL: records pass for whom brokers know, whoever they do not know hears it at once, and what brokers want to hear
//! again they hear in time.

use std::time::Duration;

use ottla::{Client, ConnectionFault, Record, Sasl, StartFrom, TopicPartition};
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::{Authority, FakeClusterBuilder};
use rstest::rstest;
use tokio::time::{Instant, timeout};

use super::world::{for_brokers, refusal, round_trip, trusting};
use crate::support::PATIENCE;
use crate::support::fake::{self, client_of};

const NAME: &str = "al=ice,";
const PASSWORD: &str = "pa\"ss wörd";

/// Brokers that know one user.
fn brokers() -> FakeClusterBuilder {
    fake::cluster().topic("t", 1).sasl_user(NAME, PASSWORD)
}

#[rstest]
#[case(Sasl::plain(NAME, PASSWORD))]
#[case(Sasl::scram_sha_256(NAME, PASSWORD))]
#[case(Sasl::scram_sha_512(NAME, PASSWORD))]
#[tokio::test]
async fn whoever_is_known_comes_in(#[case] sasl: Sasl) {
    let authority = Authority::new();
    let cluster = brokers().tls(&for_brokers(&authority));
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = client_of(&cluster).tls(trusting(&authority)).sasl(sasl);
    round_trip(&client.build().unwrap(), "t").await;
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test]
async fn properties_say_it_as_well() {
    let cluster = brokers().start().await.unwrap();
    let servers = cluster.bootstrap_servers();
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let password = PASSWORD.replace('"', "\\\"");
    let jaas = format!("{module} required username='{NAME}' password=\"{password}\";");
    let client = Client::from_properties([
        ("bootstrap.servers", servers.as_str()),
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.jaas.config", jaas.as_str()),
    ]);
    round_trip(&client.unwrap().build().unwrap(), "t").await;
}

#[rstest]
#[case(Sasl::plain(NAME, "guess"))]
#[case(Sasl::plain("nobody", PASSWORD))]
#[case(Sasl::scram_sha_256(NAME, "guess"))]
#[case(Sasl::scram_sha_512("nobody", PASSWORD))]
#[tokio::test(start_paused = true)]
async fn whoever_is_not_hears_it_at_once_in_the_brokers_words(#[case] sasl: Sasl) {
    let cluster = brokers().start_in_memory().await.unwrap();
    let client = client_of(&cluster).sasl(sasl).build().unwrap();
    let began = Instant::now();
    let (fault, message) = refusal(&client).await;
    assert_eq!(fault, ConnectionFault::Authentication);
    assert!(
        message.contains("Invalid username or password"),
        "{message}"
    );
    assert!(
        !message.contains(PASSWORD) && !message.contains("guess"),
        "{message}"
    );
    assert!(began.elapsed() < Duration::from_secs(1));

    let producer = client.producer().build().unwrap();
    let delivery = producer.send(Record::to("t").value("v")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert!(
        !error.is_retriable() && !error.possibly_written(),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_brokers_lack_is_named_beside_theirs() {
    let cluster = brokers().sasl_mechanisms(["GSSAPI", "PLAIN"]);
    let cluster = cluster.start_in_memory().await.unwrap();
    let sasl = Sasl::scram_sha_256(NAME, PASSWORD);
    let client = client_of(&cluster).sasl(sasl).build().unwrap();
    let (fault, message) = refusal(&client).await;
    assert_eq!(fault, ConnectionFault::Authentication);
    assert!(
        message.contains("does not offer SCRAM-SHA-256; it offers GSSAPI, PLAIN"),
        "{message}"
    );
}

#[rstest]
#[case(brokers().forge_scram_signatures(), "could not prove")]
#[case(brokers().scram_iterations(4095), "4095 iterations")]
#[case(brokers().scram_iterations(1_000_001), "1000001 iterations")]
#[tokio::test(start_paused = true)]
async fn a_broker_that_means_no_good_is_found_out(
    #[case] brokers: FakeClusterBuilder,
    #[case] words: &str,
) {
    let cluster = brokers.start_in_memory().await.unwrap();
    let sasl = Sasl::scram_sha_256(NAME, PASSWORD);
    let client = client_of(&cluster).sasl(sasl).build().unwrap();
    let (fault, message) = refusal(&client).await;
    assert_eq!(fault, ConnectionFault::Authentication);
    assert!(message.contains(words), "{message}");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again() {
    let cluster = brokers().start_in_memory().await.unwrap();
    let passing = cluster.on::<SaslAuthenticateRequest>();
    passing.times(2).reply(|_| SaslAuthenticateResponse {
        error_code: ErrorCode::RequestTimedOut.code(),
        ..Default::default()
    });
    let sasl = Sasl::plain(NAME, PASSWORD);
    let client = client_of(&cluster).sasl(sasl).build().unwrap();
    client.ready(PATIENCE).await.unwrap();
}

/// A minute of records through brokers that want to know every three seconds who sends them.
#[tokio::test(start_paused = true)]
async fn f09_authenticating_again_disturbs_nothing() {
    let cluster = brokers().sasl_session_lifetime(Duration::from_secs(3));
    let cluster = cluster.start_in_memory().await.unwrap();
    let sasl = Sasl::scram_sha_256(NAME, PASSWORD);
    let client = client_of(&cluster).sasl(sasl).build().unwrap();
    // Something is always under way.
    let slow = cluster.on::<ProduceRequest>();
    slow.always().delay(Duration::from_millis(30));
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    let mut consumer = client.consumer().build().unwrap();
    let partition = TopicPartition::new("t", 0);
    consumer
        .assign([(partition, StartFrom::Beginning)])
        .unwrap();

    let began = Instant::now();
    let (mut sent, mut read) = (0_u32, 0_u32);
    let mut deliveries = Vec::new();
    while began.elapsed() < Duration::from_secs(60) {
        for _ in 0..3 {
            let value = sent.to_string();
            let record = Record::to("t").value(&value);
            deliveries.push(producer.send(record).await.unwrap());
            sent += 1;
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
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

    assert_eq!(cluster.violations().await.unwrap(), []);
    assert_eq!(client.metrics().connections_lost, 0);
    let requests = cluster.requests().await.unwrap();
    let produce = requests
        .iter()
        .find(|request| request.api == ApiKey::Produce);
    let produce = produce.unwrap().connection;
    let handshakes: Vec<_> = requests
        .iter()
        .filter(|request| request.connection == produce && request.api == ApiKey::SaslHandshake)
        .map(|request| request.at)
        .collect();
    // After 85 to 95 % of three seconds, and what was under way.
    assert!(
        (21..=25).contains(&handshakes.len()),
        "{}",
        handshakes.len()
    );
    for pair in handshakes.windows(2) {
        let gap = (pair[1] - pair[0]).as_millis();
        assert!((2550..=3000).contains(&gap), "{gap}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_says_nothing() {
    let cluster = brokers().sasl_session_lifetime(Duration::from_secs(3));
    let cluster = cluster.start_in_memory().await.unwrap();
    let sasl = Sasl::plain(NAME, PASSWORD);
    let client = client_of(&cluster).sasl(sasl).build().unwrap();
    let count = async || {
        let requests = cluster.requests().await.unwrap();
        requests
            .iter()
            .filter(|request| request.api == ApiKey::SaslHandshake)
            .count()
    };
    client.admin().describe_cluster().await.unwrap();
    let before = count().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(count().await, before);
    // Though its session is long over, the next request finds it in order.
    client.admin().describe_cluster().await.unwrap();
    assert_eq!(count().await, before + 1);
    assert_eq!(cluster.violations().await.unwrap(), []);
    assert_eq!(client.metrics().connections_lost, 0);
}
