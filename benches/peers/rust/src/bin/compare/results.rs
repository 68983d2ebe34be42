//! All that has been measured: kept as JSON, shown as a page.

use std::collections::BTreeMap;
use std::env::consts::{ARCH, OS};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use ottla_peers::{BUFFER_BYTES, Result};
use serde::{Deserialize, Serialize};

use crate::chart;
use crate::table::{Table, is_ottla};
use crate::works::{Against, BATCH_BYTES, CLIENTS, LINGER_MS, PARTITIONS, WORKS, Work};

/// What was measured, in one run of this program or in several.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Such as "linux on x86_64, 2 cores".
    machine: String,
    pub(crate) versions: BTreeMap<String, String>,
    tables: BTreeMap<String, Table>,
}

impl Results {
    /// What a directory has from earlier runs.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        match fs::read_to_string(dir.join("results.json")) {
            Ok(text) => Ok(serde_json::from_str(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a work's table in, in the place of an earlier one.
    pub(crate) fn add(&mut self, work: &Work, table: Table) {
        self.machine = machine();
        self.tables.insert(work.name(), table);
    }

    /// Writes it down: as `results.json`, `RESULTS.md` and `results.svg`.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir)?;
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        fs::write(dir.join("results.json"), json)?;
        fs::write(dir.join("RESULTS.md"), self.page())?;
        fs::write(dir.join("results.svg"), chart::svg(&self.tables()))?;
        Ok(())
    }

    /// In the order of the works, of which those that are no more are left out.
    fn tables(&self) -> Vec<(Work, &Table)> {
        let known = WORKS.into_iter();
        known
            .filter_map(|work| Some((work, self.tables.get(&work.name())?)))
            .collect()
    }

    /// Whether ottla has done everything, and everybody else something: one of them may have a fault, but a program
    /// that does nothing right is ours to mend.
    pub(crate) fn are_sound(&self) -> bool {
        let mut has_done: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
        for (name, cell) in self.tables.values().flat_map(|table| &table.cells) {
            let done = !cell.has_failed() && !cell.runs.is_empty();
            let (all, some) = has_done.entry(name).or_insert((true, false));
            *all &= done;
            *some |= done;
        }
        let is_sound = |(name, (all, some)): (&&str, &(bool, bool))| match is_ottla(name) {
            true => *all,
            false => *some,
        };
        !has_done.is_empty() && has_done.iter().all(is_sound)
    }

    /// All of `RESULTS.md`.
    fn page(&self) -> String {
        let tables = self.tables();
        let mut page = String::from(
            "# ottla beside other clients\n\n\
             Written by `cargo xtask bench peers`, which repeats it on any machine; \
             [peers/README.md](peers/README.md) says how each client is used, [results.json](results.json) has every \
             single run.\n\n\
             ![CPU a record of each client](results.svg)\n\n## Conditions\n\n",
        );
        let rounds = tables.iter().map(|(_, table)| table.rounds);
        let rounds = match (rounds.clone().min(), rounds.max()) {
            (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
            (least, _) => least.unwrap_or_default().to_string(),
        };
        let loads = tables.iter().flat_map(|(_, table)| table.load).flatten();
        let load = loads.fold(0.0, f64::max);
        // To a string this cannot fail.
        let _ = write!(
            page,
            "- {}, which the clients share with what they talk to.\n\
             - A broker is one Kafka 4.3.0. The sink is ottla's fake cluster in a process of its own: it acknowledges \
             what is produced without keeping it, and hands out batches that it has had from the beginning, so that the \
             client is what is measured.\n\
             - Rounds that count: {rounds}, after one that does not; in each, every client has its turn, and another \
             client the first. Medians; ± is half of the distance from the least to the greatest. What is closer together \
             says nothing. \"Of the best peer's\" is the first number divided by that of the best client that is not \
             ottla.\n\
             - Load average, at most: {load:.1}. Far above the number of cores, others had work to do meanwhile: rates \
             and latencies are then theirs as well, CPU a record less so.\n\
             - {PARTITIONS} partitions where nothing else is said, replication 1; acks=all, idempotent but for rskafka, \
             which cannot be; linger {LINGER_MS} ms, batches of {} KiB, {} MiB of memory for records where a client has \
             that setting; each codec at the client's own default level, of which the log's size tells; checksums \
             checked. Latency: linger 0.\n\
             - Values are lines of JSON, a MiB of different ones again and again, without keys; those of the sink are \
             words. What is consumed from a broker was written by Java's client.\n\
             - CPU is user and system time of the whole process from its start to its end, memory the most that it had \
             resident (Java with a heap of 512 MB at most). Rates are by the program's own clock, from before it connects \
             until all is acknowledged or read; so is the time to the first record. Allocations are counted in the round \
             that does not count, of programs that take memory from the C library.\n\
             - Everything was checked: acknowledgements and the log's own ends, sums of offsets and lengths. A client that \
             failed once, wrote a record twice, or was not done in time, has no number.\n\
             - rskafka has no producer that fits: its program makes the batches itself and hands them round the \
             partitions, which spares it a partitioner and the waiting for linger. It is not used with thousands of \
             partitions.\n\n\
             | client | version |\n|---|---|\n",
            self.machine,
            BATCH_BYTES >> 10,
            BUFFER_BYTES >> 20,
        );
        for client in CLIENTS {
            if let Some(version) = self.versions.get(client) {
                let _ = writeln!(page, "| {client} | {version} |");
            }
        }
        let titles = ["Against a broker", "Against the sink", "Building"];
        let part = |work: &Work| match work.against {
            Against::Broker => "Against a broker",
            Against::Sink(_) => "Against the sink",
            Against::Nothing => "Building",
        };
        for title in titles {
            let mut tables = tables
                .iter()
                .filter(|(work, _)| part(work) == title)
                .peekable();
            if tables.peek().is_some() {
                let _ = writeln!(page, "\n## {title}");
            }
            for (work, table) in tables {
                let _ = write!(page, "\n{}", table.shown(work));
            }
        }
        page
    }
}

/// What machine this is.
fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name"));
    let model = models
        .map(|line| line.trim_start_matches([' ', '\t', ':']))
        .next();
    let model = model.map_or_else(String::new, |model| format!(" ({model})"));
    format!("{OS} on {ARCH}, {cores} cores{model}")
}

/// Linux's load average over one minute.
pub(crate) fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{cell, failed, table};

    fn results(cells: &[(&str, crate::table::Cell)]) -> Results {
        let mut results = Results::default();
        results.add(&WORKS[0], table(cells));
        results
    }

    #[test]
    fn ottla_has_to_do_everything_and_others_something() {
        assert!(!Results::default().are_sound());
        assert!(results(&[("ottla", cell(&[1.0])), ("java", cell(&[1.0]))]).are_sound());
        assert!(!results(&[("ottla", failed()), ("java", cell(&[1.0]))]).are_sound());
        assert!(!results(&[("ottla", cell(&[1.0])), ("java", failed())]).are_sound());
        let mut results = results(&[("ottla", cell(&[1.0])), ("java", failed())]);
        results.add(
            &WORKS[1],
            table(&[("ottla", cell(&[1.0])), ("java", cell(&[1.0]))]),
        );
        assert!(results.are_sound());
        results.add(&WORKS[2], table(&[("ottla (stream)", failed())]));
        assert!(!results.are_sound());
    }

    #[test]
    fn what_was_measured_before_is_kept_and_replaced_by_its_like() {
        let dir = tempfile::tempdir().unwrap();
        let save = |number: usize, cpu: f64| {
            let mut results = Results::load(dir.path()).unwrap();
            results.add(&WORKS[number], table(&[("ottla", cell(&[cpu, cpu]))]));
            results
                .versions
                .insert("ottla".to_owned(), "1.2.3".to_owned());
            results.save(dir.path()).unwrap();
        };
        save(0, 0.5);
        save(1, 0.25);
        save(0, 0.125);
        let page = fs::read_to_string(dir.path().join("RESULTS.md")).unwrap();
        assert!(page.contains("| ottla | 1.2.3 |"), "{page}");
        let of = |work: &Work| page.split(&format!("### {}\n", work.title())).count() - 1;
        assert_eq!((of(&WORKS[0]), of(&WORKS[1]), of(&WORKS[2])), (1, 1, 0));
        let rows: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("| ottla | 0"))
            .collect();
        assert_eq!(
            rows,
            [
                "| ottla | 0.12 | – | 2000 | 10.0 |",
                "| ottla | 0.25 | – | 2000 | 10.0 |"
            ]
        );
        let chart = fs::read_to_string(dir.path().join("results.svg")).unwrap();
        assert!(chart.contains(">0.12</text>") && chart.contains(">0.25</text>"));
    }
}
