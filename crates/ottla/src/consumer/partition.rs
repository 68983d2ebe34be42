//! One assigned partition: whose it is, what it waits for, and how far it was read.
//!
//! Its generation, and what a new one does to it, are the business of
//! [`Positions`](super::positions::Positions); so is everything that concerns several partitions.

use ottla_cluster::NodeId;
use ottla_codec::Uuid;
use tokio::time::Instant;

use super::lane::Via;
use super::positions::{Generation, Leader, Phase, Position};
use super::reset::ResetTo;
use crate::error::Error;

/// How far a partition is the caller's to read. Only a group assigns in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// It is fetched and handed out.
    Active,
    /// Assigned, but whoever listens has not said yet that its records may come.
    Held,
    /// Revoked, but not given up yet: its position can still be asked for, moved and committed.
    Retiring,
}

/// A follower to be read from, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replica {
    pub(super) node: NodeId,
    pub(super) until: Instant,
}

/// What responses have told of a partition's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogEnds {
    pub(crate) start: Option<i64>,
    pub(crate) high_watermark: Option<i64>,
    pub(crate) last_stable: Option<i64>,
}

/// One assigned partition.
#[derive(Debug)]
pub(crate) struct Partition {
    /// The generation in which it was assigned: another one, if it was away and came back.
    pub(super) ownership: Generation,
    pub(super) tenure: Tenure,
    /// Whether the listener, or the reader, has had word of it.
    pub(super) known: bool,
    /// Its topic was deleted and created again: the position, and what was handed out, are the old one's.
    pub(super) outlived: bool,
    /// The offset that is known to be committed.
    pub(super) committed: Option<i64>,
    pub(super) generation: Generation,
    /// The generation in which the positions last jumped. What was buffered since then follows on from
    /// what was handed out, through pauses and leader changes.
    pub(super) lineage: Generation,
    /// How often its position was given up because the log does not hold it.
    pub(super) resets: u64,
    pub(super) phase: Phase,
    pub(super) paused: bool,
    /// Behind what the caller was handed; `None` while there is no position.
    pub(super) consumed: Option<Position>,
    /// Behind what waits in the buffer.
    pub(super) buffered: Option<Position>,
    /// Behind what was fetched; from here the next fetch reads.
    pub(super) fetch: Option<Position>,
    /// Who brought what was fetched last.
    pub(super) fetched_via: Option<Via>,
    /// Fetches nothing more until the buffer is empty, because of what the broker said at `fetch`.
    pub(super) drain_first: bool,
    pub(super) leader: Option<Leader>,
    pub(super) topic_id: Uuid,
    pub(super) replica: Option<Replica>,
    /// The generation under which something was asked that is not answered yet.
    pub(super) asked: Option<Generation>,
    /// The newest fetch found nothing new.
    pub(super) caught_up: bool,
    pub(super) attempts: u32,
    pub(super) retry_at: Option<Instant>,
    /// The size of a batch that did not fit into the usual limit.
    pub(super) needs_bytes: Option<i32>,
    pub(super) log: LogEnds,
    /// An error to be raised once, after which things go on by themselves.
    pub(super) report: Option<Error>,
}

impl Partition {
    pub(super) fn new(generation: Generation) -> Self {
        Self {
            ownership: generation,
            tenure: Tenure::Active,
            known: true,
            outlived: false,
            committed: None,
            generation,
            lineage: generation,
            resets: 0,
            phase: Phase::Fetching,
            paused: false,
            consumed: None,
            buffered: None,
            fetch: None,
            fetched_via: None,
            drain_first: false,
            leader: None,
            topic_id: Uuid::ZERO,
            replica: None,
            asked: None,
            caught_up: false,
            attempts: 0,
            retry_at: None,
            needs_bytes: None,
            log: LogEnds::default(),
            report: None,
        }
    }

    /// Tells this time of being assigned from earlier and later ones.
    pub(crate) fn ownership(&self) -> Generation {
        self.ownership
    }

    pub(crate) fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// The offset that is known to be committed for it, if any is.
    pub(crate) fn committed(&self) -> Option<i64> {
        self.committed
    }

    pub(crate) fn set_committed(&mut self, offset: i64) {
        self.committed = Some(offset);
    }

    /// Whether the listener, or the reader, has had word of it.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    pub(crate) fn set_known(&mut self, known: bool) {
        self.known = known;
    }

    /// Whether its position is one to be committed: its own, and not just the one that it came with.
    pub(crate) fn has_begun(&self) -> bool {
        self.known && self.tenure != Tenure::Held && !self.outlived
    }

    /// Whether offsets that the caller has are those of a topic that is no more, until it seeks.
    pub(crate) fn is_outlived(&self) -> bool {
        self.outlived
    }

    pub(crate) fn set_tenure(&mut self, tenure: Tenure) {
        self.tenure = tenure;
    }

    /// The generation in which the positions last jumped.
    pub(crate) fn lineage(&self) -> Generation {
        self.lineage
    }

    /// Tells its positions from those that were given up.
    pub(crate) fn resets(&self) -> u64 {
        self.resets
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether its records may be fetched and handed out.
    pub(crate) fn is_open(&self) -> bool {
        !self.paused && self.tenure == Tenure::Active
    }

    pub(crate) fn log(&self) -> LogEnds {
        self.log
    }

    /// Takes over what a response told of the log; negative offsets say nothing.
    pub(crate) fn learn(&mut self, start: i64, high_watermark: i64, last_stable: i64) {
        let known = |offset: i64| (offset >= 0).then_some(offset);
        self.log.start = known(start).or(self.log.start);
        self.log.high_watermark = known(high_watermark).or(self.log.high_watermark);
        self.log.last_stable = known(last_stable).or(self.log.last_stable);
    }

    /// Behind what the caller was handed. `None` while the partition has no position, and that includes
    /// the time of a reset: nothing may be committed then.
    pub(crate) fn position(&self) -> Option<Position> {
        self.consumed
    }

    /// Where the next fetch reads.
    pub(crate) fn fetch_position(&self) -> Option<Position> {
        self.fetch
    }

    /// Behind what reached the buffer.
    pub(crate) fn buffered_position(&self) -> Option<Position> {
        self.buffered
    }

    /// Whether all that reached the buffer was handed out.
    pub(crate) fn is_consumed_to_buffered(&self) -> bool {
        self.consumed.map(|at| at.offset) == self.buffered.map(|at| at.offset)
    }

    /// Whether all that was fetched has reached the buffer.
    pub(crate) fn is_buffered_to_fetch(&self) -> bool {
        self.buffered.map(|at| at.offset) == self.fetch.map(|at| at.offset)
    }

    /// Whether all that was fetched was handed out.
    pub(crate) fn is_drained(&self) -> bool {
        self.consumed.map(|at| at.offset) == self.fetch.map(|at| at.offset)
    }

    /// Whether the newest fetch found nothing new.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Sets whether the newest fetch found nothing new.
    pub(crate) fn set_caught_up(&mut self, caught_up: bool) {
        self.caught_up = caught_up;
    }

    /// A response was read up to here.
    pub(crate) fn fetched_to(&mut self, position: Position, via: Via) {
        self.fetch = Some(position);
        self.fetched_via = Some(via);
        self.needs_bytes = None;
    }

    /// Something was put into the buffer, or passed over, up to here.
    pub(crate) fn buffered_to(&mut self, position: Position, buffer_is_empty: bool) {
        self.buffered = Some(position);
        if buffer_is_empty {
            self.consumed = Some(position);
        }
    }

    /// The caller was handed what goes up to here. With nothing left in the buffer, what was passed over
    /// behind it is passed as well.
    pub(crate) fn consumed_to(&mut self, position: Position, buffer_is_empty: bool) {
        self.consumed = match (buffer_is_empty, self.buffered) {
            (true, Some(buffered)) => Some(buffered),
            _ => Some(position),
        };
    }

    /// Everything went well: the next failure's pause is short again.
    pub(crate) fn succeed(&mut self) {
        self.attempts = 0;
        self.retry_at = None;
    }

    /// How often in a row something went wrong.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Nothing is asked for this partition before `at`.
    pub(crate) fn retry_at(&mut self, at: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = Some(at);
    }

    /// Whether it waits for a pause to end.
    pub(crate) fn is_backing_off(&self) -> bool {
        self.retry_at.is_some()
    }

    /// Whether fetching goes on only once the buffer is empty.
    pub(crate) fn must_drain(&self) -> bool {
        self.drain_first
    }

    /// Stops fetching until the buffer is empty; whether that is still to come.
    pub(crate) fn drain_first(&mut self) -> bool {
        self.drain_first = !self.is_drained();
        self.drain_first
    }

    /// The first batch at the position takes this many bytes.
    pub(crate) fn needs_bytes(&mut self, bytes: i32) {
        self.needs_bytes = Some(bytes);
    }

    /// Reads from this follower until then (KIP-392).
    pub(crate) fn prefer(&mut self, node: NodeId, until: Instant) {
        self.replica = Some(Replica { node, until });
    }

    /// Reads from the leader again; whether it did not before.
    pub(crate) fn back_to_leader(&mut self) -> bool {
        self.replica.take().is_some()
    }

    /// Tells the caller of an error once, and goes on.
    pub(crate) fn report(&mut self, error: Error) {
        self.report = Some(error);
    }

    /// Has no position until a reset finds one.
    pub(crate) fn await_reset(&mut self, to: ResetTo) {
        self.resets += 1;
        self.forget_positions();
        self.phase = Phase::AwaitingReset(to);
    }

    /// Wants to know the log's range, for an error's sake.
    pub(crate) fn await_range(&mut self) {
        self.phase = Phase::AwaitingRange;
    }

    /// Stays where it is with an error that only a seek can clear.
    pub(crate) fn fail(&mut self, error: Error) {
        self.phase = Phase::Failed(error.into());
    }

    /// Is ready to be fetched from where it stands.
    pub(crate) fn resume(&mut self) {
        self.phase = Phase::Fetching;
        self.succeed();
    }

    /// Is ready to be fetched from this position, which the leader has just named.
    pub(crate) fn resume_at(&mut self, position: Position) {
        self.set_positions(position);
        self.resume();
    }

    /// Goes back to where the log ends that was read.
    pub(crate) fn fall_back_to(&mut self, position: Position) {
        self.resets += 1;
        self.resume_at(position);
    }

    /// Starts from a position that did not come from the leader: if its epoch is known, the leader has
    /// to confirm it first.
    pub(crate) fn start_at(&mut self, position: Position) {
        self.set_positions(position);
        self.phase = match position.leader_epoch {
            Some(_) => Phase::AwaitingValidation,
            None => Phase::Fetching,
        };
    }

    fn set_positions(&mut self, position: Position) {
        self.consumed = Some(position);
        self.buffered = Some(position);
        self.fetch = Some(position);
    }

    pub(super) fn forget_positions(&mut self) {
        self.consumed = None;
        self.buffered = None;
        self.fetch = None;
        self.needs_bytes = None;
        self.report = None;
    }

    /// Whether there is something to tell the caller, who is to be told nothing of a partition that is
    /// not its own yet, or no longer.
    pub(super) fn has_error(&self) -> bool {
        self.tenure == Tenure::Active
            && (self.report.is_some() || matches!(self.phase, Phase::Failed(_)))
    }

    /// Whether something was asked that is not answered yet.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked == Some(self.generation)
    }

    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.is_asked() || self.retry_at.is_some_and(|at| at > now)
    }

    /// The broker to read from, and whether it is the leader.
    pub(crate) fn source(&self, now: Instant) -> Option<(NodeId, bool)> {
        let leader = self.leader?;
        Some(match self.replica {
            Some(replica) if replica.until > now => (replica.node, replica.node == leader.node),
            _ => (leader.node, true),
        })
    }

    /// Whether it is to be fetched this way now; if so, whether that is from the leader.
    ///
    /// While what one fetcher brought is still being decompressed, no other may go on behind it: it could
    /// be in the buffer first.
    pub(super) fn fetch_target(&self, via: Via, now: Instant) -> Option<bool> {
        let ready = matches!(self.phase, Phase::Fetching)
            && self.is_open()
            && !self.is_busy(now)
            && (!self.drain_first || self.is_drained())
            && (self.fetched_via == Some(via) || self.is_buffered_to_fetch());
        let (node, is_leader) = self.source(now).filter(|_| ready)?;
        (node == via.node).then_some(is_leader)
    }
}
