//! A broker that is busy: what it receives waits in line until it has time again.
//!
//! A broker serves requests in the order of their coming, whichever connections they came over, and serves what it has
//! received whether or not its connection is still there. So what was sent later never comes to pass before.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::rules::Action;
use crate::state::{RequestContext, State};

/// What a busy broker has received.
#[derive(Default)]
pub(crate) struct Stall {
    until: Option<Instant>,
    pub(crate) waiting: Vec<(RequestContext, Bytes, Action)>,
}

impl fmt::Debug for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stall")
            .field("until", &self.until)
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

impl State {
    /// Has a broker serve nothing for so long. One that is busy already stays so until both times are over.
    pub(crate) fn stall(&mut self, broker: i32, time: Duration) {
        let until = Instant::now() + time;
        let stall = self.stalls.entry(broker).or_default();
        stall.until = stall.until.max(Some(until));
        let end = move |state: &mut Self| {
            let is_over = |stall: &Stall| stall.until.is_none_or(|end| end <= until);
            if state.stalls.get(&broker).is_some_and(is_over) {
                state.end_stall(broker);
            }
        };
        self.later(time, Box::new(end));
    }

    /// The broker serves what has waited, oldest first.
    pub(crate) fn end_stall(&mut self, broker: i32) {
        let waiting = self.stalls.remove(&broker).map(|stall| stall.waiting);
        for (context, body, action) in waiting.into_iter().flatten() {
            self.act(context, body, action);
        }
    }
}
