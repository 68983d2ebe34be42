use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::error::{CloseReason, DialError};
use crate::peer::Purpose;
use crate::testing::{Broker, Dials, VERSION, named, network};

mod crowd;

const SHARED: ConnectionGroup = ConnectionGroup::shared(Purpose::Produce);

fn address(node: i32) -> HostPort {
    HostPort::new(&format!("b{node}"), 9092)
}

/// A pool that knows brokers 1 to 3, and its network.
fn pool() -> (Pool, Dials) {
    let (connector, dials) = network();
    let pool = Pool::new(
        PoolConfig::default(),
        Arc::new(connector),
        fastrand::Rng::with_seed(1),
    );
    pool.update_nodes((1..=3).map(|node| (node, address(node))));
    (pool, dials)
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

/// Gets a connection to node 1 while playing the broker.
async fn connected(pool: &Pool, dials: &mut Dials, group: ConnectionGroup) -> (Connection, Broker) {
    let (connection, broker) = tokio::join!(pool.connection(1, group, after(10)), dials.serve());
    (connection.unwrap(), broker)
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> bool {
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_share_one_dial() {
    let (pool, mut dials) = pool();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let pool = pool.clone();
        callers.spawn(async move { pool.connection(1, SHARED, after(10)).await.unwrap().id() });
    }
    let start = Instant::now();
    let _broker = dials.serve().await;
    let ids = callers.join_all().await;
    assert_eq!(ids, [1; 100]);
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody had to look again");
    assert!(dials.is_empty());
    let stats = pool.stats();
    assert_eq!(
        (
            stats.dials,
            stats.dial_failures,
            stats.connections_open,
            stats.connections_dialing
        ),
        (1, 0, 1, 0)
    );
    // And so do those who come later.
    assert_eq!(pool.connection(1, SHARED, after(10)).await.unwrap().id(), 1);
    assert_eq!(pool.existing(1, SHARED).unwrap().id(), 1);
    assert!(pool.existing(2, SHARED).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cancels_only_its_own_wait() {
    let (pool, mut dials) = pool();
    let mut first = Box::pin(pool.connection(1, SHARED, after(10)));
    assert!(!poll_once(first.as_mut()));
    let mut second = Box::pin(pool.connection(1, SHARED, after(10)));
    assert!(!poll_once(second.as_mut()));
    drop(first);
    let (connection, _broker) = tokio::join!(second, dials.serve());
    assert_eq!(connection.unwrap().id(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dial_without_any_caller_left_is_finished() {
    let (pool, mut dials) = pool();
    let mut only = Box::pin(pool.connection(1, SHARED, after(10)));
    assert!(!poll_once(only.as_mut()));
    drop(only);
    let _broker = dials.serve().await;
    settle().await;
    assert!(pool.existing(1, SHARED).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_every_caller() {
    let (pool, mut dials) = pool();
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let pool = pool.clone();
        callers.spawn(async move { pool.connection(1, SHARED, after(10)).await.unwrap_err() });
    }
    dials.next().await.refuse();
    for error in callers.join_all().await {
        match error.dial_error() {
            Some(DialError::Connect { source }) => {
                assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused)
            }
            other => panic!("{other:?}"),
        }
        assert!(!error.written() && !error.is_timeout());
        assert_eq!(
            error.to_string(),
            "cannot connect to broker 1 at b1:9092: connection refused"
        );
    }
    assert_eq!(pool.stats().dial_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn after_failures_there_are_ever_longer_pauses() {
    let (pool, mut dials) = pool();
    let mut failed = None;
    for nominal in [0, 50, 100, 200, 400, 800, 1000, 1000] {
        let (result, ()) = tokio::join!(pool.connection(1, SHARED, after(10)), async {
            let dialed = dials.next().await;
            let pause = failed.map_or(0, |failed: Instant| failed.elapsed().as_millis());
            assert!(
                (nominal * 8 / 10..=nominal * 12 / 10 + 1).contains(&pause),
                "{nominal}: {pause}"
            );
            dialed.refuse();
        });
        result.unwrap_err();
        failed = Some(Instant::now());
    }
    // A success ends the series.
    let (connection, broker) = connected(&pool, &mut dials, SHARED).await;
    drop(broker);
    connection.closed().await;
    sleep(Duration::from_millis(60)).await;
    let again = Instant::now();
    let (_connection, _broker) = connected(&pool, &mut dials, SHARED).await;
    assert_eq!(again.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_pause_longer_than_the_deadline_is_not_waited_for() {
    let (pool, mut dials) = pool();
    let (result, ()) = tokio::join!(pool.connection(1, SHARED, after(10)), async {
        dials.next().await.refuse();
    });
    result.unwrap_err();
    let start = Instant::now();
    let error = pool
        .connection(1, SHARED, start + Duration::from_millis(30))
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(error.is_timeout());
    assert!(
        error.to_string().contains("connection refused"),
        "the latest failure is told: {error}"
    );
    assert!(dials.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_dial() {
    let (pool, mut dials) = pool();
    let start = Instant::now();
    let error = pool.connection(1, SHARED, after(3)).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 3);
    assert!(error.is_timeout() && !error.written(), "{error}");
    // The dial goes on until its own time is up.
    let dialed = dials.next().await;
    assert!(!dialed.is_abandoned());
    sleep(Duration::from_secs(10)).await;
    assert!(dialed.is_abandoned());
    assert_eq!(pool.stats().dial_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs_ends_with_the_setup_timeout() {
    let (pool, mut dials) = pool();
    let start = Instant::now();
    let (result, _broker) = tokio::join!(pool.connection(1, SHARED, after(100)), async {
        let mut broker = dials.next().await.accept(1024);
        broker.frame().await;
        broker
    });
    let error = result.unwrap_err();
    assert!(
        matches!(
            error.dial_error(),
            Some(DialError::SetupTimedOut {
                connected: true,
                ..
            })
        ),
        "{error}"
    );
    assert!((8..=12).contains(&start.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_dial_delays_no_other_broker_and_no_other_group() {
    let (pool, mut dials) = pool();
    let start = Instant::now();
    let mut stuck = Box::pin(pool.connection(1, SHARED, after(5)));
    assert!(!poll_once(stuck.as_mut()));
    let _never_answered = dials.next().await;
    let (other_group, _a) = tokio::join!(
        pool.connection(1, ConnectionGroup::owned(Purpose::Fetch, 7), after(5)),
        dials.serve()
    );
    let (other_node, _b) = tokio::join!(pool.connection(2, SHARED, after(5)), dials.serve());
    assert_eq!(other_group.unwrap().group().owner, 7);
    assert_eq!(other_node.unwrap().node(), Some(2));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_delays_its_own_group_only() {
    let (pool, mut dials) = pool();
    let (fetch, mut fetch_broker) =
        connected(&pool, &mut dials, ConnectionGroup::owned(Purpose::Fetch, 1)).await;
    let (commit, mut commit_broker) = connected(
        &pool,
        &mut dials,
        ConnectionGroup::owned(Purpose::Coordination, 1),
    )
    .await;
    assert_ne!(fetch.id(), commit.id());
    assert_eq!(fetch.peer(), commit.peer());
    let start = Instant::now();
    let (poll, behind) = (
        fetch.submit(&named("poll"), VERSION, after(9)),
        fetch.submit(&named("x"), VERSION, after(9)),
    );
    let held = async {
        let id = fetch_broker.expect_named("poll").await;
        sleep(Duration::from_millis(500)).await;
        fetch_broker.answer_named(id, 0, 0).await;
        fetch_broker.serve_named("x").await;
    };
    let (heartbeat, ()) = tokio::join!(
        async {
            commit
                .request(&named("heartbeat"), VERSION, after(9))
                .await
                .unwrap();
            start.elapsed()
        },
        commit_broker.serve_named("heartbeat")
    );
    assert_eq!(heartbeat, Duration::ZERO);
    let ((), behind) = tokio::join!(held, async {
        behind.await.unwrap();
        start.elapsed()
    });
    assert_eq!(behind, Duration::from_millis(500));
    poll.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_throttle_mutes_one_connection_and_not_the_node() {
    let (pool, mut dials) = pool();
    let (produce, mut produce_broker) = connected(&pool, &mut dials, SHARED).await;
    let (admin, mut admin_broker) =
        connected(&pool, &mut dials, ConnectionGroup::shared(Purpose::Admin)).await;
    let first = produce.submit(&named("first"), VERSION, after(60));
    let id = produce_broker.expect_named("first").await;
    produce_broker.answer_named(id, 0, 30_000).await;
    first.await.unwrap();
    let start = Instant::now();
    let muted = produce.submit(&named("muted"), VERSION, after(60));
    let (free, ()) = tokio::join!(
        admin.submit(&named("free"), VERSION, after(60)),
        admin_broker.serve_named("free")
    );
    free.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    produce_broker.serve_named("muted").await;
    muted.await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert_eq!(pool.stats().throttle_ms, 30_000);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_closes_one_connection_and_not_the_other() {
    let (pool, mut dials) = pool();
    let (fetch, mut fetch_broker) =
        connected(&pool, &mut dials, ConnectionGroup::owned(Purpose::Fetch, 1)).await;
    let (produce, mut produce_broker) = connected(&pool, &mut dials, SHARED).await;
    let error = fetch
        .request(&named("lost"), VERSION, after(5))
        .await
        .unwrap_err();
    assert!(error.is_timeout() && error.written());
    fetch_broker.expect_named("lost").await;
    fetch_broker.closed().await;
    assert!(fetch.is_closed() && !produce.is_closed());
    let (answer, ()) = tokio::join!(
        produce.submit(&named("x"), VERSION, after(5)),
        produce_broker.serve_named("x")
    );
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_is_never_handed_out() {
    let (pool, mut dials) = pool();
    let (first, broker) = connected(&pool, &mut dials, SHARED).await;
    sleep(Duration::from_secs(1)).await;
    drop(broker);
    first.closed().await;
    let (second, _broker) = connected(&pool, &mut dials, SHARED).await;
    assert_ne!(first.id(), second.id());
    settle().await;
    assert_eq!(pool.stats().connections_open, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closing_is_not_handed_out_either() {
    let (pool, mut dials) = pool();
    let (first, _lingering) = tokio::join!(pool.connection(1, SHARED, after(10)), async {
        let mut broker = dials.next().await.accept_lingering();
        broker.handshake().await;
        broker
    });
    let first = first.unwrap();
    assert!(matches!(first.closed().await, CloseReason::Idle));
    // Its task is still taking leave of the peer.
    assert_eq!(pool.stats().connections_open, 1);
    assert!(pool.existing(1, SHARED).is_none());
    let (second, _broker) = connected(&pool, &mut dials, SHARED).await;
    assert_ne!(first.id(), second.id());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(pool.stats().connections_open, 1);
    assert_eq!(pool.existing(1, SHARED).unwrap().id(), second.id());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_up_at_once_is_not_dialed_in_a_tight_loop() {
    let (pool, mut dials) = pool();
    let start = Instant::now();
    for _ in 0..20 {
        let (connection, broker) = connected(&pool, &mut dials, SHARED).await;
        drop(broker);
        connection.closed().await;
    }
    assert!(
        start.elapsed() >= Duration::from_millis(19 * 40),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_and_is_made_anew_on_demand() {
    let (pool, mut dials) = pool();
    let (first, mut broker) = connected(&pool, &mut dials, SHARED).await;
    sleep(Duration::from_secs(541)).await;
    broker.closed().await;
    assert!(matches!(first.closed().await, CloseReason::Idle));
    let (second, _broker) = connected(&pool, &mut dials, SHARED).await;
    assert_ne!(first.id(), second.id());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_moved_is_dialed_at_its_new_address() {
    let (pool, mut dials) = pool();
    let (old, mut old_broker) = connected(&pool, &mut dials, SHARED).await;
    let pending = old.submit(&named("pending"), VERSION, after(10));
    pool.learn_nodes([(1, HostPort::new("elsewhere", 9))]);
    let (new, _new_broker) = tokio::join!(pool.connection(1, SHARED, after(10)), async {
        let dialed = dials.next().await;
        assert_eq!((dialed.host.as_str(), dialed.port), ("elsewhere", 9));
        let mut broker = dialed.accept(1024);
        broker.handshake().await;
        broker
    });
    assert_ne!(new.unwrap().id(), old.id());
    old_broker.serve_named("pending").await;
    pending.await.unwrap();
    assert!(matches!(old.closed().await, CloseReason::Retired));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_broker_that_moves_gets_the_new_address() {
    let (pool, mut dials) = pool();
    let mut waiting = Box::pin(pool.connection(1, SHARED, after(10)));
    assert!(!poll_once(waiting.as_mut()));
    let stale = dials.next().await;
    pool.learn_nodes([(1, HostPort::new("elsewhere", 9))]);
    let (connection, _broker) = tokio::join!(waiting, dials.serve());
    assert_eq!(
        connection.unwrap().peer().address(),
        &HostPort::new("elsewhere", 9)
    );
    assert!(stale.is_abandoned());
}

/// F12: a hint about one broker says nothing about the others.
#[tokio::test(start_paused = true)]
async fn f12_a_hint_about_one_broker_leaves_the_others_alone() {
    let (pool, mut dials) = pool();
    let (connection, _broker) = connected(&pool, &mut dials, SHARED).await;
    pool.learn_nodes([(9, address(9)), (2, HostPort::new("elsewhere", 9))]);
    assert_eq!(pool.existing(1, SHARED).unwrap().id(), connection.id());
    let mut known = Box::pin(pool.connection(3, SHARED, after(1)));
    assert!(!poll_once(known.as_mut()));
    assert_eq!(dials.next().await.host, "b3");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_left_is_unknown_and_its_connection_ends_in_good_order() {
    let (pool, mut dials) = pool();
    let (connection, mut broker) = connected(&pool, &mut dials, SHARED).await;
    let pending = connection.submit(&named("pending"), VERSION, after(10));
    pool.update_nodes([(2, address(2))]);
    let error = pool.connection(1, SHARED, after(1)).await.unwrap_err();
    assert!(
        matches!(error, ConnectionError::UnknownNode { node: 1 }),
        "{error}"
    );
    broker.serve_named("pending").await;
    pending.await.unwrap();
    broker.closed().await;
}

#[tokio::test(start_paused = true)]
async fn closing_an_owner_closes_nothing_else() {
    let (pool, mut dials) = pool();
    let (own, mut own_broker) =
        connected(&pool, &mut dials, ConnectionGroup::owned(Purpose::Fetch, 7)).await;
    let (other, _a) = connected(&pool, &mut dials, ConnectionGroup::owned(Purpose::Fetch, 8)).await;
    let (shared, _b) = connected(&pool, &mut dials, SHARED).await;
    let mut dialing =
        Box::pin(pool.connection(2, ConnectionGroup::owned(Purpose::Join, 7), after(10)));
    assert!(!poll_once(dialing.as_mut()));
    let pending = own.submit(&named("poll"), VERSION, after(10));
    own_broker.expect_named("poll").await;
    pool.close_owner(0);
    pool.close_owner(7);
    assert!(pending.await.unwrap_err().written());
    assert!(matches!(
        dialing.await.unwrap_err(),
        ConnectionError::PoolClosed
    ));
    own_broker.closed().await;
    settle().await;
    assert!(own.is_closed() && !other.is_closed() && !shared.is_closed());
    assert!(dials.next().await.is_abandoned());
    assert_eq!(pool.stats().connections_open, 2);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_is_pending_but_not_beyond_the_deadline() {
    for (answered, seconds) in [(true, 2), (false, 5)] {
        let (pool, mut dials) = pool();
        let (connection, mut broker) = connected(&pool, &mut dials, SHARED).await;
        let pending = connection.submit(&named("last"), VERSION, after(60));
        let id = broker.expect_named("last").await;
        let start = Instant::now();
        let script = async {
            sleep(Duration::from_secs(2)).await;
            if answered {
                broker.answer_named(id, 0, 0).await;
            }
        };
        let ((), ()) = tokio::join!(pool.close(after(5)), script);
        assert_eq!(start.elapsed().as_secs(), seconds);
        assert_eq!(pending.await.is_ok(), answered);
        broker.closed().await;
        assert!(matches!(
            pool.connection(1, SHARED, after(1)).await,
            Err(ConnectionError::PoolClosed)
        ));
        assert!(matches!(
            pool.bootstrap(SHARED, after(1)).await,
            Err(ConnectionError::PoolClosed)
        ));
        let stats = pool.stats();
        assert_eq!(
            (
                stats.connections_open,
                stats.connections_dialing,
                stats.requests_pending
            ),
            (0, 0, 0)
        );
        assert!(pool.shared().tasks.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_closes_everything_without_waiting() {
    let (pool, mut dials) = pool();
    let (connection, mut broker) = connected(&pool, &mut dials, SHARED).await;
    let pending = connection.submit(&named("last"), VERSION, after(60));
    broker.expect_named("last").await;
    let mut dialing = Box::pin(pool.connection(2, SHARED, after(10)));
    assert!(!poll_once(dialing.as_mut()));
    drop(dialing);
    let dialed = dials.next().await;
    let tasks = pool.shared().tasks.clone();
    assert_eq!(tasks.len(), 2);
    drop(pool);
    assert!(pending.await.unwrap_err().written());
    tasks.wait().await;
    assert!(dialed.is_abandoned());
    broker.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_leaves_nobody_waiting() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let connector = move |_host: String, _port: u16| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {
            if true {
                panic!("on purpose")
            } else {
                Ok(tokio::io::duplex(1).0)
            }
        }
    };
    let pool = Pool::new(
        PoolConfig::default(),
        Arc::new(connector),
        fastrand::Rng::with_seed(1),
    );
    pool.update_nodes([(1, address(1))]);
    let error = pool.connection(1, SHARED, after(5)).await.unwrap_err();
    assert!(
        matches!(error.dial_error(), Some(DialError::Interrupted)),
        "{error}"
    );
    pool.connection(1, SHARED, after(5)).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// A pool over bootstrap addresses b1 to b`count`.
fn bootstrapping(count: i32, seed: u64) -> (Pool, Dials) {
    let (connector, dials) = network();
    let config = PoolConfig {
        bootstrap: (1..=count).map(address).collect(),
        ..PoolConfig::default()
    };
    (
        Pool::new(config, Arc::new(connector), fastrand::Rng::with_seed(seed)),
        dials,
    )
}

/// The hosts that a bootstrap with this seed tries when all refuse, twice over.
async fn tried(seed: u64) -> Vec<String> {
    let (pool, mut dials) = bootstrapping(5, seed);
    let mut hosts = Vec::new();
    for _ in 0..2 {
        let (result, ()) = tokio::join!(pool.bootstrap(SHARED, after(60)), async {
            for _ in 0..5 {
                let dialed = dials.next().await;
                hosts.push(dialed.host.clone());
                dialed.refuse();
            }
        });
        match result.unwrap_err() {
            ConnectionError::Bootstrap { failures } => assert_eq!(failures.len(), 5),
            other => panic!("{other}"),
        }
    }
    hosts
}

#[tokio::test(start_paused = true)]
async fn bootstrap_tries_every_address_in_an_order_that_the_seed_decides() {
    let hosts = tried(1).await;
    assert_eq!(hosts, tried(1).await);
    assert_ne!(hosts, tried(2).await);
    for round in hosts.chunks(5) {
        let mut round = round.to_vec();
        round.sort();
        assert_eq!(round, ["b1", "b2", "b3", "b4", "b5"]);
    }
}

#[tokio::test(start_paused = true)]
async fn bootstrap_names_every_address_that_failed() {
    let (pool, mut dials) = bootstrapping(2, 1);
    let (result, ()) = tokio::join!(pool.bootstrap(SHARED, after(60)), async {
        dials.next().await.refuse();
        dials.next().await.refuse();
    });
    let text = result.unwrap_err().to_string();
    assert!(
        text.contains("b1:9092: connection refused")
            && text.contains("b2:9092: connection refused"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn bootstrap_does_not_wait_for_an_address_that_hangs() {
    let (pool, mut dials) = bootstrapping(3, 1);
    let start = Instant::now();
    let (connection, (_hanging, _broker)) =
        tokio::join!(pool.bootstrap(SHARED, after(60)), async {
            (dials.next().await, dials.serve().await)
        });
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let connection = connection.unwrap();
    assert_eq!(connection.node(), None);
    // The next caller gets the same one.
    assert_eq!(
        pool.bootstrap(SHARED, after(60)).await.unwrap().id(),
        connection.id()
    );
    pool.close_bootstrap();
    assert!(matches!(connection.closed().await, CloseReason::Retired));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run() {
    async fn run(seed: u64) -> Vec<(u128, String)> {
        // The timer's ticks are whole milliseconds of the runtime's life; begin on one.
        sleep(Duration::from_millis(1)).await;
        let log = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        let written = log.clone();
        let connector = move |host: String, _port: u16| {
            written
                .lock()
                .unwrap()
                .push((start.elapsed().as_nanos(), host));
            async { Err::<DuplexStream, _>(io::Error::from(io::ErrorKind::ConnectionRefused)) }
        };
        let config = PoolConfig {
            bootstrap: (1..=4).map(address).collect(),
            ..PoolConfig::default()
        };
        let pool = Pool::new(config, Arc::new(connector), fastrand::Rng::with_seed(seed));
        pool.update_nodes((1..=3).map(|node| (node, address(node))));
        let mut callers = JoinSet::new();
        for node in 1..=3 {
            let pool = pool.clone();
            callers.spawn(async move {
                for _ in 0..10 {
                    pool.connection(node, SHARED, after(60)).await.unwrap_err();
                    pool.bootstrap(SHARED, after(60)).await.unwrap_err();
                }
            });
        }
        callers.join_all().await;
        drop(pool);
        settle().await;
        Arc::into_inner(log).unwrap().into_inner().unwrap()
    }
    let first = run(11).await;
    assert!(first.len() > 60);
    assert_eq!(first, run(11).await);
    assert_ne!(first, run(12).await);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_wait_of_those_who_sit_out_a_pause() {
    let (pool, mut dials) = pool();
    let (result, ()) = tokio::join!(pool.connection(1, SHARED, after(10)), async {
        dials.next().await.refuse();
    });
    result.unwrap_err();
    let start = Instant::now();
    let (result, ()) = tokio::join!(pool.connection(1, SHARED, after(10)), pool.close(after(1)));
    assert!(matches!(result, Err(ConnectionError::PoolClosed)));
    assert_eq!(start.elapsed(), Duration::ZERO);
}
