//! Who fetches: a broker's two fetchers, and what can be said of the order in which things come.

use ottla_cluster::NodeId;

/// Which of a broker's two connections a fetch goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Waits at the broker for records that are not there yet, for all partitions in one session.
    Main,
    /// Fetches at once, and only while the main lane waits, what became ready meanwhile: after a seek, a
    /// resume, or when a full queue has room again.
    Side,
}

/// One of those who fetch. What one of them brings comes in the order in which it was asked for; of two
/// of them nobody can tell who is done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Via {
    pub(crate) node: NodeId,
    pub(crate) lane: Lane,
}
