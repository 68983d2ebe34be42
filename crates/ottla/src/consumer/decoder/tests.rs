use ottla_codec::records::Compression;

use super::*;
use crate::consumer::buffer::Entry;
use crate::consumer::scan::scan;
use crate::consumer::testing::{batch, bytes, compressed, damaged};

const BUDGET: usize = 1 << 20;

struct World {
    budget: Budget,
    decoder: Decoder,
}

impl World {
    fn new() -> Self {
        Self::with(BUDGET)
    }

    fn with(budget: usize) -> Self {
        let budget = Budget::new(budget);
        Self {
            decoder: Decoder::new(budget.clone(), true, 1 << 30),
            budget,
        }
    }

    /// Decodes a response, run by run, and tells what each run brought.
    fn decode(&mut self, response: Bytes) -> Vec<Vec<Step>> {
        let lease = Arc::new(self.budget.take(response.len()));
        let mut pieces = VecDeque::from(scan(response, Position::at(0), None).pieces);
        let mut runs = Vec::new();
        while !pieces.is_empty() {
            let run = self.decoder.next_run(&mut pieces);
            let (steps, rest) = self.decoder.decode_ahead(run, &lease);
            assert!(!steps.is_empty(), "no progress");
            pieces = rest.into_iter().chain(pieces).collect();
            runs.push(steps);
        }
        runs
    }
}

fn fetched(step: &Step) -> &Fetched {
    match step {
        Step::Push(fetched) => fetched,
        other => panic!("{other:?}"),
    }
}

fn is_plain(step: &Step) -> bool {
    matches!(fetched(step).body, Body::Plain(_))
}

#[test]
fn a_runs_buffer_counts_whole_until_its_last_batch_is_dropped() {
    let mut world = World::new();
    let response: Vec<_> = (0..10)
        .map(|n| compressed(n * 100, 100, Compression::Zstd))
        .collect();
    let mut steps: Vec<_> = world
        .decode(bytes(&response))
        .into_iter()
        .flatten()
        .collect();
    assert!(steps.iter().all(is_plain));
    let plain: usize = steps.iter().map(|step| fetched(step).bytes()).sum();
    let held = world.budget.used();
    assert!(
        (plain + 10 * ENTRY..2 * plain + 10 * ENTRY).contains(&held),
        "{held}"
    );
    steps.drain(..9);
    assert_eq!(world.budget.used(), held);
    steps.clear();
    assert_eq!(world.budget.used(), 0);
}

#[test]
fn what_does_not_fit_opens_the_next_run() {
    let mut world = World::new();
    // Ten batches that shrink a little, and ten that shrink a lot: more than was to be expected.
    let mut response: Vec<_> = (0..10).map(|n| batch_of(n, 10, 100)).collect();
    response.extend((10..20).map(|n| batch_of(n, 10, 5_000)));
    let runs = world.decode(bytes(&response));
    assert!(runs.len() > 1);
    let starts: Vec<_> = runs
        .iter()
        .flatten()
        .map(|step| fetched(step).start)
        .collect();
    assert!(starts.into_iter().eq((0..20).map(|n| n * 10)));
    assert!(runs.iter().flatten().any(is_plain));
    assert!(world.budget.used() <= BUDGET);
}

#[test]
fn a_batch_without_room_waits_as_it_came() {
    let mut world = World::new();
    let response = [batch_of(0, 1, 3 * BUDGET)];
    let mut steps: Vec<_> = world
        .decode(bytes(&response))
        .into_iter()
        .flatten()
        .collect();
    assert!(!is_plain(&steps[0]));
    assert!(world.budget.used() < BUDGET / 8);
    let Some(Step::Push(fetched)) = steps.pop() else {
        panic!("nothing");
    };
    let fetched = world.decoder.decode_now(fetched).unwrap();
    assert_eq!(fetched.bytes() / BUDGET, 3);
    assert!(world.budget.used() >= fetched.bytes() + ENTRY);
    drop(fetched);
    assert_eq!(world.budget.used(), 0);
}

#[test]
fn a_budget_of_a_byte_decodes_one_after_the_other() {
    let mut world = World::with(1);
    let response = [
        batch(0, 10),
        compressed(10, 10, Compression::Lz4),
        batch(20, 10),
    ];
    let runs = world.decode(bytes(&response));
    let plain: Vec<Vec<bool>> = runs
        .iter()
        .map(|run| run.iter().map(is_plain).collect())
        .collect();
    assert_eq!(plain, [[true], [false], [true]]);
}

#[test]
fn what_is_not_compressed_stays_where_it_is() {
    let mut world = World::new();
    let response = bytes(&[batch(0, 10), batch(10, 10)]);
    let length = response.len();
    let steps = world.decode(response);
    assert!(steps.iter().flatten().all(is_plain));
    assert_eq!(world.budget.used(), length);
}

#[test]
fn a_damaged_batch_ends_nothing_before_it() {
    let mut world = World::new();
    let response = [0, 10].map(|base| compressed(base, 10, Compression::Lz4));
    let steps: Vec<_> = world
        .decode(damaged(&response))
        .into_iter()
        .flatten()
        .collect();
    assert!(is_plain(&steps[0]));
    assert!(matches!(steps[1], Step::Corrupt(BatchError::Crc { .. })));
}

/// A batch of records of one byte over and over; batch n starts at offset n times the count.
fn batch_of(number: i64, count: i64, size: usize) -> RecordBatch {
    crate::consumer::testing::sized(number * count, count, size, Compression::Zstd)
}
