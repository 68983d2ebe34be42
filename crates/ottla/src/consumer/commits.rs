//! Committing offsets, in the order in which that was asked for.
//!
//! One task works the commits off, so that an older one never lands on a newer one. What is handed in is
//! carried out whether or not anybody waits for it. A member's commit goes out under the generation that
//! is current when it is sent, and only as long as every partition in it has been the consumer's without
//! a break since it was asked for; from the answer to a join until the answer to the sync it waits.
//!
//! Auto-commit is nothing but commits that the task asks itself for.

use std::collections::BTreeSet;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use ottla_cluster::TopicPartition;
use ottla_codec::ErrorCode;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_coordinator::membership::Identity;
use ottla_coordinator::offsets;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::assignment::Assignment;
use super::coordinator::{Coordinator, member_refusal, refused};
use super::offsets::{OffsetAndMetadata, Offsets};
use super::ownership::{Claim, Clearance};
use super::shared::closed;
use crate::error::{Error, ErrorKind, Result};

/// A commit that was asked for.
///
/// It is carried out whether or not it is awaited.
///
/// # Cancel safety
///
/// Dropping it takes nothing back; only the outcome is lost.
#[derive(Debug)]
pub struct PendingCommit {
    state: State,
}

#[derive(Debug)]
enum State {
    Refused(Option<Error>),
    Queued(oneshot::Receiver<Result<()>>),
}

impl PendingCommit {
    pub(crate) fn refused(error: Error) -> Self {
        Self {
            state: State::Refused(Some(error)),
        }
    }

    pub(crate) fn nothing() -> Self {
        Self {
            state: State::Refused(None),
        }
    }
}

impl Future for PendingCommit {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.state {
            State::Refused(error) => Poll::Ready(error.take().map_or(Ok(()), Err)),
            State::Queued(outcome) => Pin::new(outcome)
                .poll(context)
                .map(|outcome| outcome.unwrap_or_else(|_| Err(closed()))),
        }
    }
}

/// Where commits are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Commits {
    jobs: mpsc::UnboundedSender<Job>,
}

#[derive(Debug)]
struct Job {
    what: What,
    deadline: Instant,
    done: oneshot::Sender<Result<()>>,
}

#[derive(Debug)]
enum What {
    /// These offsets.
    These(Offsets, Claim),
    /// What the caller has come back from, of these partitions; of all, if none are named.
    Returned(Option<BTreeSet<TopicPartition>>),
    /// Nothing: only the commits before it are waited for.
    Nothing,
}

impl Commits {
    /// The handle, and the task that works off what is handed in.
    pub(crate) fn new(
        coordinator: Coordinator,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (jobs, queue) = mpsc::unbounded_channel();
        (Self { jobs }, Committer { coordinator }.run(queue))
    }

    /// Commits offsets behind all commits handed in before.
    pub(crate) fn commit(
        &self,
        offsets: Offsets,
        claim: Claim,
        deadline: Instant,
    ) -> PendingCommit {
        self.enqueue(What::These(offsets, claim), deadline)
    }

    /// Commits what the caller has come back from by then; of all partitions, or of some.
    pub(crate) fn commit_returned(
        &self,
        partitions: Option<BTreeSet<TopicPartition>>,
        deadline: Instant,
    ) -> PendingCommit {
        self.enqueue(What::Returned(partitions), deadline)
    }

    /// Waits until everything handed in before is done.
    pub(crate) fn settle(&self, deadline: Instant) -> PendingCommit {
        self.enqueue(What::Nothing, deadline)
    }

    fn enqueue(&self, what: What, deadline: Instant) -> PendingCommit {
        let (done, outcome) = oneshot::channel();
        // Without a task to take it, the outcome is that of a closed consumer.
        drop(self.jobs.send(Job {
            what,
            deadline,
            done,
        }));
        PendingCommit {
            state: State::Queued(outcome),
        }
    }
}

/// As whom a commit may be sent now; nothing, if not yet.
fn cleared(assignment: &Assignment, claim: &Claim) -> Result<Option<Option<Identity>>> {
    match assignment.clear(claim) {
        Clearance::Granted(identity) => Ok(Some(identity)),
        Clearance::Wait => Ok(None),
        Clearance::Ended(partition) => Err(ErrorKind::Revoked { partition }.into()),
    }
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => pending().await,
    }
}

/// Works commits off.
struct Committer {
    coordinator: Coordinator,
}

impl Committer {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let shutdown = self.coordinator.shared.shutdown.clone();
        let mut ticks = self.ticks();
        loop {
            let work = async {
                tokio::select! {
                    biased;
                    job = queue.recv() => match job {
                        Some(job) => self.work_off(job).await,
                        None => pending().await,
                    },
                    () = tick(&mut ticks) => self.commit_by_itself().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = work => {}
            }
        }
    }

    fn ticks(&self) -> Option<Interval> {
        let every = self.coordinator.shared.config.auto_commit()?;
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(ticks)
    }

    async fn commit_by_itself(&self) {
        let deadline = self.coordinator.shared.request_deadline();
        if let Err(error) = self.commit_returned(|_| true, deadline).await {
            // It comes again with the next tick.
            tracing::warn!(%error, "auto-commit failed");
        }
    }

    async fn work_off(&self, job: Job) {
        let Job {
            what,
            deadline,
            done,
        } = job;
        let outcome = match what {
            What::Nothing => Ok(()),
            What::These(offsets, claim) => self.commit(&offsets, &claim, deadline).await,
            What::Returned(None) => self.commit_returned(|_| true, deadline).await,
            What::Returned(Some(names)) => {
                self.commit_returned(|name| names.contains(name), deadline)
                    .await
            }
        };
        // Whoever asked may no longer care.
        drop(done.send(outcome));
    }

    async fn commit_returned(
        &self,
        wanted: impl Fn(&TopicPartition) -> bool,
        deadline: Instant,
    ) -> Result<()> {
        let (offsets, claim) = self.coordinator.shared.with(|assignment| {
            let offsets = assignment.uncommitted(wanted);
            let claim = assignment.claim_positions(&offsets);
            (offsets, claim)
        });
        if offsets.is_empty() {
            return Ok(());
        }
        self.commit(&offsets, &claim?, deadline).await
    }

    /// Tries until it succeeds, fails for good, or the deadline passes.
    async fn commit(&self, offsets: &Offsets, claim: &Claim, deadline: Instant) -> Result<()> {
        let shared = &self.coordinator.shared;
        // What is said against a member may be said against a generation that is just ending: whether a
        // commit is still in order is for the claim to say.
        let may_pass = |error: &Error| error.is_retriable() || member_refusal(error).is_some();
        let attempt = async || self.attempt(offsets, claim, deadline).await;
        let core = &shared.core;
        let committed = core
            .retrying_if(may_pass, "committing offsets", deadline, attempt)
            .await?;
        shared.with(|assignment| assignment.note_committed(claim, &committed));
        Ok(())
    }

    /// Returns what of it was committed: not what has been given up by a reset since it was asked for.
    async fn attempt(
        &self,
        offsets: &Offsets,
        claim: &Claim,
        deadline: Instant,
    ) -> Result<Offsets> {
        let shared = &self.coordinator.shared;
        let identity = shared
            .wait_for_news(|assignment| cleared(assignment, claim))
            .await?;
        let deadline = shared.core.request_deadline(deadline);
        let connection = self
            .coordinator
            .connection(shared.coordination(), deadline)
            .await?;
        let versions = offsets::commit_versions(identity.as_ref());
        let version = connection
            .versions()
            .pick::<OffsetCommitRequest>(versions)?;
        let one = |(name, offset): (&TopicPartition, &OffsetAndMetadata)| {
            (
                (name.topic.to_string(), name.partition),
                offset.clone().into(),
            )
        };
        let group = self.coordinator.group()?;
        // Asked and submitted in one step: no generation begins in between, and no reset.
        let sent = shared.with(|assignment| {
            let Some(identity) = cleared(assignment, claim)? else {
                return Ok(None);
            };
            let left = assignment.still_true(claim, offsets);
            let wire = left.iter().map(one).collect();
            let pending = (!left.is_empty()).then(|| {
                let request = offsets::commit(group, identity.as_ref(), &wire);
                connection.submit(&request, version, deadline)
            });
            Ok::<_, Error>(Some((pending, wire, left, identity)))
        })?;
        let Some((pending, wire, left, identity)) = sent else {
            // A generation has begun meanwhile: the next try waits for it.
            let code = ErrorCode::RebalanceInProgress;
            return Err(Error::broker("OffsetCommit", code, None));
        };
        let Some(pending) = pending else {
            return Ok(left);
        };
        let outcome = match pending.await {
            Ok(response) => offsets::committed(&response, &wire)
                .map(|()| left)
                .map_err(|refusal| refused("OffsetCommit", refusal)),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &outcome
            && let (Some(identity), Some(code)) = (identity, member_refusal(error))
        {
            shared.with(|assignment| {
                assignment.standing.refuse(identity, code);
                assignment.wake_group();
            });
        }
        self.coordinator.note(outcome)
    }
}
