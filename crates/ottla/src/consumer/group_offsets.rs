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
use ottla_codec::Message;
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use ottla_connection::{Backoff, Connection};
use ottla_coordinator::Refusal;
use ottla_coordinator::lookup;
use ottla_coordinator::offsets::{self, Committed};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::positions::Position;
use super::shared::{Shared, closed};
use crate::client::{METADATA, Target};
use crate::error::{Error, ErrorKind, Result};

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
            known: lookup::Coordinator::new(),
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
    known: lookup::Coordinator,
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
        if let Err(error) = &outcome {
            match error.kind() {
                ErrorKind::Broker { code, .. } => self.known.refused(code.error_code()),
                _ => self.known.lost(),
            }
        }
        outcome
    }

    async fn coordinator(&mut self, group: &str, deadline: Instant) -> Result<Connection> {
        let node = match self.known.node() {
            Some(node) => node,
            None => self.find(group, deadline).await?,
        };
        let pool = &self.shared.core.pool;
        Ok(pool
            .connection(node, self.shared.coordination(), deadline)
            .await
            .inspect_err(|_| self.shared.core.metadata.request_refresh())?)
    }

    async fn find(&mut self, group: &str, deadline: Instant) -> Result<i32> {
        let core = &self.shared.core;
        core.metadata.ready(deadline).await?;
        let target: Target = core.any_target();
        let connection = target.connection(&core.pool, METADATA, deadline).await?;
        let versions = FindCoordinatorRequest::VERSIONS;
        let version = connection
            .versions()
            .pick::<FindCoordinatorRequest>(versions)?;
        let request = lookup::Coordinator::request(group, version);
        let response = connection.request(&request, version, deadline).await?;
        self.known
            .found(&response, version)
            .map_err(|refusal| refused("FindCoordinator", refusal))
    }
}

#[derive(Debug, Clone, Copy)]
enum Call<'a> {
    Commit(&'a Offsets),
    Fetch(&'a [TopicPartition]),
}

async fn commit(
    connection: &Connection,
    group: &str,
    offsets: &Offsets,
    deadline: Instant,
) -> Result<Offsets> {
    let version = connection
        .versions()
        .pick::<OffsetCommitRequest>(offsets::commit_versions(None))?;
    let offsets = offsets
        .iter()
        .map(|(name, offset)| {
            (
                (name.topic.to_string(), name.partition),
                offset.clone().into(),
            )
        })
        .collect();
    let request = offsets::commit(group, None, &offsets);
    let response = connection.request(&request, version, deadline).await?;
    offsets::committed(&response, &offsets).map_err(|refusal| refused("OffsetCommit", refusal))?;
    Ok(Offsets::new())
}

async fn fetch(
    connection: &Connection,
    group: &str,
    partitions: &[TopicPartition],
    deadline: Instant,
) -> Result<Offsets> {
    let version = connection
        .versions()
        .pick::<OffsetFetchRequest>(offsets::FETCH_VERSIONS)?;
    let names = partitions.iter().map(|name| (&*name.topic, name.partition));
    let request = offsets::fetch(group, names, version);
    let response = connection.request(&request, version, deadline).await?;
    let fetched = offsets::fetched(&response, group, version)
        .map_err(|refusal| refused("OffsetFetch", refusal))?;
    Ok(fetched
        .into_iter()
        .map(|((topic, partition), offset)| (TopicPartition::new(topic, partition), offset.into()))
        .collect())
}

fn refused(api: &'static str, refusal: Refusal) -> Error {
    Error::broker(
        api,
        refusal.code,
        refusal.partition.map(TopicPartition::from),
    )
}

impl From<OffsetAndMetadata> for Committed {
    fn from(offset: OffsetAndMetadata) -> Self {
        let OffsetAndMetadata {
            offset,
            leader_epoch,
            metadata,
        } = offset;
        Self {
            offset,
            leader_epoch,
            metadata,
        }
    }
}

impl From<Committed> for OffsetAndMetadata {
    fn from(committed: Committed) -> Self {
        let Committed {
            offset,
            leader_epoch,
            metadata,
        } = committed;
        Self {
            offset,
            leader_epoch,
            metadata,
        }
    }
}
