//! Giving up partitions, losing them, and leaving.

use std::time::{Duration, Instant};

use ottla_assignor::RebalanceProtocol;

use super::finder::Pending;
use super::machine::{Departing, Phase};
use super::step::shortened;
use super::{
    Departure, Failure, LeaveCall, Loss, Membership, Partitions, Revocation, Stay, Step, Token,
};

/// How much earlier than the coordinator stops waiting a revocation must end, for the join to arrive.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

impl Membership {
    /// What must be given up before the next join.
    pub(super) fn to_give_up(&self) -> Partitions {
        let topics = self.subscription.as_ref();
        let stays = |topic: &String| {
            self.protocol == RebalanceProtocol::Cooperative
                && topics.is_some_and(|topics| topics.contains(topic))
        };
        let gone = self.owned.iter().filter(|(topic, _)| !stays(topic));
        gone.cloned().collect()
    }

    /// Begins a revocation that ends before the coordinator loses patience.
    pub(super) fn revoke(&mut self, partitions: Partitions, now: Instant) {
        let deadline = now + self.config.rebalance_timeout;
        let deadline = match (&self.need, self.patience()) {
            (Some(_), Some(patience)) => deadline.min(patience),
            _ => deadline,
        };
        self.revoke_by(partitions, deadline);
    }

    pub(super) fn revoke_by(&mut self, partitions: Partitions, deadline: Instant) {
        if partitions.is_empty() {
            return;
        }
        let revocation = Revocation {
            token: self.token(),
            partitions,
            deadline,
        };
        self.told.push_back(Step::Revoke(revocation.clone()));
        self.revocation = Some(revocation);
    }

    /// The group rebalances: what is being given up must be given up in time to join.
    pub(super) fn hurry(&mut self) {
        if let (Some(patience), Some(revocation)) = (self.patience(), &mut self.revocation) {
            revocation.deadline = revocation.deadline.min(patience);
        }
    }

    /// By when to be ready to join, if the group has begun to rebalance.
    pub(super) fn patience(&self) -> Option<Instant> {
        let margin = (self.config.rebalance_timeout / 10).min(LONGEST_MARGIN);
        Some(self.session.rebalance_expiry()? - margin)
    }

    pub(super) fn lose_all(&mut self, why: Loss) {
        self.lose(self.owned.clone(), why);
    }

    pub(super) fn lose(&mut self, partitions: Partitions, why: Loss) {
        if partitions.is_empty() {
            return;
        }
        self.owned.retain(|name| !partitions.contains(name));
        if let Some(under_way) = &mut self.revocation {
            under_way
                .partitions
                .retain(|name| !partitions.contains(name));
        }
        self.revocation.take_if(|r| r.partitions.is_empty());
        self.told.push_back(Step::Lost { partitions, why });
    }

    /// It is in no generation any more.
    pub(super) fn forget_generation(&mut self) {
        self.generation = None;
        self.synced = false;
        self.heartbeat = None;
        self.watch = None;
        self.session.end();
    }

    pub(super) fn forget_member(&mut self) {
        self.forget_generation();
        self.member_id.clear();
        self.is_written = false;
        self.phase = Phase::Between;
    }

    /// Ends the membership with an error. A leader that cannot lead leaves, so that the group does not wait for it.
    pub(super) fn fail(&mut self, failure: Failure, now: Instant) {
        self.lose_all(match failure {
            Failure::Fenced { .. } => Loss::Fenced,
            _ => Loss::Failed,
        });
        let leaves = self.generation.is_some() && !matches!(failure, Failure::Fenced { .. });
        // A static member too: one that fails is of no use to the group.
        let farewell = leaves.then(|| self.farewell(&failure.to_string(), Stay::Never));
        self.rest(farewell.flatten(), false, now);
        self.told.push_back(Step::Failed(failure));
    }

    /// Rests, once the coordinator has been told.
    pub(super) fn rest(&mut self, farewell: Option<LeaveCall>, awaited: bool, now: Instant) {
        self.resting = self.subscription.is_some();
        self.need = None;
        self.failed_rounds = 0;
        self.doubts = 0;
        self.forget_member();
        if let Some(departing) = &mut self.departing {
            departing.awaited |= awaited;
            departing.farewell = departing.farewell.take().or(farewell);
        } else if farewell.is_some() {
            self.departing = Some(Departing {
                farewell,
                call: None,
                departure: Departure {
                    reason: String::new(),
                    stay: Stay::Never,
                    deadline: now + self.config.request_timeout,
                },
                give_up_by: now,
                awaited,
            });
        } else if awaited {
            self.told.push_back(Step::Left);
        }
    }

    /// What to tell the coordinator on leaving, if anything.
    pub(super) fn farewell(&self, reason: &str, stay: Stay) -> Option<LeaveCall> {
        let is_static = self.config.instance_id.is_some();
        let stays = match stay {
            Stay::Always => true,
            Stay::Never => false,
            Stay::IfStatic => is_static,
        };
        // Also before the first generation: the coordinator may be waiting for this member.
        (!stays && !self.member_id.is_empty()).then(|| LeaveCall {
            group_id: self.config.group_id.clone(),
            member_id: self.member_id.clone(),
            instance_id: self.config.instance_id.clone(),
            reason: shortened(reason),
        })
    }

    /// Everything has been given up: tells the coordinator, or nobody.
    pub(super) fn say_farewell(&mut self) {
        let Some(departing) = &self.departing else {
            return;
        };
        let Departure { reason, stay, .. } = &departing.departure;
        let farewell = self.farewell(reason, *stay);
        self.forget_member();
        match (farewell, &mut self.departing) {
            (Some(farewell), Some(departing)) => departing.farewell = Some(farewell),
            _ => self.departed(),
        }
    }

    /// The coordinator knows, or will have to find out.
    pub(super) fn departed(&mut self) {
        if self.departing.take().is_some_and(|d| d.awaited) {
            self.told.push_back(Step::Left);
        }
    }

    /// Whether that is the LeaveGroup under way, which may then be repeated.
    pub(super) fn take_leave(&mut self, token: Token) -> Option<Pending> {
        let departing = self.departing.as_mut()?;
        departing.call.take_if(|call| call.token == token)
    }

    pub(super) fn follow_metadata(&mut self) {
        if !matches!(self.phase, Phase::Between) || !self.synced {
            return;
        }
        let racks = self.config.rack.is_some();
        if let Some(topic) = self.watch.as_ref().and_then(|watch| watch.changed(racks)) {
            let reason = format!("the partitions of {topic} have changed");
            self.need(&reason);
        }
    }
}
