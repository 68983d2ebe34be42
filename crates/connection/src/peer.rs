//! Whom a connection leads to and what for: the two halves of the pool's key.

use std::fmt;
use std::sync::Arc;

use crate::address::HostPort;

/// The broker at the other end. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(Arc<(Option<i32>, HostPort)>);

impl Peer {
    /// A broker known by its node id.
    pub fn node(id: i32, address: HostPort) -> Self {
        Self(Arc::new((Some(id), address)))
    }

    /// A broker of which only the address is known.
    pub fn bootstrap(address: HostPort) -> Self {
        Self(Arc::new((None, address)))
    }

    /// The node id, `None` for a bootstrap address.
    pub fn id(&self) -> Option<i32> {
        self.0.0
    }

    /// Where the broker listens.
    pub fn address(&self) -> &HostPort {
        &self.0.1
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "broker {id} at {}", self.address()),
            None => write!(f, "broker at {}", self.address()),
        }
    }
}

/// Which requests share a connection.
///
/// A broker works on one request of a connection at a time and answers in order, so requests that
/// may wait for long and requests that must not wait never share one. Another group is another
/// socket to the same address, with dials, pauses, throttles and failures of its own. This is how
/// ottla's client chooses:
///
/// | [`Purpose`] | requests | whose | because |
/// |---|---|---|---|
/// | `Metadata` | Metadata, FindCoordinator, InitProducerId of idempotent producers | all share it | brokers answer at once, and everything else waits for these answers |
/// | `Offsets` | ListOffsets, OffsetForLeaderEpoch, over two groups: what positions wait for, and what a caller wants to know | a consumer's own | an offset for a timestamp may have to be read from a cold disk or from remote storage |
/// | `Admin` | every call of an administrator, DeleteRecords and raw requests among them | all share it | changing a topic takes as long as it takes |
/// | `Produce` | Produce | all share it; a producer's own beside one that stalls | may be large, wait for replicas, and be throttled; a partition's batches are in order on one connection only |
/// | `Fetch` | Fetch, over two groups: what waits for records, and what became ready meanwhile | a consumer's own | waits for records, and a broker's answer may be large |
/// | `Join` | JoinGroup, SyncGroup | a consumer's own | a coordinator parks them for minutes |
/// | `Coordination` | Heartbeat, OffsetCommit, OffsetFetch, LeaveGroup | a consumer's own | they keep the membership, whatever else goes on |
/// | `Transaction` | everything with a transaction coordinator | a producer's own | an end waits for markers |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionGroup {
    /// What the requests are for.
    pub purpose: Purpose,
    /// Whose they are: 0 for connections that all handles of a client share, otherwise an id that
    /// the client gave to one consumer or producer.
    pub owner: u64,
}

impl ConnectionGroup {
    /// The group shared by all handles of a client.
    pub const fn shared(purpose: Purpose) -> Self {
        Self { purpose, owner: 0 }
    }

    /// The group of one owner.
    pub const fn owned(purpose: Purpose, owner: u64) -> Self {
        Self { purpose, owner }
    }
}

/// What the requests of a connection are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Administration.
    Admin,
    /// Heartbeats, commits, offsets: everything with a group coordinator that it answers at once.
    Coordination,
    /// Fetches: long polls with large answers.
    Fetch,
    /// JoinGroup and SyncGroup, which the coordinator may hold for minutes.
    Join,
    /// Metadata and coordinator look-ups.
    Metadata,
    /// Questions to partitions' leaders about offsets and epochs.
    Offsets,
    /// Produce requests.
    Produce,
    /// Everything with a transaction coordinator.
    Transaction,
}
