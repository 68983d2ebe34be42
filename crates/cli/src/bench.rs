//! `ottla bench`: what a cluster and this client can do together. One line of JSON on stdout.
//!
//! The records are made, and a broker has answered, before the clock starts. When it stops, every record
//! is acknowledged, or has been looked at.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use ottla::{Producer, Record, StartFrom};
use snafu::ResultExt;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::args::{Bench, Common, Load};
use crate::consume::{Wanted, partitions};
use crate::deliveries::Deliveries;
use crate::diagnostics::{complain, say};
use crate::failure::{Failure, Result, StalledSnafu, StdoutSnafu, SystemSnafu, chain};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::settings::{Environment, MAX_REQUEST_SIZE, Settings};
use crate::values::values;

/// After which time without a record a measurement is given up.
const STALL: Duration = Duration::from_secs(60);

/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(5);

/// How many records are sent between two looks at what became of earlier ones.
const BURST: u64 = 1000;

pub(crate) async fn run(command: Bench, common: Common, environment: &Environment) -> Result<()> {
    let mut interrupt = Interrupt::listen()?;
    let measure = async {
        let (Bench::Produce { load, .. } | Bench::Consume { load, .. } | Bench::Latency { load }) =
            &command;
        let common = common.merge(load.common.clone());
        let mut settings = Settings::of(&common, environment)?;
        let quiet = common.verbosity.quiet;
        match &command {
            Bench::Produce {
                load,
                compression,
                linger,
                batch,
            } => {
                if let Some(codec) = compression {
                    settings.set("compression.type", codec.name());
                }
                if let Some(millis) = linger {
                    settings.set("linger.ms", millis);
                }
                if let Some(bytes) = batch {
                    settings.set("batch.size", bytes);
                }
                produce(load, &settings, quiet).await
            }
            Bench::Consume { load, .. } => consume(load, &settings, quiet).await,
            Bench::Latency { load } => {
                settings.set("linger.ms", 0);
                latency(load, &settings, quiet).await
            }
        }
    };
    tokio::select! {
        biased;
        signal = interrupt.heard() => Err(Failure::Interrupted { signal }),
        outcome = measure => outcome,
    }
}

async fn produce(load: &Load, settings: &Settings, quiet: bool) -> Result<()> {
    let (producer, values) = prepare(load, settings).await?;
    let mut progress = Progress::records(load.records, quiet);
    let mut deliveries = Deliveries::new();
    let started = Instant::now();
    while deliveries.seen() < load.records && deliveries.failed == 0 {
        let burst = BURST.min(load.records - deliveries.seen());
        for value in values.iter().cycle().take(burst as usize) {
            match producer.send(Record::to(&load.topic).value(value)).await {
                Ok(delivery) => deliveries.push(delivery, value.len()),
                Err(error) => {
                    deliveries.refused(error);
                    break;
                }
            }
        }
        deliveries.make_room().await;
        progress.advance(burst, burst);
    }
    producer.flush().await;
    let elapsed = started.elapsed();
    deliveries.reap();
    progress.clear();
    producer.close(CLOSING).await?;
    if let Some((number, error)) = deliveries.failures().next() {
        complain(format_args!("record {number} failed: {}", chain(error)));
    }
    result(
        "produce",
        deliveries.delivered,
        load.records - deliveries.delivered,
        elapsed,
    )
}

async fn consume(load: &Load, settings: &Settings, quiet: bool) -> Result<()> {
    let mut settings = settings.clone();
    settings.set_default("auto.offset.reset", "earliest");
    let client = settings.client()?;
    let mut consumer = client.consumer().properties(settings.iter())?.build()?;
    settings.reach(&client).await?;
    let wanted = Wanted::Names(vec![load.topic.clone()]);
    let found = partitions::find(&client.admin(), &[wanted], None).await?;
    let mut progress = Progress::records(load.records, quiet);
    let started = Instant::now();
    consumer.assign(
        found
            .into_iter()
            .map(|partition| (partition, StartFrom::Beginning)),
    )?;
    let (mut records, mut bytes) = (0, 0);
    while records < load.records {
        let Ok(batch) = timeout(STALL, consumer.next()).await else {
            let remaining = format!("{} of {} records", load.records - records, load.records);
            return StalledSnafu {
                after: STALL,
                remaining,
            }
            .fail();
        };
        let Some(batch) = batch? else { break };
        let before = records;
        for record in &batch {
            let record = record?;
            records += 1;
            // Looks at every record, as a program that consumes would.
            bytes += record.value().map_or(0, <[u8]>::len);
        }
        progress.advance(records - before, records - before);
    }
    let elapsed = started.elapsed();
    progress.clear();
    consumer.close(CLOSING).await;
    if !quiet {
        say(format_args!("consumed {records} records, {bytes} bytes"));
    }
    result("consume", records, 0, elapsed)
}

async fn latency(load: &Load, settings: &Settings, quiet: bool) -> Result<()> {
    let (producer, values) = prepare(load, settings).await?;
    let mut progress = Progress::records(load.records, quiet);
    // How often each time was measured: of any number of records there are not many different ones.
    let mut micros = BTreeMap::<u64, u64>::new();
    for (_, value) in (0..load.records).zip(values.iter().cycle()) {
        let started = Instant::now();
        producer
            .send(Record::to(&load.topic).value(value))
            .await?
            .await?;
        *micros
            .entry(started.elapsed().as_micros() as u64)
            .or_default() += 1;
        progress.advance(1, 1);
    }
    progress.clear();
    producer.close(CLOSING).await?;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| quantile_of(&micros, quantile));
    print(&format!(
        "{{\"p50_us\":{p50},\"p99_us\":{p99},\"p999_us\":{p999}}}\n"
    ))
}

/// A producer that has reached a broker, and what it is to send.
async fn prepare(load: &Load, settings: &Settings) -> Result<(Producer, Vec<Vec<u8>>)> {
    let limit = settings.max_request_size();
    let size = usize::try_from(load.size)
        .ok()
        .filter(|size| *size <= limit);
    let Some(size) = size else {
        let message = format!(
            "no record may have {} bytes: {MAX_REQUEST_SIZE} is {limit}",
            load.size
        );
        return Err(Failure::Refused { message });
    };
    let client = settings.client()?;
    let producer = client.producer().properties(settings.iter())?.build()?;
    settings.reach(&client).await?;
    // On a thread: huge values take their time, and signals are to be heard meanwhile.
    let values = spawn_blocking(move || values(size)).await;
    let values = values.map_err(io::Error::from).context(SystemSnafu {
        doing: "make the records",
    })?;
    Ok((producer, values))
}

/// The smallest value that at least this share of the values does not exceed. `counts` has each value with
/// the number of its occurrences.
fn quantile_of(counts: &BTreeMap<u64, u64>, quantile: f64) -> u64 {
    let total: u64 = counts.values().sum();
    let rank = (total as f64 * quantile).ceil() as u64;
    let mut seen = 0;
    let reached = counts.iter().find(|(_, count)| {
        seen += **count;
        seen >= rank
    });
    reached.map_or(0, |(value, _)| *value)
}

fn result(mode: &str, records: u64, errors: u64, elapsed: Duration) -> Result<()> {
    let secs = elapsed.as_secs_f64();
    let rate = if secs > 0.0 {
        records as f64 / secs
    } else {
        0.0
    };
    print(&format!(
        "{{\"mode\":\"{mode}\",\"records\":{records},\"errors\":{errors},\"secs\":{secs:.6},\"rate\":{rate:.1}}}\n"
    ))?;
    if errors == 0 {
        Ok(())
    } else {
        Err(Failure::Partial)
    }
}

fn print(line: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .context(StdoutSnafu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let quantiles = |counts: &[(u64, u64)]| {
            let counts = counts.iter().copied().collect();
            [0.5, 0.99, 0.999].map(|quantile| quantile_of(&counts, quantile))
        };
        let all_different: Vec<_> = (1..=1000).map(|value| (value, 1)).collect();
        assert_eq!(quantiles(&all_different), [500, 990, 999]);
        assert_eq!(quantiles(&[(3, 500), (7, 490), (9, 10)]), [3, 7, 9]);
        assert_eq!(quantiles(&[(7, 1)]), [7, 7, 7]);
        assert_eq!(quantiles(&[]), [0, 0, 0]);
    }
}
