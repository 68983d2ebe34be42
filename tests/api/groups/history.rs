//! What a group's members have done, and whether it could have happened.
//!
//! Members report what they were handed; the history looks at once whether another one holds that partition, and
//! whether the coordinator had taken a commit beyond it. Whoever runs the group asks in the end what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ottla::{ConsumerHandle, TopicPartition};

/// A member's number.
pub(crate) type Id = usize;

#[derive(Default)]
pub(crate) struct History {
    inner: Mutex<Inner>,
}

/// What there has been so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Records that were handed out.
    pub(crate) records: usize,
    /// How often one was handed out that had been before.
    pub(crate) again: usize,
    /// Offsets whose commit was acknowledged.
    pub(crate) commits: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.again += other.again;
        self.commits += other.commits;
    }
}

#[derive(Default)]
struct Inner {
    /// The members that are running.
    running: BTreeMap<Id, ConsumerHandle>,
    /// Those that the coordinator has taken for dead, with the member ids that they had.
    expelled: BTreeMap<Id, String>,
    /// How often each record was handed out, by its offset.
    handed_out: BTreeMap<TopicPartition, Vec<u32>>,
    counts: Counts,
    /// The highest commit that was acknowledged, and to whom.
    committed: BTreeMap<TopicPartition, (i64, Id)>,
}

impl Inner {
    /// Counts a record that is handed out; how often that has been.
    fn note(&mut self, partition: &TopicPartition, offset: i64) -> u32 {
        if !self.handed_out.contains_key(partition) {
            self.handed_out.insert(partition.clone(), Vec::new());
        }
        let times = self.handed_out.get_mut(partition).expect("just there");
        let offset = usize::try_from(offset).expect("an offset");
        if times.len() <= offset {
            times.resize(offset + 1, 0);
        }
        times[offset] += 1;
        times[offset]
    }

    fn is_zombie(&self, id: Id) -> bool {
        let (Some(expelled), Some(handle)) = (self.expelled.get(&id), self.running.get(&id)) else {
            return false;
        };
        let member = handle.group_metadata().map(|own| own.member_id);
        member.as_ref() == Some(expelled)
    }
}

impl History {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member begins.
    pub(crate) fn begins(&self, id: Id, handle: ConsumerHandle) {
        self.inner().running.insert(id, handle);
    }

    /// The coordinator takes the member for dead before its time, if it is one. Nobody can help that it goes on until
    /// it hears of it, and a coordinator that is loading tells everybody that they live: what it holds is not its own
    /// any more.
    pub(crate) fn expelled(&self, id: Id) -> Option<String> {
        let mut inner = self.inner();
        let member = inner.running.get(&id)?.group_metadata()?.member_id;
        inner.expelled.insert(id, member.clone());
        Some(member)
    }

    /// These are the group's members by their ids. A coordinator that took over may have taken back who was expelled.
    pub(crate) fn are_members(&self, ids: &BTreeSet<String>) {
        self.inner().expelled.retain(|_, id| !ids.contains(id));
    }

    /// Whether a member has been expelled and does not know it yet.
    pub(crate) fn is_zombie(&self, id: Id) -> bool {
        self.inner().is_zombie(id)
    }

    /// A member is gone, whether it said so or not.
    pub(crate) fn ends(&self, id: Id) {
        self.inner().running.remove(&id);
    }

    /// The members that are running.
    pub(crate) fn running(&self) -> Vec<(Id, ConsumerHandle)> {
        let inner = self.inner();
        let running = inner.running.iter();
        running.map(|(id, handle)| (*id, handle.clone())).collect()
    }

    /// A member was handed these records.
    pub(crate) fn handed_out(
        &self,
        id: Id,
        partition: &TopicPartition,
        offsets: impl IntoIterator<Item = i64>,
    ) {
        let mut inner = self.inner();
        let is_zombie = inner.is_zombie(id);
        for (other, handle) in &inner.running {
            if is_zombie || inner.is_zombie(*other) {
                continue;
            }
            let holds = handle.assignment().contains(partition);
            assert_eq!(
                holds,
                *other == id,
                "{id} reads {partition}; held by {other}"
            );
        }
        let mut next = None;
        for offset in offsets {
            assert!(
                next.is_none_or(|next| offset >= next),
                "{partition}: {offset} out of order"
            );
            next = Some(offset + 1);
            if let Some((committed, by)) = inner.committed.get(partition) {
                assert!(
                    offset >= *committed || is_zombie,
                    "{id} reads {partition} at {offset}, {by} has committed {committed}"
                );
            }
            match inner.note(partition, offset) {
                1 => inner.counts.records += 1,
                _ => inner.counts.again += 1,
            }
        }
    }

    /// A commit was acknowledged, or found at the coordinator.
    pub(crate) fn committed(&self, id: Id, partition: &TopicPartition, offset: i64) {
        let mut inner = self.inner();
        inner.counts.commits += 1;
        let highest = inner
            .committed
            .entry(partition.clone())
            .or_insert((offset, id));
        *highest = (*highest).max((offset, id));
    }

    /// No two running members hold a partition.
    pub(crate) fn check_owners(&self) {
        let mut owners: BTreeMap<TopicPartition, Id> = BTreeMap::new();
        for (id, handle) in self.running() {
            if self.is_zombie(id) {
                continue;
            }
            for partition in handle.assignment() {
                let other = owners.insert(partition.clone(), id);
                assert_eq!(other, None, "{partition} is held by {id} and by another");
            }
        }
    }

    /// The partitions that running members hold.
    pub(crate) fn held(&self) -> BTreeSet<TopicPartition> {
        let running = self.running().into_iter();
        running
            .flat_map(|(_, handle)| handle.assignment())
            .collect()
    }

    /// Of these records, those that nobody was handed.
    pub(crate) fn missing(
        &self,
        records: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> Vec<(TopicPartition, i64)> {
        let inner = self.inner();
        let missed = |(partition, offset): &(TopicPartition, i64)| {
            let times = inner.handed_out.get(partition);
            times.is_none_or(|times| times.get(*offset as usize).is_none_or(|times| *times == 0))
        };
        records.into_iter().filter(missed).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.inner().counts
    }
}
