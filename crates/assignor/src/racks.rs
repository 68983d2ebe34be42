//! Racks in numbers, and when they are worth looking at (KIP-881).

use std::collections::HashMap;

use crate::group::{Group, MemberIndex};

/// A rack some member runs in or some replica is in.
pub(crate) type Rack = u32;

/// Where members and replicas are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Racks {
    members: Vec<Option<Rack>>,
    /// Every partition's racks, ascending and without repetition. Empty when no member names its rack.
    partitions: Vec<Vec<Rack>>,
    count: usize,
}

impl Racks {
    pub(crate) fn new(group: &Group<'_>) -> Self {
        let mut index: HashMap<&str, Rack> = HashMap::new();
        let mut number = |name| {
            let next = index.len() as Rack;
            *index.entry(name).or_insert(next)
        };
        let members: Vec<Option<Rack>> = group
            .members()
            .iter()
            .map(|member| member.rack().map(&mut number))
            .collect();
        let mut partitions = Vec::new();
        if members.iter().any(Option::is_some) {
            partitions.reserve(group.partition_count());
            for topic in 0..group.topic_count() {
                let topic = group.topic(topic);
                for partition in 0..topic.partition_count() {
                    let replicas = topic.replica_racks(partition);
                    let mut racks: Vec<Rack> =
                        replicas.iter().map(|rack| number(rack.as_str())).collect();
                    racks.sort_unstable();
                    racks.dedup();
                    partitions.push(racks);
                }
            }
        }
        Self {
            members,
            partitions,
            count: index.len(),
        }
    }

    /// Whether any member names its rack.
    pub(crate) fn any_member(&self) -> bool {
        !self.partitions.is_empty()
    }

    /// The number of racks, each a number below it.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn of_member(&self, member: MemberIndex) -> Option<Rack> {
        self.members[member as usize]
    }

    /// The racks of a partition's replicas. Only where some member names its rack.
    pub(crate) fn of_partition(&self, partition: usize) -> &[Rack] {
        &self.partitions[partition]
    }

    /// Whether a member reads a partition from its own rack, or does not say where it is.
    pub(crate) fn matches(&self, member: MemberIndex, partition: usize) -> bool {
        self.of_member(member)
            .is_none_or(|rack| self.of_partition(partition).contains(&rack))
    }

    /// Whether racks can make a difference among these members and partitions: a replica is in a member's rack,
    /// and not every partition is in every rack.
    pub(crate) fn matter(
        &self,
        members: impl IntoIterator<Item = MemberIndex>,
        partitions: impl IntoIterator<Item = usize> + Clone,
    ) -> bool {
        if !self.any_member() {
            return false;
        }
        let mut of_partitions = vec![false; self.count];
        for partition in partitions.clone() {
            for &rack in self.of_partition(partition) {
                of_partitions[rack as usize] = true;
            }
        }
        let near = members
            .into_iter()
            .filter_map(|member| self.of_member(member))
            .any(|rack| of_partitions[rack as usize]);
        let racks = of_partitions
            .iter()
            .filter(|&&with_replica| with_replica)
            .count();
        near && partitions
            .into_iter()
            .any(|partition| self.of_partition(partition).len() != racks)
    }
}
