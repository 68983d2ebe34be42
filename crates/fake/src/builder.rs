//! What a cluster is made of, chosen before it starts.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_codec::{ApiKey, VersionRange};
use snafu::ResultExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::NewTopic;
use crate::api::sessions::FetchSessions;
use crate::broker::{Broker, Brokers};
use crate::cluster::FakeCluster;
use crate::error::{FakeError, ListenSnafu};
use crate::event_loop;
use crate::groups::GroupOptions;
use crate::handle::Handle;
use crate::release::Release;
use crate::security::{Authority, Certificate, Sasl, acceptor};
use crate::state::{Options, State};
use crate::transport::{self, Transport};

/// The port of every broker that is reached through pipes.
const PIPE_PORT: u16 = 9092;

/// A topic to create when the cluster starts.
///
/// ```
/// let topic = ottla_fake::TopicSpec::new("accounts", 3).replication(2).config("cleanup.policy", "compact");
/// ```
#[derive(Clone, Debug)]
pub struct TopicSpec {
    pub(crate) new: NewTopic,
}

impl TopicSpec {
    /// A topic with so many partitions.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self {
            new: NewTopic {
                partitions,
                ..NewTopic::named(&name.into())
            },
        }
    }

    /// How many replicas each partition has. Default: the cluster's, see [`FakeClusterBuilder::replication`].
    #[must_use]
    pub fn replication(mut self, replication: i16) -> Self {
        self.new.replication = replication;
        self
    }

    /// The brokers that hold each partition, its preferred leader first; instead of the numbers.
    #[must_use]
    pub fn assignments(mut self, assignments: impl IntoIterator<Item = Vec<i32>>) -> Self {
        self.new.assignments = (0..).zip(assignments).collect();
        (self.new.partitions, self.new.replication) = (-1, -1);
        self
    }

    /// A topic setting by its Kafka name, for example `max.message.bytes`.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.new.configs.push((name.into(), Some(value.into())));
        self
    }
}

/// Chooses what a [`FakeCluster`] is made of.
#[derive(Clone, Debug)]
pub struct FakeClusterBuilder {
    brokers: i32,
    racks: Vec<String>,
    base_port: u16,
    seed: u64,
    wall_clock_start_ms: Option<i64>,
    replication: Option<i16>,
    topics: Vec<TopicSpec>,
    options: Options,
    certificate: Option<Certificate>,
    clients_signed_by: Option<Authority>,
}

impl Default for FakeClusterBuilder {
    fn default() -> Self {
        Self {
            brokers: 1,
            racks: Vec::new(),
            base_port: 0,
            seed: 0,
            wall_clock_start_ms: None,
            replication: None,
            topics: Vec::new(),
            options: Options {
                transport: Transport::Memory,
                auto_create_topics: false,
                default_partitions: 1,
                default_replication: 1,
                fetch_session_slots: 1000,
                pipe_capacity: 64 << 10,
                keep_frames: false,
                sink: false,
                advertised: BTreeMap::new(),
                release: Release::default(),
                groups: GroupOptions::default(),
                tls: None,
                sasl: Sasl::default(),
            },
            certificate: None,
            clients_signed_by: None,
        }
    }
}

impl FakeClusterBuilder {
    /// How many brokers there are; their ids are 1, 2, 3 and so on. Default: 1.
    #[must_use]
    pub fn brokers(mut self, brokers: i32) -> Self {
        self.brokers = brokers;
        self
    }

    /// The brokers' racks in turn. With racks a leader sends consumers to a replica in their own rack (KIP-392), as
    /// brokers with `RackAwareReplicaSelector` do. Default: none.
    #[must_use]
    #[doc(alias = "broker.rack")]
    pub fn racks(mut self, racks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.racks = racks.into_iter().map(Into::into).collect();
        self
    }

    /// Creates a topic with so many partitions, replicated as by [`replication`](Self::replication).
    #[must_use]
    pub fn topic(self, name: impl Into<String>, partitions: i32) -> Self {
        self.topic_spec(TopicSpec::new(name, partitions))
    }

    /// Creates a topic.
    #[must_use]
    pub fn topic_spec(mut self, topic: TopicSpec) -> Self {
        self.topics.push(topic);
        self
    }

    /// Replicas of topics that do not say. Default: 3, or the number of brokers if that is less.
    #[must_use]
    #[doc(alias = "default.replication.factor")]
    pub fn replication(mut self, replication: i16) -> Self {
        self.replication = Some(replication);
        self
    }

    /// Partitions of topics that do not say. Default: 1.
    #[must_use]
    #[doc(alias = "num.partitions")]
    pub fn default_partitions(mut self, partitions: i32) -> Self {
        self.options.default_partitions = partitions;
        self
    }

    /// Whether Metadata creates the topics it is asked about, where the client allows it. Default: no.
    #[must_use]
    #[doc(alias = "auto.create.topics.enable")]
    pub fn auto_create_topics(mut self, enabled: bool) -> Self {
        self.options.auto_create_topics = enabled;
        self
    }

    /// The first broker's TCP port; the others follow. Default: free ports.
    #[must_use]
    pub fn base_port(mut self, port: u16) -> Self {
        self.base_port = port;
        self
    }

    /// What topic ids, session ids and random faults are made from. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The cluster's wall clock at its start, in milliseconds; it goes on with tokio's clock. Default: now.
    ///
    /// A run that is to be repeated exactly sets it (and its client's).
    #[must_use]
    pub fn wall_clock_start_ms(mut self, start: i64) -> Self {
        self.wall_clock_start_ms = Some(start);
        self
    }

    /// How many bytes a pipe holds in each direction before its writer waits. Default: 64 KiB.
    #[must_use]
    pub fn pipe_capacity(mut self, bytes: usize) -> Self {
        self.options.pipe_capacity = bytes.max(1);
        self
    }

    /// How many fetch sessions each broker keeps. Default: 1000.
    #[must_use]
    #[doc(alias = "max.incremental.fetch.session.cache.slots")]
    pub fn fetch_session_slots(mut self, slots: usize) -> Self {
        self.options.fetch_session_slots = slots;
        self
    }

    /// How long a group that had no members waits for more of them once the first has come. Default: 3 seconds.
    ///
    /// As long again for each that comes meanwhile, up to the members' rebalance timeout.
    #[must_use]
    #[doc(alias = "group.initial.rebalance.delay.ms")]
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.options.groups.initial_rebalance_delay = delay;
        self
    }

    /// The session timeouts that group members may ask for. Default: 6 seconds to 30 minutes.
    #[must_use]
    #[doc(alias = "group.min.session.timeout.ms")]
    #[doc(alias = "group.max.session.timeout.ms")]
    pub fn session_timeouts(mut self, allowed: RangeInclusive<Duration>) -> Self {
        let (min, max) = allowed.into_inner();
        self.options.groups.min_session_timeout = min;
        self.options.groups.max_session_timeout = max;
        self
    }

    /// How many members a group may have. Default: as many as there are.
    #[must_use]
    #[doc(alias = "group.max.size")]
    pub fn max_group_size(mut self, members: usize) -> Self {
        self.options.groups.max_size = members;
        self
    }

    /// How long a broker takes to load a group whose coordinator it becomes, because another went down or came back;
    /// until then it answers COORDINATOR_LOAD_IN_PROGRESS. Default: no time.
    #[must_use]
    pub fn group_load_time(mut self, load_time: Duration) -> Self {
        self.options.groups.load_time = load_time;
        self
    }

    /// Whether the request log keeps whole frames beside their hashes. Default: no.
    #[must_use]
    pub fn keep_frames(mut self, keep: bool) -> Self {
        self.options.keep_frames = keep;
        self
    }

    /// Whether what clients produce is acknowledged but not kept, so that a client can be measured and not the cluster.
    /// Default: no.
    ///
    /// Batches are checked up to their checksums and sequences, and take their offsets; but no record in them is looked
    /// at, and the log is left empty, as if retention had taken all of it at once. What
    /// [`append`](FakeCluster::append) puts into a partition stays, until a client produces to that partition. The
    /// request log stays empty.
    #[must_use]
    pub fn sink(mut self, enabled: bool) -> Self {
        self.options.sink = enabled;
        self
    }

    /// Which Kafka the brokers are. Default: the newest there is.
    ///
    /// An older one advertises and serves what that release has of the APIs that are served here, and behaves as it did.
    #[must_use]
    pub fn release(mut self, release: Release) -> Self {
        self.options.release = release;
        self.options.groups.release = release;
        self
    }

    /// Advertises other versions of an API than it serves, whatever the release: fewer, or an API that the test
    /// answers itself through [`FakeCluster::on`].
    #[must_use]
    pub fn advertise(mut self, api: ApiKey, min: i16, max: i16) -> Self {
        self.options
            .advertised
            .insert(api as i16, Some(VersionRange::new(min, max)));
        self
    }

    /// Does without an API: it is neither advertised nor served.
    #[must_use]
    pub fn without(mut self, api: ApiKey) -> Self {
        self.options.advertised.insert(api as i16, None);
        self
    }

    /// Has every broker speak TLS, and nothing else, with this certificate; over TCP brokers are called 127.0.0.1, over
    /// pipes `broker-1` and so on. Default: no TLS.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Has brokers that speak TLS want a certificate of this authority from every client. Default: they want none.
    #[must_use]
    #[doc(alias = "ssl.client.auth")]
    pub fn tls_clients(mut self, authority: &Authority) -> Self {
        self.clients_signed_by = Some(authority.clone());
        self
    }

    /// Has brokers want to know who every client is, and lets this user in, by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    /// Default: nobody is asked.
    #[must_use]
    pub fn sasl_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        let users = Arc::make_mut(&mut self.options.sasl.users);
        users.insert(name.into(), password.into());
        self
    }

    /// The mechanisms that brokers offer, by their names. Default: all.
    #[must_use]
    #[doc(alias = "sasl.enabled.mechanisms")]
    pub fn sasl_mechanisms<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.options.sasl.only = Some(names.into_iter().map(str::to_owned).collect());
        self
    }

    /// How long a client is known for before it has to say again who it is; a connection that does not is closed at its
    /// next request, and that is a [`Violation`](crate::Violation). Default: for ever.
    #[must_use]
    #[doc(alias = "connections.max.reauth.ms")]
    pub fn sasl_session_lifetime(mut self, lifetime: Duration) -> Self {
        self.options.sasl.lifetime = Some(lifetime);
        self
    }

    /// How many iterations of SCRAM brokers ask for. Default: 4096.
    #[must_use]
    pub fn scram_iterations(mut self, iterations: u32) -> Self {
        self.options.sasl.iterations = Some(iterations);
        self
    }

    /// Has brokers sign SCRAM's last message as somebody would who does not know the password.
    #[must_use]
    pub fn forge_scram_signatures(mut self) -> Self {
        self.options.sasl.forges_signatures = true;
        self
    }

    /// Starts the cluster with a TCP listener on 127.0.0.1 for each broker. Pipes work too.
    ///
    /// # Errors
    /// When a port cannot be had, or a topic is one that Kafka refuses.
    ///
    /// # Cancel safety
    /// A start that is dropped leaves nothing behind.
    pub async fn start(mut self) -> Result<FakeCluster, FakeError> {
        self.options.transport = Transport::Tcp;
        self.launch().await
    }

    /// Starts the cluster for clients in this process that connect through [`FakeCluster::connect`]. No socket is
    /// opened, and tokio's paused clock works.
    ///
    /// # Errors
    /// When a topic is one that Kafka refuses.
    ///
    /// # Cancel safety
    /// A start that is dropped leaves nothing behind.
    pub async fn start_in_memory(mut self) -> Result<FakeCluster, FakeError> {
        self.options.transport = Transport::Memory;
        self.launch().await
    }

    async fn launch(mut self) -> Result<FakeCluster, FakeError> {
        if self.brokers < 1 {
            return Err(FakeError::NoBrokers);
        }
        let default = i16::try_from(self.brokers.min(3)).unwrap_or(3);
        self.options.default_replication = self.replication.unwrap_or(default);
        self.options.tls = self
            .certificate
            .as_ref()
            .map(|certificate| acceptor(certificate, self.clients_signed_by.as_ref()))
            .transpose()?;
        let shutdown = CancellationToken::new();
        let brokers = self.make_brokers(&shutdown)?;
        let (events, inbox) = mpsc::unbounded_channel();
        let wall_start_ms = self.wall_clock_start_ms.unwrap_or_else(wall_clock_now_ms);
        let clocks = (self.seed, wall_start_ms);
        let mut state = State::new(
            self.options,
            clocks,
            brokers,
            events.clone(),
            shutdown.clone(),
        );
        for topic in &self.topics {
            let topic = &topic.new;
            topic
                .create(&mut state)
                .map_err(|(_, reason)| FakeError::InvalidTopic {
                    topic: topic.name.clone(),
                    reason,
                })?;
        }
        let ids: Vec<i32> = state.brokers.keys().copied().collect();
        let mut addresses = Vec::with_capacity(ids.len());
        for id in ids {
            let port = state.brokers.get(&id).map_or(0, |broker| broker.port);
            state.listen(id).context(ListenSnafu { port })?;
            if let Some(broker) = state.brokers.get(&id) {
                addresses.push((id, broker.host.clone(), broker.port));
            }
        }
        tokio::spawn(event_loop::run(state, inbox, shutdown.clone()));
        Ok(FakeCluster::new(Handle::new(events), addresses, shutdown))
    }

    fn make_brokers(&self, shutdown: &CancellationToken) -> Result<Brokers, FakeError> {
        let mut brokers = Brokers::new();
        for (id, nth) in (1..=self.brokers).zip(0u16..) {
            let (host, port, reserved) = match self.options.transport {
                Transport::Memory => (format!("broker-{id}"), PIPE_PORT, None),
                Transport::Tcp => {
                    let port = if self.base_port == 0 {
                        0
                    } else {
                        self.base_port.saturating_add(nth)
                    };
                    let socket = transport::reserve(port).context(ListenSnafu { port })?;
                    let bound = socket.local_addr().context(ListenSnafu { port })?.port();
                    ("127.0.0.1".to_owned(), bound, Some(socket))
                }
            };
            let rack = self.racks.iter().cycle().nth(usize::from(nth)).cloned();
            let broker = Broker {
                id,
                host,
                port,
                rack,
                running: true,
                alive: shutdown.child_token(),
                sessions: FetchSessions::new(self.options.fetch_session_slots),
                frozen_metadata: None,
                reserved,
                dial_faults: VecDeque::new(),
                connections_accepted: 0,
            };
            brokers.insert(id, broker);
        }
        Ok(brokers)
    }
}

/// The one place that reads the system's clock.
fn wall_clock_now_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
