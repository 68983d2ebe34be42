//! Everything the cluster is, owned by the event loop.
//!
//! Owns the way of a request from its frame to its answer: log it, ask the rules, hand it to its API, park it,
//! finish it. What the APIs do is theirs (`api`), what commands of the test handle do is in `cluster`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_codec::messages::request_header::RequestHeader;
use ottla_codec::{ApiKey, ErrorCode, Uuid, VersionRange, frame};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::purgatory::Purgatory;
use crate::api::{self, Outcome};
use crate::broker::{Brokers, DialFault};
use crate::connection::{Connection, Reply};
use crate::event_loop::{Command, Event};
use crate::faults::cuts::RequestCuts;
use crate::faults::rules::{Action, AnyReply, Effects, Ending, Rules};
use crate::faults::stall::Stall;
use crate::groups::{GroupOptions, Groups};
use crate::producers::Producers;
use crate::release::Release;
use crate::requests::{LoggedRequest, RequestLog};
use crate::security::{Acceptor, Login, Sasl};
use crate::timers::Timers;
use crate::topic::{Partition, Topic};
use crate::transport::{self, Transport};
use crate::violations::Violation;

/// What was chosen when the cluster was built.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) transport: Transport,
    pub(crate) auto_create_topics: bool,
    pub(crate) default_partitions: i32,
    pub(crate) default_replication: i16,
    pub(crate) fetch_session_slots: usize,
    pub(crate) pipe_capacity: usize,
    pub(crate) keep_frames: bool,
    pub(crate) sink: bool,
    /// Changes to what ApiVersions advertises: another range, or `None` for not at all.
    pub(crate) advertised: BTreeMap<i16, Option<VersionRange>>,
    pub(crate) release: Release,
    pub(crate) groups: GroupOptions,
    /// What brokers speak TLS with, if they do.
    pub(crate) tls: Option<Acceptor>,
    pub(crate) sasl: Sasl,
}

/// The cluster's clocks: elapsed time from tokio, wall time counted on from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) start: Instant,
    pub(crate) wall_start_ms: i64,
}

/// The whole cluster.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) rng: fastrand::Rng,
    pub(crate) cluster_id: String,
    pub(crate) brokers: Brokers,
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) topic_names: BTreeMap<Uuid, String>,
    pub(crate) groups: Groups,
    pub(crate) producers: Producers,
    pub(crate) rules: Rules,
    pub(crate) cuts: Arc<RequestCuts>,
    /// The brokers that are busy.
    pub(crate) stalls: BTreeMap<i32, Stall>,
    pub(crate) requests: RequestLog,
    pub(crate) violations: Vec<Violation>,
    pub(crate) timers: Timers,
    pub(crate) purgatory: Purgatory,
    /// Partitions that changed since parked requests were last looked at.
    pub(crate) changed: BTreeSet<(String, i32)>,
    connections: BTreeMap<u64, ConnectionEntry>,
    connections_made: u64,
    held: BTreeMap<u64, VecDeque<(RequestContext, Bytes)>>,
    /// Kept so that nothing ever comes of them.
    hung: Vec<Hung>,
    events: mpsc::UnboundedSender<Event>,
    shutdown: CancellationToken,
}

/// A dial that a fault has left hanging.
#[derive(Debug)]
#[expect(dead_code, reason = "what hangs is only kept alive")]
enum Hung {
    Dial(oneshot::Sender<io::Result<DuplexStream>>),
    Accepted(TcpStream),
}

#[derive(Debug)]
struct ConnectionEntry {
    broker: i32,
    replies: mpsc::UnboundedSender<Reply>,
    alive: CancellationToken,
    login: Login,
}

/// One request on its way to its answer.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) connection: u64,
    pub(crate) broker: i32,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<String>,
    pub(crate) effects: Effects,
    /// The request's body, kept only for a rule that wants to see it beside the answer.
    pub(crate) body: Option<Bytes>,
}

impl Clock {
    pub(crate) fn wall_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.wall_start_ms.saturating_add(elapsed)
    }
}

impl State {
    pub(crate) fn new(
        options: Options,
        (seed, wall_start_ms): (u64, i64),
        brokers: Brokers,
        events: mpsc::UnboundedSender<Event>,
        shutdown: CancellationToken,
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let cluster_id = random_uuid(&mut rng).to_string();
        Self {
            requests: RequestLog::new(options.keep_frames),
            groups: Groups::new(options.groups),
            options,
            clock: Clock {
                start: Instant::now(),
                wall_start_ms,
            },
            rng,
            cluster_id,
            brokers,
            topics: BTreeMap::new(),
            topic_names: BTreeMap::new(),
            producers: Producers::default(),
            rules: Rules::default(),
            cuts: Arc::default(),
            stalls: BTreeMap::new(),
            violations: Vec::new(),
            timers: Timers::default(),
            purgatory: Purgatory::default(),
            changed: BTreeSet::new(),
            connections: BTreeMap::new(),
            connections_made: 0,
            held: BTreeMap::new(),
            hung: Vec::new(),
            events,
            shutdown,
        }
    }

    pub(crate) fn handle(&mut self, event: Event) {
        match event {
            Event::Request { connection, frame } => self.received(connection, frame),
            Event::RequestCut {
                connection,
                api,
                read,
            } => {
                let broker = self
                    .connections
                    .get(&connection)
                    .map_or(-1, |entry| entry.broker);
                tracing::debug!(connection, broker, api = ?api, read, "request cut by a rule");
            }
            Event::Closed { connection } => {
                self.connections.remove(&connection);
                self.drop_parked(connection);
                self.groups
                    .forget_requests(|context| context.connection == connection);
            }
            Event::Accepted { broker, stream } => self.accepted(broker, stream),
            Event::Connect { host, port, answer } => self.connect(&host, port, answer),
            Event::Admin(command) => command(self),
        }
        self.settle();
    }

    pub(crate) fn fire_due_timers(&mut self) {
        while let Some(command) = self.timers.pop_due(Instant::now()) {
            command(self);
            self.settle();
        }
    }

    /// Runs `command` in the loop after `delay`.
    pub(crate) fn later(&mut self, delay: Duration, command: Command) {
        self.timers.set(Instant::now() + delay, command);
    }

    /// The topic a request means: by id where it gives one, else by name.
    pub(crate) fn resolve_topic(&self, name: &str, id: Uuid) -> Result<&Topic, ErrorCode> {
        if id.is_zero() {
            return self
                .topics
                .get(name)
                .ok_or(ErrorCode::UnknownTopicOrPartition);
        }
        let name = self.topic_names.get(&id).ok_or(ErrorCode::UnknownTopicId)?;
        self.topics.get(name).ok_or(ErrorCode::UnknownTopicId)
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partition(partition)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.partition_mut(partition)
    }

    /// Has parked requests of the partition looked at again once the current event is done.
    pub(crate) fn mark_changed(&mut self, topic: &str, partition: i32) {
        self.changed.insert((topic.to_owned(), partition));
    }

    pub(crate) fn new_topic_id(&mut self) -> Uuid {
        random_uuid(&mut self.rng)
    }

    /// A random UUID in its usual notation.
    pub(crate) fn random_uuid_text(&mut self) -> String {
        let bits = u128::from_be_bytes(random_uuid(&mut self.rng).0);
        let group = |shift: u32, digits: u32| (bits >> shift) & ((1 << (4 * digits)) - 1);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            group(96, 8),
            group(80, 4),
            group(64, 4),
            group(48, 4),
            group(0, 12)
        )
    }

    pub(crate) fn report(&mut self, violation: Violation) {
        tracing::warn!(%violation, "violation");
        self.violations.push(violation);
    }

    /// Whether a broker takes what is the controller's to do.
    pub(crate) fn acts_as_controller(&self, broker: i32) -> bool {
        self.options.release.forwards_to_controller() || self.controller() == Some(broker)
    }

    /// The broker that metadata names as the controller: a real one with ZooKeeper, any live one in KRaft mode.
    pub(crate) fn controller(&self) -> Option<i32> {
        let mut brokers = self.brokers.values();
        brokers
            .find(|broker| broker.running)
            .map(|broker| broker.id)
    }

    pub(crate) fn is_running(&self, broker: i32) -> bool {
        self.brokers
            .get(&broker)
            .is_some_and(|broker| broker.running)
    }

    /// Answers a request, as its rule wants it answered.
    pub(crate) fn finish(&mut self, context: &RequestContext, mut reply: Box<dyn AnyReply>) {
        if let (Some(edit), Some(body)) = (&context.effects.edit, &context.body) {
            let mut edit = edit
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            edit(body, context.version, reply.as_mut());
        }
        let frame = match reply.encode(context.correlation_id, context.version) {
            Ok(frame) => frame,
            Err(error) => {
                self.report(Violation::Unanswerable {
                    api: context.api,
                    version: context.version,
                    error,
                });
                self.reply(context, Reply::Close);
                return;
            }
        };
        match context.effects.ending {
            Ending::Sent => {
                let throttle = u64::try_from(reply.throttle_time_ms()).unwrap_or_default();
                self.reply(
                    context,
                    Reply::Send {
                        frame,
                        mute_for: Duration::from_millis(throttle),
                    },
                );
            }
            Ending::Closed => self.reply(context, Reply::Close),
            Ending::Lost => {}
            Ending::Cut(at) => {
                let bytes = at.pick(frame.len(), &mut self.rng);
                self.reply(context, Reply::Cut { frame, bytes });
            }
        }
    }

    /// Lets the oldest request of a hold go on.
    pub(crate) fn release_held(&mut self, hold: u64) -> bool {
        let Some((context, body)) = self.held.get_mut(&hold).and_then(VecDeque::pop_front) else {
            return false;
        };
        self.apply(context, &body);
        true
    }

    /// Cuts every connection of a broker, and all that it still had to do for them.
    pub(crate) fn cut_connections(&mut self, broker: i32) {
        for entry in self
            .connections
            .values()
            .filter(|entry| entry.broker == broker)
        {
            entry.alive.cancel();
        }
        for held in self.held.values_mut() {
            held.retain(|(context, _)| context.broker != broker);
        }
        self.stalls.remove(&broker);
        self.purgatory.remove_broker(broker);
        self.groups
            .forget_requests(|context| context.broker == broker);
    }

    /// What a connection has said about who it is, if brokers want to know.
    pub(crate) fn login_mut(&mut self, connection: u64) -> Option<&mut Login> {
        let entry = self.connections.get_mut(&connection)?;
        self.options.sasl.is_on().then_some(&mut entry.login)
    }

    pub(crate) fn connection_count(&self, broker: i32) -> usize {
        self.connections
            .values()
            .filter(|entry| entry.broker == broker && !entry.alive.is_cancelled())
            .count()
    }

    /// Listens for a broker on its TCP port, if the cluster does TCP.
    pub(crate) fn listen(&mut self, broker: i32) -> io::Result<()> {
        if self.options.transport != Transport::Tcp {
            return Ok(());
        }
        let Some(broker) = self.brokers.get_mut(&broker) else {
            return Ok(());
        };
        let socket = match broker.reserved.take() {
            Some(socket) => socket,
            None => transport::reserve(broker.port)?,
        };
        let listener = socket.listen(1024)?;
        tokio::spawn(transport::accept(
            listener,
            broker.id,
            self.events.clone(),
            broker.alive.clone(),
        ));
        Ok(())
    }

    pub(crate) fn new_broker_token(&self) -> CancellationToken {
        self.shutdown.child_token()
    }

    fn connect(
        &mut self,
        host: &str,
        port: u16,
        answer: oneshot::Sender<io::Result<DuplexStream>>,
    ) {
        let found = self
            .brokers
            .values_mut()
            .find(|broker| broker.host == host && broker.port == port);
        let Some(broker) = found else {
            let text = format!("the cluster has no broker at {host}:{port}");
            let _ = answer.send(Err(io::Error::new(io::ErrorKind::NotFound, text)));
            return;
        };
        let id = broker.id;
        let fault = if broker.running {
            broker.dial_faults.pop_front()
        } else {
            Some(DialFault::Refuse)
        };
        let (client, server) = tokio::io::duplex(self.options.pipe_capacity);
        match fault {
            None => self.open(id, server),
            Some(DialFault::CloseAtOnce) => drop(server),
            Some(DialFault::Refuse) => {
                let _ = answer.send(Err(io::ErrorKind::ConnectionRefused.into()));
                return;
            }
            Some(DialFault::Hang) => {
                self.hung.push(Hung::Dial(answer));
                return;
            }
        }
        let _ = answer.send(Ok(client));
    }

    fn accepted(&mut self, id: i32, stream: TcpStream) {
        let fault = self
            .brokers
            .get_mut(&id)
            .and_then(|broker| broker.dial_faults.pop_front());
        match fault {
            None => self.open(id, stream),
            // The operating system has accepted already, so a refusal can only be a close.
            Some(DialFault::CloseAtOnce | DialFault::Refuse) => drop(stream),
            Some(DialFault::Hang) => self.hung.push(Hung::Accepted(stream)),
        }
    }

    fn open<S>(&mut self, broker_id: i32, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(broker) = self
            .brokers
            .get_mut(&broker_id)
            .filter(|broker| broker.running)
        else {
            return;
        };
        broker.connections_accepted += 1;
        self.connections_made += 1;
        let id = self.connections_made;
        let (sender, replies) = mpsc::unbounded_channel();
        let alive = broker.alive.child_token();
        let entry = ConnectionEntry {
            broker: broker_id,
            replies: sender,
            alive: alive.clone(),
            login: Login::new(&self.options.sasl),
        };
        self.connections.insert(id, entry);
        let connection = Connection {
            id,
            broker: broker_id,
            events: self.events.clone(),
            replies,
            cuts: Arc::clone(&self.cuts),
            alive,
            ahead: BytesMut::new(),
        };
        tokio::spawn(connection.serve(stream, self.options.tls.clone()));
    }

    fn received(&mut self, connection: u64, frame: Bytes) {
        // A frame read in the moment its broker went down was never processed.
        let Some(entry) = self
            .connections
            .get(&connection)
            .filter(|entry| !entry.alive.is_cancelled())
        else {
            return;
        };
        let broker = entry.broker;
        let is_open = entry.login.is_open();
        let (header, body) = match frame::decode_request_header(&frame) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.report(Violation::Unreadable { broker, error });
                self.send_reply(connection, Reply::Close);
                return;
            }
        };
        let RequestHeader {
            request_api_key,
            request_api_version: version,
            correlation_id,
            client_id,
            ..
        } = header;
        let Some(api) = ApiKey::from_i16(request_api_key) else {
            self.send_reply(connection, Reply::Close);
            return;
        };
        // Brokers hang up on whoever asks for anything before it is known who asks.
        let introduces = matches!(
            api,
            ApiKey::ApiVersions | ApiKey::SaslAuthenticate | ApiKey::SaslHandshake
        );
        if !is_open && !introduces {
            self.report(Violation::Unauthenticated { broker, api });
            self.send_reply(connection, Reply::Close);
            return;
        }
        if !self.options.sink {
            self.requests.push(
                LoggedRequest {
                    at: self.clock.start.elapsed(),
                    broker,
                    connection,
                    api,
                    version,
                    correlation_id,
                    client_id: client_id.clone(),
                    frame_len: frame.len(),
                    frame_crc: 0,
                    frame: None,
                },
                frame,
            );
        }
        let mut context = RequestContext {
            connection,
            broker,
            api,
            version,
            correlation_id,
            client_id,
            effects: Effects::default(),
            body: None,
        };
        let Some(verdict) =
            self.rules
                .verdict((api, version, broker), context.client_id.as_deref(), &body)
        else {
            self.act(context, body, Action::Proceed);
            return;
        };
        if let Action::Apply(effects) = &verdict.action {
            context.body = effects.edit.is_some().then(|| body.clone());
            context.effects = effects.clone();
        }
        if verdict.delay.is_zero() {
            self.act(context, body, verdict.action);
        } else {
            let alive = self.brokers.get(&broker).map(|broker| broker.alive.clone());
            let act = move |state: &mut Self| {
                // What a broker had not done when it went down stays undone.
                if alive.is_some_and(|alive| !alive.is_cancelled()) {
                    state.act(context, body, verdict.action);
                }
            };
            self.later(verdict.delay, Box::new(act));
        }
    }

    pub(crate) fn act(&mut self, context: RequestContext, body: Bytes, action: Action) {
        if let Some(stall) = self.stalls.get_mut(&context.broker) {
            stall.waiting.push((context, body, action));
            return;
        }
        match action {
            Action::Stall(time) => {
                self.stall(context.broker, time);
                self.act(context, body, Action::Proceed);
            }
            Action::Proceed | Action::Apply(_) => self.apply(context, &body),
            Action::Drop => {}
            Action::Close => self.reply(&context, Reply::Close),
            Action::Hold { hold, arrived } => {
                self.held
                    .entry(hold)
                    .or_default()
                    .push_back((context, body));
                let _ = arrived.send(());
            }
            Action::Reply(answer) => {
                let mut answer = answer
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                match answer(&body, context.version) {
                    Some(reply) => self.finish(&context, reply),
                    None => self.reply(&context, Reply::Close),
                }
            }
        }
    }

    fn apply(&mut self, context: RequestContext, body: &Bytes) {
        match api::serve(self, &context, body) {
            Outcome::Respond(reply) => self.finish(&context, reply),
            Outcome::Silent => {
                let reply = match context.effects.ending {
                    Ending::Sent => Reply::Silent,
                    Ending::Closed | Ending::Cut(_) => Reply::Close,
                    Ending::Lost => return,
                };
                self.reply(&context, reply);
            }
            Outcome::Close => self.reply(&context, Reply::Close),
            Outcome::Park(parked) => self.park(context, parked),
            Outcome::Deferred => {}
        }
    }

    fn reply(&self, context: &RequestContext, reply: Reply) {
        self.send_reply(context.connection, reply);
    }

    fn send_reply(&self, connection: u64, reply: Reply) {
        // A connection that has gone needs no answer.
        if let Some(entry) = self.connections.get(&connection) {
            let _ = entry.replies.send(reply);
        }
    }

    /// Completes parked requests whose partitions changed.
    fn settle(&mut self) {
        while !self.changed.is_empty() {
            let changed = std::mem::take(&mut self.changed);
            self.retry_parked(&changed);
        }
    }
}

fn random_uuid(rng: &mut fastrand::Rng) -> Uuid {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    // Version 4, variant 1 (RFC 4122), like java.util.UUID.randomUUID; never all zero then.
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    Uuid(bytes)
}
