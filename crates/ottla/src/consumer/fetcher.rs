//! One broker's fetches over one connection.
//!
//! Owns the loop: ask the assignment what to fetch, reserve room for the answer, send, read the answer's
//! batch headers, send the next fetch, and only then check and decompress what came, while that next
//! fetch is under way. The caller's pace matters only through the byte budget and the queues' limits.
//!
//! A broker has two of these. The main lane keeps a fetch session and waits at the broker for new
//! records. What becomes ready while it waits (a partition that was moved, resumed, or whose full queue
//! has room again) is fetched at once over the side lane, without a session and without waiting, until
//! it has caught up or the main lane is free again.
//!
//! # References
//! - KIP-227: fetch sessions
//! - KIP-516: topic ids

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ottla_cluster::{Broker, LeaderHint, NodeId, TopicPartition};
use ottla_codec::messages::fetch::{
    self, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, ForgottenTopic,
};
use ottla_codec::{ErrorCode, Message, Uuid, VersionRange};
use ottla_connection::{Connection, ConnectionGroup, Pending, Purpose};
use tokio::time::{Duration, Instant};

use super::answers::Absorbed;
use super::budget::Lease;
use super::buffered::ENTRY;
use super::config::IsolationLevel;
use super::decoder::{Decoder, Run, Step};
use super::fetch_session::{FetchPartition, FetchSession, SessionRefusal, SessionRequest};
use super::lane::Lane;
use super::positions::{FetchTarget, Generation};
use super::scan::Piece;
use super::shared::Shared;
use crate::error::Error;
use crate::watch;

/// From this version on, topics go by id.
const BY_ID: i16 = 13;
/// From this version on, a fetch can belong to a session.
const SESSIONS: i16 = 7;
/// From this version on, a fetch names the epoch of the last record before it.
const LAST_FETCHED_EPOCH: i16 = 12;
/// So many answers in a row with nothing in them, each long before its time, are one too many.
const HASTY_ANSWERS: u32 = 3;
/// What an answer is taken to hold for each partition beside the records.
const FRAMING: usize = 128;

/// The task's state.
#[derive(Debug)]
pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    node: NodeId,
    lane: Lane,
    work: watch::Receiver<()>,
    rng: fastrand::Rng,
    connection: Option<Connection>,
    session: FetchSession,
    /// Where full requests begin: another partition each time.
    rotation: usize,
    decoder: Option<Decoder>,
    /// What 256 bytes of records in an answer take in memory, their batches' entries included, as the
    /// latest answers had it.
    held_256: usize,
    /// What the newest answer brought, not decoded yet.
    backlog: Vec<Backlog>,
    hasty: u32,
}

#[derive(Debug)]
struct Backlog {
    partition: TopicPartition,
    generation: Generation,
    pieces: Vec<Piece>,
    response: Arc<Lease>,
}

#[derive(Debug)]
struct InFlight {
    pending: Pending<FetchResponse>,
    targets: BTreeMap<TopicPartition, (FetchTarget, i32)>,
    lease: Lease,
    sent_at: Instant,
}

impl Fetcher {
    pub(crate) fn new(shared: Arc<Shared>, node: NodeId, lane: Lane) -> Self {
        let decoder = Decoder::for_consumer(&shared.budget, &shared.config);
        Self {
            work: shared.work(),
            rng: shared.core.env.fork_rng(),
            node,
            lane,
            connection: None,
            session: match lane {
                Lane::Main => FetchSession::default(),
                Lane::Side => FetchSession::off(),
            },
            rotation: 0,
            decoder: Some(decoder),
            // Until it is known: it is much where each record is a batch.
            held_256: 4 * 256,
            backlog: Vec::new(),
            hasty: 0,
            shared,
        }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            // The next fetch is on its way before what came with the last one is worked through.
            let ahead = self.submit_if_ready();
            self.deliver().await;
            let in_flight = match ahead {
                Some(in_flight) => in_flight,
                None => self.submit_when_ready().await,
            };
            self.receive(in_flight).await;
        }
    }

    /// Sends the next fetch if there is one, room for its answer, and a connection, all without waiting.
    fn submit_if_ready(&mut self) -> Option<InFlight> {
        let connection = self.connection.clone().filter(|open| !open.is_closed())?;
        if self.hasty >= HASTY_ANSWERS || !self.has_work() {
            return None;
        }
        let lease = self.shared.budget.try_take(self.share())?;
        self.submit(&connection, lease)
    }

    async fn submit_when_ready(&mut self) -> InFlight {
        loop {
            if self.hasty >= HASTY_ANSWERS {
                // A broker that answers at once with nothing, over and over, is at fault; it gets the
                // time it was told to take.
                tokio::time::sleep(self.shared.config.fetch_max_wait).await;
                self.hasty = 0;
            }
            self.work.borrow_and_update();
            if !self.has_work() {
                if self.work.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            }
            let lease = self.reserve().await;
            let Some(connection) = self.connect().await else {
                continue;
            };
            if let Some(in_flight) = self.submit(&connection, lease) {
                return in_flight;
            }
        }
    }

    fn has_work(&self) -> bool {
        let now = Instant::now();
        self.shared
            .with(|assignment| assignment.has_fetch_from(self.node, self.lane, now))
    }

    /// This lane's share of the budget for one answer: the lanes together leave a quarter of it for what
    /// has arrived already.
    fn share(&self) -> usize {
        let config = &self.shared.config;
        let now = Instant::now();
        let sources = self.shared.with(|assignment| assignment.sources(now).len());
        let part = match self.lane {
            Lane::Main => 2,
            Lane::Side => 4,
        };
        let share = self.shared.budget.capacity() / part / sources.max(1);
        share.min(config.fetch_max_bytes).max(1)
    }

    async fn reserve(&self) -> Lease {
        let share = self.share();
        if let Some(lease) = self.shared.budget.try_take(share) {
            return lease;
        }
        self.shared.with(|assignment| assignment.make_room());
        self.shared.budget.reserve(share, share / 2).await
    }

    async fn connect(&mut self) -> Option<Connection> {
        if let Some(open) = self.connection.clone().filter(|open| !open.is_closed()) {
            return Some(open);
        }
        let owner = match self.lane {
            Lane::Main => self.shared.owner,
            Lane::Side => self.shared.side_owner,
        };
        let group = ConnectionGroup::owned(Purpose::Fetch, owner);
        let deadline = self.shared.request_deadline();
        let pool = &self.shared.core.pool;
        match pool.connection(self.node.0, group, deadline).await {
            Ok(connection) => {
                self.session.lose();
                self.connection = Some(connection.clone());
                Some(connection)
            }
            Err(error) => {
                tracing::debug!(broker = %self.node, %error, "no connection to fetch over");
                let targets = self.targets();
                self.fail(targets.into_iter().map(|target| (target, None)));
                None
            }
        }
    }

    fn targets(&self) -> Vec<FetchTarget> {
        let now = Instant::now();
        self.shared.with(|assignment| {
            let targets = assignment.fetch_from(self.node, self.lane, now);
            if self.lane == Lane::Main && !targets.is_empty() {
                assignment.set_waiting_at(self.node, true);
            }
            targets
        })
    }

    /// Sends a fetch for what the assignment wants from this broker now.
    fn submit(&mut self, connection: &Connection, lease: Lease) -> Option<InFlight> {
        let mut targets = self.targets();
        if targets.is_empty() {
            return None;
        }
        let by_name = targets.iter().any(|target| target.topic_id.is_zero());
        let own = match by_name {
            true => VersionRange {
                max: BY_ID - 1,
                ..FetchRequest::VERSIONS
            },
            false => FetchRequest::VERSIONS,
        };
        let version = match connection.versions().pick::<FetchRequest>(own) {
            Ok(version) => version,
            Err(error) => {
                let error = Error::from(error);
                self.fail(
                    targets
                        .into_iter()
                        .map(|target| (target, Some(error.clone()))),
                );
                return None;
            }
        };
        if version < SESSIONS && !self.session.is_off() {
            self.session = FetchSession::off();
        }
        let count = targets.len();
        self.rotation = self.rotation.wrapping_add(1);
        targets.rotate_left(self.rotation % count);

        let limit = self
            .shared
            .config
            .max_partition_fetch_bytes
            .min(lease.bytes());
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let wanted = targets
            .iter()
            .map(|target| (target.partition.clone(), wanted(target, limit, version)))
            .collect();
        let session = self.session.request(wanted, version >= BY_ID);
        let most = lease.bytes().saturating_mul(256) / self.held_256;
        let request = self.request(session, version, most.max(1));
        let now = Instant::now();
        let config = &self.shared.config;
        let deadline = now + config.request_timeout + config.fetch_max_wait;
        let pending = connection.submit(&request, version, deadline);
        let with_limit = |target: FetchTarget| {
            let limit = target.needs_bytes.unwrap_or(0).max(limit);
            (target.partition.clone(), (target, limit))
        };
        Some(InFlight {
            pending,
            targets: targets.into_iter().map(with_limit).collect(),
            lease,
            sent_at: now,
        })
    }

    fn request(&self, session: SessionRequest, version: i16, most: usize) -> FetchRequest {
        let config = &self.shared.config;
        let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let bytes = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        FetchRequest {
            max_wait_ms: match self.lane {
                Lane::Main => millis(config.fetch_max_wait),
                Lane::Side => 0,
            },
            min_bytes: bytes(config.fetch_min_bytes),
            max_bytes: bytes(most),
            isolation_level: match config.isolation_level {
                IsolationLevel::ReadUncommitted => 0,
                IsolationLevel::ReadCommitted => 1,
            },
            session_id: session.session_id,
            session_epoch: session.session_epoch,
            topics: topics(session.partitions),
            forgotten_topics_data: session
                .forgotten
                .into_iter()
                .map(|forgotten| ForgottenTopic {
                    topic: forgotten.topic.to_string(),
                    topic_id: forgotten.topic_id,
                    partitions: vec![forgotten.partition],
                    ..ForgottenTopic::default()
                })
                .collect(),
            rack_id: match version {
                ..11 => String::new(),
                _ => config.client_rack.clone(),
            },
            ..FetchRequest::default()
        }
    }

    /// Waits for an answer, reads its headers and moves the fetch positions.
    async fn receive(&mut self, in_flight: InFlight) {
        let InFlight {
            pending,
            targets,
            lease,
            sent_at,
        } = in_flight;
        let outcome = pending.await;
        if self.lane == Lane::Main {
            self.shared
                .with(|assignment| assignment.set_waiting_at(self.node, false));
        }
        let everything = targets.values().map(|(target, _)| target.clone());
        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(broker = %self.node, %error, "a fetch got no answer");
                self.connection = None;
                self.session.lose();
                let everything: Vec<_> = everything.map(|target| (target, None)).collect();
                self.fail(everything.into_iter());
                return;
            }
        };
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None => {
                self.session.acknowledge(response.session_id);
                self.absorb(response, targets, lease, sent_at);
            }
            code => {
                let everything: Vec<_> = everything.collect();
                self.refused(code, everything);
            }
        }
    }

    /// The broker refused the whole fetch.
    fn refused(&mut self, code: ErrorCode, targets: Vec<FetchTarget>) {
        tracing::debug!(broker = %self.node, %code, "a fetch was refused");
        let refusal = match code {
            ErrorCode::FetchSessionIdNotFound => Some(SessionRefusal::UnknownId),
            ErrorCode::InvalidFetchSessionEpoch
            | ErrorCode::FetchSessionTopicIdError
            | ErrorCode::InconsistentTopicId => Some(SessionRefusal::OutOfStep),
            _ => None,
        };
        if let Some(refusal) = refusal
            && self.session.is_incremental()
        {
            // Nothing is wrong with the partitions: they go into a full request at once.
            self.session.refuse(refusal);
            self.shared.with(|assignment| {
                for target in &targets {
                    assignment.release(target);
                }
            });
            return;
        }
        match refusal {
            Some(refusal) => self.session.refuse(refusal),
            None => self.session.lose(),
        }
        let error = (!code.is_retriable()).then(|| Error::broker("Fetch", code, None));
        self.fail(targets.into_iter().map(|target| (target, error.clone())));
    }

    /// Nothing came for these partitions: they are tried again after a pause, with newer metadata.
    fn fail(&mut self, targets: impl Iterator<Item = (FetchTarget, Option<Error>)>) {
        self.shared.core.metadata.request_refresh();
        self.shared
            .with_around(&mut self.rng, |assignment, around| {
                if self.lane == Lane::Main {
                    assignment.set_waiting_at(self.node, false);
                }
                for (target, error) in targets {
                    assignment.unanswered(&target.partition, target.generation, error, around);
                }
            });
    }

    fn absorb(
        &mut self,
        response: FetchResponse,
        mut targets: BTreeMap<TopicPartition, (FetchTarget, i32)>,
        mut lease: Lease,
        sent_at: Instant,
    ) {
        let asked: Vec<TopicPartition> = targets.keys().cloned().collect();
        let names: BTreeMap<Uuid, Arc<str>> = targets
            .values()
            .map(|(target, _)| (target.topic_id, target.partition.topic.clone()))
            .collect();
        let mut answers = Vec::new();
        let mut hints = Vec::new();
        for topic in response.responses {
            let Some(name) = topic_name(&topic, &names) else {
                continue;
            };
            for data in topic.partitions {
                let partition = TopicPartition::new(name.clone(), data.partition_index);
                if let Some(leader) = NodeId::from_wire(data.current_leader.leader_id) {
                    hints.push(LeaderHint {
                        partition: partition.clone(),
                        leader,
                        leader_epoch: data.current_leader.leader_epoch,
                    });
                }
                if let Some((target, limit)) = targets.remove(&partition) {
                    answers.push((target, limit, data));
                }
            }
        }
        let bytes: usize = answers
            .iter()
            .filter_map(|(_, _, data)| data.records.as_ref().map(|records| records.len()))
            .sum();
        let framing = answers.len() * FRAMING;

        let mut refresh = false;
        let mut found = false;
        let mut scanned = Vec::new();
        self.shared
            .with_around(&mut self.rng, |assignment, around| {
                for (target, limit, data) in answers {
                    found |= data.error_code != 0 || data.preferred_read_replica >= 0;
                    let absorbed = assignment.absorb(&target, limit, data, around);
                    let Absorbed {
                        pieces,
                        refresh: stale,
                    } = absorbed;
                    refresh |= stale;
                    found |= stale || !pieces.is_empty();
                    if !pieces.is_empty() {
                        scanned.push((target, pieces));
                    }
                }
                for (target, _) in targets.into_values() {
                    assignment.unmentioned(&target);
                }
                assignment.count_fetch(found);
                // This lane looks for itself what comes next; the others have to be told.
                assignment.wake_other_lanes(self.node, self.lane, &asked, around.now);
            });
        let pieces: usize = scanned.iter().map(|(_, pieces)| pieces.len()).sum();
        let held = match bytes {
            0 => 0,
            _ => bytes + framing + pieces * ENTRY,
        };
        lease.resize(held);
        if let Some(ratio_256) = held.saturating_mul(256).checked_div(bytes) {
            // Up at once, and slowly down again.
            self.held_256 = ratio_256.max((self.held_256 * 3 + ratio_256) / 4);
        }
        let response_lease = Arc::new(lease);
        let backlog = scanned.into_iter().map(|(target, pieces)| Backlog {
            partition: target.partition,
            generation: target.generation,
            pieces,
            response: response_lease.clone(),
        });
        self.backlog.extend(backlog);
        let endpoints = response.node_endpoints.iter().filter_map(endpoint);
        if !hints.is_empty() {
            self.shared.core.apply_hints(hints, endpoints);
        }
        if refresh {
            self.shared.core.metadata.request_refresh();
        }
        let hasty = self.lane == Lane::Main
            && !found
            && bytes == 0
            && sent_at.elapsed() < self.shared.config.fetch_max_wait / 2;
        self.hasty = if hasty { self.hasty + 1 } else { 0 };
    }

    /// Checks and decompresses what came, as far as the budget allows, and puts it before the caller.
    async fn deliver(&mut self) {
        for Backlog {
            partition,
            generation,
            pieces,
            response,
        } in std::mem::take(&mut self.backlog)
        {
            let mut pieces = VecDeque::from(pieces);
            while !pieces.is_empty() {
                let Some(decoder) = &self.decoder else {
                    return;
                };
                let run = decoder.next_run(&mut pieces);
                let (steps, rest) = self.decode(run, &response).await;
                for piece in rest.into_iter().rev() {
                    pieces.push_front(piece);
                }
                let go_on = self
                    .shared
                    .with(|assignment| assignment.push_all(&partition, generation, steps));
                if !go_on {
                    break;
                }
            }
        }
    }

    async fn decode(&mut self, run: Run, response: &Arc<Lease>) -> (Vec<Step>, Vec<Piece>) {
        let Some(mut decoder) = self.decoder.take() else {
            return Default::default();
        };
        let response = response.clone();
        let hand_over = self.shared.core.env.hands_over(run.is_laborious());
        let work = move || {
            let decoded = decoder.decode_ahead(run, &response);
            (decoder, decoded)
        };
        let (decoder, decoded) = match hand_over {
            true => self.shared.core.env.run_cpu(work).await,
            false => work(),
        };
        self.decoder = Some(decoder);
        decoded
    }
}

fn wanted(target: &FetchTarget, limit: i32, version: i16) -> FetchPartition {
    let epoch = target.position.leader_epoch;
    FetchPartition {
        topic_id: target.topic_id,
        offset: target.position.offset,
        current_leader_epoch: target.leader_epoch,
        // A follower that lags behind would take a position it does not know yet for a diverging one.
        last_fetched_epoch: epoch.filter(|_| target.from_leader && version >= LAST_FETCHED_EPOCH),
        max_bytes: target.needs_bytes.unwrap_or(0).max(limit),
    }
}

/// Partitions in the order wanted, neighbours of the same topic under one heading.
fn topics(partitions: Vec<(TopicPartition, FetchPartition)>) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (name, wanted) in partitions {
        let partition = fetch::FetchPartition {
            partition: name.partition,
            current_leader_epoch: wanted.current_leader_epoch.unwrap_or(-1),
            fetch_offset: wanted.offset,
            last_fetched_epoch: wanted.last_fetched_epoch.unwrap_or(-1),
            partition_max_bytes: wanted.max_bytes,
            ..fetch::FetchPartition::default()
        };
        match topics.last_mut() {
            Some(topic) if *topic.topic == *name.topic => topic.partitions.push(partition),
            _ => topics.push(FetchTopic {
                topic: name.topic.to_string(),
                topic_id: wanted.topic_id,
                partitions: vec![partition],
                ..FetchTopic::default()
            }),
        }
    }
    topics
}

/// The name of a topic in an answer, which has either its name or its id.
fn topic_name(
    topic: &FetchableTopicResponse,
    names: &BTreeMap<Uuid, Arc<str>>,
) -> Option<Arc<str>> {
    if topic.topic_id.is_zero() {
        Some(Arc::from(topic.topic.as_str()))
    } else {
        names.get(&topic.topic_id).cloned()
    }
}

fn endpoint(node: &fetch::NodeEndpoint) -> Option<Broker> {
    Some(Broker {
        id: NodeId::from_wire(node.node_id)?,
        host: node.host.clone(),
        port: u16::try_from(node.port).ok()?,
        rack: node.rack.clone(),
    })
}
