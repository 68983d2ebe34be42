//! Requests that wait: fetches for bytes, acks=all produces for replication.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::fetch::{self, PendingFetch};
use super::produce::{self, PendingProduce};
use crate::state::{RequestContext, State};
use crate::timers::TimerKey;

/// A waiting request and for how long at most.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    what: Waiting,
    wait: Duration,
}

#[derive(Clone, Debug)]
enum Waiting {
    Fetch(PendingFetch),
    Produce(PendingProduce),
}

/// All waiting requests, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Purgatory {
    entries: BTreeMap<u64, Entry>,
    parked: u64,
}

#[derive(Debug)]
struct Entry {
    context: RequestContext,
    what: Waiting,
    expires: TimerKey,
}

impl Parked {
    pub(crate) fn fetch(fetch: PendingFetch, wait: Duration) -> Self {
        Self {
            what: Waiting::Fetch(fetch),
            wait,
        }
    }

    pub(crate) fn produce(produce: PendingProduce, wait: Duration) -> Self {
        Self {
            what: Waiting::Produce(produce),
            wait,
        }
    }
}

impl Waiting {
    fn concerns(&self, changed: &BTreeSet<(String, i32)>) -> bool {
        let mut partitions: Box<dyn Iterator<Item = (&str, i32)>> = match self {
            Self::Fetch(fetch) => Box::new(
                fetch
                    .wanted
                    .iter()
                    .map(|wanted| (wanted.topic.as_str(), wanted.partition)),
            ),
            Self::Produce(produce) => Box::new(produce.partitions()),
        };
        partitions
            .any(|(topic, partition)| changed.iter().any(|(t, p)| t == topic && *p == partition))
    }
}

impl Purgatory {
    /// Forgets what a dead broker had waiting; the timers find nothing then.
    pub(crate) fn remove_broker(&mut self, broker: i32) {
        self.entries
            .retain(|_, entry| entry.context.broker != broker);
    }

    /// How many fetches wait on a broker.
    pub(crate) fn waiting_fetches(&self, broker: i32) -> usize {
        let on_broker = self
            .entries
            .values()
            .filter(|entry| entry.context.broker == broker);
        on_broker
            .filter(|entry| matches!(entry.what, Waiting::Fetch(_)))
            .count()
    }
}

impl State {
    pub(crate) fn park(&mut self, context: RequestContext, parked: Parked) {
        self.purgatory.parked += 1;
        let id = self.purgatory.parked;
        let expire = Box::new(move |state: &mut Self| state.complete_parked(id));
        let expires = self.timers.set(Instant::now() + parked.wait, expire);
        self.purgatory.entries.insert(
            id,
            Entry {
                context,
                what: parked.what,
                expires,
            },
        );
    }

    /// Forgets fetches of a connection that is gone; a produce stays applied, so there is nothing to undo.
    pub(crate) fn drop_parked(&mut self, connection: u64) {
        let Self {
            purgatory, timers, ..
        } = self;
        purgatory.entries.retain(|_, entry| {
            let stays = entry.context.connection != connection;
            if !stays {
                timers.cancel(entry.expires);
            }
            stays
        });
    }

    /// Answers those that no longer need to wait, of those concerned by what changed.
    pub(crate) fn retry_parked(&mut self, changed: &BTreeSet<(String, i32)>) {
        let ready: Vec<u64> = self
            .purgatory
            .entries
            .iter()
            .filter(|(_, entry)| entry.what.concerns(changed))
            .filter(|(_, entry)| match &entry.what {
                Waiting::Fetch(pending) => fetch::is_ready(self, &entry.context, pending),
                Waiting::Produce(pending) => produce::is_ready(self, &entry.context, pending),
            })
            .map(|(&id, _)| id)
            .collect();
        for id in ready {
            self.complete_parked(id);
        }
    }

    fn complete_parked(&mut self, id: u64) {
        let Some(Entry {
            context,
            what,
            expires,
        }) = self.purgatory.entries.remove(&id)
        else {
            return;
        };
        self.timers.cancel(expires);
        match what {
            Waiting::Fetch(pending) => {
                let answer = fetch::answer(self, &context, pending);
                self.finish(&context, Box::new(answer));
            }
            Waiting::Produce(pending) => {
                let answer = produce::answer(self, &context, pending);
                self.finish(&context, Box::new(answer));
            }
        }
    }
}
