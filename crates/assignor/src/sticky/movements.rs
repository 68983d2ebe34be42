//! What has moved where while balancing, so that no two partitions of a topic swap places.

use std::collections::{BTreeMap, BTreeSet};

use crate::group::MemberIndex;

/// One topic's partitions that moved from one member to another.
type Route = (usize, MemberIndex, MemberIndex);

/// The movements made so far, each from the partition's first owner to its present one.
#[derive(Debug, Default)]
pub(crate) struct Movements {
    by_partition: BTreeMap<usize, (MemberIndex, MemberIndex)>,
    by_route: BTreeMap<Route, BTreeSet<usize>>,
}

impl Movements {
    /// A partition of `topic` that came the way back that `partition` is about to go: from `to` to where `partition`
    /// was at first. Sending that one back instead undoes a movement.
    pub(crate) fn reverse(
        &self,
        topic: usize,
        partition: usize,
        from: MemberIndex,
        to: MemberIndex,
    ) -> Option<usize> {
        let origin = self
            .by_partition
            .get(&partition)
            .map_or(from, |&(origin, _)| origin);
        self.by_route.get(&(topic, to, origin))?.first().copied()
    }

    /// Records that a partition of `topic` moved.
    pub(crate) fn record(
        &mut self,
        topic: usize,
        partition: usize,
        from: MemberIndex,
        to: MemberIndex,
    ) {
        let mut origin = from;
        if let Some((first, last)) = self.by_partition.remove(&partition) {
            origin = first;
            let route = (topic, first, last);
            if let Some(partitions) = self.by_route.get_mut(&route) {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    self.by_route.remove(&route);
                }
            }
        }
        if origin != to {
            self.by_partition.insert(partition, (origin, to));
            self.by_route
                .entry((topic, origin, to))
                .or_default()
                .insert(partition);
        }
    }
}
