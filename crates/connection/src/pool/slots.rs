//! What the pool knows about each key: dialing, up, or pausing after a failure. No I/O and no
//! waiting happens here.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::address::HostPort;
use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::error::{ConnectionError, DialError};
use crate::peer::{ConnectionGroup, Peer};

/// What a connection of the pool is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) group: ConnectionGroup,
    pub(super) target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Bootstrap(HostPort),
    Node(i32),
}

/// What there is for a key.
pub(super) enum Found {
    /// A connection.
    Ready(Connection),
    /// A dial to wait for.
    Dialing {
        peer: Peer,
        outcome: oneshot::Receiver<Outcome>,
    },
    /// Nothing before `until`.
    Pausing {
        peer: Peer,
        until: Instant,
        source: Option<Arc<DialError>>,
    },
}

/// How a dial ended, for those who waited.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The pool or the owner was closed.
    Closed,
    /// It failed.
    Failed(Arc<DialError>),
    /// The broker has another address by now, or none: look again.
    Moved,
    /// It succeeded.
    Ready(Connection),
}

/// A dial that has to be run.
pub(super) struct Begun {
    pub(super) key: Key,
    pub(super) id: u64,
    pub(super) peer: Peer,
    pub(super) setup_timeout: Duration,
    pub(super) stop: CancellationToken,
}

/// The address book and the state of every key.
pub(super) struct Slots {
    nodes: BTreeMap<i32, HostPort>,
    slots: BTreeMap<Key, Slot>,
    reconnect_backoff: Backoff,
    setup_timeout: Backoff,
    rng: fastrand::Rng,
    next_id: u64,
    closed: bool,
}

#[derive(Default)]
struct Slot {
    link: Link,
    failures: u32,
    not_before: Option<Instant>,
    latest_failure: Option<Arc<DialError>>,
}

#[derive(Default)]
enum Link {
    #[default]
    Down,
    Dialing {
        id: u64,
        peer: Peer,
        /// In the order in which they came; a watch channel would wake them in a random one.
        waiters: Vec<oneshot::Sender<Outcome>>,
        stop: CancellationToken,
    },
    Up {
        connection: Connection,
        stop: CancellationToken,
    },
}

impl Slots {
    pub(super) fn new(
        reconnect_backoff: Backoff,
        setup_timeout: Backoff,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            nodes: BTreeMap::new(),
            slots: BTreeMap::new(),
            reconnect_backoff,
            setup_timeout,
            rng,
            next_id: 1,
            closed: false,
        }
    }

    /// What there is for a key, and the dial to run if one had to begin.
    pub(super) fn find(
        &mut self,
        key: &Key,
        now: Instant,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Result<(Found, Option<Begun>), ConnectionError> {
        if self.closed {
            return Err(ConnectionError::PoolClosed);
        }
        if let Some(connection) = self.existing(key) {
            return Ok((Found::Ready(connection), None));
        }
        let peer = match &key.target {
            Target::Bootstrap(address) => Peer::bootstrap(address.clone()),
            Target::Node(node) => match self.nodes.get(node) {
                Some(address) => Peer::node(*node, address.clone()),
                None => return Err(ConnectionError::UnknownNode { node: *node }),
            },
        };
        let slot = self.slots.entry(key.clone()).or_default();
        if let Link::Dialing { peer, waiters, .. } = &mut slot.link {
            let (waiter, outcome) = oneshot::channel();
            // Those who gave up do not pile up behind a dial that hangs.
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(waiter);
            let peer = peer.clone();
            return Ok((Found::Dialing { peer, outcome }, None));
        }
        if let Some(until) = slot.not_before.filter(|not_before| *not_before > now) {
            let source = slot.latest_failure.clone();
            return Ok((
                Found::Pausing {
                    peer,
                    until,
                    source,
                },
                None,
            ));
        }
        if deadline <= now {
            return Err(ConnectionError::DialTimedOut {
                peer,
                source: slot.latest_failure.clone(),
            });
        }
        let id = self.next_id;
        self.next_id += 1;
        let stop = stop.child_token();
        let (waiter, outcome) = oneshot::channel();
        slot.link = Link::Dialing {
            id,
            peer: peer.clone(),
            waiters: vec![waiter],
            stop: stop.clone(),
        };
        // Counted from here even if it succeeds: a broker that accepts and hangs up at once is not
        // dialed in a tight loop.
        slot.not_before = Some(now + self.reconnect_backoff.delay(1, &mut self.rng));
        let setup_timeout = self.setup_timeout.delay(slot.failures + 1, &mut self.rng);
        let begun = Begun {
            key: key.clone(),
            id,
            peer: peer.clone(),
            setup_timeout,
            stop,
        };
        Ok((Found::Dialing { peer, outcome }, Some(begun)))
    }

    /// The connection of a key if it has one.
    pub(super) fn existing(&self, key: &Key) -> Option<Connection> {
        self.slots.get(key).and_then(Slot::connection).cloned()
    }

    /// A connection of this group to some bootstrap address, or else the addresses in the order in
    /// which to try them: at random, those that need no pause first.
    pub(super) fn bootstrap(
        &mut self,
        group: ConnectionGroup,
        addresses: &[HostPort],
    ) -> Result<Result<Connection, Vec<HostPort>>, ConnectionError> {
        if self.closed {
            return Err(ConnectionError::PoolClosed);
        }
        let of_group = self
            .slots
            .iter()
            .filter(|(key, _)| key.group == group && key.is_bootstrap());
        if let Some(connection) = of_group.filter_map(|(_, slot)| slot.connection()).next() {
            return Ok(Ok(connection.clone()));
        }
        let mut order = addresses.to_vec();
        self.rng.shuffle(&mut order);
        order.sort_by_cached_key(|address| {
            let key = Key {
                group,
                target: Target::Bootstrap(address.clone()),
            };
            self.slots
                .get(&key)
                .filter(|slot| slot.failures > 0)
                .and_then(|slot| slot.not_before)
        });
        Ok(Err(order))
    }

    /// Takes the result of a dial. True if the connection is the key's connection now; otherwise
    /// nobody wants it any more.
    pub(super) fn dialed(
        &mut self,
        begun: &Begun,
        result: Result<&Connection, Arc<DialError>>,
        now: Instant,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(&begun.key) else {
            return false;
        };
        match &slot.link {
            Link::Dialing { id, .. } if *id == begun.id => {}
            _ => return false,
        }
        let Link::Dialing { waiters, stop, .. } = std::mem::take(&mut slot.link) else {
            return false;
        };
        match result {
            Ok(connection) => {
                slot.failures = 0;
                slot.latest_failure = None;
                let connection = connection.clone();
                tell(waiters, &Outcome::Ready(connection.clone()));
                slot.link = Link::Up { connection, stop };
                true
            }
            Err(error) => {
                slot.failures = slot.failures.saturating_add(1);
                let pause = self.reconnect_backoff.delay(slot.failures, &mut self.rng);
                slot.not_before = Some(now + pause);
                slot.latest_failure = Some(error.clone());
                tell(waiters, &Outcome::Failed(error));
                false
            }
        }
    }

    /// Forgets a connection that has closed.
    pub(super) fn ended(&mut self, key: &Key, id: u64) {
        if let Some(slot) = self.slots.get_mut(key)
            && matches!(&slot.link, Link::Up { connection, .. } if connection.id() == id)
        {
            slot.link = Link::Down;
        }
    }

    pub(super) fn replace_nodes(&mut self, nodes: BTreeMap<i32, HostPort>) {
        self.nodes = nodes;
        self.retire_moved();
    }

    pub(super) fn learn_nodes(&mut self, nodes: impl IntoIterator<Item = (i32, HostPort)>) {
        self.nodes.extend(nodes);
        self.retire_moved();
    }

    pub(super) fn retire_bootstrap(&mut self) {
        self.remove(Key::is_bootstrap, |slot| slot.retire(&Outcome::Closed));
    }

    pub(super) fn close_owner(&mut self, owner: u64) {
        self.remove(
            |key| key.group.owner == owner,
            |slot| slot.stop(&Outcome::Closed),
        );
    }

    /// Retires everything and begins nothing any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.remove(|_| true, |slot| slot.retire(&Outcome::Closed));
    }

    /// Retires what leads to an address that is not, or no longer, the broker's.
    fn retire_moved(&mut self) {
        let nodes = &self.nodes;
        self.slots.retain(|key, slot| {
            let Target::Node(node) = key.target else {
                return true;
            };
            let leads_to = match &slot.link {
                Link::Down => None,
                Link::Dialing { peer, .. } => Some(peer.address()),
                Link::Up { connection, .. } => Some(connection.peer().address()),
            };
            let keep = match nodes.get(&node) {
                Some(address) => leads_to.is_none_or(|leads_to| leads_to == address),
                None => false,
            };
            if !keep {
                slot.retire(&Outcome::Moved);
            }
            keep
        });
    }

    fn remove(&mut self, which: impl Fn(&Key) -> bool, end: impl Fn(&mut Slot)) {
        self.slots.retain(|key, slot| {
            let gone = which(key);
            if gone {
                end(slot);
            }
            !gone
        });
    }
}

impl Slot {
    fn connection(&self) -> Option<&Connection> {
        match &self.link {
            Link::Up { connection, .. } if !connection.is_closed() => Some(connection),
            _ => None,
        }
    }

    /// Lets a connection finish what is pending, and ends a dial.
    fn retire(&mut self, outcome: &Outcome) {
        match &self.link {
            Link::Up { connection, .. } => connection.retire(),
            _ => self.stop(outcome),
        }
    }

    /// Ends a connection or a dial at once.
    fn stop(&mut self, outcome: &Outcome) {
        match std::mem::take(&mut self.link) {
            Link::Down => {}
            Link::Dialing { waiters, stop, .. } => {
                tell(waiters, outcome);
                stop.cancel();
            }
            Link::Up { stop, .. } => stop.cancel(),
        }
    }
}

/// Lets everyone know who still waits, in the order in which they came.
fn tell(waiters: Vec<oneshot::Sender<Outcome>>, outcome: &Outcome) {
    for waiter in waiters {
        drop(waiter.send(outcome.clone()));
    }
}

impl Key {
    fn is_bootstrap(&self) -> bool {
        matches!(self.target, Target::Bootstrap(_))
    }
}
