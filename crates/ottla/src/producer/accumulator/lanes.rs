//! The two connections over which a leader's partitions go.
//!
//! A broker looks at the next request of a connection when it has answered the one before, which may wait for
//! replicas. While the main lane does, partitions that have nothing in flight over it go aside. So does a partition
//! whose wait was in vain, until it is written: the others have the main lane for themselves again.
//!
//! Owns the choice only. That a partition changes lanes when nothing of it is in flight, and what the new lane has to
//! accept first, is the rule for any two connections, and the window's.

use std::collections::btree_map::Entry;
use std::mem;
use std::sync::Arc;

use tokio::sync::Notify;

use super::state::Accumulator;
use super::topics::Broker;

/// One of two connections to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane {
    pub(crate) node: i32,
    pub(crate) aside: bool,
}

impl Lane {
    /// The lane for all partitions that nothing is the matter with.
    pub(crate) fn main(node: i32) -> Self {
        let aside = false;
        Self { node, aside }
    }
}

impl Accumulator {
    /// Notified when there may be something to send over this lane.
    pub(crate) fn lane_notify(&mut self, lane: Lane) -> Arc<Notify> {
        self.brokers.entry(lane).or_default().notify.clone()
    }

    /// The lanes that have, or may get, something to send.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        self.brokers.keys().copied().collect()
    }

    /// Chooses the lane for a partition that has nothing in flight, and returns it.
    pub(super) fn choose_lane(&mut self, partition: usize) -> Option<Lane> {
        let aside = self.wants_aside(partition);
        let state = &mut self.partitions[partition];
        if state.aside != aside && state.window.in_flight() == 0 {
            state.aside = aside;
            // What it left in the other lane's queue is passed over there.
            state.queued = false;
        }
        let lane = state.lane()?;
        if let Entry::Vacant(vacant) = self.brokers.entry(lane) {
            vacant.insert(Broker::default());
            self.upkeep.notify_one();
        }
        Some(lane)
    }

    pub(super) fn wants_aside(&self, partition: usize) -> bool {
        let state = &self.partitions[partition];
        let main = state
            .leader
            .and_then(|node| self.brokers.get(&Lane::main(node)));
        state.slow || main.is_some_and(|main| main.stalled)
    }

    /// A main lane's oldest request has been waiting for long, or no longer is: what has nothing in flight over it does
    /// not wait with it.
    pub(crate) fn set_stalled(&mut self, node: i32, stalled: bool) {
        let main = self.brokers.entry(Lane::main(node)).or_default();
        if mem::replace(&mut main.stalled, stalled) == stalled {
            return;
        }
        for partition in 0..self.partitions.len() {
            if self.partitions[partition].leader == Some(node) {
                self.mark_ready(partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Rig, limits};
    use super::*;
    use crate::producer::accumulator::Reply;
    use crate::producer::window::Answer;

    const MAIN: Lane = Lane {
        node: 1,
        aside: false,
    };
    const ASIDE: Lane = Lane {
        node: 1,
        aside: true,
    };

    /// Sends a record to each of these partitions, and what goes over a lane then.
    fn over(rig: &mut Rig, lane: Lane, partitions: &[i32]) -> Vec<i32> {
        for partition in partitions {
            drop(rig.send(*partition, 10));
        }
        rig.accumulator.flush();
        let parcels = rig.collect_over(lane);
        parcels.iter().map(|parcel| parcel.index).collect()
    }

    #[test]
    fn what_has_nothing_in_flight_does_not_wait_with_a_stalled_lane() {
        let mut rig = Rig::new(limits(), &[1, 1, 1]);
        drop(rig.send(0, 10));
        rig.accumulator.flush();
        let stuck = rig.collect_over(MAIN);
        assert_eq!(stuck.len(), 1);
        // One has lingered on, and one has yet to come.
        drop(rig.send(1, 10));
        rig.accumulator.set_stalled(1, true);
        assert_eq!(rig.accumulator.lanes(), [MAIN, ASIDE]);
        assert_eq!(over(&mut rig, ASIDE, &[2]), [1, 2]);
        // What is in flight stays in order: nothing of it goes over either.
        assert_eq!(over(&mut rig, ASIDE, &[0]), [0; 0]);
        assert_eq!(over(&mut rig, MAIN, &[]), [0; 0]);
        // Answered, everything goes back as soon as it may.
        rig.accumulator.set_stalled(1, false);
        rig.reply(&stuck[0], Answer::Written, 0);
        assert_eq!(over(&mut rig, MAIN, &[1]), [0]);
        assert_eq!(over(&mut rig, ASIDE, &[]), [0; 0]);
    }

    #[test]
    fn who_has_waited_in_vain_waits_alone_until_it_is_written() {
        let mut rig = Rig::new(limits(), &[1, 1]);
        for partition in [0, 1] {
            drop(rig.send(partition, 10));
        }
        rig.accumulator.flush();
        let parcels = rig.collect_over(MAIN);
        let in_vain = Reply {
            answer: Answer::Retry { certain: false },
            in_vain: true,
            ..Reply::written()
        };
        let now = rig.now;
        let stuck = &parcels[0];
        rig.accumulator
            .answered(stuck.partition, stuck.serial, in_vain, now);
        rig.reply(&parcels[1], Answer::Written, 0);
        rig.now += limits()
            .retry_backoff
            .delay(9, &mut fastrand::Rng::with_seed(1))
            * 2;
        assert_eq!(over(&mut rig, MAIN, &[0, 1]), [1]);
        let again = rig.collect_over(ASIDE);
        assert_eq!((again.len(), again[0].serial), (1, stuck.serial));
        rig.reply(&again[0], Answer::Written, 1);
        assert_eq!(over(&mut rig, ASIDE, &[]), [0; 0]);
        assert_eq!(over(&mut rig, MAIN, &[]), [0]);
    }
}
