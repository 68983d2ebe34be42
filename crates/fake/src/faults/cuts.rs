//! Rules that cut a connection inside a request, asked by the connections themselves while they read.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ottla_codec::ApiKey;
use tokio::sync::watch;

use super::filter::Filter;

/// Where a frame is cut, counted from the first byte of its length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CutAt {
    Byte(usize),
    /// Anywhere in the frame, by the rule's own random numbers.
    Anywhere,
}

impl CutAt {
    pub(crate) fn pick(self, frame_len: usize, rng: &mut fastrand::Rng) -> usize {
        match self {
            Self::Byte(at) => at,
            Self::Anywhere => rng.usize(0..frame_len.max(1)),
        }
    }
}

/// One armed rule.
pub(crate) struct RequestCut {
    pub(crate) id: u64,
    pub(crate) filter: Filter,
    pub(crate) at: CutAt,
    pub(crate) hits: watch::Sender<u64>,
}

/// The armed rules of a cluster. The lock is held for a look-up, never across an await.
#[derive(Default)]
pub(crate) struct RequestCuts {
    rules: Mutex<Vec<RequestCut>>,
}

impl RequestCuts {
    pub(crate) fn arm(&self, rule: RequestCut) {
        self.lock().push(rule);
    }

    pub(crate) fn remove(&self, id: u64) {
        self.lock().retain(|rule| rule.id != id);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// How many bytes of a frame of `frame_len` to read before closing, if a rule says so.
    pub(crate) fn cut(
        &self,
        api: ApiKey,
        version: i16,
        broker: i32,
        frame_len: usize,
    ) -> Option<usize> {
        let mut rules = self.lock();
        let at = rules
            .iter_mut()
            .position(|rule| rule.filter.takes_head(api, version, broker))?;
        let rule = rules.get_mut(at)?;
        rule.hits.send_modify(|hits| *hits += 1);
        let at_byte = rule.at.pick(frame_len, &mut rule.filter.rng);
        rules.retain(|rule| !rule.filter.is_spent());
        Some(at_byte)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<RequestCut>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RequestCuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestCuts")
            .field("armed", &self.lock().len())
            .finish()
    }
}
