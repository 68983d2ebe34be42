//! What was fetched and not handed out yet: one queue for each partition, served in turn.
//!
//! Owns the queues and the order in which partitions get their turn. Each hand-out takes one entry, and
//! the partition goes to the end of the line: a partition with much to say does not keep another
//! waiting, nor does one that may not be served now.
//!
//! Knows nothing of what an entry is but its size.

use std::collections::{BTreeMap, VecDeque};

use ottla_cluster::TopicPartition;

/// Something that waits in a [`Buffer`].
pub(crate) trait Entry {
    /// The bytes it holds in memory.
    fn bytes(&self) -> usize;
}

/// The queues of all partitions.
#[derive(Debug)]
pub(crate) struct Buffer<E> {
    queues: BTreeMap<TopicPartition, Queue<E>>,
    /// Every partition with entries, once, the next to be served first.
    line: VecDeque<TopicPartition>,
    bytes: usize,
}

#[derive(Debug)]
struct Queue<E> {
    entries: VecDeque<E>,
    bytes: usize,
}

impl<E> Default for Buffer<E> {
    fn default() -> Self {
        Self {
            queues: BTreeMap::new(),
            line: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<E: Entry> Buffer<E> {
    /// Adds an entry behind the partition's others.
    pub(crate) fn push(&mut self, partition: &TopicPartition, entry: E) {
        self.insert(partition, entry, VecDeque::push_back);
    }

    /// Puts an entry that was taken back before the partition's others.
    pub(crate) fn put_back(&mut self, partition: &TopicPartition, entry: E) {
        self.insert(partition, entry, VecDeque::push_front);
    }

    fn insert(
        &mut self,
        partition: &TopicPartition,
        entry: E,
        into: impl FnOnce(&mut VecDeque<E>, E),
    ) {
        let bytes = entry.bytes();
        self.bytes += bytes;
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.bytes += bytes;
            into(&mut queue.entries, entry);
            return;
        }
        let entries = VecDeque::from([entry]);
        self.queues
            .insert(partition.clone(), Queue { entries, bytes });
        self.line.push_back(partition.clone());
    }

    /// Takes the next entry of the first partition in line that `may` be served.
    pub(crate) fn take(
        &mut self,
        may: impl FnMut(&TopicPartition) -> bool,
    ) -> Option<(TopicPartition, E)> {
        let at = self.line.iter().position(may)?;
        let partition = self.line.remove(at)?;
        let queue = self.queues.get_mut(&partition)?;
        let entry = queue.entries.pop_front()?;
        let bytes = entry.bytes();
        queue.bytes = queue.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        if queue.entries.is_empty() {
            self.queues.remove(&partition);
        } else {
            self.line.push_back(partition.clone());
        }
        Some((partition, entry))
    }

    /// Whether some partition that `may` be served has an entry.
    pub(crate) fn has(&self, may: impl FnMut(&TopicPartition) -> bool) -> bool {
        self.line.iter().any(may)
    }

    /// Whether nothing waits for this partition.
    pub(crate) fn is_empty(&self, partition: &TopicPartition) -> bool {
        !self.queues.contains_key(partition)
    }

    /// Drops everything that waits for one partition; returns the bytes set free.
    pub(crate) fn purge(&mut self, partition: &TopicPartition) -> usize {
        let Some(queue) = self.queues.remove(partition) else {
            return 0;
        };
        self.line.retain(|other| other != partition);
        self.bytes = self.bytes.saturating_sub(queue.bytes);
        queue.bytes
    }

    /// The bytes that wait for one partition.
    pub(crate) fn bytes_of(&self, partition: &TopicPartition) -> usize {
        self.queues.get(partition).map_or(0, |queue| queue.bytes)
    }

    /// The bytes that wait for all partitions.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The partitions that have entries, the next to be served first.
    pub(crate) fn line(&self) -> impl Iterator<Item = &TopicPartition> {
        self.line.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Item(u32);

    impl Entry for Item {
        fn bytes(&self) -> usize {
            10
        }
    }

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn buffer(pushes: &[(i32, u32)]) -> Buffer<Item> {
        let mut buffer = Buffer::default();
        for &(partition, item) in pushes {
            buffer.push(&tp(partition), Item(item));
        }
        buffer
    }

    fn drain(buffer: &mut Buffer<Item>, may: impl Fn(i32) -> bool) -> Vec<(i32, u32)> {
        let mut out = Vec::new();
        while let Some((partition, Item(item))) = buffer.take(|tp| may(tp.partition)) {
            out.push((partition.partition, item));
        }
        out
    }

    #[test]
    fn partitions_take_turns_and_each_keeps_its_order() {
        let mut buffer = buffer(&[(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (2, 6)]);
        let all = drain(&mut buffer, |_| true);
        assert_eq!(all, [(0, 1), (1, 4), (2, 5), (0, 2), (2, 6), (0, 3)]);
        assert_eq!(buffer.bytes(), 0);
    }

    #[test]
    fn one_that_may_not_be_served_keeps_its_place_and_its_entries() {
        let mut buffer = buffer(&[(0, 1), (1, 2), (1, 3)]);
        assert_eq!(drain(&mut buffer, |p| p != 0), [(1, 2), (1, 3)]);
        assert!(!buffer.has(|tp| tp.partition != 0));
        assert_eq!(buffer.bytes_of(&tp(0)), 10);
        assert_eq!(drain(&mut buffer, |_| true), [(0, 1)]);
    }

    #[test]
    fn a_busy_partition_does_not_starve_another() {
        let mut buffer = buffer(&[(0, 1), (1, 100)]);
        for item in 2..5 {
            let (_, taken) = buffer.take(|_| true).unwrap();
            if taken == Item(100) {
                return;
            }
            buffer.push(&tp(0), Item(item));
        }
        panic!("partition 1 was not served");
    }

    #[test]
    fn a_purge_leaves_the_others_alone() {
        let mut buffer = buffer(&[(0, 1), (0, 2), (1, 3)]);
        assert_eq!(buffer.purge(&tp(0)), 20);
        assert_eq!(buffer.purge(&tp(0)), 0);
        assert!(buffer.is_empty(&tp(0)));
        assert_eq!(buffer.bytes(), 10);
        assert_eq!(drain(&mut buffer, |_| true), [(1, 3)]);
    }

    #[test]
    fn what_is_put_back_comes_first() {
        let mut buffer = buffer(&[(0, 1), (0, 2)]);
        let (partition, entry) = buffer.take(|_| true).unwrap();
        buffer.put_back(&partition, entry);
        assert_eq!(drain(&mut buffer, |_| true), [(0, 1), (0, 2)]);
    }
}
