//! A window against a model of one partition's log, with every fault a network and a broker have.
//!
//! The model checks sequences as a broker does, keeps attempts alive after their connection died
//! (a broker still works off what it has read) and truncates what was not replicated.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use ottla_codec::records::add_sequence;
use tokio::time::Instant;

use super::super::sequences::{Identity, Stamp};
use super::{Action, Answer, Candidate, Route, Window};

#[derive(Clone, Debug)]
struct Appended {
    stamp: Stamp,
    records: Vec<u64>,
    committed: bool,
}

impl Appended {
    fn last_sequence(&self) -> i32 {
        let count = u32::try_from(self.records.len()).unwrap();
        add_sequence(self.stamp.base_sequence, count - 1)
    }
}

/// One partition's log, with the producer state that a broker derives from it.
#[derive(Debug, Default)]
struct Log {
    batches: Vec<Appended>,
    /// The broker has forgotten what the producer wrote before this position.
    known_from: usize,
}

impl Log {
    fn append(&mut self, stamp: Stamp, records: &[u64]) -> Answer {
        let attempt = Appended {
            stamp,
            records: records.to_vec(),
            committed: false,
        };
        let known = self.batches.get(self.known_from..).unwrap_or_default();
        let same_epoch = known
            .iter()
            .rev()
            .take_while(|batch| batch.stamp.identity == stamp.identity);
        let duplicate = same_epoch
            .take(5)
            .any(|batch| batch.stamp == stamp && batch.last_sequence() == attempt.last_sequence());
        if duplicate {
            return Answer::Written;
        }
        if let Some(last) = known.last() {
            let (mine, known) = (stamp.identity, last.stamp.identity);
            if mine.id == known.id && mine.epoch < known.epoch {
                return Answer::Disowned;
            }
            let expected = if mine == known {
                add_sequence(last.last_sequence(), 1)
            } else {
                0
            };
            if stamp.base_sequence != expected {
                return Answer::Gap;
            }
        }
        self.batches.push(attempt);
        Answer::Written
    }

    fn commit(&mut self) {
        for batch in &mut self.batches {
            batch.committed = true;
        }
    }

    fn truncate(&mut self) {
        self.batches.retain(|batch| batch.committed);
        self.known_from = self.known_from.min(self.batches.len());
    }

    fn records(&self) -> Vec<u64> {
        let batches = self.batches.iter();
        batches.flat_map(|batch| batch.records.clone()).collect()
    }
}

#[derive(Clone, Debug)]
struct Attempt {
    serial: u64,
    stamp: Stamp,
    records: Vec<u64>,
}

struct World {
    rng: fastrand::Rng,
    now: Instant,
    window: Window<Vec<u64>>,
    log: Log,
    route: Route,
    /// Where the attempts in `wire` went: only while this is `route` is the broker the leader.
    wire_route: Route,
    wire: VecDeque<Attempt>,
    answers: VecDeque<(u64, Answer)>,
    zombies: Vec<Attempt>,
    next_serial: u64,
    next_record: u64,
    acked: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    unwritten: BTreeSet<u64>,
    /// The broker forgets what it knows of a producer now and then, as after a deletion of records.
    /// It then takes any sequence, so a batch that failed may be in the log at a later place.
    forgetful: bool,
    calm: bool,
}

const MAX_BATCH: usize = 4;

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut window = Window::new(5, true);
        let first = *rng.choice([0, i32::MAX - 3, i32::MAX].iter()).unwrap();
        window.start_at(Identity { id: 1, epoch: 0 }, first);
        let route = Route {
            node: 1,
            connection: 1,
        };
        Self {
            rng,
            now: Instant::now(),
            window,
            log: Log::default(),
            route,
            wire_route: route,
            wire: VecDeque::new(),
            answers: VecDeque::new(),
            zombies: Vec::new(),
            next_serial: 0,
            next_record: 0,
            acked: BTreeSet::new(),
            failed: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            forgetful: seed.is_multiple_of(4),
            calm: false,
        }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        !self.calm && self.rng.u32(..one_in) == 0
    }

    fn retry_at(&mut self) -> Instant {
        self.now + Duration::from_millis(self.rng.u64(0..20))
    }

    fn push(&mut self) {
        let count = self.rng.u64(1..=MAX_BATCH as u64);
        let records: Vec<u64> = (0..count).map(|offset| self.next_record + offset).collect();
        self.next_record += count;
        let deadline = self.now + Duration::from_millis(400);
        let count = u32::try_from(count).unwrap();
        self.window.push(self.next_serial, records, count, deadline);
        self.next_serial += 1;
    }

    fn send(&mut self) {
        let Candidate::At(position) = self.window.candidate(self.now, self.route) else {
            return;
        };
        assert!(self.wire_route == self.route || self.window.in_flight() == 0);
        let records = self.window.batch_at(position).unwrap().clone();
        let current = Some(Identity { id: 1, epoch: 0 });
        let (serial, stamp) = self.window.dispatch(position, self.route, current).unwrap();
        self.wire_route = self.route;
        self.wire.push_back(Attempt {
            serial,
            stamp: stamp.unwrap(),
            records,
        });
        assert!(self.window.in_flight() <= 5);
    }

    /// The broker takes the next request off the wire.
    fn serve(&mut self) {
        let Some(attempt) = self.wire.pop_front() else {
            return;
        };
        let answer = if self.wire_route != self.route || self.chance(12) {
            // Not the leader, or not ready: the replicas decide what came of earlier appends.
            Answer::Retry {
                certain: self.rng.bool(),
            }
        } else if self.chance(25) && attempt.records.len() > 1 {
            Answer::TooLarge
        } else if self.chance(40) {
            Answer::Refused { certain: true }
        } else {
            match self.log.append(attempt.stamp, &attempt.records) {
                Answer::Written if self.chance(15) => Answer::Retry { certain: false },
                Answer::Written if self.chance(40) => Answer::Refused { certain: false },
                Answer::Written => {
                    self.log.commit();
                    Answer::Written
                }
                refused => refused,
            }
        };
        self.answers.push_back((attempt.serial, answer));
    }

    fn receive(&mut self) {
        let Some((serial, answer)) = self.answers.pop_front() else {
            return;
        };
        let retry_at = self.retry_at();
        let mut out = Vec::new();
        self.window.answered(serial, answer, retry_at, &mut out);
        self.act(out);
    }

    /// The connection dies: answers are lost, requests may still be worked off, or not arrive at all.
    fn cut(&mut self) {
        let mut lost: Vec<(u64, bool)> = Vec::new();
        lost.extend(self.answers.drain(..).map(|(serial, _)| (serial, true)));
        while let Some(attempt) = self.wire.pop_front() {
            let written = self.rng.u32(..4) > 0;
            lost.push((attempt.serial, written));
            if written && self.rng.bool() {
                self.zombies.push(attempt);
            }
        }
        for (serial, written) in lost {
            let retry_at = self.retry_at();
            let mut out = Vec::new();
            self.window.lost(serial, written, retry_at, &mut out);
            self.act(out);
        }
        self.route.connection += 1;
    }

    fn work_off_zombie(&mut self) {
        if !self.zombies.is_empty() {
            let index = self.rng.usize(..self.zombies.len());
            let attempt = self.zombies.swap_remove(index);
            if self.log.append(attempt.stamp, &attempt.records) == Answer::Written
                && self.rng.bool()
            {
                self.log.commit();
            }
        }
    }

    fn act(&mut self, actions: Vec<Action<Vec<u64>>>) {
        for action in actions {
            match action {
                Action::Written(records) => {
                    for record in records {
                        assert!(self.acked.insert(record), "acknowledged twice");
                    }
                }
                Action::Failed {
                    batch,
                    possibly_written,
                    ..
                } => self.fail(&batch, possibly_written),
                Action::Abandoned { serial, .. } => {
                    let records = self.window.batch_mut(serial).unwrap().clone();
                    self.fail(&records, true);
                }
                Action::Dropped(records) => {
                    assert!(records.iter().all(|record| self.failed.contains(record)));
                }
                Action::Split { serial } => self.split(serial),
            }
        }
    }

    fn fail(&mut self, records: &[u64], possibly_written: bool) {
        for record in records {
            assert!(self.failed.insert(*record), "failed twice");
            if !possibly_written {
                self.unwritten.insert(*record);
            }
        }
    }

    fn split(&mut self, serial: u64) {
        // It may have failed in the same breath, with the numbering it belonged to.
        let Some(records) = self.window.batch_mut(serial).cloned() else {
            return;
        };
        let (head, tail) = records.split_at(self.rng.usize(1..records.len()));
        let mut parts = Vec::new();
        for part in [head, tail] {
            let count = u32::try_from(part.len()).unwrap();
            parts.push((self.next_serial, part.to_vec(), count));
            self.next_serial += 1;
        }
        let mut out = Vec::new();
        assert!(self.window.replace(serial, parts, &mut out).is_ok());
        self.act(out);
    }

    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..20 if !self.calm => self.push(),
            0..50 => self.send(),
            50..70 => self.serve(),
            70..88 => self.receive(),
            88..90 if !self.calm => self.cut(),
            90..92 if !self.calm => {
                self.route.node += 1;
                if self.rng.bool() {
                    self.log.truncate();
                }
            }
            92..94 => self.work_off_zombie(),
            94 if self.forgetful && !self.calm => {
                // Not so fast that an earlier attempt at a batch is still under way.
                let settled = self.zombies.is_empty() && self.answers.is_empty();
                if settled && !self.window.entries.iter().any(|entry| entry.uncertain) {
                    self.log.known_from = self.log.batches.len();
                }
            }
            _ => {
                self.now += Duration::from_millis(self.rng.u64(0..15));
                let mut out = Vec::new();
                self.window.expire(self.now, &mut out);
                self.act(out);
            }
        }
    }

    fn finish(&mut self) {
        self.calm = true;
        let mut steps = 0;
        while !self.window.is_empty() {
            self.step();
            steps += 1;
            assert!(steps < 100_000, "stuck: {:?}", self.window);
        }
        while !self.zombies.is_empty() {
            self.work_off_zombie();
        }
    }

    fn check(&self) {
        let log = self.log.records();
        let count = log.len();
        let ordered = log
            .iter()
            .filter(|record| !self.forgetful || self.acked.contains(record));
        assert!(ordered.is_sorted_by(|a, b| a < b), "order: {log:?}");
        let log: BTreeSet<u64> = log.into_iter().collect();
        assert_eq!(log.len(), count, "duplicate");
        assert!(self.acked.is_subset(&log), "acknowledged and lost");
        assert!(self.unwritten.is_disjoint(&log), "said not to be written");
        assert!(self.acked.is_disjoint(&self.failed));
        let outcomes = self.acked.len() + self.failed.len();
        assert_eq!(outcomes as u64, self.next_record, "no outcome");
    }
}

#[test]
fn every_fault_leaves_a_log_in_order_without_duplicates() {
    let runs = if std::env::var_os("OTTLA_TEST_LONG").is_some() {
        200_000
    } else {
        3_000
    };
    let (mut acked, mut failed) = (0, 0);
    for seed in 0..runs {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..600 {
                world.step();
            }
            world.finish();
            world.check();
            (world.acked.len(), world.failed.len())
        });
        match run {
            Ok(counts) => {
                acked += counts.0;
                failed += counts.1;
            }
            Err(panic) => {
                eprintln!("failing seed: {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(acked > failed, "{acked} acknowledged, {failed} failed");
}
