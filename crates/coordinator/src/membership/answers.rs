//! What a member learns from answers, and from those that never come.

use std::collections::BTreeSet;
use std::time::Instant;

use ottla_assignor::{Assignment, RebalanceProtocol};
use ottla_codec::ErrorCode;
use ottla_codec::messages::heartbeat::HeartbeatResponse;
use ottla_codec::messages::join_group::JoinGroupResponse;
use ottla_codec::messages::leave_group::LeaveGroupResponse;
use ottla_codec::messages::sync_group::SyncGroupResponse;

use super::asking::ask;
use super::finder::Pending;
use super::leader::Watch;
use super::machine::{CONSUMER, Phase};
use super::{
    Failure, Identity, Loss, Membership, Partitions, Plan, Planning, Step, Token, envelope,
};
use crate::Refusal;

/// How often in a row a static member that is fenced takes itself for the culprit.
const MOST_DOUBTS: u32 = 3;

/// Each takes the token of its request; an answer that is no longer waited for is dropped.
impl Membership {
    /// Who the coordinator is, or why nobody could tell.
    pub fn coordinator_found(&mut self, token: Token, found: Result<i32, Refusal>, now: Instant) {
        if !self.finder.take_asked(token) {
            return;
        }
        match found {
            Ok(node) => {
                self.finder.found(node);
                self.forget_calls_elsewhere(node, now);
            }
            Err(refusal) => {
                self.finder.not_yet(now, &mut self.backoff);
                if !refusal.code.is_retriable() && self.wants_in() {
                    let code = refusal.code;
                    self.fail(Failure::Refused { code }, now);
                }
            }
        }
    }

    /// The answer to [`Step::Join`].
    pub fn joined(&mut self, token: Token, answer: &JoinGroupResponse, now: Instant) {
        let Some(joining) = self.take_joining(token) else {
            return;
        };
        let code = ErrorCode::from_code(answer.error_code);
        if self.is_no_coordinator(code, joining.call.node, now) {
            self.need(&joining.reason);
            return;
        }
        match code {
            ErrorCode::None => self.enter(joining, answer, now),
            ErrorCode::MemberIdRequired if self.member_id.is_empty() => {
                self.member_id.clone_from(&answer.member_id);
                self.need(&joining.reason);
            }
            ErrorCode::InconsistentGroupProtocol => {
                let offered = self.offered();
                self.fail(Failure::InconsistentProtocol { offered }, now);
            }
            // The coordinator could not write down what it wanted to.
            ErrorCode::RebalanceInProgress | ErrorCode::MemberIdRequired => {
                self.try_again(&joining.reason, now);
            }
            code => self.refused(code, now),
        }
    }

    /// The answer to [`Step::Sync`].
    pub fn synced(&mut self, token: Token, answer: &SyncGroupResponse, now: Instant) {
        let Phase::Syncing { call, .. } = &mut self.phase else {
            return;
        };
        let Some(call) = call.take_if(|call| call.token == token) else {
            return;
        };
        let code = ErrorCode::from_code(answer.error_code);
        if self.is_no_coordinator(code, call.node, now) {
            return;
        }
        let Phase::Syncing { topics, .. } = std::mem::replace(&mut self.phase, Phase::Between)
        else {
            return;
        };
        match code {
            ErrorCode::None => self.take_up(call, &topics, answer, now),
            ErrorCode::RebalanceInProgress => {
                self.try_again("the group has begun to rebalance again", now);
            }
            code => self.refused(code, now),
        }
    }

    /// The answer to [`Step::Heartbeat`].
    pub fn heartbeat_answered(&mut self, token: Token, answer: &HeartbeatResponse, now: Instant) {
        let Some(call) = self.heartbeat.take_if(|call| call.token == token) else {
            return;
        };
        let code = ErrorCode::from_code(answer.error_code);
        if self.is_no_coordinator(code, call.node, now) {
            self.heartbeat_due = now;
            return;
        }
        match code {
            // Until it has synced, the coordinator may lose patience without rebalancing first.
            ErrorCode::None if self.synced => self.session.confirm_settled(call.sent),
            ErrorCode::None => self.session.confirm(call.sent),
            // Before KAFKA-10134 coordinators said so to everybody from the join's answer to the sync's, and counted it as
            // no sign of life. To begin again would be to go round and round; what is true of it the sync's answer says.
            ErrorCode::RebalanceInProgress if self.awaits_sync() => {}
            ErrorCode::RebalanceInProgress => {
                self.session.confirm(call.sent);
                self.follow_rebalance();
            }
            ErrorCode::IllegalGeneration if self.awaits_generation(now) => {}
            code => self.refused(code, now),
        }
    }

    /// The answer to [`Step::Leave`].
    pub fn left(&mut self, token: Token, answer: &LeaveGroupResponse, now: Instant) {
        let Some(call) = self.take_leave(token) else {
            return;
        };
        let code = ErrorCode::from_code(answer.error_code);
        if !self.is_no_coordinator(code, call.node, now) {
            // Whatever else it says, this is no member any more.
            self.departed();
        }
    }

    /// The outcome of [`Step::Plan`].
    pub fn planned(&mut self, token: Token, outcome: Result<Plan, Failure>, now: Instant) {
        let Phase::Planning {
            token: current,
            topics,
        } = &mut self.phase
        else {
            return;
        };
        if *current != token {
            return;
        }
        match outcome {
            Ok(plan) => {
                if let Some(watch) = &mut self.watch {
                    watch.planned_with(plan.topics, plan.withheld);
                }
                self.phase = Phase::Syncing {
                    call: None,
                    is_doubted: false,
                    assignments: plan.assignments,
                    topics: std::mem::take(topics),
                };
            }
            Err(failure) => self.fail(failure, now),
        }
    }

    /// The request could not be sent, or its answer will not come (disconnected, timed out): the
    /// coordinator is looked up again.
    pub fn unanswered(&mut self, token: Token, now: Instant) {
        if self.finder.take_asked(token) {
            self.finder.not_yet(now, &mut self.backoff);
            return;
        }
        let Some(node) = self.forget_call(token, now) else {
            return;
        };
        self.coordinator_lost(node, now);
    }

    /// That broker could not be reached as coordinator, or said that it is none.
    pub fn coordinator_lost(&mut self, node: i32, now: Instant) {
        self.finder.lost(node, now, &mut self.backoff);
    }

    /// A commit that was sent as `carried` was refused. Says whether it is worth sending again, under the
    /// identity of then, once [`commits_wait`](Self::commits_wait) is over: the group was rebalancing. What is
    /// no longer held by then must not be.
    pub fn commit_refused(&mut self, carried: &Identity, code: ErrorCode, now: Instant) -> bool {
        if !crate::offsets::concerns_membership(code) {
            return false;
        }
        if self.identity().as_ref() != Some(carried) {
            // It has moved on since.
            return code != ErrorCode::FencedInstanceId;
        }
        match code {
            ErrorCode::RebalanceInProgress => {
                self.follow_rebalance();
                true
            }
            ErrorCode::IllegalGeneration if self.awaits_generation(now) => true,
            code => {
                self.refused(code, now);
                false
            }
        }
    }
}

/// A join that has been answered.
struct Joined {
    call: Pending,
    reason: String,
    topics: BTreeSet<String>,
}

impl Membership {
    fn take_joining(&mut self, token: Token) -> Option<Joined> {
        match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Joining {
                call,
                reason,
                topics,
                ..
            } if call.token == token => Some(Joined {
                call,
                reason,
                topics,
            }),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// A generation begins.
    fn enter(&mut self, joined: Joined, answer: &JoinGroupResponse, now: Instant) {
        self.is_written &= self.member_id == answer.member_id;
        self.member_id.clone_from(&answer.member_id);
        self.generation = Some(answer.generation_id);
        self.synced = false;
        self.watch = None;
        // What was asked as of the generation before tells nothing about this one.
        self.heartbeat = None;
        self.session.begin(joined.call.sent);
        // Nothing is taken up before one is confirmed: a new member sends the first at once.
        let confirmed = self.session.last_confirmed();
        self.heartbeat_due = confirmed.map_or(now, |at| at + self.config.heartbeat_interval);
        let name = answer.protocol_name.as_deref().unwrap_or_default();
        let assignor = self.assignors.iter().find(|a| a.name() == name).cloned();
        let is_consumer = answer.protocol_type.as_deref().unwrap_or(CONSUMER) == CONSUMER;
        let Some(assignor) = assignor.filter(|_| is_consumer) else {
            let failure = Failure::UnknownAssignor {
                chosen: name.to_owned(),
                offered: self.offered(),
            };
            return self.fail(failure, now);
        };
        self.assignor = Some(assignor.clone());
        if answer.leader != answer.member_id {
            self.phase = Phase::Syncing {
                call: None,
                is_doubted: false,
                assignments: Vec::new(),
                topics: joined.topics,
            };
            return;
        }
        let planning = match Planning::new(assignor, self.protocol, &answer.members) {
            Ok(planning) => planning,
            Err(failure) => return self.fail(failure, now),
        };
        self.watch = Some(Watch::new(planning.topics().clone()));
        if answer.skip_assignment {
            // A static leader has come back to a plan of its former self (KIP-814), and cannot know which partitions
            // there were then: those that have come since would be nobody's until the next rebalance.
            self.need("the group's partitions may have changed since its leader planned");
            self.phase = Phase::Syncing {
                call: None,
                is_doubted: false,
                assignments: Vec::new(),
                topics: joined.topics,
            };
        } else {
            let token = self.token();
            self.phase = Phase::Planning {
                token,
                topics: joined.topics,
            };
            self.told.push_back(Step::Plan { token, planning });
        }
    }

    /// A generation is complete: takes up what it has for this member.
    fn take_up(
        &mut self,
        call: Pending,
        topics: &BTreeSet<String>,
        answer: &SyncGroupResponse,
        now: Instant,
    ) {
        self.session.settle(call.sent);
        if self.session.has_expired(now) {
            // No heartbeat says yet that it is still a member, and these partitions its own.
            if self.heartbeat.is_none() {
                self.heartbeat_due = now;
            }
            self.phase = Phase::Syncing {
                call: None,
                is_doubted: true,
                assignments: Vec::new(),
                topics: topics.clone(),
            };
            return;
        }
        let (Some(generation), Some(assignor)) = (self.generation, self.assignor.clone()) else {
            return;
        };
        if let Some(name) = answer.protocol_name.as_deref()
            && name != assignor.name()
        {
            let failure = Failure::UnknownAssignor {
                chosen: name.to_owned(),
                offered: self.offered(),
            };
            return self.fail(failure, now);
        }
        let assignment = match envelope::decode_assignment(&answer.assignment) {
            Ok(assignment) => assignment,
            Err(source) => return self.fail(Failure::Assignment { source }, now),
        };
        let mut assigned = assignment.partitions.keys();
        if let Some(topic) = assigned.find(|topic| !topics.contains(*topic)) {
            let topic = topic.clone();
            return self.fail(Failure::NotSubscribed { topic }, now);
        }
        self.synced = true;
        self.is_written = true;
        self.failed_rounds = 0;
        self.doubts = 0;
        self.next_round = now;
        let told = ask(&*assignor, |assignor| {
            assignor.on_assignment(&assignment, generation);
        });
        if let Err(failure) = told {
            return self.fail(failure, now);
        }
        let given_up_at_once = self.protocol == RebalanceProtocol::Eager && self.need.is_some();
        if given_up_at_once || self.is_departing() {
            return;
        }
        let all = self.still_wanted(&assignment);
        let gone: Partitions = self.owned.difference(&all).cloned().collect();
        let added: Partitions = all.difference(&self.owned).cloned().collect();
        self.owned.extend(added.iter().cloned());
        // A static member that comes back to a generation may have left it without having joined again.
        let still_owes = self.owing.take() == Some(generation);
        if !gone.is_empty() {
            // Whoever waits for them gets them when this member has joined again.
            self.owing = Some(generation);
            self.revoke(gone, now);
        }
        if still_owes || self.owing.is_some() {
            self.need("partitions have been given up for others");
        }
        self.told.push_back(Step::Assigned {
            added,
            all,
            generation,
        });
        self.plan_recall(now);
        self.follow_metadata();
    }

    /// What was assigned, without topics that are not subscribed to any more.
    fn still_wanted(&self, assignment: &Assignment) -> Partitions {
        let subscription = self.subscription.as_ref();
        let wanted = |topic: &String| subscription.is_some_and(|topics| topics.contains(topic));
        let partitions = assignment.partitions.iter();
        let wanted = partitions.filter(|(topic, _)| wanted(topic));
        wanted
            .flat_map(|(topic, numbers)| numbers.iter().map(|number| (topic.clone(), *number)))
            .collect()
    }

    /// The coordinator has said that the group rebalances.
    fn follow_rebalance(&mut self) {
        // The answer to the join is what it means.
        if !matches!(self.phase, Phase::Joining { .. }) {
            self.phase = Phase::Between;
            self.need("the group rebalances");
        }
        self.hurry();
    }

    /// Whether there is a sync whose answer will say more than a heartbeat's. One that was answered says no more.
    fn awaits_sync(&self) -> bool {
        match self.phase {
            Phase::Planning { .. } => true,
            Phase::Syncing { is_doubted, .. } => !is_doubted,
            Phase::Between | Phase::Joining { .. } => false,
        }
    }

    /// Whether a refusal of the generation is no more than the answer to the join under way, ahead of it. If it
    /// does not come for long, it has been missed.
    fn awaits_generation(&mut self, now: Instant) -> bool {
        let patience = self.config.session_timeout / 3;
        match &mut self.phase {
            Phase::Joining { overtaken, .. } => {
                let since = *overtaken.get_or_insert(now);
                now.saturating_duration_since(since) < patience
            }
            _ => false,
        }
    }

    /// What every request may be refused with.
    fn refused(&mut self, code: ErrorCode, now: Instant) {
        match code {
            ErrorCode::UnknownMemberId => {
                self.lose_all(Loss::UnknownMember);
                self.forget_member();
                self.try_again("the coordinator did not know the member", now);
            }
            ErrorCode::IllegalGeneration => {
                self.lose_all(Loss::IllegalGeneration);
                self.forget_generation();
                self.phase = Phase::Between;
                self.try_again("the group was in another generation", now);
            }
            ErrorCode::FencedInstanceId if self.may_be_fenced_by_itself(now) => {
                self.doubts += 1;
                self.lose_all(Loss::Fenced);
                self.forget_member();
                self.try_again("the instance id may have been a former self's", now);
            }
            ErrorCode::FencedInstanceId => {
                let instance_id = self.config.instance_id.clone().unwrap_or_default();
                self.fail(Failure::Fenced { instance_id }, now);
            }
            code if code.is_retriable() => self.try_again("the coordinator was disturbed", now),
            code => self.fail(Failure::Refused { code }, now),
        }
    }

    /// Whether the coordinator may take a static member's own former self for the one that holds its instance id: it
    /// forgets on moving who was in no complete generation, and may serve late a join that was given up.
    fn may_be_fenced_by_itself(&self, now: Instant) -> bool {
        let orphan = self.orphaned.map(|at| at + self.config.request_timeout);
        let in_doubt = !self.is_written || orphan.is_some_and(|until| now < until);
        in_doubt && self.doubts < MOST_DOUBTS
    }

    /// A rebalance has to be begun anew: at once, and after failures in a row later and later.
    fn try_again(&mut self, reason: &str, now: Instant) {
        self.next_round = match self.failed_rounds {
            0 => now,
            failures => now + (self.backoff)(failures),
        };
        self.failed_rounds += 1;
        self.need(reason);
    }

    /// Whether the broker is no coordinator, or none yet.
    fn is_no_coordinator(&mut self, code: ErrorCode, node: i32, now: Instant) -> bool {
        match code {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.coordinator_lost(node, now);
                true
            }
            ErrorCode::CoordinatorLoadInProgress => {
                self.finder.not_yet(now, &mut self.backoff);
                true
            }
            _ => {
                self.finder.calm();
                false
            }
        }
    }

    /// The group has another coordinator: whatever the one before still holds back will not be heard.
    fn forget_calls_elsewhere(&mut self, node: i32, now: Instant) {
        for call in self.pending().into_iter().flatten() {
            if call.node != node {
                self.forget_call(call.token, now);
            }
        }
    }

    /// Stops waiting for that answer, so that the request is sent again. Names the broker it was for.
    fn forget_call(&mut self, token: Token, now: Instant) -> Option<i32> {
        if let Some(joining) = self.take_joining(token) {
            if self.member_id.is_empty() {
                self.orphaned = Some(now);
            }
            self.need(&joining.reason);
            return Some(joining.call.node);
        }
        if let Phase::Syncing { call, .. } = &mut self.phase
            && let Some(call) = call.take_if(|call| call.token == token)
        {
            return Some(call.node);
        }
        if let Some(call) = self.heartbeat.take_if(|call| call.token == token) {
            self.heartbeat_due = now;
            return Some(call.node);
        }
        self.take_leave(token).map(|call| call.node)
    }

    fn offered(&self) -> Vec<String> {
        let names = self.assignors.iter().map(|a| a.name().to_owned());
        names.collect()
    }
}
