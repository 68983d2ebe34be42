use std::pin::Pin;

use ottla_codec::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use ottla_codec::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use ottla_codec::messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
use ottla_codec::{Request, decode_message, frame};
use tokio::io::{AsyncReadExt, duplex};
use tokio::task::JoinHandle;
use tokio::time::advance;

use super::*;
use crate::config::ConnectionConfig;
use crate::connection::Connection;
use crate::error::{ConnectionError, StreamFault};
use crate::peer::{ConnectionGroup, Peer, Purpose};
use crate::sasl::Sasl;
use crate::stats::Counters;
use crate::testing::{Broker, VERSION, named};
use crate::versions::Versions;
use crate::{HostPort, Pending};

/// A running connection and the broker at its other end.
struct Pair {
    connection: Connection,
    broker: Broker,
    task: JoinHandle<CloseReason>,
    stop: CancellationToken,
    counters: Arc<Counters>,
}

/// Connects through a pipe that holds `capacity` bytes.
fn pair(capacity: usize) -> Pair {
    pair_to_prove(capacity, None)
}

/// The same, with a broker that wants to know again who this is once a request comes after `prove_at`.
fn pair_to_prove(capacity: usize, prove_at: Option<Instant>) -> Pair {
    let (ours, theirs) = duplex(capacity);
    let counters = Arc::<Counters>::default();
    let config = Arc::new(ConnectionConfig::default());
    let peer = Peer::node(1, HostPort::new("b", 9092));
    let group = ConnectionGroup::shared(Purpose::Admin);
    let mut session = Session::new(
        peer.clone(),
        config.idle_timeout,
        counters.clone(),
        Instant::now(),
    );
    session.authenticated(prove_at);
    let api = |api_key, max_version| ApiVersion {
        api_key,
        max_version,
        ..Default::default()
    };
    let identity = Identity {
        sasl: Sasl::plain("alice", "secret"),
        config: config.clone(),
        versions: Versions::new(&ApiVersionsResponse {
            api_keys: vec![
                api(SaslHandshakeRequest::KEY as i16, 1),
                api(SaslAuthenticateRequest::KEY as i16, 2),
            ],
            ..Default::default()
        }),
        timeout: Duration::from_secs(10),
        rng: fastrand::Rng::with_seed(1),
    };
    let reader = FrameReader::new(config.max_response_bytes, counters.clone());
    let (connection, orders) = Connection::new(1, peer, group, Versions::default(), config);
    let driver = Driver {
        stream: ours,
        reader,
        session,
        orders,
        ending: connection.ending(),
        identity: Some(identity),
    };
    let stop = CancellationToken::new();
    let token = stop.clone();
    let task = tokio::spawn(async move { driver.run(&token).await });
    Pair {
        connection,
        broker: Broker { stream: theirs },
        task,
        stop,
        counters,
    }
}

impl Pair {
    fn submit(&self, name: &str, seconds: u64) -> Pending<HeartbeatResponse> {
        self.connection
            .submit(&named(name), VERSION, after(seconds))
    }
}

/// The broker's part of a proof.
async fn prove(broker: &mut Broker) {
    let (header, _) = broker.expect::<SaslHandshakeRequest>().await;
    let welcome = SaslHandshakeResponse::default();
    broker.answer(header.correlation_id, &welcome, 1).await;
    let (header, request) = broker.expect::<SaslAuthenticateRequest>().await;
    assert_eq!(&*request.auth_bytes, b"\0alice\0secret");
    let welcome = SaslAuthenticateResponse::default();
    broker.answer(header.correlation_id, &welcome, 2).await;
}

fn after(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Lets every task run that can, without letting time pass.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    Pin::new(future).poll(&mut cx).is_pending()
}

#[tokio::test(start_paused = true)]
async fn requests_are_pipelined_in_the_order_of_submission() {
    let mut pair = pair(64 * 1024);
    let pending: Vec<_> = (0..50).map(|n| pair.submit(&n.to_string(), 10)).collect();
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(pair.broker.expect_named(&n.to_string()).await);
    }
    assert_eq!(pair.counters.snapshot().requests_pending, 50);
    for (n, id) in ids.into_iter().enumerate() {
        pair.broker.answer_named(id, n as i16, 0).await;
    }
    for (n, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.await.unwrap().error_code, n as i16);
    }
    let stats = pair.counters.snapshot();
    assert_eq!((stats.requests, stats.requests_pending), (50, 0));
    assert!(stats.bytes_in > 0 && stats.bytes_out > stats.bytes_in);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_in_mid_frame_leaves_the_stream_intact() {
    let long = "x".repeat(30_000);
    for taken in [0, 1, 4, 11, 500] {
        let mut pair = pair(16);
        let abandoned = pair.submit(&long, 10);
        settle().await;
        let mut start = vec![0; taken];
        pair.broker.stream.read_exact(&mut start).await.unwrap();
        drop(abandoned);
        let next = pair.submit("next", 10);
        settle().await;
        // The rest of the first frame, put together again with what was taken before.
        let mut frame = start;
        while frame.len() < 4
            || frame.len() < 4 + u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize
        {
            frame.push(pair.broker.stream.read_u8().await.unwrap());
        }
        let (header, body) = frame::decode_request_header(&frame.split_off(4).into()).unwrap();
        let request = decode_message::<HeartbeatRequest>(&body, VERSION);
        assert_eq!(request.unwrap().group_id, long);
        let next_id = pair.broker.expect_named("next").await;
        pair.broker.answer_named(header.correlation_id, 1, 0).await;
        pair.broker.answer_named(next_id, 2, 0).await;
        assert_eq!(next.await.unwrap().error_code, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_closes_the_connection() {
    let mut pair = pair(64 * 1024);
    let start = Instant::now();
    let (slow, other) = (pair.submit("slow", 10), pair.submit("other", 60));
    pair.broker.expect_named("slow").await;
    pair.broker.expect_named("other").await;
    let error = slow.await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 10);
    assert!(
        matches!(error, ConnectionError::TimedOut { written: true, .. }),
        "{error}"
    );
    assert!(error.is_timeout() && error.written());
    let error = other.await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectionError::Closed {
                written: true,
                reason: CloseReason::RequestTimedOut { .. },
                ..
            }
        ),
        "{error}"
    );
    assert!(pair.connection.is_closed());
    assert!(matches!(
        pair.task.await.unwrap(),
        CloseReason::RequestTimedOut { .. }
    ));
    let error = pair
        .connection
        .submit(&named("late"), VERSION, after(1))
        .await
        .unwrap_err();
    assert!(!error.written());
    pair.broker.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_closes_the_connection_and_tells_what_was_sent() {
    let pair = pair(16);
    let (stuck, queued) = (pair.submit(&"x".repeat(1000), 10), pair.submit("queued", 5));
    let start = Instant::now();
    let error = queued.await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 5);
    assert!(
        matches!(error, ConnectionError::TimedOut { written: false, .. }),
        "{error}"
    );
    let error = stuck.await.unwrap_err();
    assert!(
        matches!(error, ConnectionError::Closed { written: true, .. }),
        "{error}"
    );
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_already_over_hurts_nobody_else() {
    let mut pair = pair(64 * 1024);
    let late = pair.submit("late", 0);
    let good = pair.submit("good", 10);
    let error = late.await.unwrap_err();
    assert!(error.is_timeout() && !error.written());
    pair.broker.serve_named("good").await;
    good.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn deadlines_count_in_the_order_in_which_they_come() {
    let mut pair = pair(64 * 1024);
    let start = Instant::now();
    let (long, short) = (pair.submit("long", 300), pair.submit("short", 5));
    pair.broker.serve_named("long").await;
    long.await.unwrap();
    assert!(short.await.unwrap_err().is_timeout());
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_connection_keeps_quiet_for_as_long_as_it_was_told() {
    let mut pair = pair(64 * 1024);
    let first = pair.submit("first", 10);
    let id = pair.broker.expect_named("first").await;
    pair.broker.answer_named(id, 0, 3000).await;
    first.await.unwrap();
    let muted = Instant::now();
    let (held_back, next) = (pair.submit("held back", 2), pair.submit("next", 10));

    let error = held_back.await.unwrap_err();
    assert_eq!(muted.elapsed().as_secs(), 2);
    assert!(
        matches!(error, ConnectionError::TimedOut { written: false, .. }),
        "{error}"
    );
    assert!(!pair.connection.is_closed());

    pair.broker.serve_named("next").await;
    assert_eq!(muted.elapsed().as_secs(), 3);
    next.await.unwrap();
    assert_eq!(pair.counters.snapshot().throttle_ms, 3000);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_lets_a_begun_frame_finish_and_answers_come_in() {
    let mut pair = pair(64);
    let (first, second) = (pair.submit("first", 10), pair.submit(&"x".repeat(500), 10));
    let third = pair.submit("third", 10);
    let first_id = pair.broker.expect_named("first").await;
    settle().await;
    pair.broker.answer_named(first_id, 0, 2000).await;
    first.await.unwrap();
    let start = Instant::now();
    pair.broker.serve_named(&"x".repeat(500)).await;
    second.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    pair.broker.serve_named("third").await;
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    third.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_done_when_it_is_written() {
    let mut pair = pair(64);
    let request = ProduceRequest {
        acks: 0,
        transactional_id: Some("x".repeat(200)),
        ..Default::default()
    };
    let before = pair.submit("before", 10);
    let mut written = pair
        .connection
        .submit_unacknowledged(&request, 9, after(10));
    let behind = pair.submit("behind", 10);
    settle().await;
    assert!(is_pending(&mut written), "the pipe is too short for it");
    let before_id = pair.broker.expect_named("before").await;
    let (_, received) = pair.broker.expect::<ProduceRequest>().await;
    assert_eq!(received.transactional_id, request.transactional_id);
    written.await.unwrap();
    let behind_id = pair.broker.expect_named("behind").await;
    pair.broker.answer_named(before_id, 1, 0).await;
    pair.broker.answer_named(behind_id, 2, 0).await;
    assert_eq!(before.await.unwrap().error_code, 1);
    assert_eq!(behind.await.unwrap().error_code, 2);
    assert_eq!(pair.counters.snapshot().requests_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_has_a_deadline_too() {
    let pair = pair(16);
    let request = ProduceRequest {
        transactional_id: Some("x".repeat(200)),
        ..Default::default()
    };
    let error = pair
        .connection
        .submit_unacknowledged(&request, 9, after(7))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectionError::TimedOut { written: true, .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_encoded_fails_alone() {
    let mut pair = pair(64 * 1024);
    let error = pair
        .connection
        .submit(&named("x"), 99, after(10))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectionError::Encode { .. }), "{error}");
    assert!(!error.written());
    let good = pair.submit("good", 10);
    pair.broker.serve_named("good").await;
    good.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_request_closes_the_connection() {
    let mut pair = pair(64 * 1024);
    let (first, second) = (pair.submit("first", 10), pair.submit("second", 10));
    pair.broker.expect_named("first").await;
    let id = pair.broker.expect_named("second").await;
    pair.broker.answer_named(id, 0, 0).await;
    for pending in [first, second] {
        match pending.await.unwrap_err() {
            ConnectionError::Closed {
                written: true,
                reason:
                    CloseReason::Fault {
                        fault:
                            StreamFault::Correlation {
                                expected: 0,
                                received: 1,
                            },
                    },
                ..
            } => {}
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_nobody_asked_for_closes_the_connection() {
    let mut pair = pair(64 * 1024);
    pair.broker.answer_named(7, 0, 0).await;
    match pair.connection.closed().await {
        CloseReason::Fault {
            fault: StreamFault::Unsolicited { received: 7 },
        } => {}
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_closes_the_connection() {
    let mut pair = pair(64 * 1024);
    let (first, second) = (pair.submit("first", 10), pair.submit("second", 10));
    let id = pair.broker.expect_named("first").await;
    let mut frame = vec![0, 0, 0, 6];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&[0, 1]);
    pair.broker.stream.write_all(&frame).await.unwrap();
    let error = first.await.unwrap_err();
    assert!(
        matches!(error, ConnectionError::Undecodable { .. }),
        "{error}"
    );
    assert!(error.written());
    let error = second.await.unwrap_err();
    assert!(error.to_string().contains("HeartbeatResponse"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_dies_fails_what_is_pending_and_nothing_hangs() {
    let pair = pair(16);
    let (first, second) = (
        pair.submit(&"x".repeat(1000), 10),
        pair.submit("second", 10),
    );
    settle().await;
    drop(pair.broker);
    assert!(first.await.unwrap_err().written());
    let error = second.await.unwrap_err();
    assert!(!error.written(), "{error}");
    assert_eq!(pair.counters.snapshot().requests_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn only_an_idle_connection_is_closed_for_idleness() {
    let mut pair = pair(64 * 1024);
    let start = Instant::now();
    let long = pair.submit("long", 2000);
    let id = pair.broker.expect_named("long").await;
    advance(Duration::from_secs(1000)).await;
    settle().await;
    assert!(!pair.connection.is_closed(), "a request is pending");
    pair.broker.answer_named(id, 0, 0).await;
    long.await.unwrap();
    assert!(matches!(pair.connection.closed().await, CloseReason::Idle));
    assert_eq!(start.elapsed().as_secs(), 1540);
    pair.broker.closed().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_under_load_settles_every_request() {
    let mut pair = pair(256);
    let mut pending: Vec<_> = (0..100).map(|n| pair.submit(&n.to_string(), 10)).collect();
    for n in 0..5 {
        pair.broker.expect_named(&n.to_string()).await;
    }
    settle().await;
    pair.stop.cancel();
    assert!(matches!(pair.task.await.unwrap(), CloseReason::Shutdown));
    pending.push(pair.connection.submit(&named("late"), VERSION, after(10)));
    let mut written = Vec::new();
    for pending in pending {
        written.push(pending.await.unwrap_err().written());
    }
    // Whatever is certain not to have been sent comes after all that may have been.
    assert!(written.is_sorted_by(|a, b| a >= b), "{written:?}");
    assert!(written[..5].iter().all(|written| *written) && !written[99] && !written[100]);
    assert_eq!(pair.counters.snapshot().requests_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_may_go_while_requests_are_pending() {
    let mut pair = pair(64 * 1024);
    let pending = pair.submit("last", 10);
    drop(pair.connection);
    pair.broker.serve_named("last").await;
    pending.await.unwrap();
    assert!(matches!(pair.task.await.unwrap(), CloseReason::Retired));
    pair.broker.closed().await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_task_leaves_nobody_waiting() {
    let pair = pair(64 * 1024);
    let pending = pair.submit("x", 10);
    settle().await;
    pair.task.abort();
    let error = pending.await.unwrap_err();
    assert!(error.written(), "nobody knows better: {error}");
    assert_eq!(pair.counters.snapshot().requests_pending, 0);
    assert!(pair.connection.is_closed());
}

/// Whatever a peer sends, the connection ends and every request with it.
#[tokio::test(start_paused = true)]
async fn garbage_closes_the_connection_and_hangs_nobody() {
    let mut rng = fastrand::Rng::with_seed(42);
    for _ in 0..500 {
        let mut pair = pair(64 * 1024);
        let pending: Vec<_> = (0..3).map(|n| pair.submit(&n.to_string(), 10)).collect();
        let mut garbage: Vec<u8> = (0..rng.usize(1..200)).map(|_| rng.u8(..)).collect();
        if rng.bool() {
            // A length that is believed, and perhaps the right correlation id.
            let length = rng.u32(4..300);
            garbage.splice(
                ..0,
                length
                    .to_be_bytes()
                    .into_iter()
                    .chain([0, 0, 0, rng.u8(..2)]),
            );
        }
        pair.broker.stream.write_all(&garbage).await.unwrap();
        drop(pair.broker);
        for pending in pending {
            // A lucky answer is possible, waiting for ever is not.
            drop(pending.await);
        }
        pair.connection.closed().await;
        assert_eq!(pair.counters.snapshot().requests_pending, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_on_many_threads_get_their_own_answers() {
    let mut pair = pair(100);
    let counters = pair.counters.clone();
    let broker = tokio::spawn(async move {
        while let Some(frame) = pair.broker.frame().await {
            let (header, body) = frame::decode_request_header(&frame).unwrap();
            let request: HeartbeatRequest = decode_message(&body, VERSION).unwrap();
            let code = request.group_id.parse().unwrap();
            pair.broker
                .answer_named(header.correlation_id, code, 0)
                .await;
        }
    });
    let callers = (0..8).map(|caller| {
        let connection = pair.connection.clone();
        tokio::spawn(async move {
            for n in 0..250 {
                let code = caller * 250 + n;
                let pending = connection.submit(&named(&code.to_string()), VERSION, after(60));
                if n % 7 == 0 {
                    // Forgotten: the next answers must still be the right ones.
                    drop(pending);
                } else {
                    assert_eq!(pending.await.unwrap().error_code, code);
                }
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    for caller in callers {
        caller.await.unwrap();
    }
    drop(pair.connection);
    broker.await.unwrap();
    pair.task.await.unwrap();
    assert_eq!(counters.snapshot().requests, 2000);
    assert_eq!(counters.snapshot().requests_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_proof_waits_for_what_is_under_way_and_requests_for_the_proof() {
    let mut pair = pair_to_prove(64 * 1024, Some(after(1)));
    let (first, second) = (pair.submit("a", 10), pair.submit("b", 10));
    let a = pair.broker.expect_named("a").await;
    let b = pair.broker.expect_named("b").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let third = pair.submit("c", 10);
    pair.broker.answer_named(a, 1, 0).await;
    assert_eq!(first.await.unwrap().error_code, 1);
    settle().await;
    let mut nothing = [0];
    let early = pair.broker.stream.read(&mut nothing);
    assert!(timeout(Duration::from_millis(1), early).await.is_err());

    pair.broker.answer_named(b, 2, 0).await;
    assert_eq!(second.await.unwrap().error_code, 2);
    prove(&mut pair.broker).await;
    pair.broker.serve_named("c").await;
    third.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_proof_keeps_its_deadline() {
    let mut pair = pair_to_prove(64 * 1024, Some(Instant::now()));
    let began = Instant::now();
    let error = pair.submit("a", 2).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert!(error.is_timeout() && !error.written(), "{error}");
    // It was that request's trouble alone.
    prove(&mut pair.broker).await;
    let next = pair.submit("b", 10);
    pair.broker.serve_named("b").await;
    next.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_fails_closes_the_connection_and_nothing_was_sent() {
    let mut pair = pair_to_prove(64 * 1024, Some(Instant::now()));
    let pending = pair.submit("a", 20);
    pair.broker.expect::<SaslHandshakeRequest>().await;
    let error = pending.await.unwrap_err();
    assert!(!error.written(), "{error}");
    let reason = pair.task.await.unwrap();
    assert!(
        matches!(&reason, CloseReason::Identity { error } if error.is_timeout()),
        "{reason}"
    );
}
