//! All connections of a client: one per broker and [`ConnectionGroup`],
//! made on demand.

mod slots;
mod task;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::address::HostPort;
use crate::config::{ConnectionConfig, PoolConfig};
use crate::connection::Connection;
use crate::error::ConnectionError;
use crate::peer::ConnectionGroup;
use crate::race::race;
use crate::stats::{Counters, PoolStats};
use crate::transport::Connector;
use slots::{Found, Key, Outcome, Slots, Target};

/// The connections of a client, one per broker and [`ConnectionGroup`]. Cloning is cheap; all
/// clones are the same pool.
///
/// - Callers who want the same connection share one dial, which belongs to the pool: a caller who
///   gives up cancels nothing but the own wait, and a failure reaches everyone who waits.
/// - After a failed dial there is a pause before the next (KIP-144). Callers wait through it,
///   unless their deadline is before its end: those fail at once, with the latest failure.
/// - A dial that hangs delays no other one. The lock inside is held for look-ups only, never while
///   something is awaited.
/// - A closed connection is never handed out.
/// - Dropping the last clone closes every connection without waiting.
#[derive(Clone)]
pub struct Pool {
    handle: Arc<Handle>,
}

/// What the clones of a pool share. The tasks know [`Shared`] only, so they do not keep this alive.
struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    config: PoolConfig,
    connection_config: Arc<ConnectionConfig>,
    connector: Arc<dyn Connector>,
    counters: Arc<Counters>,
    slots: Mutex<Slots>,
    tasks: TaskTracker,
    /// Nothing begins any more, and nobody waits for it.
    closed: CancellationToken,
    /// Ends every task at once.
    stop: CancellationToken,
}

impl Pool {
    /// A pool without connections. `rng` decides jitter and the order of bootstrap addresses,
    /// nothing else: the same seed and the same calls give the same dials.
    pub fn new(config: PoolConfig, connector: Arc<dyn Connector>, rng: fastrand::Rng) -> Self {
        let shared = Shared {
            connection_config: Arc::new(config.connection.clone()),
            connector,
            counters: Arc::default(),
            slots: Mutex::new(Slots::new(
                config.reconnect_backoff,
                config.setup_timeout,
                rng,
            )),
            config,
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        Self {
            handle: Arc::new(Handle {
                shared: Arc::new(shared),
            }),
        }
    }

    /// Replaces the address book with all brokers of a cluster.
    ///
    /// Connections to brokers that are gone from it, or have another address in it, are no longer
    /// handed out; what is pending on them is still answered, then they close. The next call for a
    /// broker that moved dials its new address.
    pub fn update_nodes(&self, nodes: impl IntoIterator<Item = (i32, HostPort)>) {
        self.shared()
            .lock()
            .replace_nodes(nodes.into_iter().collect());
    }

    /// Adds brokers to the address book, or moves them, and leaves all others alone: what a
    /// response knows that mentions only some brokers (KIP-951).
    pub fn learn_nodes(&self, nodes: impl IntoIterator<Item = (i32, HostPort)>) {
        self.shared().lock().learn_nodes(nodes);
    }

    /// The connection to a broker, made if need be.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::UnknownNode`] if the address book lacks it, [`ConnectionError::Dial`] if
    /// the dial waited for fails, [`ConnectionError::DialTimedOut`] if there is none by the
    /// deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing; a dial that was begun goes on.
    pub async fn connection(
        &self,
        node: i32,
        group: ConnectionGroup,
        deadline: Instant,
    ) -> Result<Connection, ConnectionError> {
        self.connection_for(
            Key {
                group,
                target: Target::Node(node),
            },
            deadline,
        )
        .await
    }

    /// The connection to a broker if there is one, without waiting or dialing.
    pub fn existing(&self, node: i32, group: ConnectionGroup) -> Option<Connection> {
        self.shared().lock().existing(&Key {
            group,
            target: Target::Node(node),
        })
    }

    /// A connection to any of the bootstrap addresses: one that is there already, or the first that
    /// can be made.
    ///
    /// The addresses are tried in random order, each after a pause if it failed before, and beside
    /// the one before it if that takes long. After one round without success this fails; trying
    /// again is the caller's decision.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Bootstrap`] with what happened to each address.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing; dials that were begun go on.
    pub async fn bootstrap(
        &self,
        group: ConnectionGroup,
        deadline: Instant,
    ) -> Result<Connection, ConnectionError> {
        let addresses = match self
            .shared()
            .lock()
            .bootstrap(group, &self.shared().config.bootstrap)?
        {
            Ok(connection) => return Ok(connection),
            Err(addresses) => addresses,
        };
        let dials = addresses.iter().map(|address| {
            self.connection_for(
                Key {
                    group,
                    target: Target::Bootstrap(address.clone()),
                },
                deadline,
            )
        });
        let failures = match race(dials, self.shared().config.bootstrap_head_start).await {
            Ok(connection) => return Ok(connection),
            Err(failures) => failures,
        };
        if failures
            .iter()
            .any(|error| matches!(error, ConnectionError::PoolClosed))
        {
            return Err(ConnectionError::PoolClosed);
        }
        Err(ConnectionError::Bootstrap {
            failures: addresses.into_iter().zip(failures).collect(),
        })
    }

    /// Stops handing out connections to bootstrap addresses made so far, and lets each close when
    /// nothing is pending on it. For the moment when the brokers' own addresses are known.
    pub fn close_bootstrap(&self) {
        self.shared().lock().retire_bootstrap();
    }

    /// Closes all connections of an owner at once; what is pending on them fails. Owner 0, which is
    /// everybody, is left alone.
    pub fn close_owner(&self, owner: u64) {
        if owner != 0 {
            self.shared().lock().close_owner(owner);
        }
    }

    /// Closes the pool: nothing is handed out any more, and each connection closes when nothing is
    /// pending on it, or at the deadline. Returns as soon as all are closed, and never after the
    /// deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the pool closed, with connections that close as soon as nothing is
    /// pending on them.
    pub async fn close(&self, deadline: Instant) {
        let shared = self.shared();
        shared.close();
        if timeout_at(deadline, shared.tasks.wait()).await.is_err() {
            debug!("closing connections with requests pending");
            shared.stop.cancel();
            // Every task ends at its next turn; on a single thread that is before this one's.
            tokio::task::yield_now().await;
        }
    }

    /// The counters at this moment.
    pub fn stats(&self) -> PoolStats {
        self.shared().counters.snapshot()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    async fn connection_for(
        &self,
        key: Key,
        deadline: Instant,
    ) -> Result<Connection, ConnectionError> {
        loop {
            let found = self.shared().find(&key, deadline)?;
            match found {
                Found::Ready(connection) => return Ok(connection),
                Found::Dialing { peer, outcome } => {
                    let outcome = match timeout_at(deadline, outcome).await {
                        Ok(outcome) => outcome.unwrap_or(Outcome::Moved),
                        Err(_) => return Err(ConnectionError::DialTimedOut { peer, source: None }),
                    };
                    match outcome {
                        // It may have closed again already.
                        Outcome::Ready(connection) if !connection.is_closed() => {
                            return Ok(connection);
                        }
                        Outcome::Failed(source) => {
                            return Err(ConnectionError::Dial { peer, source });
                        }
                        Outcome::Ready(_) | Outcome::Moved => {}
                        Outcome::Closed => return Err(ConnectionError::PoolClosed),
                    }
                }
                Found::Pausing {
                    peer,
                    until,
                    source,
                } => {
                    if deadline < until {
                        return Err(ConnectionError::DialTimedOut { peer, source });
                    }
                    // Either end of the wait leads to another look.
                    drop(timeout_at(until, self.shared().closed.cancelled()).await);
                }
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        // The lock's holders do not panic, and if one did, the slots would still be whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().close();
        self.tasks.close();
        self.closed.cancel();
    }

    /// What there is for a key; begins a dial if there is nothing and one may begin.
    fn find(self: &Arc<Self>, key: &Key, deadline: Instant) -> Result<Found, ConnectionError> {
        let now = Instant::now();
        let mut slots = self.lock();
        let (found, begun) = slots.find(key, now, deadline, &self.stop)?;
        drop(slots);
        if let Some(begun) = begun {
            self.spawn(begun);
        }
        Ok(found)
    }
}
