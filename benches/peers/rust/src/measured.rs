//! What a measured program counts while it runs, and prints as one line of JSON at its end.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;

/// How many records may be without an outcome: what several requests to a broker hold of short ones.
const MANY: usize = 65_536;

/// Records on the way, oldest first.
#[derive(Debug)]
pub struct Deliveries<F> {
    open: VecDeque<F>,
    acknowledged: usize,
}

impl<F, T, E> Deliveries<F>
where
    F: Future<Output = std::result::Result<T, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    #[must_use]
    pub fn new() -> Self {
        Self {
            open: VecDeque::with_capacity(MANY),
            acknowledged: 0,
        }
    }

    /// Takes the next record's; awaits the oldest if there are many.
    ///
    /// # Errors
    /// The oldest was not acknowledged.
    pub async fn push(&mut self, delivery: F) -> Result<()> {
        if self.open.len() == MANY {
            self.oldest().await?;
        }
        self.open.push_back(delivery);
        Ok(())
    }

    /// Awaits all; how many records there were.
    ///
    /// # Errors
    /// One was not acknowledged.
    pub async fn acknowledged(mut self) -> Result<usize> {
        while !self.open.is_empty() {
            self.oldest().await?;
        }
        Ok(self.acknowledged)
    }

    async fn oldest(&mut self) -> Result<()> {
        if let Some(delivery) = self.open.pop_front() {
            delivery.await.map_err(Into::into)?;
            self.acknowledged += 1;
        }
        Ok(())
    }
}

impl<F, T, E> Default for Deliveries<F>
where
    F: Future<Output = std::result::Result<T, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn default() -> Self {
        Self::new()
    }
}

/// The sums over what a consumer has been handed.
#[derive(Debug)]
pub struct Tally {
    expected: usize,
    records: usize,
    offsets: i64,
    bytes: usize,
    started: Instant,
    first: Option<Duration>,
}

impl Tally {
    pub(crate) fn new(expected: usize) -> Self {
        Self {
            expected,
            records: 0,
            offsets: 0,
            bytes: 0,
            started: Instant::now(),
            first: None,
        }
    }

    /// Whether as many records were handed out as there are.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.records >= self.expected
    }

    /// Takes a record in.
    pub fn add(&mut self, offset: i64, value: Option<&[u8]>) {
        if self.records == 0 {
            self.first = Some(self.started.elapsed());
        }
        self.records += 1;
        self.offsets += offset;
        self.bytes += value.map_or(0, <[u8]>::len);
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "records": self.records,
            "offsets": self.offsets,
            "bytes": self.bytes,
            "first_us": micros(self.first),
        })
    }
}

/// How often each time was measured, in microseconds.
#[derive(Debug)]
pub struct Times {
    micros: BTreeMap<u64, usize>,
    started: Instant,
    first: Option<Duration>,
}

impl Times {
    pub(crate) fn new() -> Self {
        Self {
            micros: BTreeMap::new(),
            started: Instant::now(),
            first: None,
        }
    }

    pub fn add(&mut self, time: Duration) {
        self.first.get_or_insert_with(|| self.started.elapsed());
        *self.micros.entry(time.as_micros() as u64).or_default() += 1;
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "records": self.count(),
            "p50_us": self.quantile(0.5),
            "p99_us": self.quantile(0.99),
            "first_us": micros(self.first),
        })
    }

    fn count(&self) -> usize {
        self.micros.values().sum()
    }

    /// The least time that at least this share does not exceed.
    fn quantile(&self, share: f64) -> u64 {
        let mut left = (self.count() as f64 * share).ceil() as usize;
        let reached = self.micros.iter().find(|(_, count)| {
            left = left.saturating_sub(**count);
            left == 0
        });
        reached.map_or(0, |(micros, _)| *micros)
    }
}

/// From before there was a client to its first record.
fn micros(first: Option<Duration>) -> Option<u64> {
    first.map(|first| first.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let mut times = Times::new();
        for micros in [30, 10, 20, 40] {
            times.add(Duration::from_micros(micros));
        }
        assert_eq!(
            [0.5, 0.75, 0.99].map(|share| times.quantile(share)),
            [20, 30, 40]
        );
        assert_eq!(Times::new().quantile(0.5), 0);
    }

    #[test]
    fn a_tally_sums_and_knows_its_end() {
        let mut tally = Tally::new(2);
        assert_eq!(tally.to_json()["first_us"], Value::Null);
        tally.add(7, Some(b"abc"));
        assert!(!tally.is_done());
        tally.add(8, None);
        assert!(tally.is_done());
        let told = tally.to_json();
        assert_eq!(
            (&told["records"], &told["offsets"], &told["bytes"]),
            (&json!(2), &json!(15), &json!(3))
        );
        assert!(told["first_us"].is_u64());
    }
}
