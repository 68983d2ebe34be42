//! One socket does not block another: whatever a request waits for, requests of other groups of connections are answered
//! as if it were not there. The groups are listed in `ottla_connection::ConnectionGroup`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ottla::assignor::{Assignor, CooperativeStickyAssignor};
use ottla::{AutoOffsetReset, Client, Consumer, Producer, Record, StartFrom, TopicPartition};
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::list_offsets::ListOffsetsRequest;
use ottla_codec::messages::produce::ProduceRequest;
use ottla_fake::FakeCluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::time::{Instant, sleep, timeout};

use crate::support::fake::{self, client_of};
use crate::support::{PATIENCE, eventually};

/// What anything takes that waits for nothing.
const AT_ONCE: Duration = Duration::from_millis(20);

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

async fn at_once<T>(what: &str, answer: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let answer = timeout(PATIENCE, answer).await;
    let took = began.elapsed();
    assert!(took < AT_ONCE, "{what} took {took:?}");
    answer.expect("an answer")
}

/// One broker, and a client with a consumer of its second partition that has nothing to do with what is slow.
struct World {
    cluster: FakeCluster,
    client: Client,
    reader: Consumer,
    commits: i64,
}

impl World {
    async fn new() -> Self {
        let cluster = fake::cluster().brokers(1).topic("t", 3).topic("u", 1);
        let cluster = cluster.start_in_memory().await.unwrap();
        let client = client_of(&cluster).build().unwrap();
        Self::of(cluster, client).await
    }

    async fn of(cluster: FakeCluster, client: Client) -> Self {
        let reader = client.consumer().group_id("readers").auto_commit(false);
        let reader = reader.build().unwrap();
        reader.assign([(tp(1), StartFrom::Beginning)]).unwrap();
        let mut world = Self {
            cluster,
            client,
            reader,
            commits: 0,
        };
        world.connect().await;
        world
    }

    /// Everything has a connection.
    async fn connect(&mut self) {
        self.cluster
            .append("t", 1, [ottla_fake::Record::of("first")])
            .await
            .unwrap();
        self.reader.next().await.unwrap().unwrap();
        self.reader.commit([(tp(1), 0)]).await.unwrap();
    }

    fn producer(&self) -> Producer {
        let producer = self.client.producer().linger(Duration::ZERO);
        producer.build().unwrap()
    }

    /// All that the rest of the client does goes on, of which a produce may be what is slow.
    async fn others_answer_at_once(&mut self) {
        let admin = self.client.admin();
        at_once("metadata", admin.describe_topics(["t"]))
            .await
            .unwrap();
        let reader = &mut self.reader;
        at_once("a look-up", reader.end_offsets([tp(1)]))
            .await
            .unwrap();
        self.commits += 1;
        at_once("a commit", reader.commit([(tp(1), self.commits)]))
            .await
            .unwrap();
        let committed = at_once("committed offsets", reader.committed([tp(1)])).await;
        assert_eq!(committed.unwrap()[&tp(1)].offset, self.commits);
        let record = ottla_fake::Record::of("v");
        self.cluster.append("t", 1, [record]).await.unwrap();
        at_once("a fetch", reader.next()).await.unwrap().unwrap();
    }

    async fn produce_at_once(&self, producer: &Producer) {
        let sent = async {
            let record = Record::to("u").value("v");
            producer.send(record).await.unwrap().await.unwrap()
        };
        at_once("a produce", sent).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_waits_30_s_holds_up_nobody() {
    let mut world = World::new().await;
    let producer = world.producer();
    world.produce_at_once(&producer).await;
    let waiting = world.client.consumer().group_id("waiting");
    let waiting = waiting.fetch_max_wait(Duration::from_secs(30));
    let mut waiting = waiting.build().unwrap();
    waiting.assign([(tp(0), StartFrom::Beginning)]).unwrap();
    assert!(
        timeout(Duration::from_secs(1), waiting.next())
            .await
            .is_err()
    );
    let parked = world.cluster.waiting_fetches(1).await.unwrap();
    for _ in 0..5 {
        world.others_answer_at_once().await;
        world.produce_at_once(&producer).await;
        // What the waiting consumer itself has to say does not wait either.
        let commit = waiting.commit([(tp(0), 0)]);
        at_once("its own commit", commit).await.unwrap();
        let end = waiting.end_offsets([tp(0)]);
        at_once("its own look-up", end).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let still = world.cluster.waiting_fetches(1).await.unwrap();
    assert!((parked, still) >= (1, 1));
    // And it is answered when there is something.
    let record = ottla_fake::Record::of("v");
    world.cluster.append("t", 0, [record]).await.unwrap();
    at_once("its fetch", waiting.next()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_produce_that_waits_for_replicas_holds_up_nobody() {
    let cluster = fake::cluster().brokers(2).topic("t", 3).topic("u", 2);
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = client_of(&cluster).build().unwrap();
    let mut world = World::of(cluster, client).await;
    let cluster = world.cluster.clone();
    let leader = async |topic: &str, partition| {
        let info = cluster.partition(topic, partition).await.unwrap();
        info.leader.unwrap()
    };
    let slow = leader("t", 0).await;
    let (mut elsewhere, mut beside) = (None, None);
    for partition in 0..2 {
        match leader("u", partition).await == slow {
            true => beside = Some(partition),
            false => elsewhere = Some(partition),
        }
    }
    let (elsewhere, beside) = (elsewhere.unwrap(), beside.unwrap());
    let producer = world.producer();
    let to = |topic: &'static str, partition| {
        let record = Record::to(topic).partition(partition).value("v");
        producer.send(record)
    };
    for partition in 0..2 {
        to("u", partition).await.unwrap().await.unwrap();
    }
    world.cluster.hold_replication("t", 0).await.unwrap();
    let held = to("t", 0).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    for _ in 0..5 {
        world.others_answer_at_once().await;
        let other = async { to("u", elsewhere).await.unwrap().await.unwrap() };
        at_once("a produce to another broker", other).await;
        sleep(Duration::from_secs(1)).await;
    }
    // Nothing of it was in flight when the wait began, so it goes over another connection.
    let behind = async { to("u", beside).await.unwrap().await.unwrap() };
    at_once("a produce beside it", behind).await;
    world.cluster.release_replication("t", 0).await.unwrap();
    at_once("what was held", held).await.unwrap();
    assert_eq!(world.cluster.violations().await.unwrap(), []);
}

/// Two partitions of one leader in the same request: the one without replicas keeps the other from its answer once, and
/// then waits by itself.
#[tokio::test(start_paused = true)]
async fn a_partition_that_keeps_waiting_for_replicas_does_so_alone() {
    let world = World::new().await;
    let producer = world.client.producer().build().unwrap();
    let to = |partition| {
        let record = Record::to("t").partition(partition).value("v");
        producer.send(record)
    };
    for partition in 0..3 {
        to(partition).await.unwrap().await.unwrap();
    }
    let dials = world.client.metrics().dials;
    world.cluster.hold_replication("t", 0).await.unwrap();
    let began = Instant::now();
    let (stuck, beside) = (to(0).await.unwrap(), to(2).await.unwrap());
    beside.await.unwrap();
    let took = began.elapsed();
    // The broker says so in time, and the connection lives.
    assert!(took < Duration::from_secs(28), "{took:?}");
    let mut stuck = Box::pin(stuck.into_future());
    for _ in 0..60 {
        let beside = async { to(2).await.unwrap().await.unwrap() };
        at_once("a produce beside it", beside).await;
        let waits = timeout(Duration::from_secs(1), stuck.as_mut());
        assert!(waits.await.is_err());
    }
    world.cluster.release_replication("t", 0).await.unwrap();
    stuck.await.unwrap();
    // Both over one connection again.
    for partition in [0, 2] {
        to(partition).await.unwrap().await.unwrap();
    }
    assert_eq!(world.client.metrics().dials, dials + 1, "the second one");
    let log = world.cluster.log("t", 0).await.unwrap();
    assert_eq!(log.len(), 3, "nothing twice");
    assert_eq!(world.cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_produce_holds_up_nobody_else() {
    let mut world = World::new().await;
    let producer = world.producer();
    world.produce_at_once(&producer).await;
    let produce = world.cluster.on::<ProduceRequest>().times(1);
    drop(produce.throttle(Duration::from_secs(20)));
    world.produce_at_once(&producer).await;
    let began = Instant::now();
    let muted = producer.send(Record::to("u").value("v")).await.unwrap();
    for _ in 0..5 {
        world.others_answer_at_once().await;
        sleep(Duration::from_secs(1)).await;
    }
    // No way around what the broker has asked for: what comes later waits too.
    let dials = world.client.metrics().dials;
    let record = Record::to("t").partition(2).value("v");
    let later = producer.send(record).await.unwrap();
    muted.await.unwrap();
    later.await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(19));
    assert_eq!(world.client.metrics().dials, dials);
    let metrics = world.client.metrics();
    assert_eq!(metrics.throttled, Duration::from_secs(20));
}

/// 5 MB a second over each connection: 50 MB take ten seconds.
#[tokio::test(start_paused = true)]
async fn a_large_produce_on_a_slow_link_holds_up_nobody_else() {
    const CHUNK: usize = 50_000;
    let cluster = fake::cluster().brokers(1).topic("t", 3).topic("u", 1);
    let cluster = cluster.start_in_memory().await.unwrap();
    let brokers = cluster.clone();
    let slow = move |host: String, port: u16| {
        let brokers = brokers.clone();
        async move {
            let broker = brokers.connect(&host, port).await?;
            let (client, inside) = duplex(CHUNK);
            let (mut from_client, mut to_client) = split(inside);
            let (mut from_broker, mut to_broker) = split(broker);
            tokio::spawn(async move {
                drop(tokio::io::copy(&mut from_broker, &mut to_client).await);
            });
            tokio::spawn(async move {
                let mut chunk = vec![0; CHUNK];
                while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
                    if to_broker.write_all(&chunk[..read]).await.is_err() {
                        break;
                    }
                    if read > CHUNK / 10 {
                        sleep(Duration::from_millis(10)).await;
                    }
                }
                // The other side learns that this one has gone.
                drop(to_broker.shutdown().await);
            });
            Ok(client)
        }
    };
    let client = client_of(&cluster).connector(slow).build().unwrap();
    let mut world = World::of(cluster, client).await;
    let producer = world.client.producer().memory(64 << 20);
    let producer = producer.build().unwrap();
    let value = vec![b'v'; 1_000_000];
    let began = Instant::now();
    let mut deliveries = Vec::new();
    for _ in 0..50 {
        let record = Record::to("u").value(&value);
        deliveries.push(producer.send(record).await.unwrap());
    }
    for _ in 0..8 {
        world.others_answer_at_once().await;
        sleep(Duration::from_secs(1)).await;
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let took = began.elapsed();
    assert!(took > Duration::from_secs(9), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_parked_join_holds_up_no_commit_and_no_other_group() {
    let mut world = World::new().await;
    let member = |group: &str, topic: &str| {
        let member = world.client.consumer().group_id(group).auto_commit(false);
        let member = member.auto_offset_reset(AutoOffsetReset::Earliest);
        // It keeps what it has while it joins.
        let cooperative: Arc<dyn Assignor> = Arc::new(CooperativeStickyAssignor::new());
        let member = member.assignors([cooperative]);
        let member = member.heartbeat_interval(Duration::from_secs(1));
        let member = member.build().unwrap();
        member.subscribe([topic]).unwrap();
        member
    };
    let (mut joining, mut stable) = (member("joining", "t"), member("stable", "u"));
    for (consumer, topic) in [(&mut joining, "t"), (&mut stable, "u")] {
        let record = ottla_fake::Record::of("v");
        world.cluster.append(topic, 0, [record]).await.unwrap();
        timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
    }
    let join = world.cluster.on::<JoinGroupRequest>();
    let parked = join.when(|join| join.group_id == "joining").times(1).hold();
    joining.enforce_rebalance("the test wants one");
    // It joins once its caller comes for more.
    let asks = timeout(Duration::from_secs(5), joining.next());
    drop(asks.await);
    parked.arrived().await.unwrap();
    let heartbeats = world.cluster.on::<HeartbeatRequest>().always().observe();
    for round in 1..=20 {
        world.others_answer_at_once().await;
        let own = joining.commit([(tp(0), round)]);
        at_once("the joining member's commit", own).await.unwrap();
        let other = stable.commit([(TopicPartition::new("u", 0), round)]);
        at_once("another group's commit", other).await.unwrap();
        let record = ottla_fake::Record::of("v");
        world.cluster.append("u", 0, [record]).await.unwrap();
        at_once("another group's fetch", stable.next())
            .await
            .unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert!(heartbeats.hits() >= 19, "{}", heartbeats.hits());
    parked.release().await.unwrap();
    let record = ottla_fake::Record::of("v");
    world.cluster.append("t", 0, [record]).await.unwrap();
    timeout(PATIENCE, joining.next()).await.unwrap().unwrap();
}

/// Looking up an offset by time may mean reading a cold index, or asking remote storage.
#[tokio::test(start_paused = true)]
async fn a_look_up_that_takes_its_time_holds_up_nobody_else() {
    let mut world = World::new().await;
    let producer = world.producer();
    world.produce_at_once(&producer).await;
    let slow = world.client.consumer().group_id("slow");
    let slow = slow.build().unwrap();
    let by_time = |request: &ListOffsetsRequest| {
        let mut partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.any(|partition| partition.timestamp >= 0)
    };
    let look_up = world.cluster.on::<ListOffsetsRequest>();
    let held = look_up.when(by_time).times(1).hold();
    let asker = slow.handle();
    let asks = tokio::spawn(async move { asker.offsets_for_times([(tp(0), 5)]).await });
    held.arrived().await.unwrap();
    for _ in 0..5 {
        world.others_answer_at_once().await;
        world.produce_at_once(&producer).await;
        // A producer and a consumer that are new here ask for ids, coordinators and positions first.
        let newcomer = world.producer();
        world.produce_at_once(&newcomer).await;
        // Nor does the asker's own reading, although its position has to be asked for.
        let start = async {
            slow.assign([(tp(0), StartFrom::End)]).unwrap();
            slow.position(&tp(0)).await
        };
        at_once("its own position", start).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    held.release().await.unwrap();
    asks.await.unwrap().unwrap();
}

/// The numbers are those of `ARCHITECTURE.md`, "Sockets".
#[tokio::test(start_paused = true)]
async fn a_client_at_rest_holds_the_documented_number_of_sockets() {
    const BROKERS: i32 = 3;
    let cluster = fake::cluster().brokers(BROKERS).topic("t", 6);
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = client_of(&cluster).build().unwrap();
    let producer = client.producer().build().unwrap();
    for partition in 0..6 {
        let record = Record::to("t").partition(partition).value("v");
        producer.send(record).await.unwrap().await.unwrap();
    }
    let consumer = client.consumer().group_id("g");
    let consumer = consumer.auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = consumer.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut seen = 0;
    while seen < 6 {
        seen += timeout(PATIENCE, consumer.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
            .record_count();
    }
    let sockets = async || {
        let mut sockets = 0;
        for broker in 1..=BROKERS {
            sockets += cluster.connections(broker).await.unwrap();
        }
        sockets
    };
    // Nobody but the group and the metadata have anything to say now, for longer than idle connections live.
    let quiet = timeout(Duration::from_secs(3600), consumer.next());
    assert!(quiet.await.is_err());
    let at_rest = sockets().await;
    // A fetch at each broker, the heartbeats, and one or two brokers that were asked for metadata lately.
    let own = BROKERS as usize + 1;
    assert!((own + 1..=own + 2).contains(&at_rest), "{at_rest}");
    let metrics = client.metrics();
    assert_eq!(metrics.connections_open, at_rest as u64);
    assert_eq!(
        metrics.dials,
        metrics.connections_open + metrics.idle_closes
    );
    drop(consumer);
    eventually("the consumer's own are closed", async || {
        sockets().await <= 2
    })
    .await;
}
