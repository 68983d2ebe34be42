//! The task that owns a consumer's background work.
//!
//! Owns the consumer's fetchers and open questions, follows the metadata, and announces what falls due
//! by time alone. It ends with the consumer, and everything it owns ends with it.
//!
//! It decides nothing about positions: it asks the assignment what is to be asked, asks it, and hands
//! the answers back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_cluster::{NodeId, TopicPartition};
use ottla_codec::ErrorCode;
use ottla_connection::ConnectionGroup;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};

use super::answers::{Circumstances, ListedOffset};
use super::assignment::Assignment;
use super::config::IsolationLevel;
use super::coordinator::Coordinator;
use super::fetcher::Fetcher;
use super::lane::Lane;
use super::lookups::{
    EARLIEST, EpochQuery, Found, LATEST, OffsetFound, OffsetQuery, epoch_ends, list_offsets,
};
use super::positions::{Ask, Leader, Position, Question};
use super::reset::ResetTo;
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::metadata::{TopicInterest, View};

/// How long a topic or partition may be unknown to the brokers before the caller is told: one that was
/// just created takes a moment to be known everywhere.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// The task's state.
#[derive(Debug)]
pub(crate) struct Owner {
    shared: Arc<Shared>,
    coordinator: Coordinator,
    rng: fastrand::Rng,
    /// Brokers that have fetchers.
    brokers: BTreeSet<NodeId>,
    fetchers: JoinSet<()>,
    /// Ends with the broker, if it is one that is no longer being asked.
    questions: JoinSet<Option<NodeId>>,
    /// Brokers that have not answered yet what was asked over the connection for positions.
    asked: BTreeSet<NodeId>,
    interests: BTreeMap<Arc<str>, TopicInterest>,
    /// The assignment and the view of the cluster that were brought together last.
    seen: Option<(u64, Arc<View>)>,
    /// Partitions that brokers do not know, and when the caller is told.
    unknown: BTreeMap<TopicPartition, Instant>,
    /// What fell due up to this moment has been announced.
    looked_at: Instant,
}

impl Owner {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        let shared = coordinator.shared.clone();
        Self {
            rng: shared.core.env.fork_rng(),
            coordinator,
            brokers: BTreeSet::new(),
            fetchers: JoinSet::new(),
            questions: JoinSet::new(),
            asked: BTreeSet::new(),
            interests: BTreeMap::new(),
            seen: None,
            unknown: BTreeMap::new(),
            looked_at: Instant::now(),
            shared,
        }
    }

    /// Runs until the consumer is shut down.
    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut work = shared.work();
        let mut views = shared.core.metadata.subscribe();
        loop {
            work.borrow_and_update();
            let view = views.borrow_and_update().clone();
            let due = self.step(&view);
            tokio::select! {
                biased;
                () = shared.shutdown.cancelled() => break,
                // Before what the answer leads to is asked: it goes over the same connection.
                Some(answered) = self.questions.join_next() => {
                    if let Ok(Some(node)) = answered {
                        self.asked.remove(&node);
                    }
                }
                changed = work.changed() => if changed.is_err() { break },
                changed = views.changed() => if changed.is_err() { break },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    shared.with(|assignment| {
                        assignment.wake_reader();
                        assignment.wake_work();
                    });
                }
            }
        }
        self.fetchers.abort_all();
        self.questions.abort_all();
        // It may be the client that was closed: the reader has to learn of it.
        shared.with(Assignment::close);
        shared.core.pool.close_owner(shared.owner);
        shared.core.pool.close_owner(shared.side_owner);
    }

    /// Does what there is to do now; when there may be something to do next.
    fn step(&mut self, view: &Arc<View>) -> Option<Instant> {
        let now = Instant::now();
        let version = self.shared.with(|assignment| assignment.version());
        let is_seen =
            |(seen, known): &(u64, Arc<View>)| *seen == version && Arc::ptr_eq(known, view);
        if !self.seen.as_ref().is_some_and(is_seen) {
            self.seen = Some((version, view.clone()));
            self.hold_topics();
            self.shared
                .with(|assignment| assignment.follow(&view.cluster));
            self.tell_unknown(view, now);
        } else if self.unknown.values().any(|&at| at <= now) {
            self.tell_unknown(view, now);
        }
        let (sources, questions) = self
            .shared
            .with(|assignment| (assignment.sources(now), assignment.questions(now)));
        for node in sources {
            if self.brokers.insert(node) {
                for lane in [Lane::Main, Lane::Side] {
                    let fetcher = Fetcher::new(self.shared.clone(), node, lane);
                    self.fetchers.spawn(fetcher.run());
                }
            }
        }
        self.ask(questions);
        // Not only what lies ahead: this task may get to look after the time has come, and those who
        // looked before it wait for a word.
        let since = std::mem::replace(&mut self.looked_at, now);
        let due = self.shared.with(|assignment| assignment.next_due(since));
        due.into_iter().chain(self.unknown.values().copied()).min()
    }

    /// Keeps assigned topics in the metadata.
    fn hold_topics(&mut self) {
        let topics: BTreeSet<Arc<str>> = self.shared.with(|assignment| {
            let names = assignment.partitions().map(|(name, _)| name.topic.clone());
            names.collect()
        });
        self.interests.retain(|topic, _| topics.contains(topic));
        for topic in topics {
            let metadata = &self.shared.core.metadata;
            self.interests
                .entry(topic)
                .or_insert_with_key(|topic| metadata.hold(topic));
        }
    }

    /// Tells the caller of partitions that do not exist, once that has lasted; and again, until they do.
    fn tell_unknown(&mut self, view: &View, now: Instant) {
        let assigned: Vec<TopicPartition> = self.shared.with(|assignment| {
            let all = assignment.partitions();
            all.map(|(name, _)| name.clone()).collect()
        });
        let mut unknown = BTreeMap::new();
        for name in assigned {
            let Some(error) = failure(view, &name) else {
                continue;
            };
            let tell_at = self.unknown.remove(&name).unwrap_or(match error.kind() {
                // Access denied and the like need no time to settle.
                ErrorKind::UnknownTopic { .. } | ErrorKind::UnknownPartition { .. } => {
                    now + UNKNOWN_FOR
                }
                _ => now,
            });
            let due = tell_at <= now;
            if due {
                self.shared
                    .with(|assignment| assignment.report(&name, error));
            }
            self.shared.core.metadata.request_refresh();
            unknown.insert(name, if due { now + UNKNOWN_FOR } else { tell_at });
        }
        self.unknown = unknown;
    }

    fn ask(&mut self, questions: Vec<Question>) {
        let mut committed = Vec::new();
        let mut offsets: BTreeMap<NodeId, Vec<Question>> = BTreeMap::new();
        let mut ranges: BTreeMap<NodeId, Vec<Question>> = BTreeMap::new();
        let mut epochs: BTreeMap<NodeId, Vec<Question>> = BTreeMap::new();
        for question in questions {
            match (question.ask, question.leader) {
                (Ask::Committed, _) => committed.push(question),
                (Ask::EpochEnd(_), Some(Leader { node, .. })) => {
                    epochs.entry(node).or_default().push(question);
                }
                (Ask::Offset(_), Some(Leader { node, .. })) => {
                    offsets.entry(node).or_default().push(question);
                }
                (Ask::Range, Some(Leader { node, .. })) => {
                    ranges.entry(node).or_default().push(question);
                }
                (_, None) => {}
            }
        }
        if !committed.is_empty() {
            let asker = self.asker(self.shared.coordination());
            let coordinator = self.coordinator.clone();
            self.questions.spawn(async move {
                asker.committed(coordinator, committed).await;
                None
            });
        }
        for (node, questions) in offsets {
            self.ask_leader(node, |asker| asker.offsets(node, questions));
        }
        for (node, questions) in ranges {
            self.ask_leader(node, |asker| asker.ranges(node, questions));
        }
        for (node, questions) in epochs {
            self.ask_leader(node, |asker| asker.epoch_ends(node, questions));
        }
    }

    /// A question does not wait behind one that is not answered yet: it goes over another connection.
    fn ask_leader<F>(&mut self, node: NodeId, ask: impl FnOnce(Asker) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let is_first = self.asked.insert(node);
        let asker = self.asker(match is_first {
            true => self.shared.positions(),
            false => self.shared.look_ups(),
        });
        let ask = ask(asker);
        self.questions.spawn(async move {
            ask.await;
            is_first.then_some(node)
        });
    }

    fn asker(&mut self, group: ConnectionGroup) -> Asker {
        Asker {
            shared: self.shared.clone(),
            group,
            rng: self.rng.fork(),
        }
    }
}

/// What the newest metadata says against a partition.
fn failure(view: &View, name: &TopicPartition) -> Option<Error> {
    match view.failure(&name.topic) {
        // Known before or not: if it was deleted, that is what all brokers say before long.
        Some(ErrorCode::UnknownTopicOrPartition) => {
            let topic = name.topic.to_string();
            return Some(ErrorKind::UnknownTopic { topic }.into());
        }
        Some(code) if !code.is_retriable() => {
            return Some(Error::broker("Metadata", code, Some(name.clone())));
        }
        _ => {}
    }
    let topic = view.cluster.topic(&name.topic)?;
    let count = topic.partitions().len();
    if count == 0 || topic.partition(name.partition).is_some() {
        return None;
    }
    let (topic, partition) = (name.topic.to_string(), name.partition);
    Some(
        ErrorKind::UnknownPartition {
            topic,
            partition,
            count,
        }
        .into(),
    )
}

/// Asks a number of questions with one request and hands the answers back.
struct Asker {
    shared: Arc<Shared>,
    /// The connections it asks over.
    group: ConnectionGroup,
    rng: fastrand::Rng,
}

impl Asker {
    async fn committed(mut self, coordinator: Coordinator, questions: Vec<Question>) {
        let names: Vec<_> = questions.iter().map(|q| q.partition.clone()).collect();
        let deadline = self.shared.request_deadline();
        match coordinator.committed(&names, deadline).await {
            Ok(found) => self
                .shared
                .with_around(&mut self.rng, |assignment, around| {
                    for question in &questions {
                        let committed = found.get(&question.partition);
                        let position = committed.map(|committed| committed.position());
                        assignment.answer_committed(question, position, around);
                    }
                }),
            Err(error) => self.fail(&questions, &error),
        }
    }

    async fn offsets(mut self, node: NodeId, questions: Vec<Question>) {
        let timestamp = |ask| match ask {
            Ask::Offset(to) => Some(to.timestamp()),
            _ => None,
        };
        let read_committed = self.shared.config.isolation_level == IsolationLevel::ReadCommitted;
        let found = match self.list(node, &questions, timestamp, read_committed).await {
            Ok(found) => found,
            Err(error) => return self.fail(&questions, &error),
        };
        self.settle("ListOffsets", &questions, |assignment, question, _| {
            if let Ask::Offset(to) = question.ask {
                let listed = offset(&found, &question.partition, to)?;
                assignment.answer_offset(question, to, listed);
            }
            Ok(())
        });
    }

    /// A request may name a partition once only, so a range takes two.
    async fn ranges(mut self, node: NodeId, questions: Vec<Question>) {
        let starts = self.list(node, &questions, |_| Some(EARLIEST), false).await;
        // The end that a position is measured against is the log's, whatever may be read of it.
        let ends = match &starts {
            Ok(_) => self.list(node, &questions, |_| Some(LATEST), false).await,
            Err(_) => Ok(Found::new()),
        };
        let (starts, ends) = match (starts, ends) {
            (Ok(starts), Ok(ends)) => (starts, ends),
            (Err(error), _) | (_, Err(error)) => return self.fail(&questions, &error),
        };
        self.settle("ListOffsets", &questions, |assignment, question, _| {
            let name = &question.partition;
            let (start, end) = (end(&starts, name)?, end(&ends, name)?);
            assignment.answer_range(question, start.offset, end.offset);
            Ok(())
        });
    }

    async fn list(
        &self,
        node: NodeId,
        questions: &[Question],
        timestamp: impl Fn(Ask) -> Option<i64>,
        read_committed: bool,
    ) -> Result<Found<OffsetFound>, Error> {
        let query = |question: &Question| {
            Some(OffsetQuery {
                partition: question.partition.clone(),
                leader_epoch: question.leader.and_then(|leader| leader.epoch),
                timestamp: timestamp(question.ask)?,
            })
        };
        let queries: Vec<OffsetQuery> = questions.iter().filter_map(query).collect();
        let shared = &self.shared;
        let (group, deadline) = (self.group, shared.request_deadline());
        list_offsets(
            &shared.core,
            group,
            node,
            &queries,
            read_committed,
            deadline,
        )
        .await
    }

    async fn epoch_ends(mut self, node: NodeId, questions: Vec<Question>) {
        let queries: Vec<EpochQuery> = questions
            .iter()
            .filter_map(|question| match question.ask {
                Ask::EpochEnd(position) => Some(EpochQuery {
                    partition: question.partition.clone(),
                    leader_epoch: question.leader.and_then(|leader| leader.epoch),
                    epoch: position.leader_epoch?,
                }),
                _ => None,
            })
            .collect();
        let shared = &self.shared;
        let (group, deadline) = (self.group, shared.request_deadline());
        let found = match epoch_ends(&shared.core, group, node, &queries, deadline).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.shared.with(|assignment| {
                    for question in &questions {
                        assignment.skip_validation(question);
                    }
                });
                return;
            }
            Err(error) => return self.fail(&questions, &error),
        };
        let api = "OffsetForLeaderEpoch";
        self.settle(api, &questions, |assignment, question, around| {
            if let Ask::EpochEnd(position) = question.ask {
                let end = answer(&found, &question.partition)?;
                assignment.answer_epoch_end(question, position, end, around);
            }
            Ok(())
        });
    }

    /// Hands each question's answer back, or what the broker has against it.
    fn settle(
        &mut self,
        api: &'static str,
        questions: &[Question],
        mut take: impl FnMut(
            &mut Assignment,
            &Question,
            &mut Circumstances<'_>,
        ) -> Result<(), ErrorCode>,
    ) {
        let mut stale = false;
        self.shared
            .with_around(&mut self.rng, |assignment, around| {
                for question in questions {
                    if let Err(code) = take(assignment, question, around) {
                        stale |= code.is_invalid_metadata();
                        let error = Error::broker(api, code, Some(question.partition.clone()));
                        assignment.refuse(question, error, around);
                    }
                }
            });
        if stale {
            self.shared.core.metadata.request_refresh();
        }
    }

    fn fail(&mut self, questions: &[Question], error: &Error) {
        tracing::debug!(%error, "partitions' leaders or coordinator could not be asked");
        self.shared.core.metadata.request_refresh();
        self.shared
            .with_around(&mut self.rng, |assignment, around| {
                for question in questions {
                    assignment.refuse(question, error.clone(), around);
                }
            });
    }
}

/// What a broker said about one partition. That it said nothing passes for an error of its own.
fn answer<T: Copy>(found: &Found<T>, name: &TopicPartition) -> Result<T, ErrorCode> {
    found
        .get(name)
        .copied()
        .unwrap_or(Err(ErrorCode::UnknownServerError))
}

/// The offset a reset leads to; for a timestamp there may be none.
fn offset(
    found: &Found<OffsetFound>,
    name: &TopicPartition,
    to: ResetTo,
) -> Result<ListedOffset, ErrorCode> {
    match to {
        ResetTo::Timestamp(_) => Ok(answer(found, name)?.position),
        ResetTo::Earliest | ResetTo::Latest => end(found, name).map(Some),
    }
}

/// One of a log's two ends. Every log has them: a broker that names none has said nothing.
fn end(found: &Found<OffsetFound>, name: &TopicPartition) -> Result<Position, ErrorCode> {
    let position = answer(found, name)?.position;
    position.ok_or(ErrorCode::UnknownServerError)
}

#[cfg(test)]
mod tests;
