//! One member of a group.

use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;

use ottla_codec::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use tokio::time::Instant;

use super::answers::Ticket;

/// A member, from its join with a member id until it leaves, expires or is replaced.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) session_timeout: Duration,
    /// What it can take part in, by name and in order of preference, with its metadata for each.
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    /// Its join waits for the others.
    pub(crate) awaiting_join: Option<Ticket>,
    /// Its sync waits for the leader's.
    pub(crate) awaiting_sync: Option<Ticket>,
    /// It has not seen a rebalance through, so that even a waiting join does not keep it alive for ever.
    pub(crate) is_new: bool,
    /// When it is to be taken for dead; `None` when nothing is expected of it for now.
    pub(crate) session_end: Option<Instant>,
}

impl Member {
    pub(super) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let mut protocols = self.protocols.iter();
        let found = protocols.find(|(name, _)| name == protocol);
        found
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    /// Whether a join would change nothing about what it can take part in.
    pub(super) fn matches(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        let own = self.protocols.iter().map(|(name, data)| (name, data));
        own.eq(protocols.iter().map(|other| (&other.name, &other.metadata)))
    }

    /// The first of the candidates in its order of preference.
    pub(super) fn vote<'a>(&'a self, candidates: &BTreeSet<&str>) -> Option<&'a str> {
        let mut names = self.protocols.iter().map(|(name, _)| name.as_str());
        names.find(|name| candidates.contains(name))
    }

    /// Whether it is alive although its session has run out: a member that waits for the group need not speak.
    pub(super) fn waits(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    pub(super) fn expect_heartbeat(&mut self, now: Instant) {
        self.session_end = Some(now + self.session_timeout);
    }

    /// Takes over what a join says.
    pub(super) fn update(&mut self, request: &JoinGroupRequest, version: i16) {
        self.protocols = protocols(request);
        self.session_timeout = millis(request.session_timeout_ms);
        // Before v1 one timeout served for both.
        self.rebalance_timeout = match version {
            0 => self.session_timeout,
            _ => millis(request.rebalance_timeout_ms),
        };
    }
}

fn protocols(request: &JoinGroupRequest) -> Vec<(String, Bytes)> {
    let protocols = request.protocols.iter();
    protocols
        .map(|protocol| (protocol.name.clone(), protocol.metadata.clone()))
        .collect()
}

/// A request's milliseconds; less than none is none.
pub(super) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}
