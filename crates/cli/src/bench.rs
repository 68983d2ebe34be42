//! `ottla bench`: what a cluster and this client can do together. One line of JSON on stdout.
//!
//! The records are made, and a broker has answered, before the clock starts. When it stops, every record
//! is acknowledged, or has been looked at.

use std::io::{self, Write};
use std::time::Duration;

use ottla::{Producer, Record, StartFrom};
use snafu::ResultExt;
use tokio::time::{Instant, timeout};

use crate::args::{Bench, Common, Load};
use crate::consume::partitions;
use crate::deliveries::Deliveries;
use crate::failure::{Failure, Result, StalledSnafu, StdoutSnafu, chain};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::settings::{Environment, Settings};

/// After which time without a record a measurement is given up.
const STALL: Duration = Duration::from_secs(60);

/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(5);

/// How many different values there are: enough that compressing them is work, few enough for a cache.
const VALUES: usize = 1024;

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
        () = interrupt.heard() => Err(Failure::Interrupted),
        outcome = measure => outcome,
    }
}

async fn produce(load: &Load, settings: &Settings, quiet: bool) -> Result<()> {
    let producer = producer(settings).await?;
    let values = values(load.size);
    let mut progress = Progress::records(load.records, quiet);
    let mut deliveries = Deliveries::default();
    let started = Instant::now();
    while deliveries.taken() < load.records && deliveries.failed == 0 {
        let burst = BURST.min(load.records - deliveries.taken());
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
    if let Some((number, error)) = &deliveries.first_failure {
        eprintln!("ottla: record {number} failed: {}", chain(error));
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
    let found = partitions::find(&client.admin(), &load.topic, None).await?;
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
        eprintln!("consumed {records} records, {bytes} bytes");
    }
    result("consume", records, 0, elapsed)
}

async fn latency(load: &Load, settings: &Settings, quiet: bool) -> Result<()> {
    let producer = producer(settings).await?;
    let values = values(load.size);
    let mut progress = Progress::records(load.records, quiet);
    let mut micros = Vec::with_capacity(load.records as usize);
    for value in values.iter().cycle().take(load.records as usize) {
        let started = Instant::now();
        producer
            .send(Record::to(&load.topic).value(value))
            .await?
            .await?;
        micros.push(started.elapsed().as_micros() as u64);
        progress.advance(1, 1);
    }
    progress.clear();
    producer.close(CLOSING).await?;
    micros.sort_unstable();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| quantile_of(&micros, quantile));
    print(&format!(
        "{{\"p50_us\":{p50},\"p99_us\":{p99},\"p999_us\":{p999}}}\n"
    ))
}

async fn producer(settings: &Settings) -> Result<Producer> {
    let client = settings.client()?;
    let producer = client.producer().properties(settings.iter())?.build()?;
    settings.reach(&client).await?;
    Ok(producer)
}

/// Values that compress about as well as text does.
fn values(size: usize) -> Vec<Vec<u8>> {
    const WORDS: [&str; 16] = [
        "order",
        "shipped",
        "customer",
        "paid",
        "2024",
        "amount",
        "invoice",
        "returned",
        "north",
        "south",
        "warehouse",
        "pending",
        "17.50",
        "eur",
        "priority",
        "carrier",
    ];
    // A fixed sequence: every measurement is made with the same records.
    let mut state = 1_u32;
    let mut word = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        WORDS[(state >> 28) as usize]
    };
    let value = |number: usize| {
        let mut value = format!("{number:06} ").into_bytes();
        while value.len() < size {
            value.extend_from_slice(word().as_bytes());
            value.push(b' ');
        }
        value.truncate(size);
        value
    };
    (0..VALUES).map(value).collect()
}

/// The smallest value that at least this share of the sorted values does not exceed.
fn quantile_of(sorted: &[u64], quantile: f64) -> u64 {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
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
    fn values_have_their_size_and_differ() {
        for size in [0, 1, 5, 100, 10_000] {
            assert!(
                values(size).iter().all(|value| value.len() == size),
                "{size}"
            );
        }
        let values = values(100);
        assert_ne!(values[0], values[1]);
        assert_ne!(values[0][7..], values[1][7..]);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted: Vec<u64> = (1..=1000).collect();
        let found = [0.5, 0.99, 0.999].map(|quantile| quantile_of(&sorted, quantile));
        assert_eq!(found, [500, 990, 999]);
        assert_eq!(quantile_of(&[7], 0.999), 7);
        assert_eq!(quantile_of(&[], 0.5), 0);
    }
}
