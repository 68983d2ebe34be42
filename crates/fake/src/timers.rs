//! What the loop does later: commands by due time, first set first run.

use std::collections::BTreeMap;
use std::fmt;

use tokio::time::Instant;

use crate::event_loop::Command;

/// Identifies a set timer.
pub(crate) type TimerKey = (Instant, u64);

/// Commands waiting for their time.
#[derive(Default)]
pub(crate) struct Timers {
    due: BTreeMap<TimerKey, Command>,
    set: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, command: Command) -> TimerKey {
        self.set += 1;
        let key = (at, self.set);
        self.due.insert(key, command);
        key
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.due.remove(&key);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Takes the earliest command that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Command> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("due", &self.due.len())
            .finish()
    }
}
