//! A group's committed offsets: read and written at the group's coordinator.
//!
//! Owns the knowledge of who the coordinator is, and the order of commits: one task works them off in
//! the order in which they were asked for, so that an older commit never lands on a newer one. A caller
//! who goes away takes nothing back.
//!
//! Knows nothing of membership: it commits as one who has none (generation -1, no member id), which a
//! coordinator accepts as long as the group has no members.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_cluster::TopicPartition;
use ottla_codec::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_codec::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use ottla_codec::{ErrorCode, Message, VersionRange};
use ottla_connection::{Backoff, Connection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::positions::Position;
use super::shared::{Shared, closed};
use crate::client::{METADATA, Target};
use crate::error::{Error, ErrorKind, Result};

/// From this version on, FindCoordinator takes several keys.
const COORDINATOR_KEYS: i16 = 4;
/// From this version on, OffsetFetch takes several groups.
const GROUPS: i16 = 8;
/// From this version on, OffsetFetch can wait for open transactions' commits.
const REQUIRE_STABLE: i16 = 7;
/// The last version that names topics rather than ids.
const LAST_BY_NAME: i16 = 9;

/// An offset to commit, or that was committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The offset of the next record to be read.
    pub offset: i64,
    /// The leader epoch of the last record read (KIP-320), where known: with it, a truncated log is
    /// noticed when reading goes on from here.
    pub leader_epoch: Option<i32>,
    /// Whatever the committer wants to keep with the offset.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// An offset without anything else.
    pub fn new(offset: i64) -> Self {
        Self {
            offset,
            ..Self::default()
        }
    }

    /// The same with metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: impl Into<String>) -> Self {
        Self {
            metadata: metadata.into(),
            ..self
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
        }
    }
}

impl From<i64> for OffsetAndMetadata {
    fn from(offset: i64) -> Self {
        Self::new(offset)
    }
}

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// Where commits and look-ups are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct GroupOffsets {
    jobs: mpsc::UnboundedSender<Job>,
}

#[derive(Debug)]
enum Job {
    Commit {
        offsets: Offsets,
        deadline: Instant,
        done: oneshot::Sender<Result<()>>,
    },
    Fetch {
        partitions: Vec<TopicPartition>,
        deadline: Instant,
        done: oneshot::Sender<Result<Offsets>>,
    },
    Settle {
        done: oneshot::Sender<()>,
    },
}

impl GroupOffsets {
    /// The handle, and the task that works off what is handed in.
    pub(crate) fn new(shared: Arc<Shared>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let coordinator = Coordinator {
            rng: shared.core.env.fork_rng(),
            shutdown: shared.shutdown.clone(),
            shared,
            node: None,
        };
        (Self { jobs }, coordinator.run(queue))
    }

    /// Commits offsets behind all commits handed in before.
    pub(crate) async fn commit(&self, offsets: Offsets, deadline: Instant) -> Result<()> {
        let (done, outcome) = oneshot::channel();
        let job = Job::Commit {
            offsets,
            deadline,
            done,
        };
        self.jobs.send(job).map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?
    }

    /// Waits until everything handed in before is done.
    pub(crate) async fn settle(&self) {
        let (done, outcome) = oneshot::channel();
        if self.jobs.send(Job::Settle { done }).is_ok() {
            // Either way nothing is left to wait for.
            drop(outcome.await);
        }
    }

    /// Looks up committed offsets; partitions without one are left out.
    pub(crate) async fn committed(
        &self,
        partitions: Vec<TopicPartition>,
        deadline: Instant,
    ) -> Result<Offsets> {
        let (done, outcome) = oneshot::channel();
        let job = Job::Fetch {
            partitions,
            deadline,
            done,
        };
        self.jobs.send(job).map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?
    }
}

/// Talks to the group's coordinator.
struct Coordinator {
    shared: Arc<Shared>,
    shutdown: tokio_util::sync::CancellationToken,
    rng: fastrand::Rng,
    node: Option<i32>,
}

impl Coordinator {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                job = queue.recv() => match job {
                    Some(job) => tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return,
                        () = self.work_off(job) => {}
                    },
                    None => return,
                },
            }
        }
    }

    async fn work_off(&mut self, job: Job) {
        match job {
            Job::Settle { done } => drop(done.send(())),
            Job::Commit {
                offsets,
                deadline,
                done,
            } => {
                let outcome = self.commit(&offsets, deadline).await;
                // Whoever asked may no longer care.
                drop(done.send(outcome));
            }
            Job::Fetch {
                partitions,
                deadline,
                done,
            } => {
                let outcome = self.committed(&partitions, deadline).await;
                drop(done.send(outcome));
            }
        }
    }

    async fn commit(&mut self, offsets: &Offsets, deadline: Instant) -> Result<()> {
        self.retrying("committing offsets", deadline, Call::Commit(offsets))
            .await
            .map(drop)
    }

    async fn committed(
        &mut self,
        partitions: &[TopicPartition],
        deadline: Instant,
    ) -> Result<Offsets> {
        let call = Call::Fetch(partitions);
        self.retrying("looking up committed offsets", deadline, call)
            .await
    }

    /// Tries until it succeeds, fails for good, or the deadline passes.
    async fn retrying(
        &mut self,
        operation: &'static str,
        deadline: Instant,
        call: Call<'_>,
    ) -> Result<Offsets> {
        let began = Instant::now();
        let (first, longest) = self.shared.core.config.retry_backoff;
        let backoff = Backoff::new(first, longest);
        let mut failures = 0;
        let mut last: Option<Error> = None;
        loop {
            match timeout_at(deadline, self.attempt(call, deadline)).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) if !error.is_retriable() => return Err(error),
                Ok(Err(error)) => {
                    tracing::debug!(%error, operation, "trying again");
                    last = Some(error);
                }
                Err(_) => {}
            }
            failures += 1;
            let next = Instant::now() + backoff.delay(failures, &mut self.rng);
            if next >= deadline {
                let error = Error::timeout(operation, deadline.saturating_duration_since(began));
                return Err(match last {
                    Some(last) => error.with_source(last),
                    None => error,
                });
            }
            sleep_until(next).await;
        }
    }

    async fn attempt(&mut self, call: Call<'_>, deadline: Instant) -> Result<Offsets> {
        let Some(group) = self.shared.config.group_id.clone() else {
            return Err(ErrorKind::InvalidConfig {
                property: "group.id".to_owned(),
                reason: "offsets are committed for a group, and none is set".to_owned(),
            }
            .into());
        };
        let deadline = deadline.min(self.shared.request_deadline());
        let outcome = match self.coordinator(&group, deadline).await {
            Ok(connection) => match call {
                Call::Commit(offsets) => commit(&connection, &group, offsets, deadline).await,
                Call::Fetch(partitions) => fetch(&connection, &group, partitions, deadline).await,
            },
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome
            && !matches!(error.kind(), ErrorKind::Broker { code, .. }
                if code.error_code() == ErrorCode::CoordinatorLoadInProgress)
        {
            // Whatever it was, asking again who the coordinator is costs little.
            self.node = None;
        }
        outcome
    }

    async fn coordinator(&mut self, group: &str, deadline: Instant) -> Result<Connection> {
        let node = match self.node {
            Some(node) => node,
            None => self.find(group, deadline).await?,
        };
        let pool = &self.shared.core.pool;
        let connection = pool
            .connection(node, self.shared.coordination(), deadline)
            .await
            .inspect_err(|_| self.shared.core.metadata.request_refresh())?;
        self.node = Some(node);
        Ok(connection)
    }

    async fn find(&self, group: &str, deadline: Instant) -> Result<i32> {
        let core = &self.shared.core;
        core.metadata.ready(deadline).await?;
        let target: Target = core.any_target();
        let connection = target.connection(&core.pool, METADATA, deadline).await?;
        let versions = FindCoordinatorRequest::VERSIONS;
        let version = connection
            .versions()
            .pick::<FindCoordinatorRequest>(versions)?;
        let request = match version {
            ..COORDINATOR_KEYS => FindCoordinatorRequest {
                key: group.to_owned(),
                ..FindCoordinatorRequest::default()
            },
            _ => FindCoordinatorRequest {
                coordinator_keys: vec![group.to_owned()],
                ..FindCoordinatorRequest::default()
            },
        };
        let response = connection.request(&request, version, deadline).await?;
        let (node, error) = found(&response, version);
        match ErrorCode::from_code(error) {
            ErrorCode::None => Ok(node),
            code => Err(Error::broker("FindCoordinator", code, None)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Call<'a> {
    Commit(&'a Offsets),
    Fetch(&'a [TopicPartition]),
}

fn found(response: &FindCoordinatorResponse, version: i16) -> (i32, i16) {
    if version < COORDINATOR_KEYS {
        return (response.node_id, response.error_code);
    }
    match response.coordinators.first() {
        Some(coordinator) => (coordinator.node_id, coordinator.error_code),
        None => (-1, ErrorCode::CoordinatorNotAvailable.code()),
    }
}

async fn commit(
    connection: &Connection,
    group: &str,
    offsets: &Offsets,
    deadline: Instant,
) -> Result<Offsets> {
    let own = VersionRange {
        max: LAST_BY_NAME,
        ..OffsetCommitRequest::VERSIONS
    };
    let version = connection.versions().pick::<OffsetCommitRequest>(own)?;
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (name, committed) in offsets {
        let partition = OffsetCommitRequestPartition {
            partition_index: name.partition,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(committed.metadata.clone()),
            ..OffsetCommitRequestPartition::default()
        };
        match topics.last_mut() {
            Some(topic) if *topic.name == *name.topic => topic.partitions.push(partition),
            _ => topics.push(OffsetCommitRequestTopic {
                name: name.topic.to_string(),
                partitions: vec![partition],
                ..OffsetCommitRequestTopic::default()
            }),
        }
    }
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        topics,
        ..OffsetCommitRequest::default()
    };
    let response = connection.request(&request, version, deadline).await?;
    let mut left: BTreeMap<_, _> = offsets.iter().collect();
    for topic in &response.topics {
        for partition in &topic.partitions {
            let name = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            left.remove(&name);
            check("OffsetCommit", partition.error_code, Some(name))?;
        }
    }
    // A success that leaves a partition out is none.
    match left.into_keys().next() {
        None => Ok(Offsets::new()),
        Some(name) => Err(Error::broker(
            "OffsetCommit",
            ErrorCode::UnknownServerError,
            Some(name.clone()),
        )),
    }
}

async fn fetch(
    connection: &Connection,
    group: &str,
    partitions: &[TopicPartition],
    deadline: Instant,
) -> Result<Offsets> {
    let own = VersionRange {
        max: LAST_BY_NAME,
        ..OffsetFetchRequest::VERSIONS
    };
    let version = connection.versions().pick::<OffsetFetchRequest>(own)?;
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for name in partitions {
        topics.entry(&name.topic).or_default().push(name.partition);
    }
    let mut request = OffsetFetchRequest {
        require_stable: version >= REQUIRE_STABLE,
        ..OffsetFetchRequest::default()
    };
    if version < GROUPS {
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopic {
            name: name.to_owned(),
            partition_indexes,
            ..OffsetFetchRequestTopic::default()
        };
        request.group_id = group.to_owned();
        request.topics = Some(topics.into_iter().map(topic).collect());
    } else {
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopics {
            name: name.to_owned(),
            partition_indexes,
            ..OffsetFetchRequestTopics::default()
        };
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(topics.into_iter().map(topic).collect()),
            ..OffsetFetchRequestGroup::default()
        }];
    }
    let response = connection.request(&request, version, deadline).await?;
    read_committed_offsets(response, group, version)
}

fn read_committed_offsets(
    response: OffsetFetchResponse,
    group: &str,
    version: i16,
) -> Result<Offsets> {
    let mut offsets = Offsets::new();
    if version < GROUPS {
        check("OffsetFetch", response.error_code, None)?;
        for topic in response.topics {
            for p in topic.partitions {
                let name = TopicPartition::new(topic.name.as_str(), p.partition_index);
                check("OffsetFetch", p.error_code, Some(name.clone()))?;
                let found = (p.committed_offset, p.committed_leader_epoch, p.metadata);
                offsets.extend(committed_offset(found).map(|committed| (name, committed)));
            }
        }
        return Ok(offsets);
    }
    let groups = response.groups.into_iter();
    for answer in groups.filter(|answer| answer.group_id == group) {
        check("OffsetFetch", answer.error_code, None)?;
        for topic in answer.topics {
            for p in topic.partitions {
                let name = TopicPartition::new(topic.name.as_str(), p.partition_index);
                check("OffsetFetch", p.error_code, Some(name.clone()))?;
                let found = (p.committed_offset, p.committed_leader_epoch, p.metadata);
                offsets.extend(committed_offset(found).map(|committed| (name, committed)));
            }
        }
    }
    Ok(offsets)
}

/// Offset, epoch and metadata as they stand on the wire; a negative offset means that there is none.
fn committed_offset(wire: (i64, i32, Option<String>)) -> Option<OffsetAndMetadata> {
    let (offset, epoch, metadata) = wire;
    (offset >= 0).then(|| OffsetAndMetadata {
        offset,
        leader_epoch: (epoch >= 0).then_some(epoch),
        metadata: metadata.unwrap_or_default(),
    })
}

fn check(api: &'static str, code: i16, partition: Option<TopicPartition>) -> Result<()> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        code => Err(Error::broker(api, code, partition)),
    }
}
