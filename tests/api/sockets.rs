//! What becomes of connections is counted in `metrics()` and told through `tracing`, and the two agree.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{Client, Producer, Record};
use ottla_codec::messages::produce::ProduceRequest;
use ottla_fake::{DialFault, FakeCluster};
use tokio::time::sleep;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::eventually;
use crate::support::fake::{self, client_of};

const BROKERS: i32 = 2;
const IDLE: Duration = Duration::from_secs(60);

/// What has been told so far.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    /// The lines that end with this event, or with this event and what it says of itself.
    fn lines(&self, event: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let has_it = |line: &&str| line.contains(&format!(": {event}"));
        text.lines().filter(has_it).map(str::to_owned).collect()
    }

    fn count(&self, event: &str) -> u64 {
        self.lines(event).len() as u64
    }
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Told {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn sockets(cluster: &FakeCluster) -> u64 {
    let mut sockets = 0;
    for broker in 1..=BROKERS {
        sockets += cluster.connections(broker).await.unwrap();
    }
    sockets as u64
}

/// Everything is idle but for what is counted, so that metrics, log and cluster can be held against each other.
async fn assert_agree(cluster: &FakeCluster, client: &Client, told: &Told) {
    eventually("all agree on what is open", async || {
        client.metrics().connections_open == sockets(cluster).await
    })
    .await;
    let metrics = client.metrics();
    assert_eq!(told.count("dialing"), metrics.dials);
    assert_eq!(told.count("dial failed"), metrics.dial_failures);
    assert_eq!(told.count("connection lost"), metrics.connections_lost);
    let gone = metrics.idle_closes + metrics.connections_lost;
    assert_eq!(
        metrics.dials - metrics.dial_failures,
        metrics.connections_open + gone
    );
    assert_eq!(told.count("closed"), metrics.idle_closes);
}

async fn produce(producer: &Producer) {
    for partition in 0..BROKERS {
        let record = Record::to("t").partition(partition).value("v");
        producer.send(record).await.unwrap().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn dials_losses_throttles_and_idle_closes_are_counted_and_told() {
    let told = Told::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(told.clone())
        .finish();
    // As long as there is only one, an event that first happens on another test's thread is switched off for all.
    let _second = tracing::Dispatch::new(NoSubscriber::new());
    let _guard = tracing::subscriber::set_default(subscriber);

    let cluster = fake::cluster().brokers(BROKERS).topic("t", BROKERS);
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = client_of(&cluster).connections_max_idle(Some(IDLE));
    let client = client.build().unwrap();
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    produce(&producer).await;
    assert_agree(&cluster, &client, &told).await;
    let ready = told.lines("ready");
    for broker in 1..=BROKERS {
        let of_it = |line: &&String| {
            line.contains(&format!("node={broker}")) && line.contains("purpose=Produce")
        };
        assert_eq!(ready.iter().filter(of_it).count(), 1, "{ready:?}");
    }

    // A broker asks for silence.
    let throttled = cluster.on::<ProduceRequest>().times(1);
    drop(throttled.throttle(Duration::from_secs(3)));
    produce(&producer).await;
    produce(&producer).await;
    assert_eq!(client.metrics().throttled, Duration::from_secs(3));
    let throttles = told.lines("throttled");
    assert_eq!(throttles.len(), 1, "{throttles:?}");
    assert!(throttles[0].contains("time=3s"), "{throttles:?}");
    assert!(throttles[0].contains("purpose=Produce"), "{throttles:?}");

    // Another one hangs up, and is not there for a moment.
    let before = client.metrics();
    let refused = cluster.fail_dials(1, DialFault::Refuse, 2);
    refused.await.unwrap();
    cluster.cut_connections(1).await.unwrap();
    produce(&producer).await;
    assert_agree(&cluster, &client, &told).await;
    let metrics = client.metrics();
    assert!(metrics.connections_lost > before.connections_lost);
    assert!(metrics.dial_failures > before.dial_failures);
    assert!(metrics.dials > before.dials + metrics.dial_failures - before.dial_failures);

    // And in the end nobody has anything to say.
    let before = client.metrics();
    sleep(IDLE * 3).await;
    assert_agree(&cluster, &client, &told).await;
    let metrics = client.metrics();
    assert!(metrics.idle_closes >= before.idle_closes + 2, "{metrics:?}");
    let closed = told.lines("closed");
    assert!(
        closed.iter().all(|line| line.contains("idle")),
        "{closed:?}"
    );
}
