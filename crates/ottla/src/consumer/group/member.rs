//! The task that is a consumer's member in its group.
//!
//! It owns the [`Membership`], which says what is to be done, and does it: it waits for answers, gives
//! partitions to the assignment and takes them away, tells the listener, and tells the machine what came
//! of it all. It decides two things itself: when the reader has been away for too long, and that nobody
//! holds on to a revoked partition any more.
//!
//! It ends with the consumer, without a word to anybody: leaving is a command.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ottla_cluster::TopicPartition;
use ottla_codec::ErrorCode;
use ottla_coordinator::membership::{
    Failure, Loss, Membership, Partitions, Planning, Revocation, State, Step, Token,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, sleep_until, timeout_at};

use super::Command;
use super::calls::{Answer, Calls};
use super::health::{MemberHealth, MemberState};
use super::rebalances::Rebalance;
use super::subscription::{Subscription, Watch, settled};
use crate::admin::Admin;
use crate::consumer::commits::Commits;
use crate::consumer::coordinator::Coordinator;
use crate::consumer::shared::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::View;

/// How long after one that failed the topics are listed again.
const LIST_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The task's state.
pub(crate) struct Member {
    shared: Arc<Shared>,
    coordinator: Coordinator,
    commits: Commits,
    commands: mpsc::UnboundedReceiver<Command>,
    membership: Membership,
    calls: Calls,
    subscription: Option<Subscription>,
    /// The topics that the subscription comes down to.
    topics: BTreeSet<String>,
    /// Whether the machine knows of them.
    is_subscribed: bool,
    /// When all topics are to be listed, for a subscription by predicate.
    list_at: Option<Instant>,
    watch: Watch,
    /// The view that the machine was told of last, with the topics of interest in it, and those that it watched.
    told: Option<(Arc<View>, BTreeSet<String>, BTreeSet<String>)>,
    /// What is left of each revocation under way.
    revocations: BTreeMap<Token, BTreeSet<TopicPartition>>,
    /// Since when the listener has had the assignments that it has not acknowledged, by their numbers. Those from
    /// before the member was expelled are none of them: it may hold those for as long as it likes.
    unready: BTreeMap<u64, Instant>,
    /// The number of the next assignment.
    next_assignment: u64,
    /// Subscribed topics that cannot be had.
    missing: BTreeSet<String>,
    /// The reader stayed away, and the member left.
    is_expelled: bool,
    /// Who waits for it to have left.
    leaving: Vec<oneshot::Sender<()>>,
    /// What fell due up to this moment was looked at.
    looked_at: Instant,
}

impl Member {
    pub(crate) fn new(
        coordinator: Coordinator,
        commits: Commits,
        commands: mpsc::UnboundedReceiver<Command>,
        membership: Membership,
    ) -> Self {
        let shared = coordinator.shared.clone();
        Self {
            commits,
            commands,
            membership,
            calls: Calls::new(shared.core.clone()),
            subscription: None,
            topics: BTreeSet::new(),
            is_subscribed: false,
            list_at: None,
            watch: Watch::new(shared.core.metadata.clone()),
            told: None,
            revocations: BTreeMap::new(),
            unready: BTreeMap::new(),
            next_assignment: 0,
            missing: BTreeSet::new(),
            is_expelled: false,
            leaving: Vec::new(),
            looked_at: Instant::now(),
            coordinator,
            shared,
        }
    }

    /// Runs until the consumer is shut down.
    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut news = shared.news();
        let mut views = shared.core.metadata.subscribe();
        loop {
            news.borrow_and_update();
            let view = views.borrow_and_update();
            let due = self.go_on(&view);
            tokio::select! {
                biased;
                () = shared.shutdown.cancelled() => return,
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                answer = self.calls.next() => self.take(answer),
                changed = news.changed() => if changed.is_err() { return },
                changed = views.changed() => if changed.is_err() { return },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Does what there is to do now; when there may be something to do next.
    fn go_on(&mut self, view: &Arc<View>) -> Option<Instant> {
        let now = Instant::now();
        self.publish();
        let away = self.look_after_reader(now);
        self.list_topics(now);
        let next = loop {
            self.follow(view, now);
            match self.membership.step(now.into_std()) {
                Step::Wait { until } => break until.map(Instant::from_std),
                step => self.carry_out(step, now),
            }
            self.publish();
        };
        self.publish();
        let since = std::mem::replace(&mut self.looked_at, now);
        let deleted = self.watch.next_due(since);
        [next, away, deleted, self.list_at]
            .into_iter()
            .flatten()
            .min()
    }

    // What the handles ask for.

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Subscribe(subscription) => {
                let entered = self.shared.with(|assignment| {
                    assignment.expect_reader(now);
                    assignment.standing.subscribe(subscription.topics())
                });
                if entered.is_err() {
                    // It had left meanwhile, and its caller has assigned partitions since.
                    return;
                }
                self.is_expelled = false;
                match &subscription {
                    Subscription::Topics(topics) => {
                        self.list_at = None;
                        self.topics = topics.clone();
                        self.is_subscribed = true;
                        self.membership.subscribe(topics.clone(), now.into_std());
                    }
                    Subscription::Matching(_) => {
                        self.list_at = Some(now);
                        self.is_subscribed = false;
                    }
                }
                self.subscription = Some(subscription);
            }
            Command::Rejoin { reason } => self.membership.rejoin(&reason, now.into_std()),
            Command::Leave { departure, done } => {
                self.subscription = None;
                self.topics.clear();
                self.is_subscribed = false;
                self.list_at = None;
                self.leaving.push(done);
                self.membership.leave(departure, now.into_std());
            }
        }
    }

    // What came of what was done.

    fn take(&mut self, answer: Answer) {
        let now = Instant::now().into_std();
        let membership = &mut self.membership;
        match answer {
            Answer::Found(token, found) => membership.coordinator_found(token, found, now),
            Answer::Joined(token, answer) => membership.joined(token, &answer, now),
            Answer::Synced(token, answer) => membership.synced(token, &answer, now),
            Answer::Alive(token, answer) => membership.heartbeat_answered(token, &answer, now),
            Answer::Left(token, answer) => membership.left(token, &answer, now),
            Answer::Unanswered(token, error) => {
                self.coordinator.lost();
                if is_hopeless(&error) {
                    membership.abandon(now);
                    self.fail(error);
                } else {
                    tracing::debug!(%error, "the group's coordinator did not answer");
                    membership.unanswered(token, now);
                }
            }
            Answer::Planned(token, outcome) => membership.planned(token, outcome, now),
            Answer::Revoked(token) => {
                let partitions = self.revocations.remove(&token).unwrap_or_default();
                self.give_up(&partitions);
                self.membership.revoked(token, now);
            }
            // What was not let go of by then is lost, as the machine says itself.
            Answer::Overrun(token) => drop(self.revocations.remove(&token)),
            Answer::Ready(number, owned) => {
                self.unready.remove(&number);
                self.shared.with(|assignment| assignment.open(&owned));
            }
            Answer::Listed(outcome) => self.take_list(outcome),
        }
    }

    // What the machine wants done.

    fn carry_out(&mut self, step: Step, now: Instant) {
        match step {
            Step::FindCoordinator { token, deadline } => {
                let coordinator = self.coordinator.clone();
                self.calls.wait(async move {
                    match coordinator.look_up(Instant::from_std(deadline)).await {
                        Ok(found) => Answer::Found(token, found),
                        Err(error) => Answer::Unanswered(token, error),
                    }
                });
            }
            Step::Join(call) => {
                let joined = |token, answer| Answer::Joined(token, Box::new(answer));
                self.calls.park(*call, joined);
            }
            Step::Sync(call) => self.calls.park(*call, Answer::Synced),
            Step::Heartbeat(call) => {
                let group = self.shared.coordination();
                self.calls.send(group, *call, Answer::Alive);
            }
            Step::Leave(call) => self.calls.leave(self.shared.coordination(), *call),
            Step::Plan { token, planning } => self.plan(token, planning),
            Step::Revoke(revocation) => self.revoke(revocation),
            Step::Assigned {
                added, generation, ..
            } => self.assign(&added, generation, now),
            Step::Lost { partitions, why } => self.lose(&partitions, why),
            Step::Failed(failure) => self.report(failure),
            Step::Left => {
                for done in self.leaving.drain(..) {
                    // Whoever asked may no longer care.
                    let _ = done.send(());
                }
                if self.subscription.is_none() {
                    self.shared.with(|assignment| assignment.standing.reset());
                }
            }
            Step::Wait { .. } => {}
        }
    }

    fn plan(&mut self, token: Token, planning: Planning) {
        let core = self.shared.core.clone();
        let deadline = self.shared.request_deadline();
        self.calls.wait(async move {
            let topics = settled(&core.metadata, planning.topics(), deadline).await;
            Answer::Planned(token, core.env.run_cpu(move || planning.run(topics)).await)
        });
    }

    fn assign(&mut self, added: &Partitions, generation: i32, now: Instant) {
        let added = named(added);
        tracing::info!(
            generation,
            added = added.len(),
            "the group has assigned partitions"
        );
        let (listener, owned) = self.shared.with(|assignment| {
            let listener = assignment.standing.listener();
            let owned = assignment.adopt(added.iter().cloned(), listener.is_some());
            (listener, owned)
        });
        let Some(listener) = listener else {
            return;
        };
        let number = self.next_assignment;
        self.next_assignment += 1;
        self.unready.insert(number, now);
        let deadline = self.listener_waited_for_since().unwrap_or(now) + self.max_poll_interval();
        let (event, acknowledged) = Rebalance::assigned(added, owned.clone(), generation, deadline);
        // Nobody to take it is as good as one who has dealt with it.
        drop(listener.send(event));
        self.calls.wait(async move {
            drop(acknowledged.await);
            Answer::Ready(number, owned)
        });
    }

    fn revoke(&mut self, revocation: Revocation) {
        let Revocation {
            token,
            partitions,
            deadline,
        } = revocation;
        let deadline = Instant::from_std(deadline);
        let partitions = named(&partitions);
        tracing::info!(revoked = partitions.len(), "the group revokes partitions");
        let generation = self
            .membership
            .identity()
            .map(|identity| identity.generation);
        let listener = self.shared.with(|assignment| {
            assignment.retire(&partitions);
            assignment.standing.listener()
        });
        let acknowledged = listener.map(|listener| {
            let (event, acknowledged) =
                Rebalance::revoked(partitions.clone(), generation, deadline);
            drop(listener.send(event));
            acknowledged
        });
        let auto_commit = self.shared.config.auto_commit().is_some();
        if auto_commit {
            // Whatever becomes of the rest: this much is certain already.
            let _queued = self
                .commits
                .commit_returned(Some(partitions.clone()), deadline);
        }
        // Who leaves on purpose waits for no reader, who may be the one that waits.
        let needs_reader = self.leaving.is_empty();
        let (shared, commits) = (self.shared.clone(), self.commits.clone());
        self.revocations.insert(token, partitions.clone());
        self.calls.wait(async move {
            let let_go = async {
                match acknowledged {
                    Some(acknowledged) => drop(acknowledged.await),
                    None if needs_reader => {
                        let called = shared.wait_for_news(|assignment| {
                            Ok(assignment.reader_has_called().then_some(()))
                        });
                        drop(called.await);
                    }
                    None => {}
                }
                if auto_commit
                    && let Err(error) = commits.commit_returned(Some(partitions), deadline).await
                {
                    tracing::warn!(%error, "auto-commit of revoked partitions failed");
                }
            };
            match timeout_at(deadline, let_go).await {
                Ok(()) => Answer::Revoked(token),
                Err(_) => Answer::Overrun(token),
            }
        });
    }

    fn lose(&mut self, partitions: &Partitions, why: Loss) {
        let partitions = named(partitions);
        tracing::warn!(lost = partitions.len(), %why, "partitions are lost to the group");
        for left in self.revocations.values_mut() {
            left.retain(|name| !partitions.contains(name));
        }
        self.give_up(&partitions);
        let listener = self
            .shared
            .with(|assignment| assignment.standing.listener());
        if let Some(listener) = listener {
            drop(listener.send(Rebalance::lost(partitions)));
        }
    }

    fn give_up(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.shared.with(|assignment| {
            for name in partitions {
                assignment.revoke(name);
            }
            assignment.wake_group();
        });
    }

    /// Tells the reader why the member cannot go on.
    fn report(&mut self, failure: Failure) {
        let kind = match &failure {
            Failure::Fenced { instance_id } => ErrorKind::FencedInstance {
                instance_id: instance_id.clone(),
            },
            Failure::InconsistentProtocol { offered } => ErrorKind::InconsistentGroup {
                offered: offered.clone(),
                chosen: None,
            },
            Failure::UnknownAssignor { chosen, offered } => ErrorKind::InconsistentGroup {
                offered: offered.clone(),
                chosen: Some(chosen.clone()),
            },
            Failure::Refused { code } => {
                return self.fail(Error::broker("JoinGroup", *code, None));
            }
            // Another attempt may find other members, or other topics.
            _ => {
                let kind = ErrorKind::AssignmentFailed {
                    reason: failure.to_string(),
                };
                return self.expel(kind.into());
            }
        };
        self.fail(kind.into());
    }

    fn fail(&mut self, error: Error) {
        tracing::warn!(%error, "the consumer cannot be in its group");
        self.shared.with(|assignment| {
            assignment.standing.fail(error);
            assignment.wake_reader();
        });
    }

    fn expel(&mut self, error: Error) {
        tracing::warn!(%error, "the consumer is out of its group until it is asked for records again");
        self.is_expelled = true;
        self.unready.clear();
        self.shared.with(|assignment| {
            assignment.standing.expel(error);
            assignment.wake_reader();
        });
    }

    // What it looks after by itself.

    /// Tells the assignment as whom offsets are committed, and the handles how it goes.
    fn publish(&mut self) {
        let (state, since) = self.membership.state();
        let health = MemberHealth {
            state: MemberState::of(state, self.is_expelled),
            since: Some(Instant::from_std(since)),
            identity: self.membership.identity(),
            last_confirmed: self.membership.last_confirmed().map(Instant::from_std),
            unacknowledged_since: self.listener_waited_for_since(),
            missing_topics: self.missing.clone(),
        };
        let commits_wait = self.membership.commits_wait();
        self.shared.with(|assignment| {
            if assignment.standing.publish(health, commits_wait) {
                assignment.wake_group();
            }
        });
    }

    /// Tells the machine what others have noticed of the reader and of commits; when to look again.
    fn look_after_reader(&mut self, now: Instant) -> Option<Instant> {
        let (refusals, returns, away) = self.shared.with(|assignment| {
            let away = assignment.away_since(now);
            let standing = &mut assignment.standing;
            (standing.take_refusals(), standing.take_return(), away)
        });
        for (identity, code) in refusals {
            self.membership
                .commit_refused(&identity, code, now.into_std());
        }
        if returns {
            self.is_expelled = false;
            self.membership.resume(now.into_std());
        }
        if matches!(self.membership.state().0, State::Resting | State::Leaving) {
            return None;
        }
        let interval = self.max_poll_interval();
        // A listener that does not come back keeps records from the reader.
        let listener = self.listener_waited_for_since();
        let Some(since) = away.into_iter().chain(listener).min() else {
            return Some(now + interval);
        };
        if since + interval > now {
            return Some(since + interval);
        }
        let by_listener = listener == Some(since) && away != listener;
        let why = match by_listener {
            true => "the listener did not acknowledge an assignment in time",
            false => "the consumer was not asked for records in time",
        };
        self.membership.quit(why, now.into_std());
        let kind = ErrorKind::MaxPollExceeded {
            interval,
            by_listener,
        };
        self.expel(kind.into());
        None
    }

    fn max_poll_interval(&self) -> Duration {
        self.shared.config.group.max_poll_interval
    }

    /// Since when there has been an assignment that the listener is to acknowledge.
    fn listener_waited_for_since(&self) -> Option<Instant> {
        self.unready.values().copied().min()
    }

    /// Tells the machine of topics that it wants to know of.
    fn follow(&mut self, view: &Arc<View>, now: Instant) {
        let watched = self.membership.watched().cloned().unwrap_or_default();
        let interest: BTreeSet<String> = watched.union(&self.topics).cloned().collect();
        let is_told = self.told.as_ref().is_some_and(|(seen, of, told)| {
            Arc::ptr_eq(seen, view) && *of == interest && *told == watched
        });
        if is_told
            && self
                .watch
                .next_due(self.looked_at)
                .is_none_or(|at| at > now)
        {
            return;
        }
        self.watch.hold(&interest);
        let topics = self.watch.known(view, &watched, now);
        self.told = Some((view.clone(), interest, watched));
        self.look_for_missing(view);
        if self.membership.watched().is_some() {
            self.membership.metadata(&topics, now.into_std());
        }
    }

    /// Says of each subscribed topic once that it cannot be had: nothing else would, where a name is misspelt.
    fn look_for_missing(&mut self, view: &View) {
        let failures = self.topics.iter().filter_map(|name| {
            let code = view.failure(name)?;
            let is_lasting = code == ErrorCode::UnknownTopicOrPartition || !code.is_retriable();
            is_lasting.then_some((name, code))
        });
        let mut missing = BTreeSet::new();
        for (topic, code) in failures {
            if !self.missing.contains(topic) {
                tracing::warn!(%topic, %code, "a subscribed topic cannot be had");
            }
            missing.insert(topic.clone());
        }
        self.missing = missing;
    }

    fn list_topics(&mut self, now: Instant) {
        if self.list_at.is_none_or(|at| at > now) {
            return;
        }
        self.list_at = Some(now + self.shared.core.config.metadata_max_age);
        let admin = Admin::new(self.shared.core.clone());
        self.calls.wait(async move {
            let listed = admin.list_topics().await.map(|topics| {
                let topics = topics.into_iter().filter(|topic| !topic.internal);
                topics.map(|topic| topic.name).collect()
            });
            Answer::Listed(listed)
        });
    }

    fn take_list(&mut self, outcome: Result<BTreeSet<String>>) {
        let now = Instant::now();
        let Some(Subscription::Matching(matches)) = &self.subscription else {
            return;
        };
        match outcome {
            Ok(topics) => {
                // A panic in there must not take the member with it.
                let wanted = || topics.into_iter().filter(|topic| matches(topic)).collect();
                let Ok(topics) = catch_unwind(AssertUnwindSafe(wanted)) else {
                    let why = "the predicate of the subscription panicked";
                    self.list_at = None;
                    self.membership.quit(why, now.into_std());
                    return self.fail(Error::invalid_argument(why));
                };
                if self.is_subscribed && self.topics == topics {
                    return;
                }
                self.is_subscribed = true;
                self.topics.clone_from(&topics);
                self.shared.with(|assignment| {
                    assignment.standing.subscription.clone_from(&topics);
                });
                self.membership.subscribe(topics, now.into_std());
            }
            Err(error) => {
                tracing::debug!(%error, "the topics could not be listed");
                self.list_at = Some(now + LIST_AGAIN_AFTER);
            }
        }
    }
}

/// Whether trying again is of no use before somebody changes something.
fn is_hopeless(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unsupported { .. } => true,
        ErrorKind::Connection { fault, .. } => fault.is_authentication(),
        _ => false,
    }
}

fn named(partitions: &Partitions) -> BTreeSet<TopicPartition> {
    let name = |(topic, partition): &(String, i32)| TopicPartition::new(topic.as_str(), *partition);
    partitions.iter().map(name).collect()
}
