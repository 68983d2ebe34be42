//! Hundreds of callers at a time, on a broken network and with the system's own sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

#[cfg(target_os = "linux")]
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
#[cfg(target_os = "linux")]
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::backoff::Backoff;
use crate::transport::TcpConnector;

/// Hundreds of callers for two dozen keys, on a network that refuses, hangs, hangs up and sometimes serves; some of them
/// give up. Nobody waits beyond the deadline, nobody gets a closed connection or another's, each key has one dial at a
/// time, and what a dead broker does delays no other.
#[tokio::test(start_paused = true)]
async fn hundreds_of_callers_for_many_keys_on_a_broken_network() {
    const HEALTHY: i32 = 4;
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let dialing = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
        let connector = {
            let (dialing, rng) = (dialing.clone(), Mutex::new(rng.fork()));
            move |host: String, _port: u16| {
                let fate = match host.as_str() {
                    "b4" => 9,
                    _ => rng.lock().unwrap().u8(..10),
                };
                *dialing.lock().unwrap().entry(host.clone()).or_default() += 1;
                let dialing = dialing.clone();
                async move {
                    // All groups of a broker may dial at once, but each only once.
                    let now = *dialing.lock().unwrap().get(&host).unwrap();
                    assert!(now <= GROUPS.len(), "{now} dials of {host}");
                    let result = match fate {
                        0..3 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                        3 | 4 => {
                            sleep(Duration::from_secs(3600)).await;
                            Err(io::ErrorKind::TimedOut.into())
                        }
                        _ => {
                            let (ours, theirs) = tokio::io::duplex(64 * 1024);
                            tokio::spawn(serve(Broker { stream: ours }, fate));
                            Ok(theirs)
                        }
                    };
                    *dialing.lock().unwrap().get_mut(&host).unwrap() -= 1;
                    result
                }
            }
        };
        let config = PoolConfig::default();
        let pool = Pool::new(config, Arc::new(connector), rng.fork());
        pool.update_nodes((1..=HEALTHY).map(|node| (node, address(node))));
        let mut callers = JoinSet::new();
        for _ in 0..400 {
            let (pool, mut rng) = (pool.clone(), rng.fork());
            callers.spawn(async move {
                let (node, group) = (rng.i32(1..=HEALTHY), *rng.choice(GROUPS).unwrap());
                sleep(Duration::from_millis(rng.u64(..5_000))).await;
                let (began, deadline) = (Instant::now(), after(rng.u64(1..20)));
                let patience = Duration::from_millis(rng.u64(1..20_000));
                let got = timeout(patience, pool.connection(node, group, deadline)).await;
                assert!(Instant::now() <= deadline + Duration::from_millis(1));
                match got {
                    // It gave up, which no healthy broker gives cause for.
                    Err(_) => assert_ne!(node, HEALTHY),
                    Ok(Ok(connection)) => {
                        assert!(!connection.is_closed());
                        assert_eq!((connection.node(), connection.group()), (Some(node), group));
                    }
                    Ok(Err(error)) => assert_ne!(node, HEALTHY, "{error}"),
                }
                (node == HEALTHY).then(|| began.elapsed())
            });
        }
        let waited = callers.join_all().await.into_iter().flatten().max();
        assert_eq!(waited, Some(Duration::ZERO), "the healthy broker's callers");
        let dials = pool.stats().dials;
        assert!(dials < 400, "{dials}");
        drop(pool);
    }
}

const GROUPS: &[ConnectionGroup] = &[
    SHARED,
    ConnectionGroup::shared(Purpose::Metadata),
    ConnectionGroup::shared(Purpose::Admin),
    ConnectionGroup::owned(Purpose::Fetch, 1),
    ConnectionGroup::owned(Purpose::Coordination, 1),
    ConnectionGroup::owned(Purpose::Join, 1),
];

/// A broker that hangs up before the handshake, after it, or not at all.
async fn serve(mut broker: Broker, fate: u8) {
    if fate == 5 {
        return;
    }
    broker.handshake().await;
    if fate < 8 {
        sleep(Duration::from_millis(100)).await;
        return;
    }
    drop(broker.frame().await);
}

/// The same with the system's own sockets: a listener that never says a word is beside one that works.
#[tokio::test]
async fn a_black_hole_delays_nobody_but_its_own_callers() {
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    stuck_at(hole.local_addr().unwrap(), true).await;
}

/// And an address that answers nothing at all, as behind a firewall: Linux drops what wants to connect to a listener whose
/// queue is full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_filtered_address_delays_nobody_but_its_own_callers() {
    let hole = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    hole.bind(&any.into()).unwrap();
    hole.listen(0).unwrap();
    let address = hole.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    let patience = Duration::from_millis(300);
    while let Ok(connected) = timeout(patience, TcpStream::connect(address)).await {
        queue.push(connected.unwrap());
        assert!(queue.len() < 100, "it answers all the same");
    }
    stuck_at(address, false).await;
}

/// Hundreds of callers want a broker at this address, which connects or does not but answers nothing, and as many one that
/// works.
async fn stuck_at(hole: SocketAddr, connects: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = |address: SocketAddr| HostPort::new("127.0.0.1", address.port());
    let config = PoolConfig {
        setup_timeout: Backoff::new(Duration::from_secs(4), Duration::from_secs(4)),
        ..PoolConfig::default()
    };
    let connector = Arc::new(TcpConnector::new());
    let pool = Pool::new(config, connector, fastrand::Rng::with_seed(1));
    let works = listener.local_addr().unwrap();
    pool.update_nodes([(1, here(hole)), (2, here(works))]);
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let server = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                // The pipe's other end is the socket's.
                let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
                let mut broker = Broker { stream: ours };
                tokio::spawn(async move {
                    broker.handshake().await;
                    drop(broker.frame().await);
                });
                drop(tokio::io::copy_bidirectional(&mut socket, &mut theirs).await);
            });
        }
    });
    let mut stuck = JoinSet::new();
    for n in 0..200 {
        let (pool, group) = (pool.clone(), GROUPS[n % GROUPS.len()]);
        stuck.spawn(async move { pool.connection(1, group, after(2)).await.unwrap_err() });
    }
    settle().await;
    let began = Instant::now();
    let mut served = JoinSet::new();
    for n in 0..200 {
        let (pool, group) = (pool.clone(), GROUPS[n % GROUPS.len()]);
        served.spawn(async move { pool.connection(2, group, after(60)).await.unwrap() });
    }
    let served = served.join_all().await;
    assert!(stuck.try_join_next().is_none(), "all of them still wait");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(served.len(), 200);
    assert_eq!(accepted.load(Ordering::Relaxed), GROUPS.len());
    for error in stuck.join_all().await {
        assert!(error.is_timeout() && !error.written(), "{error}");
    }
    assert_eq!(pool.stats().dials, 2 * GROUPS.len() as u64);
    // Whoever has more patience than the dial is told when that is given up.
    let error = pool.connection(1, GROUPS[0], after(120)).await.unwrap_err();
    match error.dial_error() {
        Some(DialError::SetupTimedOut { connected, after }) => {
            assert_eq!(*connected, connects);
            assert!(*after < Duration::from_secs(6), "{after:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    server.abort();
}
