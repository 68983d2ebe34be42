use ottla_codec::frame;
use ottla_codec::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::*;
use crate::address::HostPort;
use crate::pending::Pending;
use crate::testing::{VERSION, named};

const SECOND: Duration = Duration::from_secs(1);

/// A session without a socket, and the instant at which it began.
fn session() -> (Session, Instant) {
    let now = Instant::now();
    let peer = Peer::node(1, HostPort::new("b", 9092));
    (
        Session::new(peer, Some(60 * SECOND), Arc::default(), now),
        now,
    )
}

fn accept(
    session: &mut Session,
    id: i32,
    now: Instant,
    deadline: Instant,
) -> Pending<HeartbeatResponse> {
    let (outcome, pending) = Outcome::response::<HeartbeatRequest>(&session.peer);
    let frame = frame::encode_request(id, None, &named("x"), VERSION).unwrap();
    let (api, version) = (ApiKey::Heartbeat, VERSION);
    session.accept(
        Submission {
            correlation_id: id,
            api,
            version,
            deadline,
            frame,
            outcome,
        },
        now,
    );
    pending
}

fn answer(id: i32, throttle_time_ms: i32) -> Bytes {
    let response = HeartbeatResponse {
        throttle_time_ms,
        ..Default::default()
    };
    frame::encode_response(id, &response, VERSION)
        .unwrap()
        .to_bytes()
        .slice(4..)
}

/// How many bytes the session would write now.
fn writable(session: &Session) -> usize {
    let mut slices = [IoSlice::new(&[]); 64];
    let used = session.slices(&mut slices);
    slices[..used].iter().map(|slice| slice.len()).sum()
}

fn write_all(session: &mut Session) {
    session.wrote(writable(session));
}

#[tokio::test]
async fn frames_that_wait_are_written_together() {
    let (mut session, now) = session();
    let pending: Vec<_> = (0..5)
        .map(|id| accept(&mut session, id, now, now + SECOND))
        .collect();
    let frame = frame::encode_request(0, None, &named("x"), VERSION)
        .unwrap()
        .len();
    assert_eq!(writable(&session), 5 * frame);
    session.wrote(2 * frame + 3);
    assert_eq!(writable(&session), 3 * frame - 3);
    session.close(&CloseReason::Shutdown, now);
    let mut written = Vec::new();
    for pending in pending {
        written.push(pending.await.unwrap_err().written());
    }
    assert_eq!(written, [true, true, true, false, false]);
}

#[tokio::test]
async fn it_wakes_for_whatever_comes_first() {
    let (mut session, now) = session();
    assert_eq!(session.wake_at(), Some(now + 60 * SECOND), "idle");
    let _long = accept(&mut session, 0, now, now + 300 * SECOND);
    assert_eq!(
        session.wake_at(),
        Some(now + 300 * SECOND),
        "not idle any more"
    );
    let _short = accept(&mut session, 1, now, now + 5 * SECOND);
    assert_eq!(session.wake_at(), Some(now + 5 * SECOND));
    write_all(&mut session);
    session.received(&answer(0, 2000), now).unwrap();
    assert_eq!(
        session.wake_at(),
        Some(now + 2 * SECOND),
        "the throttle's end"
    );
    session.tick(now + 2 * SECOND).unwrap();
    assert_eq!(session.wake_at(), Some(now + 5 * SECOND));
    session.received(&answer(1, 0), now + 3 * SECOND).unwrap();
    assert_eq!(
        session.wake_at(),
        Some(now + 63 * SECOND),
        "idle since the last answer"
    );
    assert!(session.finished(now + 62 * SECOND).is_none());
    assert!(matches!(
        session.finished(now + 63 * SECOND),
        Some(CloseReason::Idle)
    ));
}

#[tokio::test]
async fn a_shorter_throttle_does_not_end_a_longer_one() {
    let (mut session, now) = session();
    session.mute(10 * SECOND, now);
    session.mute(SECOND, now);
    let _pending = accept(&mut session, 0, now, now + 60 * SECOND);
    session.tick(now + 9 * SECOND).unwrap();
    assert_eq!(writable(&session), 0);
    session.tick(now + 10 * SECOND).unwrap();
    assert_ne!(writable(&session), 0);
}

#[tokio::test]
async fn a_throttle_that_ends_with_the_deadline_is_no_fault_of_the_connection() {
    let (mut session, now) = session();
    session.mute(SECOND, now);
    let pending = accept(&mut session, 0, now, now + SECOND);
    session.tick(now + SECOND).unwrap();
    assert!(matches!(
        pending.await,
        Err(ConnectionError::TimedOut { written: false, .. })
    ));
    assert_eq!(writable(&session), 0);
}

#[tokio::test]
async fn what_was_sent_before_a_throttle_keeps_its_deadline() {
    let (mut session, now) = session();
    let _answered = accept(&mut session, 0, now, now + SECOND);
    let _sent = accept(&mut session, 1, now, now + SECOND);
    write_all(&mut session);
    session.received(&answer(0, 60_000), now).unwrap();
    let reason = session.tick(now + SECOND).unwrap_err();
    assert!(matches!(
        reason,
        CloseReason::RequestTimedOut {
            api: ApiKey::Heartbeat
        }
    ));
}

#[tokio::test]
async fn a_retired_session_ends_when_it_is_drained() {
    let (mut session, now) = session();
    let _pending = accept(&mut session, 0, now, now + SECOND);
    session.retire();
    assert!(session.finished(now).is_none());
    write_all(&mut session);
    assert!(session.finished(now).is_none());
    session.received(&answer(0, 0), now).unwrap();
    assert!(matches!(session.finished(now), Some(CloseReason::Retired)));
}
