//! What a run has shown, once it is known to have done its work; and what several have shown together.

use std::fmt;

use ottla_peers::{Result, digest};
use serde_json::Value;

use crate::child::Run;
use crate::works::{Kind, Work};

/// A run that did all of its work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    /// Microseconds of processor time for each record.
    pub(crate) cpu: f64,
    /// Records a second, by the program's own clock.
    pub(crate) rate: f64,
    /// The most memory at a time, in millions of bytes.
    pub(crate) memory: f64,
    /// Microseconds to an acknowledgement: half of the records, and 99 of 100.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Bytes of the log for each record.
    pub(crate) logged: f64,
}

/// What the broker has of a topic after a run.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Where each partition ends.
    pub(crate) ends: Vec<i64>,
    pub(crate) bytes: i64,
}

impl Measurement {
    /// Of a run over a topic that has then this.
    ///
    /// # Errors
    /// What it says it did, or what the log has, is not the work.
    pub(crate) fn of(work: &Work, run: &Run, logged: &Logged) -> Result<Self> {
        let written: i64 = logged.ends.iter().sum();
        if written != work.records as i64 {
            return Err(format!("the log has {written} of {} records", work.records).into());
        }
        expect(&run.told, "records", work.records as i64)?;
        match work.kind {
            Kind::Produce => {
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
            Kind::Latency => {}
        }
        let number = |name: &str| run.told[name].as_f64();
        let records = work.records as f64;
        Ok(Self {
            cpu: run.cpu.as_secs_f64() * 1e6 / records,
            rate: records / number("secs").ok_or("it told no time")?,
            memory: run.resident_bytes as f64 / 1e6,
            p50: number("p50_us").unwrap_or_default(),
            p99: number("p99_us").unwrap_or_default(),
            logged: logged.bytes as f64 / records,
        })
    }
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
        Some(Self {
            middle,
            spread: (greatest - least) / middle,
        })
    }
}

impl fmt::Display for Median {
    /// The middle with three digits, and the spread.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.middle {
            middle if middle < 10.0 => 2,
            middle if middle < 100.0 => 1,
            _ => 0,
        };
        write!(f, "{:.digits$} ±{:.0} %", self.middle, self.spread * 50.0)
    }
}
