//! Where the coordinator is, and when to ask again.

use std::time::Instant;

use super::{Backoff, Token};

/// A request that has been sent and not been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub token: Token,
    /// The broker it was for; -1 if any would do.
    pub node: i32,
    pub sent: Instant,
    pub deadline: Instant,
}

impl Pending {
    pub(super) fn new(token: Token, node: i32, sent: Instant, deadline: Instant) -> Self {
        Self {
            token,
            node,
            sent,
            deadline,
        }
    }
}

/// What is known of the coordinator.
#[derive(Debug)]
pub(super) struct Finder {
    node: Option<i32>,
    asked: Option<Pending>,
    /// How often in a row it could not be found, reached, or was not the right one.
    failures: u32,
    ready_at: Instant,
}

impl Finder {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            node: None,
            asked: None,
            failures: 0,
            ready_at: now,
        }
    }

    pub(super) fn node(&self) -> Option<i32> {
        self.node
    }

    pub(super) fn pending(&self) -> Option<Pending> {
        self.asked
    }

    /// Whether something may be asked of it, or about it.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.asked.is_none() && self.ready_at <= now
    }

    pub(super) fn ready_at(&self) -> Instant {
        self.ready_at
    }

    pub(super) fn ask(&mut self, call: Pending) {
        self.asked = Some(call);
    }

    /// Whether that was the question; it is not asked any more.
    pub(super) fn take_asked(&mut self, token: Token) -> bool {
        self.asked.take_if(|call| call.token == token).is_some()
    }

    pub(super) fn found(&mut self, node: i32) {
        self.node = Some(node);
    }

    /// It has answered as a coordinator.
    pub(super) fn calm(&mut self) {
        self.failures = 0;
    }

    /// `node` is no coordinator, or cannot be reached. Of several requests that find that out one counts.
    pub(super) fn lost(&mut self, node: i32, now: Instant, backoff: &mut Backoff) {
        if self.node == Some(node) {
            self.node = None;
            self.failures += 1;
            // Once, a look-up costs little and heals whatever was stale.
            if self.failures > 1 {
                self.ready_at = now + backoff(self.failures - 1);
            }
        }
    }

    /// Nobody knew who it is; or it is the right one, and not ready.
    pub(super) fn not_yet(&mut self, now: Instant, backoff: &mut Backoff) {
        self.failures += 1;
        self.ready_at = now + backoff(self.failures);
    }
}
