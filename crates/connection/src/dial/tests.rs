use std::time::Duration;

use ottla_codec::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::{ApiKey, ErrorCode, Message, Request, VersionRange};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::address::HostPort;
use crate::error::{StreamFault, UnsupportedApi};
use crate::peer::Purpose;
use crate::testing::{Broker, Dials, VERSION, named, network, offers};
use crate::versions::Versions;

type Established = Result<(Connection, Driver<BoxStream>), DialError>;

/// Dials while the test plays the broker.
async fn dialing<F: AsyncFnOnce(&mut Dials)>(script: F) -> Established {
    let (connector, mut dials) = network();
    let dial = Dial {
        connector: Arc::new(connector),
        config: Arc::new(ConnectionConfig {
            client_id: Some("tests".to_owned()),
            ..ConnectionConfig::default()
        }),
        counters: Arc::default(),
        id: 1,
        peer: Peer::bootstrap(HostPort::new("b", 9092)),
        group: ConnectionGroup::shared(Purpose::Metadata),
        setup_timeout: Duration::from_secs(10),
        connected: AtomicBool::new(false),
    };
    let conversation = async { tokio::join!(dial.establish(), script(&mut dials)) };
    let (established, ()) = timeout(Duration::from_secs(60), conversation)
        .await
        .expect("a conversation that goes on");
    assert!(dials.is_empty(), "more dials than expected");
    established
}

fn versions(established: Established) -> Versions {
    established.unwrap().0.versions().clone()
}

/// Takes an ApiVersions request, which must be of this version, and returns its correlation id.
async fn asked_in(broker: &mut Broker, version: i16) -> i32 {
    let (header, _) = broker.expect::<ApiVersionsRequest>().await;
    assert_eq!(header.request_api_version, version);
    assert_eq!(header.client_id.as_deref(), Some("tests"));
    header.correlation_id
}

fn refusal(offered: Option<(i16, i16)>) -> ApiVersionsResponse {
    let api = |(min_version, max_version)| ApiVersion {
        api_key: ApiVersionsRequest::KEY as i16,
        min_version,
        max_version,
        ..Default::default()
    };
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: offered.into_iter().map(api).collect(),
        ..Default::default()
    }
}

#[tokio::test(start_paused = true)]
async fn asks_in_the_newest_version_and_keeps_what_it_hears() {
    let established = dialing(async |dials: &mut Dials| {
        let dialed = dials.next().await;
        assert_eq!((dialed.host.as_str(), dialed.port), ("b", 9092));
        let mut broker = dialed.accept(1024);
        let id = asked_in(&mut broker, 4).await;
        let mut response = offers(4);
        response.supported_features = vec![SupportedFeatureKey {
            name: "transaction.version".to_owned(),
            min_version: 0,
            max_version: 2,
            ..Default::default()
        }];
        response.finalized_features = vec![FinalizedFeatureKey {
            name: "transaction.version".to_owned(),
            min_version_level: 1,
            max_version_level: 1,
            ..Default::default()
        }];
        response.finalized_features_epoch = 17;
        broker.answer(id, &response, 4).await;
    })
    .await;
    let versions = versions(established);
    assert_eq!(
        versions.offered(ApiKey::Heartbeat),
        Some(VersionRange::new(0, VERSION))
    );
    assert_eq!(versions.offered(ApiKey::Produce), None);
    assert_eq!(
        versions.supported_feature("transaction.version"),
        Some(VersionRange::new(0, 2))
    );
    assert_eq!(versions.finalized_feature("transaction.version"), Some(1));
    assert_eq!(versions.finalized_feature("share.version"), None);
    assert_eq!(versions.finalized_features_epoch(), Some(17));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_names_its_range_is_asked_once_more_within_it() {
    let established = dialing(async |dials: &mut Dials| {
        let mut broker = dials.next().await.accept(1024);
        let id = asked_in(&mut broker, 4).await;
        broker.answer(id, &refusal(Some((0, 2))), 0).await;
        let id = asked_in(&mut broker, 2).await;
        broker.answer(id, &offers(2), 2).await;
    })
    .await;
    assert_eq!(
        versions(established).offered(ApiKey::ApiVersions),
        Some(VersionRange::new(0, 2))
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_names_no_range_is_asked_in_version_0() {
    let established = dialing(async |dials: &mut Dials| {
        let mut broker = dials.next().await.accept(1024);
        let id = asked_in(&mut broker, 4).await;
        broker.answer(id, &refusal(None), 0).await;
        let id = asked_in(&mut broker, 0).await;
        broker.answer(id, &offers(0), 0).await;
    })
    .await;
    assert_eq!(versions(established).finalized_features_epoch(), None);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_up_is_asked_in_version_0_on_a_new_connection() {
    let established = dialing(async |dials: &mut Dials| {
        let mut broker = dials.next().await.accept(1024);
        asked_in(&mut broker, 4).await;
        drop(broker);
        let mut broker = dials.next().await.accept(1024);
        let id = asked_in(&mut broker, 0).await;
        broker.answer(id, &offers(0), 0).await;
    })
    .await;
    assert_eq!(
        versions(established).offered(ApiKey::ApiVersions),
        Some(VersionRange::new(0, 0))
    );
}

#[tokio::test(start_paused = true)]
async fn a_newer_broker_that_hung_up_by_chance_is_asked_for_its_features_all_the_same() {
    let established = dialing(async |dials: &mut Dials| {
        let mut broker = dials.next().await.accept(1024);
        asked_in(&mut broker, 4).await;
        drop(broker);
        let mut broker = dials.next().await.accept(1024);
        let id = asked_in(&mut broker, 0).await;
        broker.answer(id, &offers(3), 0).await;
        let id = asked_in(&mut broker, 3).await;
        let response = ApiVersionsResponse {
            finalized_features_epoch: 5,
            ..offers(3)
        };
        broker.answer(id, &response, 3).await;
    })
    .await;
    assert_eq!(versions(established).finalized_features_epoch(), Some(5));
}

#[tokio::test(start_paused = true)]
async fn hanging_up_twice_is_an_error() {
    let established = dialing(async |dials: &mut Dials| {
        for version in [4, 0] {
            let mut broker = dials.next().await.accept(1024);
            asked_in(&mut broker, version).await;
        }
    })
    .await;
    match established {
        Err(DialError::Handshake {
            fault: StreamFault::Ended { mid_frame: false },
        }) => {}
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_is_not_asked_a_third_time() {
    let established = dialing(async |dials: &mut Dials| {
        let mut broker = dials.next().await.accept(1024);
        for version in [4, 3] {
            let id = asked_in(&mut broker, version).await;
            broker.answer(id, &refusal(Some((0, 3))), 0).await;
        }
        broker.closed().await;
    })
    .await;
    match established {
        Err(DialError::Refused {
            code: ErrorCode::UnsupportedVersion,
        }) => {}
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_to_know_us_is_told_apart() {
    let established = dialing(async |dials: &mut Dials| {
        let mut broker = dials.next().await.accept(1024);
        let id = asked_in(&mut broker, 4).await;
        let error_code = ErrorCode::IllegalSaslState.code();
        broker
            .answer(
                id,
                &ApiVersionsResponse {
                    error_code,
                    ..Default::default()
                },
                4,
            )
            .await;
    })
    .await;
    assert!(established.err().unwrap().is_authentication());
}

/// The error of a dial to a peer that answers with `bytes`, whatever it is asked.
async fn error_from(bytes: &'static [u8]) -> String {
    let established = dialing(async |dials: &mut Dials| {
        let mut broker = dials.next().await.accept(1024);
        broker.stream.write_all(bytes).await.unwrap();
        broker.frame().await;
    })
    .await;
    established.err().unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_not_kafkas_is_called_so() {
    let http = error_from(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    assert_eq!(
        http,
        "handshake failed: not a Kafka port: the peer answers in HTTP"
    );
    let tls = error_from(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]).await;
    assert_eq!(tls, "handshake failed: the broker speaks TLS on this port");
    let ssh = error_from(b"SSH-2.0-OpenSSH_9.6\r\n").await;
    assert!(ssh.contains("not a Kafka port"), "{ssh}");
    let smtp = error_from(b"220 mail.example ESMTP\r\n").await;
    assert!(smtp.contains("not a Kafka port"), "{smtp}");
    let stray = error_from(&[0, 0, 0, 6, 9, 9, 9, 9, 0, 0]).await;
    assert!(stray.contains("correlation id"), "{stray}");
    let garbled = error_from(&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0]).await;
    assert!(garbled.contains("ApiVersionsResponse"), "{garbled}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_was_throttled_keeps_the_first_request_back() {
    let (connector, mut dials) = network();
    let dial = Dial {
        connector: Arc::new(connector),
        config: Arc::default(),
        counters: Arc::default(),
        id: 1,
        peer: Peer::bootstrap(HostPort::new("b", 9092)),
        group: ConnectionGroup::shared(Purpose::Metadata),
        setup_timeout: Duration::from_secs(10),
        connected: AtomicBool::new(false),
    };
    let script = async {
        let mut broker = dials.next().await.accept(1024);
        let (header, _) = broker.expect::<ApiVersionsRequest>().await;
        let response = ApiVersionsResponse {
            throttle_time_ms: 500,
            ..offers(4)
        };
        broker.answer(header.correlation_id, &response, 4).await;
        broker
    };
    let (established, mut broker) = tokio::join!(dial.establish(), script);
    let (connection, driver) = established.unwrap();
    let start = Instant::now();
    let task = tokio::spawn(async move { driver.run(&CancellationToken::new()).await });
    let pending = connection.submit(&named("x"), VERSION, start + Duration::from_secs(10));
    broker.serve_named("x").await;
    pending.await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(500));
    task.abort();
}

#[test]
fn versions_are_what_all_sides_have() {
    let api = |key: ApiKey, min_version, max_version| ApiVersion {
        api_key: key as i16,
        min_version,
        max_version,
        ..Default::default()
    };
    let unknown = ApiVersion {
        api_key: 9999,
        ..Default::default()
    };
    let api_keys = vec![
        api(ApiKey::Produce, 0, 9),
        api(ApiKey::Heartbeat, 0, 99),
        unknown,
    ];
    let versions = Versions::new(&ApiVersionsResponse {
        api_keys,
        ..Default::default()
    });

    assert_eq!(
        versions.pick::<ProduceRequest>(ProduceRequest::VERSIONS),
        Ok(9)
    );
    assert_eq!(
        versions.pick::<ProduceRequest>(VersionRange::new(3, 7)),
        Ok(7)
    );
    assert_eq!(
        versions.pick::<HeartbeatRequest>(VersionRange::new(0, 999)),
        Ok(HeartbeatRequest::ALL_VERSIONS.max)
    );
    let error = versions
        .pick::<ProduceRequest>(VersionRange::new(10, 13))
        .unwrap_err();
    let offered = Some(VersionRange::new(0, 9));
    assert_eq!(
        error,
        UnsupportedApi {
            api: ApiKey::Produce,
            needed: VersionRange::new(10, 13),
            offered
        }
    );
    assert_eq!(
        error.to_string(),
        "Produce is needed in version 10-13, the broker offers 0-9"
    );
    let error = versions
        .pick::<MetadataRequest>(MetadataRequest::VERSIONS)
        .unwrap_err();
    assert!(
        error.to_string().ends_with("the broker does not know it"),
        "{error}"
    );
}

#[test]
fn what_a_broker_claims_below_our_own_minimum_is_not_used() {
    let api_keys = vec![ApiVersion {
        api_key: ApiKey::Produce as i16,
        max_version: 2,
        ..Default::default()
    }];
    let versions = Versions::new(&ApiVersionsResponse {
        api_keys,
        ..Default::default()
    });
    assert!(
        versions
            .pick::<ProduceRequest>(VersionRange::new(0, 13))
            .is_err()
    );
}
