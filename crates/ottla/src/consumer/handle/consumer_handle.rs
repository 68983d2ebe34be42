//! The handle itself, and what concerns the consumer as a whole.

use std::sync::Arc;

use crate::consumer::assignment::Assignment;
use crate::consumer::commits::Commits;
use crate::consumer::coordinator::Coordinator;
use crate::consumer::group::Group;
use crate::consumer::metrics::ConsumerMetrics;
use crate::consumer::shared::{Shared, closed};
use crate::error::Result;

/// Controls a [`Consumer`](crate::Consumer), from any task.
///
/// Cheap to clone. It does not keep the consumer alive: once that is dropped, calls fail as
/// [closed](crate::ErrorKind::Closed).
#[derive(Debug, Clone)]
pub struct ConsumerHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commits: Commits,
    pub(crate) coordinator: Coordinator,
    pub(crate) group: Group,
}

impl ConsumerHandle {
    /// What the consumer has done and holds, at this moment.
    pub fn metrics(&self) -> ConsumerMetrics {
        self.shared.with(|assignment| {
            let counters = assignment.counters();
            let lags = assignment.partitions().filter_map(|(name, _)| {
                let lag = self.lag_in(assignment, name)?;
                Some((name.clone(), lag))
            });
            ConsumerMetrics {
                records: counters.records,
                batches: counters.batches,
                bytes: counters.bytes,
                fetches: counters.fetches,
                empty_fetches: counters.empty_fetches,
                resets: counters.resets,
                truncations: counters.truncations,
                buffered_bytes: assignment.buffered_bytes(),
                memory_used: self.shared.budget.used(),
                memory_limit: self.shared.budget.capacity(),
                lag: lags.collect(),
            }
        })
    }

    /// Ends the consumer: its reader gets `None`, background work stops.
    pub fn shut_down(&self) {
        self.shared.shutdown.cancel();
        self.shared.with(Assignment::close);
    }

    /// Changes the assignment, unless the consumer is closed.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Assignment) -> Result<T>) -> Result<T> {
        self.shared.with(|assignment| {
            if assignment.is_closed() {
                return Err(closed());
            }
            change(assignment)
        })
    }
}
