//! The sticky assignor of the eager protocol.

use std::sync::{Mutex, PoisonError};

use super::balance::Situation;
use super::claims::{Claim, NO_GENERATION};
use super::{StickyUserData, aiokafka};
use crate::{AssignError, Assignment, Assignor, Member, TopicPartitions, Topics};

/// Kafka's `sticky`: as balanced as subscriptions allow, and within that as few movements as possible (KIP-54).
///
/// Members give everything up before a rebalance (the protocol is eager) but remember it: each sends its last
/// assignment and the generation of it as user data. Of several claims to a partition the newest wins; if there are
/// several newest ones, none does. The user data of Java and aiokafka is read in all versions; bytes that are
/// neither count as no claim.
///
/// Where all subscribe to the same topics, counts differ by at most one. Otherwise no member has two partitions
/// fewer than another one from which it could take one.
///
/// Where members and replicas name their racks, a member keeps only what is in its rack and partitions are given
/// within racks first; balance comes before both (KIP-881). What no member has near may therefore move whenever
/// the group rebalances, as in Java.
///
/// Differences from Java: a claim to a partition that does not exist is ignored (Java may hand that partition out or
/// fail), a partition never returns to an earlier owner that no longer subscribes to it, and a member that subscribes
/// to nothing gets nothing even if it is the first.
///
/// ```
/// use ottla_assignor::{Assignor, Member, StickyAssignor, Topics};
///
/// let topics = Topics::new().with("t", 4);
/// let (a, b) = (StickyAssignor::new(), StickyAssignor::new());
/// let mut members = [Member::new("a", ["t"]), Member::new("b", ["t"])];
/// let first = a.assign(&topics, &members)?;
/// a.on_assignment(&first[0], 1);
/// b.on_assignment(&first[1], 1);
///
/// // Whatever ids they come back with, everyone gets what it had.
/// members[0] = Member { user_data: a.user_data(&[]), ..Member::new("z", ["t"]) };
/// members[1] = Member { user_data: b.user_data(&[]), ..Member::new("y", ["t"]) };
/// assert_eq!(a.assign(&topics, &members)?, first);
/// # Ok::<(), ottla_assignor::AssignError>(())
/// ```
#[derive(Debug, Default)]
#[doc(alias = "org.apache.kafka.clients.consumer.StickyAssignor")]
pub struct StickyAssignor {
    memory: Mutex<Option<(TopicPartitions, i32)>>,
    as_aiokafka: bool,
}

impl StickyAssignor {
    /// The assignor of a member that was not given anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with aiokafka's way of balancing: where a group's leader may be either, partitions do not move
    /// because the other one leads.
    ///
    /// Java has an algorithm of its own for equal subscriptions; aiokafka uses its general one always. What moves
    /// differs, the counts do not. Besides:
    ///
    /// - of several newest claims to a partition the first listed member's counts, in generation 0 the last's. The
    ///   order of members means something here, and only here;
    /// - where aiokafka draws one of several partitions from a hash set, so that its answer differs from process to
    ///   process, the last one a member claims goes first;
    /// - an older claim makes a partition the first to move, whichever generation it is of;
    /// - subscriptions are equal if they name the known topics in the same order, and no topic is known that nobody
    ///   subscribes to;
    /// - user data without a generation (version 0) is no claim;
    /// - racks do not count, and ids are in order of code points, not of UTF-16's.
    ///
    /// Not as aiokafka does it: no partition returns to an earlier owner that no longer subscribes, and no input
    /// fails.
    #[doc(alias = "aiokafka.coordinator.assignors.sticky.StickyPartitionAssignor")]
    pub fn as_aiokafka() -> Self {
        Self {
            as_aiokafka: true,
            ..Self::default()
        }
    }
}

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "sticky"
    }

    fn user_data(&self, _topics: &[String]) -> Option<Vec<u8>> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (partitions, generation) = memory.as_ref()?;
        let data = StickyUserData {
            partitions: partitions
                .iter()
                .map(|(topic, numbers)| (topic.into(), numbers.clone()))
                .collect(),
            generation: Some(*generation),
        };
        data.encode()
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        let memories = members.iter().map(|member| {
            let data = StickyUserData::decode(member.user_data.as_deref()?)?;
            (data.generation.is_some() || !self.as_aiokafka).then_some(data)
        });
        let claims: Vec<Claim<'_>> = memories.map(claim).collect();
        Ok(if self.as_aiokafka {
            aiokafka::assign(topics, members, &claims)
        } else {
            let situation = Situation::new(topics, members, &claims);
            situation.assignments(&situation.balance())
        })
    }

    fn on_assignment(&self, assignment: &Assignment, generation: i32) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        *memory = Some((assignment.partitions.clone(), generation));
    }
}

fn claim(memory: Option<StickyUserData<'_>>) -> Claim<'_> {
    let memory = memory.unwrap_or_default();
    Claim {
        partitions: memory
            .partitions
            .into_iter()
            .map(|(topic, numbers)| (topic, numbers.into()))
            .collect(),
        generation: memory.generation.unwrap_or(NO_GENERATION),
    }
}
