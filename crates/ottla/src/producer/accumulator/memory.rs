//! The producer's byte budget, and the line of those who wait for it.
//!
//! First come, first served: whoever waits is not overtaken, and a waiter that goes away hands its
//! place on, so that no wake-up is lost. Knows nothing of batches.

use std::collections::VecDeque;
use std::task::Waker;

/// A place in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    used: usize,
    line: VecDeque<(Ticket, Option<Waker>)>,
    next_ticket: u64,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            line: VecDeque::new(),
            next_ticket: 0,
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn free(&self) -> usize {
        self.limit.saturating_sub(self.used)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Whether `ticket`, or somebody who has none, is next.
    pub(crate) fn is_next(&self, ticket: Option<Ticket>) -> bool {
        self.line.front().map(|(first, _)| *first) == ticket
    }

    /// Takes `bytes` if they are free, or if all is free: what is larger than the whole passes alone.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.used == 0 || self.used.saturating_add(bytes) <= self.limit;
        if fits {
            self.used = self.used.saturating_add(bytes);
        }
        fits
    }

    /// Accounts for bytes that are in use already.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
    }

    /// Gives bytes back, and returns whom to wake.
    pub(crate) fn give_back(&mut self, bytes: usize) -> Option<Waker> {
        self.used = self.used.saturating_sub(bytes);
        self.next()
    }

    /// Joins the line, or renews the waker of who is in it.
    pub(crate) fn wait(&mut self, ticket: Option<Ticket>, waker: &Waker) -> Ticket {
        if let Some(ticket) = ticket
            && let Ok(place) = self.place(ticket)
            && let Some((_, known)) = self.line.get_mut(place)
        {
            *known = Some(waker.clone());
            return ticket;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.line.push_back((ticket, Some(waker.clone())));
        ticket
    }

    /// Leaves the line, served or not, and returns whom to wake: who is now first may be served by
    /// what is free.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        let place = self.place(ticket).ok()?;
        self.line.remove(place);
        if place == 0 { self.next() } else { None }
    }

    /// Everybody who waits, to be told that there is no point any more.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = Waker> + '_ {
        self.line.iter_mut().filter_map(|(_, waker)| waker.take())
    }

    fn next(&mut self) -> Option<Waker> {
        self.line.front_mut().and_then(|(_, waker)| waker.take())
    }

    fn place(&self, ticket: Ticket) -> Result<usize, usize> {
        self.line
            .binary_search_by_key(&ticket, |(ticket, _)| *ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_larger_than_the_budget_passes_alone() {
        let mut memory = Memory::new(100);
        assert!(memory.take(1));
        assert!(!memory.take(500));
        memory.give_back(1);
        assert!(memory.take(500));
        assert!(!memory.take(1));
    }

    #[test]
    fn nobody_overtakes() {
        let mut memory = Memory::new(100);
        assert!(memory.is_next(None));
        let first = memory.wait(None, Waker::noop());
        let second = memory.wait(None, Waker::noop());
        assert!(!memory.is_next(None));
        assert!(memory.is_next(Some(first)));
        assert!(!memory.is_next(Some(second)));
        assert_eq!(memory.wait(Some(first), Waker::noop()), first);
        assert!(memory.leave(first).is_some());
        assert!(memory.is_next(Some(second)));
    }

    #[test]
    fn f21_who_gives_up_hands_the_wake_up_on() {
        let mut memory = Memory::new(100);
        assert!(memory.take(100));
        let first = memory.wait(None, Waker::noop());
        let second = memory.wait(None, Waker::noop());
        assert!(memory.give_back(100).is_some());
        assert!(memory.leave(first).is_some(), "the second is not woken");
        assert!(memory.leave(second).is_none());
        assert!(memory.is_next(None));
        assert_eq!(memory.waiting(), 0);
    }
}
