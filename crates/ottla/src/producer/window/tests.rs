use std::time::Duration;

use tokio::time::Instant;

use super::super::sequences::{Identity, Stamp};
use super::{Action, Answer, Candidate, Cause, Route, Window};

const ID: Identity = Identity { id: 7, epoch: 0 };
const NEXT: Identity = Identity { id: 7, epoch: 1 };
const OLD: Route = Route {
    node: 1,
    connection: 1,
};
const NEW: Route = Route {
    node: 2,
    connection: 2,
};
const NOT_NOW: Answer = Answer::Retry { certain: true };
const UNSURE: Answer = Answer::Retry { certain: false };

/// A window of one-letter batches of ten records, and its clock.
struct Rig {
    window: Window<&'static str>,
    now: Instant,
    out: Vec<Action<&'static str>>,
    serials: u64,
}

impl Rig {
    fn new() -> Self {
        Self {
            window: Window::new(5, true),
            now: Instant::now(),
            out: Vec::new(),
            serials: 0,
        }
    }

    fn with(batches: &[&'static str]) -> Self {
        let mut rig = Self::new();
        for batch in batches {
            rig.push(batch);
        }
        rig
    }

    fn push(&mut self, batch: &'static str) {
        let deadline = self.now + Duration::from_secs(120);
        self.window.push(self.serials, batch, 10, deadline);
        self.serials += 1;
    }

    /// Sends all that may go, and says which batches under which epoch and sequence.
    fn send(&mut self, route: Route) -> Vec<(&'static str, i16, i32)> {
        let mut sent = Vec::new();
        while let Candidate::At(position) = self.window.candidate(self.now, route) {
            let batch = *self.window.batch_at(position).unwrap();
            let (_, stamp) = self.window.dispatch(position, route, Some(ID)).unwrap();
            let Stamp {
                identity,
                base_sequence,
            } = stamp.unwrap();
            sent.push((batch, identity.epoch, base_sequence));
        }
        sent
    }

    fn serial(&mut self, batch: &str) -> u64 {
        let mut entries = self.window.entries.iter();
        entries.find(|entry| entry.batch == batch).unwrap().serial
    }

    fn answer(&mut self, batch: &str, answer: Answer) -> Vec<Action<&'static str>> {
        let serial = self.serial(batch);
        let retry_at = self.now;
        self.window
            .answered(serial, answer, retry_at, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn lose(&mut self, batch: &str, written: bool) -> Vec<Action<&'static str>> {
        let serial = self.serial(batch);
        self.window.lost(serial, written, self.now, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn expire(&mut self) -> Vec<Action<&'static str>> {
        self.now += Duration::from_secs(120);
        self.window.expire(self.now, &mut self.out);
        std::mem::take(&mut self.out)
    }

    /// Gets the window to the point where `OLD` has accepted a batch.
    fn warm_up(&mut self) {
        self.push("warm");
        assert_eq!(self.send(OLD), [("warm", 0, 0)]);
        assert_eq!(
            self.answer("warm", Answer::Written),
            [Action::Written("warm")]
        );
    }
}

fn failed(batch: &'static str, cause: Cause, possibly_written: bool) -> Action<&'static str> {
    Action::Failed {
        batch,
        cause,
        possibly_written,
    }
}

#[test]
fn f29_one_batch_in_flight_until_the_leader_has_accepted_one() {
    let mut rig = Rig::with(&["a", "b", "c"]);
    assert_eq!(rig.send(OLD), [("a", 0, 0)]);
    assert_eq!(rig.answer("a", NOT_NOW), []);
    assert_eq!(rig.send(OLD), [("a", 0, 0)]);
    assert_eq!(rig.answer("a", Answer::Written), [Action::Written("a")]);
    assert_eq!(rig.send(OLD), [("b", 0, 10), ("c", 0, 20)]);
}

#[test]
fn five_batches_are_in_flight_at_most() {
    let mut rig = Rig::new();
    rig.warm_up();
    for batch in ["a", "b", "c", "d", "e", "f"] {
        rig.push(batch);
    }
    assert_eq!(rig.send(OLD).len(), 5);
    rig.answer("a", Answer::Written);
    assert_eq!(rig.send(OLD), [("f", 0, 60)]);
}

#[test]
fn a_restarted_leader_has_to_accept_again() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.push("b");
    let reconnected = Route {
        node: 1,
        connection: 2,
    };
    assert_eq!(rig.send(reconnected), [("a", 0, 10)]);
}

#[test]
fn nothing_goes_to_the_new_leader_before_the_old_one_has_answered() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.push("b");
    assert_eq!(rig.send(OLD).len(), 2);
    rig.push("c");
    assert_eq!(rig.send(NEW), []);
    rig.answer("a", Answer::Written);
    assert_eq!(rig.send(NEW), []);
    rig.lose("b", true);
    assert_eq!(rig.send(NEW), [("b", 0, 20)]);
}

#[test]
fn a_leader_that_has_accepted_before_waits_for_the_one_in_between() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    assert_eq!(rig.send(NEW), [("a", 0, 10)]);
    rig.push("b");
    assert_eq!(rig.send(OLD), []);
    rig.answer("a", Answer::Written);
    assert_eq!(rig.send(OLD), [("b", 0, 20)]);
}

#[test]
fn o18_a_retry_waits_for_the_batches_behind_it() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.push("b");
    rig.send(OLD);
    assert_eq!(rig.answer("a", NOT_NOW), []);
    assert_eq!(rig.send(OLD), []);
    assert_eq!(rig.answer("b", Answer::Gap), []);
    assert_eq!(rig.send(OLD), [("a", 0, 10)]);
    rig.answer("a", Answer::Written);
    assert_eq!(rig.send(OLD), [("b", 0, 20)]);
}

#[test]
fn a_definite_refusal_fails_its_own_batch_alone() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.push("b");
    rig.push("c");
    rig.send(OLD);
    let refused = Answer::Refused { certain: true };
    let outcome = rig.answer("a", refused);
    assert_eq!(outcome, [failed("a", Cause::Refused, false)]);
    assert_eq!(rig.answer("b", Answer::Gap), []);
    assert_eq!(rig.answer("c", Answer::Gap), []);
    assert_eq!(rig.send(OLD), [("b", 1, 0)]);
    rig.answer("b", Answer::Written);
    assert_eq!(rig.send(OLD), [("c", 1, 10)]);
}

#[test]
fn f17_the_sequence_of_a_batch_given_up_is_not_used_again() {
    let mut rig = Rig::with(&["a"]);
    rig.send(OLD);
    rig.lose("a", true);
    assert_eq!(rig.expire(), [failed("a", Cause::Expired, true)]);
    rig.push("b");
    assert_eq!(rig.send(OLD), [("b", 1, 0)]);
}

#[test]
fn a_deadline_in_flight_holds_back_new_numbers_until_the_attempt_ends() {
    let mut rig = Rig::with(&["a"]);
    rig.send(OLD);
    let serial = rig.serial("a");
    let cause = Cause::Expired;
    assert_eq!(rig.expire(), [Action::Abandoned { serial, cause }]);
    rig.push("b");
    assert_eq!(rig.send(OLD), []);
    assert_eq!(rig.lose("a", true), [Action::Dropped("a")]);
    assert_eq!(rig.send(OLD), [("b", 1, 0)]);
}

#[test]
fn an_uncertain_batch_keeps_its_number_behind_a_hole() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.now += Duration::from_secs(1);
    rig.push("b");
    rig.send(OLD);
    rig.lose("a", true);
    rig.lose("b", true);
    rig.now += Duration::from_secs(119);
    rig.window.expire(rig.now, &mut rig.out);
    assert_eq!(
        std::mem::take(&mut rig.out),
        [failed("a", Cause::Expired, true)]
    );
    rig.push("c");
    assert_eq!(rig.send(NEW), [("b", 0, 20)]);
    assert_eq!(rig.answer("b", Answer::Written), [Action::Written("b")]);
    assert_eq!(rig.send(NEW), [("c", 1, 0)]);
}

#[test]
fn o04_an_uncertain_batch_behind_a_lost_one_fails_and_the_partition_goes_on() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.now += Duration::from_secs(1);
    rig.push("b");
    rig.push("c");
    rig.send(OLD);
    rig.lose("a", true);
    rig.lose("b", true);
    rig.lose("c", false);
    rig.now += Duration::from_secs(119);
    rig.window.expire(rig.now, &mut rig.out);
    rig.out.clear();
    assert_eq!(rig.send(NEW), [("b", 0, 20)]);
    let outcome = rig.answer("b", Answer::Gap);
    assert_eq!(outcome, [failed("b", Cause::SequenceLost, true)]);
    assert_eq!(rig.send(NEW), [("c", 1, 0)]);
}

#[test]
fn a_gap_of_the_brokers_own_making_is_healed() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.send(OLD);
    assert_eq!(rig.answer("a", Answer::Gap), []);
    assert_eq!(rig.send(OLD), [("a", 1, 0)]);
}

#[test]
fn a_disowned_producer_id_is_replaced() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.send(OLD);
    assert_eq!(rig.answer("a", Answer::Disowned), []);
    let Candidate::At(position) = rig.window.candidate(rig.now, OLD) else {
        panic!("nothing to send");
    };
    assert_eq!(rig.window.dispatch(position, OLD, Some(NEXT)), Err(Some(7)));
    let other = Identity { id: 8, epoch: 0 };
    let (_, stamp) = rig.window.dispatch(position, OLD, Some(other)).unwrap();
    assert_eq!(stamp.unwrap().identity, other);
}

#[test]
fn an_overtaken_batch_is_not_written_late() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("a");
    rig.push("b");
    rig.send(OLD);
    rig.answer("a", NOT_NOW);
    let outcome = rig.answer("b", Answer::Written);
    let overtaken = failed("a", Cause::Overtaken, false);
    assert_eq!(outcome, [Action::Written("b"), overtaken]);
    rig.push("c");
    assert_eq!(rig.send(OLD), [("c", 1, 0)]);
}

#[test]
fn a_split_keeps_the_sequence_range() {
    let mut rig = Rig::new();
    rig.warm_up();
    rig.push("whole");
    rig.push("b");
    rig.send(OLD);
    let serial = rig.serial("whole");
    assert_eq!(
        rig.answer("whole", Answer::TooLarge),
        [Action::Split { serial }]
    );
    assert_eq!(rig.answer("b", Answer::Gap), []);
    assert_eq!(rig.send(OLD), []);
    let parts = vec![(101, "head", 4), (102, "tail", 6)];
    assert_eq!(rig.window.replace(serial, parts, &mut rig.out), Ok("whole"));
    assert_eq!(rig.send(OLD), [("head", 0, 10)]);
    rig.answer("head", Answer::Written);
    assert_eq!(rig.send(OLD), [("tail", 0, 14), ("b", 0, 20)]);
}

#[test]
fn a_batch_that_expired_while_it_was_split_is_gone() {
    let mut rig = Rig::with(&["whole"]);
    rig.send(OLD);
    let serial = rig.serial("whole");
    rig.answer("whole", Answer::TooLarge);
    assert_eq!(rig.expire(), [failed("whole", Cause::Expired, false)]);
    let parts = vec![(101, "head", 4), (102, "tail", 6)];
    assert!(rig.window.replace(serial, parts, &mut rig.out).is_err());
    assert!(rig.window.is_empty());
}

#[test]
fn never_sent_is_never_possibly_written() {
    let mut rig = Rig::with(&["a", "b"]);
    rig.send(OLD);
    rig.lose("a", false);
    let outcome = rig.expire();
    assert_eq!(
        outcome,
        [
            failed("a", Cause::Expired, false),
            failed("b", Cause::Expired, false)
        ]
    );
}

#[test]
fn an_answer_after_the_append_leaves_it_uncertain() {
    let mut rig = Rig::with(&["a"]);
    rig.send(OLD);
    rig.answer("a", UNSURE);
    rig.send(OLD);
    let refused = Answer::Refused { certain: true };
    let outcome = rig.answer("a", refused);
    assert_eq!(outcome, [failed("a", Cause::Refused, true)]);
}

#[test]
fn closing_is_honest_about_what_is_on_the_wire() {
    let mut rig = Rig::with(&["a", "b"]);
    rig.send(OLD);
    let serial = rig.serial("a");
    rig.window.abort(Cause::Closed, &mut rig.out);
    let cause = Cause::Closed;
    assert_eq!(
        rig.out,
        [
            Action::Abandoned { serial, cause },
            failed("b", Cause::Closed, false)
        ]
    );
}

#[test]
fn without_idempotence_there_are_no_numbers() {
    let mut rig = Rig::with(&["a"]);
    rig.window = Window::new(1, false);
    rig.push("b");
    let Candidate::At(position) = rig.window.candidate(rig.now, OLD) else {
        panic!("nothing to send");
    };
    let sent = rig.window.dispatch(position, OLD, None);
    assert_eq!(sent.unwrap().1, None);
    rig.lose("b", true);
    assert_eq!(rig.expire(), [failed("b", Cause::Expired, true)]);
}

#[test]
fn backoff_holds_the_partition_until_its_time() {
    let mut rig = Rig::with(&["a"]);
    rig.send(OLD);
    let serial = rig.serial("a");
    let retry_at = rig.now + Duration::from_millis(100);
    rig.window.answered(serial, NOT_NOW, retry_at, &mut rig.out);
    assert_eq!(
        rig.window.candidate(rig.now, OLD),
        Candidate::NotBefore(retry_at)
    );
    assert_eq!(rig.window.candidate(retry_at, OLD), Candidate::At(0));
}
