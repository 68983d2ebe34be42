//! The contract of an assignor: what a group asks of it and what it answers.

use std::error::Error;
use std::fmt;

use crate::{Assignment, Member, Topics};

/// Decides which member of a consumer group gets which partition.
///
/// A member lists its assignors in order of preference when it joins; the group picks one that all members list,
/// by [`name`](Self::name), and its leader calls [`assign`](Self::assign) for all of them. Every member then hears
/// what it got through [`on_assignment`](Self::on_assignment) and may say more when it next joins, through
/// [`user_data`](Self::user_data).
///
/// The trait is object safe. Whatever an implementation remembers belongs to the instance: two consumers of one
/// process must not share it, so give each its own.
pub trait Assignor: Send + Sync {
    /// The name members agree on. Members may be written in other languages, so a name stands for an algorithm,
    /// its user data included; use a new one when either changes.
    fn name(&self) -> &str;

    /// The ways of rebalancing this assignor's answers are safe for. Only [`RebalanceProtocol::Eager`] unless
    /// overridden (KIP-429).
    fn supported_protocols(&self) -> &[RebalanceProtocol] {
        &[RebalanceProtocol::Eager]
    }

    /// Bytes to send along with the subscription to `topics` at the next join, for the leader's eyes. None unless
    /// overridden.
    fn user_data(&self, topics: &[String]) -> Option<Vec<u8>> {
        let _ = topics;
        None
    }

    /// The assignment of every member, in the order of `members`: the answer is as long as the question.
    ///
    /// `topics` holds what the cluster's metadata knows; a topic somebody subscribes to may be missing from it
    /// and is then nobody's for now. The order of `members` says nothing and differs from call to call.
    ///
    /// The call may take its time: a group runs it beside its heartbeats.
    ///
    /// # Errors
    ///
    /// An implementation's own: the rebalance fails with it and no member gets anything. The built-in assignors
    /// never fail.
    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError>;

    /// Tells a member what it was given, as of `generation`. Does nothing unless overridden.
    fn on_assignment(&self, assignment: &Assignment, generation: i32) {
        let _ = (assignment, generation);
    }
}

/// What a member does with its partitions while the group rebalances (KIP-429).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RebalanceProtocol {
    /// Everything is given up before joining, so any answer is safe.
    Eager,
    /// Partitions are kept while joining; only what the answer lacks is given up, and whoever gets it then gets
    /// it in the rebalance that follows.
    Cooperative,
}

impl RebalanceProtocol {
    /// The protocol a member uses that may be asked to work with any of `assignors`: the most advanced one that
    /// all of them support. None when they have none in common, or when there are no assignors.
    ///
    /// ```
    /// use ottla_assignor::{Assignor, RangeAssignor, RebalanceProtocol};
    ///
    /// let range = RangeAssignor::new();
    /// let assignors: [&dyn Assignor; 1] = [&range];
    /// assert_eq!(RebalanceProtocol::common(assignors), Some(RebalanceProtocol::Eager));
    /// ```
    pub fn common<'a>(assignors: impl IntoIterator<Item = &'a dyn Assignor>) -> Option<Self> {
        let mut assignors = assignors.into_iter();
        let mut common = assignors.next()?.supported_protocols().to_vec();
        for assignor in assignors {
            common.retain(|protocol| assignor.supported_protocols().contains(protocol));
        }
        common.into_iter().max()
    }
}

/// Why an assignor of one's own could not assign. The built-in assignors never return it.
#[derive(Debug)]
pub struct AssignError {
    reason: Box<dyn Error + Send + Sync>,
}

impl AssignError {
    /// An error whose message names `reason`.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    /// What the assignor said.
    pub fn reason(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.reason.as_ref()
    }
}

impl fmt::Display for AssignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot assign partitions: {}", self.reason)
    }
}

impl Error for AssignError {
    /// What is behind the reason, which the message itself names.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}
