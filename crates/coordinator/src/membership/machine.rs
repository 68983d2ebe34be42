//! One member of a group: what it is told to do, and what is to be done next.
//!
//! What brokers answer is taken in by `answers`; `requests` says what is sent, `departing` how partitions and the
//! membership are given up.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ottla_assignor::{Assignor, RebalanceProtocol, Topics};
use ottla_codec::messages::sync_group::SyncGroupRequestAssignment;

use super::error::invalid_assignors::{NoneSnafu, NothingInCommonSnafu, TwiceSnafu};
use super::finder::{Finder, Pending};
use super::leader::Watch;
use super::session::Session;
use super::{
    Backoff, Config, Departure, Identity, InvalidAssignors, LeaveCall, Loss, Partitions,
    Revocation, State, Stay, Step, Token,
};

/// The protocol type of consumer groups.
pub(super) const CONSUMER: &str = "consumer";

/// One member of a group; see the [module](super).
pub struct Membership {
    pub(super) config: Config,
    pub(super) assignors: Vec<Arc<dyn Assignor>>,
    pub(super) protocol: RebalanceProtocol,
    pub(super) backoff: Backoff,
    tokens: u64,
    pub(super) finder: Finder,

    pub(super) subscription: Option<BTreeSet<String>>,
    /// It has failed or quit, and nobody has asked it to resume.
    pub(super) resting: bool,
    /// Why it has to join (again); none if it has what it wants.
    pub(super) need: Option<String>,
    /// How often in a row a rebalance has failed, and when to begin the next.
    pub(super) failed_rounds: u32,
    pub(super) next_round: Instant,
    /// How often in a row it was fenced and took that for its own doing.
    pub(super) doubts: u32,

    /// Empty if the coordinator has given none.
    pub(super) member_id: String,
    /// Whether it has been in a complete generation under that id, which the coordinator has then written down.
    pub(super) is_written: bool,
    /// When it stopped waiting for the answer to a join without an id.
    pub(super) orphaned: Option<Instant>,
    pub(super) generation: Option<i32>,
    /// The generation in which it gave partitions up for others, who get them when it has joined again.
    pub(super) owing: Option<i32>,
    /// Whether the generation's assignment is known.
    pub(super) synced: bool,
    /// What the group works with.
    pub(super) assignor: Option<Arc<dyn Assignor>>,
    pub(super) session: Session,
    pub(super) heartbeat: Option<Pending>,
    pub(super) heartbeat_due: Instant,
    pub(super) phase: Phase,
    pub(super) watch: Option<Watch>,
    /// What it has joined again for, as leader, since it last withheld nothing.
    pub(super) recalled: Partitions,

    pub(super) owned: Partitions,
    pub(super) revocation: Option<Revocation>,
    pub(super) departing: Option<Departing>,

    /// What is to be told before anything else.
    pub(super) told: VecDeque<Step>,
    state: (State, Instant),
}

/// Where a rebalance is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Before or after one.
    Between,
    Joining {
        call: Pending,
        reason: String,
        /// What was subscribed to when it was sent.
        topics: BTreeSet<String>,
        /// Since when the coordinator has been in a later generation, as if the answer had been given.
        overtaken: Option<Instant>,
    },
    Planning {
        token: Token,
        topics: BTreeSet<String>,
    },
    Syncing {
        call: Option<Pending>,
        /// It was answered, but the session may have expired: it is sent again once a heartbeat is confirmed.
        is_doubted: bool,
        assignments: Vec<SyncGroupRequestAssignment>,
        topics: BTreeSet<String>,
    },
}

/// On the way out.
#[derive(Debug)]
pub(super) struct Departing {
    /// What to say; none if partitions have to be given up first, or nobody has to be told.
    pub(super) farewell: Option<LeaveCall>,
    pub(super) call: Option<Pending>,
    pub(super) departure: Departure,
    /// When whatever is still held is lost.
    pub(super) give_up_by: Instant,
    /// Whether somebody waits for [`Step::Left`].
    pub(super) awaited: bool,
}

impl Membership {
    /// A member-to-be that rests until it is told what to [subscribe](Self::subscribe) to.
    ///
    /// `assignors` are in order of preference.
    ///
    /// # Errors
    ///
    /// If the assignors cannot be offered together.
    pub fn new(
        config: Config,
        assignors: Vec<Arc<dyn Assignor>>,
        backoff: Backoff,
        now: Instant,
    ) -> Result<Self, InvalidAssignors> {
        let names: Vec<String> = assignors
            .iter()
            .map(|assignor| assignor.name().to_owned())
            .collect();
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            return TwiceSnafu { name }.fail();
        }
        let Some(protocol) = RebalanceProtocol::common(assignors.iter().map(|a| &**a)) else {
            return if names.is_empty() {
                NoneSnafu.fail()
            } else {
                NothingInCommonSnafu { names }.fail()
            };
        };
        let config = config.bounded();
        Ok(Self {
            session: Session::new(config.session_timeout, config.rebalance_timeout),
            config,
            assignors,
            protocol,
            backoff,
            tokens: 0,
            finder: Finder::new(now),
            subscription: None,
            resting: false,
            need: None,
            failed_rounds: 0,
            next_round: now,
            doubts: 0,
            member_id: String::new(),
            is_written: false,
            orphaned: None,
            generation: None,
            owing: None,
            synced: false,
            assignor: None,
            heartbeat: None,
            heartbeat_due: now,
            phase: Phase::Between,
            watch: None,
            recalled: Partitions::new(),
            owned: Partitions::new(),
            revocation: None,
            departing: None,
            told: VecDeque::new(),
            state: (State::Resting, now),
        })
    }

    /// Subscribes to exactly these topics from now on: joins, or joins again if they have changed. Ends a
    /// rest, as [`resume`](Self::resume) does.
    pub fn subscribe(&mut self, topics: BTreeSet<String>, now: Instant) {
        let changed = self.subscription.as_ref() != Some(&topics);
        if changed || self.resting {
            self.need("the subscription has changed");
        }
        self.subscription = Some(topics);
        self.resting = false;
        self.note_state(now);
    }

    /// Has the group rebalance. Without a subscription, or while resting, it does nothing.
    #[doc(alias = "enforceRebalance")]
    pub fn rejoin(&mut self, reason: &str, now: Instant) {
        if self.wants_in() {
            self.need(reason);
        }
        self.note_state(now);
    }

    /// Everything of that revocation has been given up. One that is over is ignored.
    pub fn revoked(&mut self, revocation: Token, now: Instant) {
        let is_current = |current: &mut Revocation| current.token == revocation;
        if let Some(done) = self.revocation.take_if(is_current) {
            self.owned.retain(|name| !done.partitions.contains(name));
        }
        self.note_state(now);
    }

    /// Gives everything up, in order, unsubscribes and leaves. [`Step::Left`] says when that is done.
    ///
    /// A rebalance under way is followed meanwhile, so that what is being given up can still be committed.
    pub fn leave(&mut self, departure: Departure, now: Instant) {
        self.subscription = None;
        self.resting = false;
        self.need = None;
        if let Some(departing) = &mut self.departing {
            departing.departure.deadline = departing.departure.deadline.min(departure.deadline);
            departing.awaited = true;
            return;
        }
        let remaining = departure.deadline.saturating_duration_since(now);
        // Whoever takes too long to give up partitions leaves time to say good-bye.
        let give_up_by = departure.deadline - remaining / 4;
        if let Some(under_way) = &mut self.revocation {
            under_way.deadline = under_way.deadline.min(give_up_by);
        }
        self.departing = Some(Departing {
            farewell: None,
            call: None,
            departure,
            give_up_by,
            awaited: true,
        });
        self.note_state(now);
    }

    /// Loses everything at once and leaves, because nobody takes what is handed out. The subscription
    /// remains; the member rests until [`resume`](Self::resume). [`Step::Left`] says when the coordinator
    /// knows.
    #[doc(alias = "max.poll.interval.ms")]
    pub fn quit(&mut self, reason: &str, now: Instant) {
        self.lose_all(Loss::Quit);
        let farewell = self.farewell(reason, Stay::IfStatic);
        self.rest(farewell, true, now);
    }

    /// Ends the rest after [`quit`](Self::quit) or [`Step::Failed`]: joins anew, once it has left.
    pub fn resume(&mut self, now: Instant) {
        if std::mem::take(&mut self.resting) && self.subscription.is_some() {
            self.need("the consumer goes on");
        }
        self.note_state(now);
    }

    /// It cannot go on, for a reason that the caller knows (no access to the brokers, a version too old): loses
    /// everything and rests, without a word to anybody.
    pub fn abandon(&mut self, now: Instant) {
        self.lose_all(Loss::Failed);
        self.rest(None, false, now);
        self.departed();
    }

    /// What is known now of the topics that are [watched](Self::watched). If this member leads and they differ
    /// from what it planned with, the group rebalances.
    pub fn metadata(&mut self, topics: &Topics, now: Instant) {
        if let Some(watch) = &mut self.watch {
            watch.observe(topics);
            self.follow_metadata();
        }
        self.note_state(now);
    }

    /// Who commits; none while it is in no generation.
    pub fn identity(&self) -> Option<Identity> {
        Some(Identity {
            member_id: self.member_id.clone(),
            generation: self.generation?,
            instance_id: self.config.instance_id.clone(),
        })
    }

    /// Whether commits have to wait: from the join's answer to the sync's the coordinator refuses them.
    pub fn commits_wait(&self) -> bool {
        matches!(self.phase, Phase::Planning { .. } | Phase::Syncing { .. })
    }

    /// What it holds, with what it is giving up.
    pub fn owned(&self) -> &Partitions {
        &self.owned
    }

    /// The coordinator, if it is known.
    pub fn coordinator(&self) -> Option<i32> {
        self.finder.node()
    }

    /// The topics of all members, if this one leads: changes of their metadata are of interest.
    pub fn watched(&self) -> Option<&BTreeSet<String>> {
        self.watch.as_ref().map(Watch::topics)
    }

    /// What it is doing, and since when.
    pub fn state(&self) -> (State, Instant) {
        self.state
    }

    /// When the last heartbeat was sent that the coordinator has confirmed.
    pub fn last_confirmed(&self) -> Option<Instant> {
        self.session.last_confirmed()
    }

    /// How it rebalances.
    pub fn protocol(&self) -> RebalanceProtocol {
        self.protocol
    }

    /// What is to be done next.
    pub fn step(&mut self, now: Instant) -> Step {
        self.expire(now);
        let step = match self.told.pop_front() {
            Some(told) => told,
            None => match self.act(now) {
                Some(step) => step,
                // Acting may have been a failure.
                None => match self.told.pop_front() {
                    Some(told) => told,
                    None => Step::Wait {
                        until: self.next_event(now),
                    },
                },
            },
        };
        self.note_state(now);
        step
    }
}

/// What happens by itself as time passes.
impl Membership {
    fn expire(&mut self, now: Instant) {
        if let Some((at, why)) = self.session.expiry()
            && at <= now
            && !self.owned.is_empty()
        {
            self.lose_all(why);
            self.forget_generation();
            // A join that is under way will do; its claims are of no use to anybody, and do no harm.
            if !matches!(self.phase, Phase::Joining { .. }) {
                self.phase = Phase::Between;
            }
            self.need("the session has expired");
        }
        if let Some(over) = self.revocation.take_if(|r| r.deadline <= now) {
            self.lose(over.partitions, Loss::Overrun);
        }
        self.recall(now);
        for call in self.pending().into_iter().flatten() {
            if call.deadline <= now {
                self.unanswered(call.token, now);
            }
        }
        if let Some(departing) = &self.departing
            && departing.departure.deadline <= now
        {
            self.lose_all(Loss::Overrun);
            self.forget_member();
            self.departed();
        }
    }

    /// Everything that is waited for.
    pub(super) fn pending(&self) -> [Option<Pending>; 4] {
        let round = match &self.phase {
            Phase::Joining { call, .. } => Some(*call),
            Phase::Syncing { call, .. } => *call,
            Phase::Between | Phase::Planning { .. } => None,
        };
        let leave = self.departing.as_ref().and_then(|d| d.call);
        [self.finder.pending(), round, self.heartbeat, leave]
    }

    /// Whether it is, or wants to be, a member.
    pub(super) fn wants_in(&self) -> bool {
        self.subscription.is_some() && !self.resting
    }

    pub(super) fn is_departing(&self) -> bool {
        self.departing.is_some()
    }

    pub(super) fn need(&mut self, reason: &str) {
        self.need.get_or_insert_with(|| reason.to_owned());
    }

    fn act(&mut self, now: Instant) -> Option<Step> {
        if let Some(departing) = &self.departing
            && departing.farewell.is_none()
            && self.revocation.is_none()
        {
            if self.owned.is_empty() {
                self.say_farewell();
            } else {
                self.revoke_by(self.owned.clone(), departing.give_up_by);
            }
            if let Some(told) = self.told.pop_front() {
                return Some(told);
            }
        }
        let wants_round = matches!(self.phase, Phase::Between)
            && self.need.is_some()
            && self.wants_in()
            && self.departing.is_none()
            && self.revocation.is_none();
        if wants_round {
            let gone = self.to_give_up();
            if !gone.is_empty() {
                self.revoke(gone, now);
                return self.told.pop_front();
            }
        }
        let due = Due {
            join: wants_round && self.next_round <= now,
            sync: self.is_sync_due(now),
            leave: self
                .departing
                .as_ref()
                .is_some_and(|d| d.farewell.is_some() && d.call.is_none()),
            heartbeat: self.generation.is_some()
                && self.heartbeat.is_none()
                && self.heartbeat_due <= now,
        };
        if !(due.join || due.sync || due.leave || due.heartbeat) || !self.finder.is_ready(now) {
            return None;
        }
        let Some(node) = self.finder.node() else {
            let deadline = now + self.config.request_timeout;
            let token = self.token();
            self.finder.ask(Pending::new(token, -1, now, deadline));
            return Some(Step::FindCoordinator { token, deadline });
        };
        // Signs of life first: they are what others wait for least.
        if due.heartbeat {
            Some(self.send_heartbeat(node, now))
        } else if due.join {
            self.send_join(node, now)
        } else if due.sync {
            self.send_sync(node, now)
        } else {
            self.send_leave(node, now)
        }
    }

    fn next_event(&self, now: Instant) -> Option<Instant> {
        let pending = self.pending().into_iter().flatten().map(|c| c.deadline);
        let expiry = self.session.expiry().map(|(at, _)| at);
        let heartbeat = self.generation.is_some() && self.heartbeat.is_none();
        let round = matches!(self.phase, Phase::Between) && self.need.is_some() && self.wants_in();
        // Whatever is due already waits for the coordinator to be ready.
        let ready = |at: Instant| {
            let waiting = self.finder.pending().is_some();
            (!waiting || at > now).then(|| at.max(self.finder.ready_at()))
        };
        let events = [
            expiry.filter(|_| !self.owned.is_empty()),
            self.revocation.as_ref().map(|r| r.deadline),
            self.watch.as_ref().and_then(|watch| watch.recall_at),
            self.departing.as_ref().map(|d| d.departure.deadline),
            ready(self.heartbeat_due).filter(|_| heartbeat),
            ready(self.next_round)
                .filter(|_| round && self.revocation.is_none() && self.departing.is_none()),
            ready(now).filter(|_| self.is_sync_due(now)),
            ready(now).filter(|_| {
                let departing = self.departing.as_ref();
                departing.is_some_and(|d| d.farewell.is_some() && d.call.is_none())
            }),
        ];
        events.into_iter().flatten().chain(pending).min()
    }

    fn current_state(&self) -> State {
        if self.departing.is_some() {
            return State::Leaving;
        }
        if !self.wants_in() {
            return State::Resting;
        }
        if self.revocation.is_some() {
            return State::Revoking;
        }
        match self.phase {
            Phase::Joining { .. } => State::Joining,
            Phase::Planning { .. } => State::Planning,
            Phase::Syncing { .. } => State::Syncing,
            Phase::Between if self.finder.node().is_none() => State::FindingCoordinator,
            Phase::Between if self.need.is_some() => State::Joining,
            Phase::Between => State::Stable,
        }
    }

    fn is_sync_due(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Syncing {
                call: None,
                is_doubted,
                ..
            } => !is_doubted || !self.session.has_expired(now),
            _ => false,
        }
    }

    fn note_state(&mut self, now: Instant) {
        let state = self.current_state();
        if state != self.state.0 {
            self.state = (state, now);
        }
    }

    pub(super) fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }
}

/// What is due to be sent.
struct Due {
    join: bool,
    sync: bool,
    leave: bool,
    heartbeat: bool,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("config", &self.config)
            .field("state", &self.state)
            .field("identity", &self.identity())
            .field("phase", &self.phase)
            .field("need", &self.need)
            .field("owned", &self.owned)
            .field("revocation", &self.revocation)
            .field("departing", &self.departing)
            .finish_non_exhaustive()
    }
}
