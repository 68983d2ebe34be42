//! What a run has shown, once it is known to have done its work; and what several have shown together.

use std::collections::BTreeMap;
use std::fmt;

use ottla_peers::{Result, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::build::Built;
use crate::child::{Idle, Run};
use crate::works::{Kind, Work};

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// Microseconds of processor time for each record.
    Cpu,
    /// Records a second, by the program's own clock.
    Rate,
    /// The most memory at a time, in millions of bytes.
    Memory,
    /// Milliseconds from before there was a client to its first record acknowledged or handed out.
    First,
    /// Microseconds to an acknowledgement: half of the records, and 99 of 100.
    P50,
    P99,
    /// Bytes of the log for each record.
    Logged,
    /// Thousandths of a core.
    Idle,
    /// Visits to the allocator for each record.
    Allocations,
    /// Seconds of processor time, and of time, to compile a program.
    BuildCpu,
    BuildTime,
    /// Millions of bytes of the program, stripped.
    Size,
    /// How many crates its lock file has beside itself.
    Crates,
}

impl Metric {
    /// The columns of a work, the one by which clients are compared first.
    pub(crate) fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Produce => &[
                Self::Cpu,
                Self::Rate,
                Self::Memory,
                Self::Allocations,
                Self::Logged,
            ],
            Kind::Spread | Kind::Tasks => &[Self::Cpu, Self::Rate, Self::Memory, Self::Allocations],
            Kind::Consume => &[
                Self::Cpu,
                Self::Rate,
                Self::Memory,
                Self::Allocations,
                Self::First,
            ],
            Kind::Latency => &[Self::P50, Self::P99, Self::Cpu, Self::Memory, Self::First],
            Kind::Build => &[Self::BuildCpu, Self::BuildTime, Self::Size, Self::Crates],
            Kind::Idle => &[Self::Idle, Self::Memory],
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU, µs a record",
            Self::Rate => "thousand records a second",
            Self::Memory => "peak memory, MB",
            Self::First => "first record after, ms",
            Self::P50 => "p50, µs",
            Self::P99 => "p99, µs",
            Self::Logged => "bytes a record in the log",
            Self::Idle => "CPU, thousandths of a core",
            Self::Allocations => "allocations a record",
            Self::BuildCpu => "CPU, s",
            Self::BuildTime => "time, s",
            Self::Size => "stripped size, MB",
            Self::Crates => "crates",
        }
    }

    /// In what the title says.
    pub(crate) fn shown(self, number: f64) -> f64 {
        match self {
            Self::Rate => number / 1e3,
            _ => number,
        }
    }
}

/// The numbers of a run that did all of its work.
pub(crate) type Measurement = BTreeMap<Metric, f64>;

/// What the log has of a topic after a run.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Where each partition ends.
    pub(crate) ends: Vec<i64>,
    /// `None` if nobody says.
    pub(crate) bytes: Option<i64>,
}

/// Of a run over a topic that has then this.
///
/// # Errors
/// What it says it did, or what the log has, is not the work.
pub(crate) fn of_run(work: &Work, run: &Run, logged: &Logged) -> Result<Measurement> {
    let written: i64 = logged.ends.iter().sum();
    if written != work.records as i64 {
        return Err(format!("the log has {written} of {} records", work.records).into());
    }
    expect(&run.told, "records", work.records as i64)?;
    match work.kind {
        Kind::Produce | Kind::Spread | Kind::Tasks => {
            let (told, sent) = (&run.told["digest"], digest(work.size).to_string());
            if told.as_str() != Some(&sent) {
                return Err(format!("it sent other values: {told} for {sent}").into());
            }
        }
        Kind::Consume => {
            let offsets = logged.ends.iter().map(|end| end * (end - 1) / 2).sum();
            expect(&run.told, "offsets", offsets)?;
            expect(&run.told, "bytes", (work.records * work.size) as i64)?;
        }
        Kind::Latency | Kind::Idle | Kind::Build => {}
    }
    let told = |name: &str| run.told[name].as_f64();
    let records = work.records as f64;
    let secs = told("secs").ok_or("it told no time")?;
    let numbers = [
        (Metric::Cpu, Some(run.cpu.as_secs_f64() * 1e6 / records)),
        (Metric::Rate, Some(records / secs)),
        (Metric::Memory, Some(run.resident_bytes as f64 / 1e6)),
        (Metric::First, told("first_us").map(|micros| micros / 1e3)),
        (Metric::P50, told("p50_us")),
        (Metric::P99, told("p99_us")),
        (
            Metric::Logged,
            logged.bytes.map(|bytes| bytes as f64 / records),
        ),
        (
            Metric::Allocations,
            run.allocations.map(|count| count as f64 / records),
        ),
    ];
    let known = numbers.into_iter();
    Ok(known
        .filter_map(|(metric, number)| Some((metric, number?)))
        .collect())
}

/// Of a program that was built.
pub(crate) fn of_build(built: &Built) -> Measurement {
    BTreeMap::from([
        (Metric::BuildCpu, built.cpu.as_secs_f64()),
        (Metric::BuildTime, built.time.as_secs_f64()),
        (Metric::Size, built.bytes as f64 / 1e6),
        (Metric::Crates, built.crates as f64),
    ])
}

/// Of a program that had nothing to do.
pub(crate) fn of_idle(idle: &Idle) -> Measurement {
    BTreeMap::from([
        (Metric::Idle, idle.share * 1e3),
        (Metric::Memory, idle.resident_bytes as f64 / 1e6),
    ])
}

fn expect(told: &Value, name: &str, expected: i64) -> Result<()> {
    match told[name].as_i64() {
        Some(found) if found == expected => Ok(()),
        _ => Err(format!("{name}: {} for {expected}", told[name]).into()),
    }
}

/// The middle of several numbers, and how far apart they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Median {
    pub(crate) middle: f64,
    /// From the least to the greatest, as a share of the middle.
    pub(crate) spread: f64,
}

impl Median {
    /// Of at least one number.
    pub(crate) fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (least, greatest) = (numbers.first()?, numbers.last()?);
        let half = numbers.len() / 2;
        let middle = match numbers.len() % 2 {
            0 => f64::midpoint(*numbers.get(half - 1)?, *numbers.get(half)?),
            _ => *numbers.get(half)?,
        };
        let spread = match middle {
            0.0 => 0.0,
            middle => (greatest - least) / middle,
        };
        Some(Self { middle, spread })
    }
}

impl fmt::Display for Median {
    /// The middle with three digits, and the spread if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.middle {
            middle if middle < 10.0 => 2,
            middle if middle < 100.0 => 1,
            _ => 0,
        };
        write!(f, "{:.digits$}", self.middle)?;
        match self.spread {
            0.0 => Ok(()),
            spread => write!(f, " ±{:.0} %", spread * 50.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::works::WORKS;

    #[test]
    fn a_median_is_in_the_middle_and_knows_its_spread() {
        let median =
            |numbers: &[f64]| Median::of(numbers.to_vec()).map(|of| (of.middle, of.spread));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[4.0]), Some((4.0, 0.0)));
        assert_eq!(median(&[5.0, 1.0, 2.0]), Some((2.0, 2.0)));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some((2.5, 1.2)));
        assert_eq!(median(&[0.0, 0.0]), Some((0.0, 0.0)));
    }

    #[test]
    fn a_median_is_shown_with_three_digits() {
        let shown = |middle, spread| Median { middle, spread }.to_string();
        assert_eq!(shown(0.1234, 0.0), "0.12");
        assert_eq!(shown(12.34, 0.13), "12.3 ±6 %");
        assert_eq!(shown(1234.5, 0.5), "1234 ±25 %");
    }

    fn work(kind: Kind) -> Work {
        let found = WORKS.iter().find(|work| work.kind == kind).unwrap();
        Work {
            records: 10,
            ..*found
        }
    }

    fn run(told: Value) -> Run {
        Run {
            told,
            cpu: Duration::from_micros(50),
            resident_bytes: 7_000_000,
            allocations: Some(20),
        }
    }

    fn logged(ends: &[i64]) -> Logged {
        Logged {
            ends: ends.to_vec(),
            bytes: Some(300),
        }
    }

    #[test]
    fn a_run_that_did_its_work_has_numbers_for_each_record() {
        let work = work(Kind::Consume);
        // 0 + 1 + … + 5 and 0 + … + 3.
        let told =
            json!({ "records": 10, "offsets": 21, "bytes": 1000, "secs": 0.5, "first_us": 2500 });
        let found = of_run(&work, &run(told), &logged(&[6, 0, 4])).unwrap();
        let expected = [
            (Metric::Cpu, 5.0),
            (Metric::Rate, 20.0),
            (Metric::Memory, 7.0),
            (Metric::First, 2.5),
            (Metric::Logged, 30.0),
            (Metric::Allocations, 2.0),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn a_run_that_did_something_else_has_none() {
        let consume = work(Kind::Consume);
        let good = json!({ "records": 10, "offsets": 21, "bytes": 1000, "secs": 0.5 });
        assert!(of_run(&consume, &run(good.clone()), &logged(&[6, 4])).is_ok());
        for (name, wrong) in [("records", 9), ("offsets", 22), ("bytes", 1001)] {
            let mut told = good.clone();
            told[name] = json!(wrong);
            let error = of_run(&consume, &run(told), &logged(&[6, 4])).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
        let error = of_run(&consume, &run(good.clone()), &logged(&[6, 5])).unwrap_err();
        assert_eq!(error.to_string(), "the log has 11 of 10 records");
        let produce = work(Kind::Produce);
        let told = json!({ "records": 10, "digest": "0", "secs": 0.5 });
        let error = of_run(&produce, &run(told), &logged(&[10])).unwrap_err();
        assert!(
            error.to_string().starts_with("it sent other values"),
            "{error}"
        );
        let told = json!({ "records": 10, "digest": digest(100).to_string(), "secs": 0.5 });
        assert!(of_run(&produce, &run(told), &logged(&[10])).is_ok());
    }
}
