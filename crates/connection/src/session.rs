//! One connection's requests from submit to outcome, without any I/O.
//!
//! Owns the order of requests, their deadlines, what is certain about each of them, and the
//! broker's throttle. Submissions, written byte counts, frames and instants go in; slices to write,
//! outcomes and a verdict on the connection come out. Knows nothing of sockets, timers or tasks.
//!
//! A request is first in the outbox, where it may be partly written, and then awaits its answer.
//! Brokers answer in the order of the requests, so the oldest one awaiting is the one every frame
//! must belong to.

use std::collections::{BTreeSet, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use ottla_codec::{ApiKey, Segments};
use tokio::time::Instant;

use crate::error::{CloseReason, ConnectionError, StreamFault};
use crate::peer::Peer;
use crate::pending::Outcome;
use crate::stats::Counters;
use crate::throttle;

/// An encoded request and whom to tell about it.
pub(crate) struct Submission {
    pub(crate) correlation_id: i32,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) deadline: Instant,
    pub(crate) frame: Segments,
    pub(crate) outcome: Outcome,
}

/// The requests of one connection.
pub(crate) struct Session {
    peer: Peer,
    counters: Arc<Counters>,
    outbox: VecDeque<Outgoing>,
    awaiting: VecDeque<Request>,
    /// Written without an answer to come, but not yet flushed.
    unflushed: Vec<Request>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    next_ticket: Ticket,
    muted_until: Option<Instant>,
    /// When the next request has to wait until this client has proven again who it is.
    prove_again_at: Option<Instant>,
    /// Whether it waits.
    parked: bool,
    quiet_since: Instant,
    idle_timeout: Option<Duration>,
    retired: bool,
}

/// Numbers requests in the order of their submission.
type Ticket = u64;

struct Request {
    ticket: Ticket,
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    deadline: Instant,
    outcome: Outcome,
}

struct Outgoing {
    request: Request,
    frame: Segments,
    /// Whether any byte of the frame was handed to the socket.
    started: bool,
}

impl Session {
    pub(crate) fn new(
        peer: Peer,
        idle_timeout: Option<Duration>,
        counters: Arc<Counters>,
        now: Instant,
    ) -> Self {
        Self {
            peer,
            counters,
            outbox: VecDeque::new(),
            awaiting: VecDeque::new(),
            unflushed: Vec::new(),
            deadlines: BTreeSet::new(),
            next_ticket: 0,
            muted_until: None,
            prove_again_at: None,
            parked: false,
            quiet_since: now,
            idle_timeout,
            retired: false,
        }
    }

    /// Queues a request; one whose deadline is already over fails at once, unwritten.
    pub(crate) fn accept(&mut self, submission: Submission, now: Instant) {
        let Submission {
            correlation_id,
            api,
            version,
            deadline,
            frame,
            outcome,
        } = submission;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.quiet_since = now;
        self.counters.accepted();
        let request = Request {
            ticket,
            correlation_id,
            api,
            version,
            deadline,
            outcome,
        };
        if deadline <= now {
            self.fail_timed_out(request, false);
        } else {
            self.deadlines.insert((deadline, ticket));
            self.outbox.push_back(Outgoing {
                request,
                frame,
                started: false,
            });
        }
    }

    /// Fills `slices` with what may be written now and returns how many there are: of a connection that holds
    /// requests back only the rest of a frame that is already begun.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for outgoing in &self.outbox {
            if self.holds_back() && !outgoing.started {
                break;
            }
            match slices.get_mut(used..) {
                Some(free) if !free.is_empty() => used += outgoing.frame.chunks_vectored(free),
                _ => break,
            }
        }
        used
    }

    /// Notes that the first `bytes` of the latest slices were handed to the socket.
    pub(crate) fn wrote(&mut self, mut bytes: usize) {
        self.counters.wrote(bytes);
        while bytes > 0
            && let Some(outgoing) = self.outbox.front_mut()
        {
            let part = bytes.min(outgoing.frame.remaining());
            outgoing.started = true;
            outgoing.frame.advance(part);
            bytes -= part;
            if outgoing.frame.has_remaining() {
                return;
            }
            if let Some(Outgoing { request, .. }) = self.outbox.pop_front() {
                match request.outcome {
                    Outcome::Response(_) => self.awaiting.push_back(request),
                    Outcome::Written(_) => self.unflushed.push(request),
                }
            }
        }
    }

    /// Notes that everything handed to the socket so far was flushed.
    pub(crate) fn flushed(&mut self, now: Instant) {
        for request in std::mem::take(&mut self.unflushed) {
            self.settle(&request, now);
            if let Outcome::Written(sender) = request.outcome {
                drop(sender.send(Ok(())));
            }
        }
    }

    /// Hands an answer to its request.
    ///
    /// # Errors
    ///
    /// When it belongs to none or cannot be read; the connection must close.
    pub(crate) fn received(&mut self, frame: &Bytes, now: Instant) -> Result<(), CloseReason> {
        // The reader lets nothing shorter pass.
        let received = frame.first_chunk().map_or(-1, |id| i32::from_be_bytes(*id));
        let Some(request) = self.awaiting.front() else {
            return Err(StreamFault::Unsolicited { received }.into());
        };
        let expected = request.correlation_id;
        if expected != received {
            return Err(StreamFault::Correlation { expected, received }.into());
        }
        let Some(request) = self.awaiting.pop_front() else {
            return Ok(());
        };
        self.settle(&request, now);
        let Outcome::Response(sink) = request.outcome else {
            return Ok(());
        };
        match sink.complete(frame, request.version) {
            Ok(throttle_ms) => {
                if let Some(time) = throttle::silence(request.api, request.version, throttle_ms) {
                    self.mute(time, now);
                }
                Ok(())
            }
            Err((sink, source)) => {
                let api = request.api;
                sink.fail(ConnectionError::Undecodable {
                    peer: self.peer.clone(),
                    api,
                    source,
                });
                Err(StreamFault::Undecodable { api, source }.into())
            }
        }
    }

    /// Sends nothing for `time`, because the broker asked for it (KIP-219).
    pub(crate) fn mute(&mut self, time: Duration, now: Instant) {
        tracing::debug!(?time, "throttled");
        self.counters.throttled(time);
        self.muted_until = self.muted_until.max(Some(now + time));
    }

    /// Lets time pass: requests fail that are past their deadline, a throttle ends.
    ///
    /// # Errors
    ///
    /// When a request is past its deadline although the broker had its chance; the connection must
    /// close. One that was held back by a throttle fails alone: the connection is as good as
    /// before.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), CloseReason> {
        while let Some(&(deadline, ticket)) = self.deadlines.first()
            && deadline <= now
        {
            if let Some(request) = self.take_held_back(ticket) {
                self.fail_timed_out(request, false);
            } else if let Some(request) = self.requests().find(|request| request.ticket == ticket) {
                return Err(CloseReason::RequestTimedOut { api: request.api });
            }
            self.deadlines.pop_first();
        }
        if self.muted_until.is_some_and(|until| until <= now) {
            self.muted_until = None;
        }
        // Nobody is kept waiting for a proof that no request needs.
        if self.prove_again_at.is_some_and(|at| at <= now) && !self.outbox.is_empty() {
            self.parked = true;
        }
        Ok(())
    }

    /// Whether it is the moment to prove again who this client is: what was sent is answered, and what is to be sent
    /// waits for it. So no answer of that talk can be taken for another's.
    pub(crate) fn wants_proof(&self) -> bool {
        let begun = self.outbox.front().is_some_and(|outgoing| outgoing.started);
        self.parked && self.awaiting.is_empty() && self.unflushed.is_empty() && !begun
    }

    /// Goes on: who this client is has been proven, and is to be proven again at `next`.
    pub(crate) fn authenticated(&mut self, next: Option<Instant>) {
        self.parked = false;
        self.prove_again_at = next;
    }

    /// When [`Self::tick`] or [`Self::finished`] will have something to say, if nothing else
    /// happens before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let idle = if self.is_drained() {
            self.idle_at()
        } else {
            None
        };
        [deadline, self.muted_until, idle]
            .into_iter()
            .flatten()
            .min()
    }

    /// Closes as soon as nothing is pending.
    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    /// Why the connection may close now, if it may: nothing is pending, and it was retired or has
    /// been idle for long.
    pub(crate) fn finished(&self, now: Instant) -> Option<CloseReason> {
        if !self.is_drained() {
            None
        } else if self.retired {
            Some(CloseReason::Retired)
        } else if self.idle_at().is_some_and(|idle_at| idle_at <= now) {
            Some(CloseReason::Idle)
        } else {
            None
        }
    }

    /// Fails everything that is pending, each request with its own certainty.
    pub(crate) fn close(mut self, reason: &CloseReason, now: Instant) {
        let timed_out = matches!(reason, CloseReason::RequestTimedOut { .. });
        let written = self
            .awaiting
            .drain(..)
            .chain(self.unflushed.drain(..))
            .map(|request| (request, true));
        let outbox = self
            .outbox
            .drain(..)
            .map(|outgoing| (outgoing.request, outgoing.started));
        let pending: Vec<_> = written.chain(outbox).collect();
        self.counters.settled(pending.len());
        for (request, written) in pending {
            let (peer, api) = (self.peer.clone(), request.api);
            request
                .outcome
                .fail(if timed_out && request.deadline <= now {
                    ConnectionError::TimedOut { peer, api, written }
                } else {
                    ConnectionError::Closed {
                        peer,
                        api,
                        written,
                        reason: reason.clone(),
                    }
                });
        }
    }

    fn is_drained(&self) -> bool {
        self.outbox.is_empty() && self.awaiting.is_empty() && self.unflushed.is_empty()
    }

    fn idle_at(&self) -> Option<Instant> {
        self.idle_timeout
            .and_then(|timeout| self.quiet_since.checked_add(timeout))
    }

    fn requests(&self) -> impl Iterator<Item = &Request> {
        let outbox = self.outbox.iter().map(|outgoing| &outgoing.request);
        self.awaiting.iter().chain(&self.unflushed).chain(outbox)
    }

    /// Whether no request may be begun: the broker throttles, or wants to know again who asks.
    fn holds_back(&self) -> bool {
        self.muted_until.is_some() || self.parked
    }

    /// Takes a request out of the queue that was kept from being sent.
    fn take_held_back(&mut self, ticket: Ticket) -> Option<Request> {
        if !self.holds_back() {
            return None;
        }
        let index = self
            .outbox
            .binary_search_by_key(&ticket, |outgoing| outgoing.request.ticket)
            .ok()?;
        if self.outbox.get(index)?.started {
            return None;
        }
        self.outbox.remove(index).map(|outgoing| outgoing.request)
    }

    fn settle(&mut self, request: &Request, now: Instant) {
        self.deadlines.remove(&(request.deadline, request.ticket));
        self.quiet_since = now;
        self.counters.settled(1);
    }

    fn fail_timed_out(&self, request: Request, written: bool) {
        self.counters.settled(1);
        let (peer, api) = (self.peer.clone(), request.api);
        request
            .outcome
            .fail(ConnectionError::TimedOut { peer, api, written });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Only what an aborted task leaves behind; `close` has settled everything else.
        self.counters.settled(self.requests().count());
    }
}

#[cfg(test)]
mod tests;
