//! All groups: where each is coordinated, what it has committed, which requests wait for it.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::answers::Ticket;
use super::group::{Group, GroupOptions};
use super::offsets::GroupOffsets;
use crate::api::KeyType;
use crate::state::RequestContext;
use crate::timers::TimerKey;

/// All groups of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) options: GroupOptions,
    pub(crate) hosted: BTreeMap<String, Hosted>,
    pub(crate) offsets: BTreeMap<String, GroupOffsets>,
    /// Coordinators that a test has chosen.
    pub(crate) placed: BTreeMap<(KeyType, String), i32>,
    waiting: BTreeMap<Ticket, RequestContext>,
    tickets: u64,
}

/// A group on its coordinator.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) group: Group,
    /// The broker that has loaded it, or does; none while no broker could.
    pub(crate) coordinator: Option<i32>,
    /// Until when its coordinator is loading it.
    pub(crate) loading: Option<Instant>,
    /// What wakes it at its next deadline.
    pub(crate) timer: Option<TimerKey>,
}

impl Groups {
    pub(crate) fn new(options: GroupOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    pub(crate) fn group(&self, id: &str) -> Option<&Group> {
        self.hosted.get(id).map(|hosted| &hosted.group)
    }

    /// The group, made on `coordinator` if there is none.
    pub(crate) fn obtain(&mut self, id: &str, coordinator: i32) -> &mut Group {
        let options = self.options;
        let hosted = self.hosted.entry(id.to_owned());
        let hosted = hosted.or_insert_with(|| Hosted {
            group: Group::new(options),
            coordinator: Some(coordinator),
            loading: None,
            timer: None,
        });
        &mut hosted.group
    }

    /// Has a request wait for its group.
    pub(crate) fn issue(&mut self, context: &RequestContext) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, context.clone());
        ticket
    }

    /// The request that a ticket stands for, unless its connection has gone.
    pub(crate) fn redeem(&mut self, ticket: Ticket) -> Option<RequestContext> {
        self.waiting.remove(&ticket)
    }

    /// Forgets requests that nobody waits for; to their group they go on waiting, as they do on a broker.
    pub(crate) fn forget_requests(&mut self, gone: impl Fn(&RequestContext) -> bool) {
        self.waiting.retain(|_, context| !gone(context));
    }

    /// Forgets what was committed for a deleted topic.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for offsets in self.offsets.values_mut() {
            offsets.retain(|(name, _), _| name != topic);
        }
    }
}
