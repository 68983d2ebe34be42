//! What the accumulator knows of topics, partitions and what waits for brokers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use ottla_cluster::Uuid;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::batch::{Batch, OpenBatch};
use super::estimate::Ratio;
use super::lanes::Lane;
use crate::error::Error;
use crate::producer::partitioner::Sticky;
use crate::producer::window::Window;

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
    /// Where its partitions are among all partitions, by their index in the topic.
    pub(crate) partitions: Vec<usize>,
    pub(crate) sticky: Sticky,
    pub(crate) ratio: Ratio,
    /// The size at which a batch is full, before compression.
    pub(crate) plain_limit: usize,
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: usize,
    pub(crate) index: i32,
    pub(crate) leader: Option<i32>,
    pub(crate) open: Option<OpenBatch>,
    pub(crate) window: Window<Batch>,
    /// Which of its leader's lanes it goes over, once nothing is in flight over the other.
    pub(crate) aside: bool,
    /// Its latest attempt waited for replicas in vain.
    pub(crate) slow: bool,
    /// Whether it is in the ready queue of its lane.
    pub(crate) queued: bool,
    /// Whether the request that is being put together has a batch of it already.
    pub(crate) in_haul: bool,
    /// The size of the batch before, as a guess for the next one.
    pub(crate) last_size: usize,
    /// What the latest failed attempt failed with.
    pub(crate) last_error: Option<Error>,
}

impl Partition {
    /// The lane it goes over, if it has a leader.
    pub(crate) fn lane(&self) -> Option<Lane> {
        let aside = self.aside;
        self.leader.map(|node| Lane { node, aside })
    }

    /// Whether there is anything to deliver.
    pub(crate) fn has_work(&self) -> bool {
        self.open.is_some() || !self.window.is_empty()
    }
}

/// What waits for one lane.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    /// An answer has been waited for for long.
    pub(crate) stalled: bool,
    /// Partitions that may have something to send. Hints: each is checked when it is taken out.
    pub(crate) ready: VecDeque<usize>,
    /// When a partition becomes ready by itself: the end of linger or of a backoff. Hints as well.
    pub(crate) timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Wakes the lane's sender.
    pub(crate) notify: Arc<Notify>,
}

impl Broker {
    /// Has a partition looked at again at an instant.
    pub(crate) fn look_again(&mut self, at: Instant, partition: usize) {
        let sooner = self
            .timers
            .peek()
            .is_none_or(|Reverse((first, _))| at < *first);
        self.timers.push(Reverse((at, partition)));
        if sooner {
            self.notify.notify_one();
        }
    }
}
