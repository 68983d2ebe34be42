//! One partition in work, from the time it becomes this consumer's until it is given up.
//!
//! Does no I/O: it says what may begin, what can be committed, and when it has enough.

use std::collections::VecDeque;

use super::attempts::Brakes;
use super::lanes::{Lane, Lanes};
use super::processor::ProcessingOrder;
use super::watermark::Watermark;
use crate::consumer::{ConsumedRecord, IntoRecords, OffsetAndMetadata, RecordBatch};
use crate::error::Result;

/// As many batches may wait before the consumer is told to hold back.
const BATCHES_WAITING: usize = 2;

/// A partition in work.
#[derive(Debug)]
pub(super) struct Partition {
    /// Tells it from the same partition at another time.
    pub(super) ownership: u64,
    pub(super) brakes: Brakes,
    /// How many of its records have begun and have no outcome.
    pub(super) in_flight: usize,
    /// Whether it is on the list of those with records that may begin.
    pub(super) is_in_turn: bool,
    watermark: Watermark,
    lanes: Lanes,
    window: Window,
    /// What was read and not taken in; the first batch may be so in part.
    waiting: VecDeque<Waiting>,
    is_paused: bool,
    stage: Stage,
    stopped_at: Option<i64>,
    /// Where the consumer was told to read on from when it is no longer stopped.
    resumes_at: Option<i64>,
    /// Below this there is nothing to commit.
    committed: i64,
    /// Whether records were taken in since somebody last asked.
    has_moved: bool,
}

/// How much is taken in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    /// At most how many records, from the oldest unfinished one on.
    pub(super) records: usize,
    /// Nothing more once the unfinished ones take as many bytes.
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    records: IntoRecords,
    next_offset: i64,
    leader_epoch: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Going,
    /// Nothing more is taken in.
    Stopped,
    /// Nothing more begins.
    Leaving,
}

/// What the consumer is to do with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Pause,
    Resume,
}

impl Partition {
    /// One of which the record at `start` is the first to come.
    pub(super) fn new(ownership: u64, order: ProcessingOrder, start: i64) -> Self {
        Self {
            ownership,
            brakes: Brakes::default(),
            in_flight: 0,
            is_in_turn: false,
            watermark: Watermark::starting_at(start),
            lanes: Lanes::new(order),
            window: Window::default(),
            waiting: VecDeque::new(),
            is_paused: false,
            stage: Stage::Going,
            stopped_at: None,
            resumes_at: None,
            committed: start,
            has_moved: false,
        }
    }

    /// Behind everything that was read of it and is still wanted.
    pub(super) fn next_offset(&self) -> i64 {
        let last = self.waiting.back();
        last.map_or(self.watermark.reached(), |last| last.next_offset)
    }

    /// A batch was read.
    pub(super) fn add(&mut self, batch: RecordBatch) {
        if self.stage == Stage::Going {
            self.waiting.push_back(Waiting {
                next_offset: batch.next_offset(),
                leader_epoch: batch.leader_epoch(),
                records: batch.into_records(),
            });
        }
    }

    /// Takes in as much as a window of that size has room for, in memory of its own: one record that takes long must not keep all that
    /// came with it.
    ///
    /// # Errors
    ///
    /// A record cannot be read. What waits is thrown away.
    pub(super) fn take_in(&mut self, window: Window) -> Result<()> {
        self.window = window;
        while self.has_room(1)
            && let Some(first) = self.waiting.front_mut()
        {
            match first.records.next_copied() {
                Some(Ok(record)) => {
                    let bytes = record.size_bytes();
                    self.watermark
                        .begin(record.offset, first.leader_epoch, bytes);
                    self.lanes.push(record);
                    self.has_moved = true;
                }
                Some(Err(error)) => {
                    self.waiting.clear();
                    return Err(error);
                }
                None => {
                    self.watermark.pass(first.next_offset);
                    self.waiting.pop_front();
                }
            }
        }
        Ok(())
    }

    /// The consumer's next record is at that offset: what lies before it and was not read is no record, such as the end
    /// of a transaction. False if that is before what was read: somebody has sought, or the position was reset.
    pub(super) fn pass(&mut self, position: i64) -> bool {
        if self.stage != Stage::Going {
            return true;
        }
        if self.waiting.is_empty() {
            self.watermark.pass(position);
        }
        position >= self.next_offset()
    }

    /// What the consumer is to do, if it has to do something else than before. It goes on only when there is room for
    /// many records, since each stop costs it what it is just fetching.
    pub(super) fn pace(&mut self) -> Option<Pace> {
        if self.stage != Stage::Going {
            return None;
        }
        let is_low = self.waiting.is_empty() && self.has_room(2);
        let (pace, is_paused) = match self.is_paused {
            false if self.waiting.len() >= BATCHES_WAITING => (Pace::Pause, true),
            true if is_low => (Pace::Resume, false),
            _ => return None,
        };
        self.is_paused = is_paused;
        Some(pace)
    }

    /// Whether less than that part of the window is in use.
    fn has_room(&self, part: usize) -> bool {
        self.watermark.span() < self.window.records.div_ceil(part)
            && self.watermark.bytes() < self.window.bytes.div_ceil(part)
    }

    /// Whether it holds memory that it has not used since this was last asked.
    pub(super) fn is_idle(&mut self) -> bool {
        let has_moved = std::mem::take(&mut self.has_moved);
        !has_moved && !self.waiting.is_empty()
    }

    /// Throws away what waits: the consumer is to hold back, and to read from that offset when it goes on.
    pub(super) fn make_room(&mut self) -> i64 {
        self.waiting.clear();
        self.is_paused = true;
        self.watermark.reached()
    }

    /// Whether there is a record that may begin.
    pub(super) fn is_ready(&self) -> bool {
        self.lanes.is_ready()
    }

    /// Takes a record that begins now.
    pub(super) fn begin(&mut self) -> Option<(ConsumedRecord, Lane)> {
        let record = self.lanes.pop()?;
        let lane = self.lanes.of(&record);
        self.in_flight += 1;
        Some((record, lane))
    }

    /// A record that had begun is done with for good.
    pub(super) fn finish(&mut self, offset: i64, lane: Lane) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.watermark.finish(offset);
        self.lanes.release(lane);
    }

    /// A record that had begun comes again, and what is in order behind it stays there.
    pub(super) fn give_up(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Nothing from that offset on begins any more. What comes before it does, so that it can be committed. False if
    /// it was stopped at that offset already, or before it.
    pub(super) fn stop(&mut self, from: i64) -> bool {
        let stopped = self.stopped_at.is_some_and(|at| at <= from);
        if stopped {
            return false;
        }
        self.stopped_at = Some(from);
        if self.stage == Stage::Going {
            self.stage = Stage::Stopped;
        }
        self.waiting.clear();
        self.lanes.truncate(from);
        true
    }

    /// Where one that is stopped is to be read from again when it is resumed, if the consumer stands elsewhere and nobody has
    /// sought since.
    pub(super) fn step_back(&mut self, position: Option<i64>) -> Option<i64> {
        let has_sought = self.resumes_at.is_some() && position != self.resumes_at;
        let offset = self.watermark.offset();
        if has_sought || self.resumes_at == Some(offset) {
            return None;
        }
        self.resumes_at = Some(offset);
        Some(offset)
    }

    /// Whether it was, and is to follow what is done.
    pub(super) fn has_stepped_back(&self) -> bool {
        self.is_stopped() && self.resumes_at.is_some()
    }

    /// The consumer's position is not to be touched any more.
    pub(super) fn stay(&mut self) {
        self.resumes_at = None;
    }

    /// Nothing begins any more.
    pub(super) fn leave(&mut self) {
        self.stage = Stage::Leaving;
        self.waiting.clear();
        self.lanes.truncate(i64::MIN);
        self.brakes.ending.cancel();
    }

    /// Whether the consumer was told to hold back.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether it goes no further.
    pub(super) fn is_stopped(&self) -> bool {
        self.stage == Stage::Stopped
    }

    /// Whether it is being given up.
    pub(super) fn is_leaving(&self) -> bool {
        self.stage == Stage::Leaving
    }

    /// What is to be committed, if that is more than was.
    pub(super) fn uncommitted(&self) -> Option<OffsetAndMetadata> {
        let position = self.watermark.position();
        (position.offset > self.committed).then_some(position)
    }

    /// Everything below was committed, or never can be.
    pub(super) fn note_committed(&mut self, offset: i64) {
        self.committed = self.committed.max(offset);
    }
}
