//! The accumulator behind its lock.

use std::sync::{Mutex, PoisonError};

use super::accumulator::Accumulator;

/// What the handles and the tasks of one producer share.
#[derive(Debug)]
pub(crate) struct Shared {
    accumulator: Mutex<Accumulator>,
}

impl Shared {
    pub(crate) fn new(accumulator: Accumulator) -> Self {
        Self {
            accumulator: Mutex::new(accumulator),
        }
    }

    /// Works on the accumulator, and wakes whom that concerns once the lock is released: a waker
    /// belongs to somebody else and may do anything.
    #[inline]
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Accumulator) -> T) -> T {
        let (done, wakers) = {
            let lock = self.accumulator.lock();
            let mut accumulator = lock.unwrap_or_else(PoisonError::into_inner);
            let done = work(&mut accumulator);
            (done, accumulator.take_wakers())
        };
        for waker in wakers {
            waker.wake();
        }
        done
    }
}
