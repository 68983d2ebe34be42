//! The tables, and the page that has them all.

use std::collections::BTreeMap;
use std::env::consts::{ARCH, OS};
use std::fmt::{self, Write as _};
use std::fs;
use std::thread;

use ottla_peers::{BUFFER_BYTES, Result};

use crate::measurement::{Measurement, Median};
use crate::works::{BATCH_BYTES, Kind, LINGER_MS, PARTITIONS, Work};

/// A column's title and numbers.
type Column = (&'static str, fn(&Measurement) -> f64);

const CPU: Column = ("CPU, µs a record", |run| run.cpu);
const RATE: Column = ("thousand records a second", |run| run.rate / 1e3);
const MEMORY: Column = ("peak memory, MB", |run| run.memory);

/// A contender's runs of a work.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    runs: Vec<Measurement>,
    /// Why one of them failed.
    failure: Option<String>,
}

impl Cell {
    pub(crate) fn add(&mut self, outcome: Result<Measurement>) {
        match outcome {
            Ok(run) => self.runs.push(run),
            Err(error) => self.failure = Some(error.to_string()),
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// A number of all runs; none if a single one has failed.
    pub(crate) fn median(&self, number: impl Fn(&Measurement) -> f64) -> Option<Median> {
        match self.failure {
            None => Median::of(self.runs.iter().map(number).collect()),
            Some(_) => None,
        }
    }
}

/// A work and what became of it.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) work: Work,
    pub(crate) rows: Vec<(String, Cell)>,
}

impl Table {
    fn title(&self) -> String {
        let Work {
            kind,
            size,
            codec,
            records,
        } = &self.work;
        match kind {
            Kind::Latency => format!("Acknowledged one by one: {records} records of {size} bytes"),
            _ => format!(
                "{} {records} records of {size} bytes, {}",
                match kind {
                    Kind::Produce => "Produce",
                    _ => "Consume",
                },
                codec.name()
            ),
        }
    }
}

impl fmt::Display for Table {
    /// In Markdown, those that take the least first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title())?;
        let columns: &[Column] = match self.work.kind {
            Kind::Latency => &[
                ("p50, µs", |run| run.p50),
                ("p99, µs", |run| run.p99),
                CPU,
                MEMORY,
            ],
            Kind::Produce => &[
                CPU,
                RATE,
                MEMORY,
                ("bytes a record in the log", |run| run.logged),
            ],
            Kind::Consume => &[CPU, RATE, MEMORY],
        };
        write!(f, "| client |")?;
        for (name, _) in columns {
            write!(f, " {name} |")?;
        }
        writeln!(f, "\n|---|{}", "---:|".repeat(columns.len()))?;
        let first = |cell: &Cell| {
            let number = columns.first().and_then(|(_, number)| cell.median(number));
            number.map_or(f64::INFINITY, |number| number.middle)
        };
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|(_, one), (_, other)| first(one).total_cmp(&first(other)));
        for (name, cell) in rows {
            write!(f, "| {name} |")?;
            if let Some(failure) = &cell.failure {
                // A number of fewer runs than the others' would be none to compare.
                let failure = failure.replace(['|', '\n'], " ");
                writeln!(
                    f,
                    " **failed**: {failure} |{}",
                    " |".repeat(columns.len() - 1)
                )?;
                continue;
            }
            for (_, number) in columns {
                match cell.median(number) {
                    Some(median) => write!(f, " {median} |")?,
                    None => write!(f, " not run |")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Whether ottla has done everything, and everybody else something: one of them may have a fault, but a program that
/// does nothing right is ours to mend.
pub(crate) fn are_sound(tables: &[Table]) -> bool {
    let mut has_done: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for (name, cell) in tables.iter().flat_map(|table| &table.rows) {
        let done = cell.median(|run| run.cpu).is_some();
        let (all, some) = has_done.entry(name).or_insert((true, false));
        *all &= done;
        *some |= done;
    }
    let is_sound = |(name, (all, some)): (&&str, &(bool, bool))| match name.starts_with("ottla") {
        true => *all,
        false => *some,
    };
    !has_done.is_empty() && has_done.iter().all(is_sound)
}

/// What else to know of the figures.
#[derive(Debug)]
pub(crate) struct Conditions {
    rounds: usize,
    /// How many programs wanted a core, at the beginning and at the end.
    load: [Option<f64>; 2],
    pub(crate) versions: Vec<(&'static str, String)>,
}

impl Conditions {
    pub(crate) fn now(rounds: usize) -> Self {
        Self {
            rounds,
            load: [load(), None],
            versions: Vec::new(),
        }
    }

    pub(crate) fn ended(&mut self) {
        self.load[1] = load();
    }
}

/// Linux's average over five minutes.
fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

/// All of `RESULTS.md`.
pub(crate) fn page(tables: &[Table], conditions: &Conditions) -> String {
    let mut page = String::from(
        "# ottla beside other clients\n\n\
         Written by `cargo xtask bench peers`, which repeats it on any machine; \
         [peers/README.md](peers/README.md) says how each client is used.\n\n\
         ![CPU a record of each client](results.svg)\n\n## Conditions\n\n",
    );
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let load = conditions
        .load
        .map(|load| load.map_or("unknown".to_owned(), |load| format!("{load:.1}")));
    // To a string this cannot fail.
    let _ = write!(
        page,
        "- {OS} on {ARCH} with {cores} cores, which the clients share with the broker: one Kafka 4.3.0 on the same \
         machine.\n\
         - Load average over five minutes: {} when it began, {} when it ended. Above {cores}, others had work to do \
         meanwhile: rates and latencies are then theirs as well, CPU a record less so.\n\
         - Rounds that count: {}, after one that does not; in each, every client has its turn, and another client the \
         first. Medians; ± is half of the distance from the least to the greatest. What is closer together says \
         nothing.\n\
         - {PARTITIONS} partitions, replication 1; acks=all, idempotent but for rskafka, which cannot be; linger \
         {LINGER_MS} ms, batches of {} KiB, {} MiB of memory for records where a client has that setting; each codec \
         at the client's own default level, of which the log's size tells; checksums checked. Latency: linger 0.\n\
         - Values are lines of JSON, a MiB of different ones again and again, without keys. What is consumed was \
         written by Java's client.\n\
         - CPU is user and system time of the whole process from its start to its end, memory the most that it had \
         resident (Java with a heap of 512 MB at most). Rates are by the program's own clock, from before it connects \
         until all is acknowledged or read.\n\
         - Everything was checked: acknowledgements and the log's own ends, sums of offsets and lengths. A client that \
         failed once, wrote a record twice, or was not done in time, has no number.\n\
         - rskafka has no producer that fits: its program makes the batches itself and hands them round the \
         partitions, which spares it a partitioner and the waiting for linger.\n\n\
         | client | version |\n|---|---|\n",
        load[0],
        load[1],
        conditions.rounds,
        BATCH_BYTES >> 10,
        BUFFER_BYTES >> 20,
    );
    for (client, version) in &conditions.versions {
        let _ = writeln!(page, "| {client} | {version} |");
    }
    page.push_str("\n## Results\n");
    for table in tables {
        let _ = write!(page, "\n{table}");
    }
    page
}
