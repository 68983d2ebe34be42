//! What became of a work, by contender.

use std::collections::BTreeMap;
use std::fmt;

use ottla_peers::Result;
use serde::{Deserialize, Serialize};

use crate::measurement::{Measurement, Median, Metric};
use crate::works::{Kind, Work, plain_way};

/// A contender's runs of a work.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) runs: Vec<Measurement>,
    /// Visits to the allocator for each record, counted in a run that is none of those.
    pub(crate) allocations: Option<f64>,
    /// Why one of them failed.
    pub(crate) failure: Option<String>,
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
    pub(crate) fn median(&self, metric: Metric) -> Option<Median> {
        if self.has_failed() {
            return None;
        }
        let numbers = match metric {
            Metric::Allocations => self.allocations.into_iter().collect(),
            _ => self
                .runs
                .iter()
                .filter_map(|run| run.get(&metric).copied())
                .collect(),
        };
        Median::of(numbers)
    }
}

/// A work and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    /// How many runs of each count.
    pub(crate) rounds: usize,
    /// How many programs wanted a core meanwhile, at the beginning and at the end.
    pub(crate) load: [Option<f64>; 2],
    pub(crate) cells: BTreeMap<String, Cell>,
}

/// The one that is compared with the others.
pub(crate) fn is_ottla(name: &str) -> bool {
    name.starts_with("ottla")
}

impl Table {
    /// Those that take the least first, those that failed last.
    pub(crate) fn ranked(&self, metric: Metric) -> Vec<(&str, &Cell)> {
        let number = |cell: &Cell| {
            let median = cell.median(metric);
            median.map_or(f64::INFINITY, |median| median.middle)
        };
        let mut rows: Vec<_> = self
            .cells
            .iter()
            .map(|(name, cell)| (&**name, cell))
            .collect();
        rows.sort_by(|(_, one), (_, other)| number(one).total_cmp(&number(other)));
        rows
    }

    /// The least that one of the others takes.
    pub(crate) fn best_peer(&self, metric: Metric) -> Option<f64> {
        let ranked = self.ranked(metric).into_iter();
        let mut peers = ranked.filter(|(name, _)| !is_ottla(name));
        peers.find_map(|(_, cell)| Some(cell.median(metric)?.middle))
    }

    /// What the first column is compared with, and what that is called.
    fn standard(&self, kind: Kind, metric: Metric) -> (&'static str, Option<f64>) {
        match kind {
            Kind::Tasks => {
                let plain = self.cells.get(&plain_way());
                let median = plain.and_then(|cell| cell.median(metric));
                ("of the plain one's", median.map(|median| median.middle))
            }
            _ => ("of the best peer's", self.best_peer(metric)),
        }
    }

    /// In Markdown.
    pub(crate) fn shown<'a>(&'a self, work: &'a Work) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| self.write(work, f))
    }

    fn write(&self, work: &Work, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = Metric::of(work.kind);
        let Some(&first) = columns.first() else {
            return Ok(());
        };
        let has_numbers = |metric: &&Metric| {
            let mut cells = self.cells.values();
            **metric == first || cells.any(|cell| cell.median(**metric).is_some())
        };
        let columns: Vec<Metric> = columns.iter().filter(has_numbers).copied().collect();
        let (standard, best) = self.standard(work.kind, first);
        writeln!(f, "### {}\n", work.title())?;
        write!(f, "| client |")?;
        for (index, metric) in columns.iter().enumerate() {
            write!(f, " {} |", metric.title())?;
            if index == 0 {
                write!(f, " {standard} |")?;
            }
        }
        writeln!(f, "\n|---|{}", "---:|".repeat(columns.len() + 1))?;
        for (name, cell) in self.ranked(first) {
            write!(f, "| {name} |")?;
            if let Some(failure) = &cell.failure {
                // A number of fewer runs than the others' would be none to compare.
                let failure = failure.replace(['|', '\n'], " ");
                writeln!(f, " **failed**: {failure} |{}", " |".repeat(columns.len()))?;
                continue;
            }
            for (index, &metric) in columns.iter().enumerate() {
                let median = cell.median(metric);
                match &median {
                    Some(Median { middle, spread }) => {
                        let (middle, spread) = (metric.shown(*middle), *spread);
                        write!(f, " {} |", Median { middle, spread })?;
                    }
                    None => write!(f, " – |")?,
                }
                if index == 0 {
                    match (&median, best) {
                        (Some(median), Some(best)) if best > 0.0 => {
                            write!(f, " {:.2} |", median.middle / best)?;
                        }
                        _ => write!(f, " – |")?,
                    }
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::works::WORKS;

    pub(crate) fn cell(cpu: &[f64]) -> Cell {
        let mut cell = Cell::default();
        for &cpu in cpu {
            cell.add(Ok(BTreeMap::from([
                (Metric::Cpu, cpu),
                (Metric::Rate, 2e6),
                (Metric::Memory, 10.0),
            ])));
        }
        cell
    }

    pub(crate) fn table(cells: &[(&str, Cell)]) -> Table {
        let cells = cells
            .iter()
            .map(|(name, cell)| ((*name).to_owned(), cell.clone()));
        Table {
            rounds: 2,
            load: [Some(0.5), None],
            cells: cells.collect(),
        }
    }

    pub(crate) fn failed() -> Cell {
        let mut failed = cell(&[1.0]);
        failed.add(Err("a | b".into()));
        failed
    }

    fn produce() -> &'static Work {
        WORKS
            .iter()
            .find(|work| work.kind == Kind::Produce)
            .unwrap()
    }

    #[test]
    fn rows_are_ranked_and_compared_with_the_best_peer() {
        let mut ottla = cell(&[0.1, 0.3]);
        ottla.allocations = Some(0.25);
        let cells = [
            ("slow", cell(&[1.0, 1.0])),
            ("quick", cell(&[0.4, 0.4])),
            ("ottla", ottla),
            ("broken", failed()),
        ];
        let shown = table(&cells).shown(produce()).to_string();
        let rows: Vec<_> = shown.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| client | CPU, µs a record | of the best peer's | thousand records a second | peak memory, MB | \
                 allocations a record |",
                "|---|---:|---:|---:|---:|---:|",
                "| ottla | 0.20 ±50 % | 0.50 | 2000 | 10.0 | 0.25 |",
                "| quick | 0.40 | 1.00 | 2000 | 10.0 | – |",
                "| slow | 1.00 | 2.50 | 2000 | 10.0 | – |",
                "| broken | **failed**: a   b | | | | |",
            ]
        );
    }

    #[test]
    fn without_peers_there_is_no_ratio() {
        let alone = table(&[("ottla", cell(&[0.1])), ("ottla (stream)", cell(&[0.2]))]);
        assert_eq!(alone.best_peer(Metric::Cpu), None);
        assert!(
            alone
                .shown(produce())
                .to_string()
                .contains("| ottla | 0.10 | – |")
        );
    }

    #[test]
    fn ways_to_share_a_producer_are_compared_with_the_plain_one() {
        let plain = plain_way();
        let ways = table(&[(&*plain, cell(&[0.2])), ("ottla, other", cell(&[0.3]))]);
        let work = WORKS.iter().find(|work| work.kind == Kind::Tasks).unwrap();
        let shown = ways.shown(work).to_string();
        assert!(shown.contains("| of the plain one's |"), "{shown}");
        assert!(shown.contains("| ottla, other | 0.30 | 1.50 |"), "{shown}");
    }

    #[test]
    fn one_failure_takes_all_numbers() {
        assert!(failed().median(Metric::Cpu).is_none());
        assert!(cell(&[]).median(Metric::Cpu).is_none());
    }
}
