//! The consumer's one byte budget.
//!
//! Owns the count of bytes a consumer holds: what in-flight fetches may bring, responses that wait in
//! the buffer, decompressed batches, and batches in the caller's hands. Whoever holds bytes holds a
//! [`Lease`]; dropping it gives the bytes back and wakes the fetcher that waits longest, at once.
//!
//! Knows nothing of partitions, batches or brokers.
//!
//! A reservation larger than the budget is granted when nothing else is held, so that one batch larger
//! than the whole budget still passes, alone.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A shared count of bytes with a ceiling. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    next_ticket: u64,
    /// Who waits, oldest first: a later, smaller wish never overtakes an earlier one.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    floor: usize,
    waker: Waker,
}

impl Budget {
    /// A budget of `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                capacity,
                state: Mutex::default(),
            }),
        }
    }

    /// The ceiling in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Bytes held now; above [`capacity`](Self::capacity) while an oversize batch passes.
    pub(crate) fn used(&self) -> usize {
        self.lock().used
    }

    /// Whether anyone waits for room.
    pub(crate) fn is_contended(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Waits for at least `floor` bytes and takes up to `want` of them. First come, first served.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue and nothing else.
    pub(crate) fn reserve(&self, want: usize, floor: usize) -> Reserve {
        Reserve {
            budget: self.clone(),
            want,
            floor: floor.min(want),
            ticket: None,
        }
    }

    /// Takes `bytes` if they fit now and nobody waits.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Lease> {
        let mut state = self.lock();
        let fits = state.used.saturating_add(bytes) <= self.shared.capacity;
        if !fits || !state.waiting.is_empty() {
            return None;
        }
        state.used += bytes;
        drop(state);
        Some(self.lease(bytes))
    }

    /// Takes `bytes` whether or not they fit: for bytes that are in memory already.
    pub(crate) fn take(&self, bytes: usize) -> Lease {
        let mut state = self.lock();
        state.used = state.used.saturating_add(bytes);
        drop(state);
        self.lease(bytes)
    }

    fn lease(&self, bytes: usize) -> Lease {
        Lease {
            budget: self.clone(),
            bytes,
        }
    }

    fn release(&self, bytes: usize) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(bytes);
        self.wake_front(state);
    }

    /// Wakes the longest waiting reservation if it can be granted now.
    fn wake_front(&self, state: MutexGuard<'_, State>) {
        let waker = state
            .waiting
            .front()
            .filter(|front| self.admits(&state, front.floor))
            .map(|front| front.waker.clone());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn admits(&self, state: &State, floor: usize) -> bool {
        state.used == 0 || state.used.saturating_add(floor) <= self.shared.capacity
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Budget,
    bytes: usize,
}

impl Lease {
    /// How many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it hold exactly `bytes`: less gives the rest back at once, more is taken unasked, because
    /// the bytes have arrived.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.budget.release(self.bytes - bytes);
        } else {
            let mut state = self.budget.lock();
            state.used = state.used.saturating_add(bytes - self.bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// The future of [`Budget::reserve`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Reserve {
    budget: Budget,
    want: usize,
    floor: usize,
    ticket: Option<u64>,
}

impl Future for Reserve {
    type Output = Lease;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Lease> {
        let budget = self.budget.clone();
        let mut state = budget.lock();
        let at_front = match (self.ticket, state.waiting.front()) {
            (_, None) => true,
            (Some(ticket), Some(front)) => front.ticket == ticket,
            (None, Some(_)) => false,
        };
        if at_front && budget.admits(&state, self.floor) {
            if self.ticket.take().is_some() {
                state.waiting.pop_front();
            }
            let room = budget.shared.capacity.saturating_sub(state.used);
            let bytes = self.want.min(room).max(self.floor);
            state.used = state.used.saturating_add(bytes);
            budget.wake_front(state);
            return Poll::Ready(budget.lease(bytes));
        }
        match self.ticket {
            Some(ticket) => {
                if let Some(own) = state.waiting.iter_mut().find(|own| own.ticket == ticket) {
                    own.waker.clone_from(context.waker());
                }
            }
            None => {
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.waiting.push_back(Waiting {
                    ticket,
                    floor: self.floor,
                    waker: context.waker().clone(),
                });
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.budget.lock();
            state.waiting.retain(|waiting| waiting.ticket != ticket);
            self.budget.wake_front(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Wakes {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn poll(reserve: &mut Reserve, wakes: &Arc<Wakes>) -> Poll<Lease> {
        let waker = Waker::from(Arc::clone(wakes));
        Pin::new(reserve).poll(&mut Context::from_waker(&waker))
    }

    fn granted(reserve: &mut Reserve, wakes: &Arc<Wakes>) -> Lease {
        match poll(reserve, wakes) {
            Poll::Ready(lease) => lease,
            Poll::Pending => panic!("no room"),
        }
    }

    #[test]
    fn takes_what_is_wanted_or_what_is_left() {
        let budget = Budget::new(100);
        let wakes = Arc::default();
        let first = granted(&mut budget.reserve(70, 10), &wakes);
        assert_eq!(first.bytes(), 70);
        let second = granted(&mut budget.reserve(70, 10), &wakes);
        assert_eq!(second.bytes(), 30);
        assert!(poll(&mut budget.reserve(10, 10), &wakes).is_pending());
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_oversize_wish_passes_alone() {
        let budget = Budget::new(100);
        let wakes = Arc::default();
        let small = budget.take(1);
        let mut large = budget.reserve(500, 500);
        assert!(poll(&mut large, &wakes).is_pending());
        drop(small);
        assert_eq!(granted(&mut large, &wakes).bytes(), 500);
    }

    #[test]
    fn a_release_wakes_the_oldest_waiter_at_once() {
        let budget = Budget::new(100);
        let (first_wakes, second_wakes) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        let held = budget.take(100);
        let mut first = budget.reserve(60, 60);
        let mut second = budget.reserve(10, 10);
        assert!(poll(&mut first, &first_wakes).is_pending());
        assert!(poll(&mut second, &second_wakes).is_pending());
        drop(held);
        assert_eq!((first_wakes.count(), second_wakes.count()), (1, 0));
        // The small wish stands behind the large one, room or not.
        assert!(poll(&mut second, &second_wakes).is_pending());
        let lease = granted(&mut first, &first_wakes);
        assert_eq!(second_wakes.count(), 1);
        assert_eq!(granted(&mut second, &second_wakes).bytes(), 10);
        assert_eq!(lease.bytes(), 60);
    }

    #[test]
    fn shrinking_a_lease_wakes_too_and_growing_never_waits() {
        let budget = Budget::new(100);
        let wakes = Arc::new(Wakes::default());
        let mut held = budget.take(100);
        let mut waiting = budget.reserve(50, 50);
        assert!(poll(&mut waiting, &wakes).is_pending());
        held.resize(40);
        assert_eq!(wakes.count(), 1);
        held.resize(140);
        assert_eq!(budget.used(), 140);
        assert!(poll(&mut waiting, &wakes).is_pending());
    }

    #[test]
    fn a_dropped_waiter_makes_way() {
        let budget = Budget::new(100);
        let (first_wakes, second_wakes) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        let _held = budget.take(50);
        let mut first = budget.reserve(60, 60);
        let mut second = budget.reserve(10, 10);
        assert!(poll(&mut first, &first_wakes).is_pending());
        assert!(poll(&mut second, &second_wakes).is_pending());
        drop(first);
        assert_eq!(second_wakes.count(), 1);
        assert_eq!(granted(&mut second, &second_wakes).bytes(), 10);
        assert!(!budget.is_contended());
    }

    #[test]
    fn only_free_and_unwanted_room_is_taken_by_try_take() {
        let budget = Budget::new(100);
        let wakes = Arc::default();
        assert!(budget.try_take(101).is_none());
        let held = budget.try_take(100).unwrap();
        let mut waiting = budget.reserve(20, 20);
        assert!(poll(&mut waiting, &wakes).is_pending());
        drop(held);
        // A waiter that has not run yet keeps its turn.
        assert!(budget.try_take(1).is_none());
    }
}
