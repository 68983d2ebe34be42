//! All partitions in turn.

use crate::group::{Group, Owners};
use crate::{AssignError, Assignment, Assignor, Member, Topics, order};

/// Kafka's `roundrobin`: the partitions of all topics in order, each to the next member that subscribes.
///
/// Members are in order of instance id, static members before dynamic ones, then of member id. With equal
/// subscriptions the numbers of partitions differ by at most one; with unequal ones they can differ by much, as
/// the turn passes over members that do not subscribe.
#[derive(Debug, Default)]
#[doc(alias = "org.apache.kafka.clients.consumer.RoundRobinAssignor")]
pub struct RoundRobinAssignor {
    _private: (),
}

impl RoundRobinAssignor {
    /// The assignor. It remembers nothing.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> Result<Vec<Assignment>, AssignError> {
        let group = Group::new(topics, members);
        let mut owners: Owners = vec![None; group.partition_count()];
        let circle = group.sorted_members(order::by_instance);
        let mut place = vec![0; members.len()];
        for (index, &member) in circle.iter().enumerate() {
            place[member as usize] = index;
        }

        let mut turn = 0;
        for topic in 0..group.topic_count() {
            let mut places: Vec<usize> = group
                .subscribers(topic)
                .iter()
                .map(|&member| place[member as usize])
                .collect();
            places.sort_unstable();
            // The turn is the first subscriber's at or after the place it has come to, or the very first's.
            let mut next = places.partition_point(|&place| place < turn) % places.len();
            for owner in &mut owners[group.partitions(topic)] {
                *owner = Some(circle[places[next]]);
                turn = (places[next] + 1) % circle.len();
                next = (next + 1) % places.len();
            }
        }
        Ok(group.assignments(&owners))
    }
}
