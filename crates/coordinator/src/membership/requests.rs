//! What a member sends to its coordinator.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_assignor::Assignor;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_codec::messages::leave_group::LeaveGroupRequest;
use ottla_codec::messages::sync_group::SyncGroupRequest;
use ottla_codec::{Message, VersionRange};

use super::finder::Pending;
use super::machine::{CONSUMER, Phase};
use super::step::{millis, shortened};
use super::{Call, Failure, Membership, Step, envelope};

/// How much longer than the rebalance timeout the answer to a join may take.
const JOIN_GRACE: Duration = Duration::from_secs(5);
/// From these versions on, requests name static members (KIP-345).
const STATIC_JOIN: i16 = 5;
const STATIC_SYNC: i16 = 3;
const STATIC_HEARTBEAT: i16 = 3;
const STATIC_LEAVE: i16 = 3;

impl Membership {
    fn call<R: Message>(
        &mut self,
        request: R,
        node: i32,
        first_static: i16,
        (now, timeout): (Instant, Duration),
    ) -> (Pending, Box<Call<R>>) {
        let call = Call {
            token: self.token(),
            node,
            request,
            versions: self.versions(R::VERSIONS, first_static),
            deadline: now + timeout,
        };
        let pending = Pending::new(call.token, node, now, call.deadline);
        (pending, Box::new(call))
    }

    fn versions(&self, all: VersionRange, first_static: i16) -> VersionRange {
        VersionRange {
            min: match self.config.instance_id {
                Some(_) => first_static,
                None => all.min,
            },
            max: all.max,
        }
    }

    pub(super) fn send_heartbeat(&mut self, node: i32, now: Instant) -> Step {
        let request = HeartbeatRequest {
            group_id: self.config.group_id.clone(),
            generation_id: self.generation.unwrap_or(-1),
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            ..Default::default()
        };
        // Two more have their chance before the session expires.
        let timeout = (self.config.session_timeout / 3).max(self.config.heartbeat_interval);
        let timeout = timeout.min(self.config.request_timeout);
        let (pending, call) = self.call(request, node, STATIC_HEARTBEAT, (now, timeout));
        self.heartbeat = Some(pending);
        self.heartbeat_due = now + self.config.heartbeat_interval;
        Step::Heartbeat(call)
    }

    pub(super) fn send_join(&mut self, node: i32, now: Instant) -> Option<Step> {
        let topics = self.subscription.clone()?;
        let protocols = match self.protocols(&topics) {
            Ok(protocols) => protocols,
            Err(failure) => {
                self.fail(failure, now);
                return None;
            }
        };
        let reason = self.need.take().unwrap_or_default();
        let request = JoinGroupRequest {
            group_id: self.config.group_id.clone(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: CONSUMER.to_owned(),
            protocols,
            reason: Some(shortened(&reason)),
            ..Default::default()
        };
        let timeout = self.config.rebalance_timeout + JOIN_GRACE;
        let timeout = timeout.max(self.config.request_timeout);
        let (call, step) = self.call(request, node, STATIC_JOIN, (now, timeout));
        self.phase = Phase::Joining {
            call,
            reason,
            topics,
            overtaken: None,
        };
        Some(Step::Join(step))
    }

    fn protocols(
        &self,
        topics: &BTreeSet<String>,
    ) -> Result<Vec<JoinGroupRequestProtocol>, Failure> {
        let subscription = envelope::Subscription {
            topics,
            owned: &self.owned,
            generation: self.generation,
            rack: self.config.rack.as_deref(),
        };
        let protocol = |assignor: &Arc<dyn Assignor>| {
            Ok(JoinGroupRequestProtocol {
                name: assignor.name().to_owned(),
                metadata: envelope::encode_subscription(&subscription, &**assignor)?,
                ..Default::default()
            })
        };
        self.assignors.iter().map(protocol).collect()
    }

    pub(super) fn send_sync(&mut self, node: i32, now: Instant) -> Option<Step> {
        let Phase::Syncing { assignments, .. } = &self.phase else {
            return None;
        };
        let request = SyncGroupRequest {
            group_id: self.config.group_id.clone(),
            generation_id: self.generation?,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: Some(CONSUMER.to_owned()),
            protocol_name: self.assignor.as_ref().map(|a| a.name().to_owned()),
            assignments: assignments.clone(),
            ..Default::default()
        };
        let timeout = self.config.request_timeout;
        let (pending, step) = self.call(request, node, STATIC_SYNC, (now, timeout));
        if let Phase::Syncing { call, .. } = &mut self.phase {
            *call = Some(pending);
        }
        Some(Step::Sync(step))
    }

    pub(super) fn send_leave(&mut self, node: i32, now: Instant) -> Option<Step> {
        let departing = self.departing.as_ref()?;
        let request = departing.farewell.clone()?;
        let left = departing.departure.deadline.saturating_duration_since(now);
        let deadline = now + left.min(self.config.request_timeout);
        let token = self.token();
        let versions = self.versions(LeaveGroupRequest::VERSIONS, STATIC_LEAVE);
        if let Some(departing) = &mut self.departing {
            departing.call = Some(Pending::new(token, node, now, deadline));
        }
        Some(Step::Leave(Box::new(Call {
            token,
            node,
            request,
            versions,
            deadline,
        })))
    }
}
