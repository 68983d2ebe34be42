//! What the programs of the clients have in common: their command line, the records they write, the digest of those
//! they read, what they are measured by. See `../README.md`.

mod digest;
mod load;
mod log;
mod measured;
mod programs;
mod readings;
#[path = "../../../../crates/codec/tests/peers/records.rs"]
pub mod records;
mod task;

use std::error::Error;
use std::time::Instant;

pub use digest::Digest;
pub use load::{BUFFER_BYTES, Load, digest};
pub use log::Log;
pub use measured::{Deliveries, Tally, Times};
pub use programs::Programs;
pub use readings::Readings;
pub use task::{Batch, Codec, Tasks};

use records::Record;
use serde_json::{Value, json};
use task::Task;

/// What goes wrong in a client is told, and ends its program.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A client, as its program uses it: through its public API.
#[expect(async_fn_in_trait, reason = "nobody is generic over it but `run`")]
pub trait Client {
    /// Which it is.
    fn version() -> Result<String>;

    /// Writes records to one partition, as one batch where the client lets us choose, and waits for the acknowledgement.
    async fn write(brokers: &str, topic: &str, batch: &Batch, records: Vec<Record>) -> Result<()>;

    /// Reads partitions from their beginnings until [`Readings::is_done`].
    async fn read(brokers: &str, topic: &str, readings: &mut Readings) -> Result<()>;

    /// Sends all of a load as fast as it can, idempotently where it can; how many records were acknowledged.
    async fn produce(load: &Load) -> Result<usize>;

    /// As [`produce`](Self::produce), by several tasks with one producer; only ottla is measured so.
    async fn produce_by(load: Load, tasks: Tasks) -> Result<usize> {
        let _ = (load, tasks);
        Err("not measured with tasks".into())
    }

    /// Reads a topic's partitions from their beginnings until [`Tally::is_done`], as fast as it can.
    async fn consume(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()>;

    /// As [`consume`](Self::consume), one owned record after another; only ottla is measured both ways.
    async fn stream(brokers: &str, topic: &str, partitions: i32, tally: &mut Tally) -> Result<()> {
        let _ = (brokers, topic, partitions, tally);
        Err("not measured as a stream".into())
    }

    /// Sends all of a load, each record when the one before is acknowledged.
    async fn latency(load: &Load, times: &mut Times) -> Result<()>;
}

/// The `main` of a client's program.
///
/// # Errors
/// The arguments are wrong, or the client has failed.
pub async fn run<C: Client>() -> Result<()> {
    match Task::from_args()? {
        Task::Version => {
            println!("{}", C::version()?);
            Ok(())
        }
        Task::Write {
            brokers,
            topic,
            batches,
        } => {
            for batch in batches {
                let records = batch.records()?;
                C::write(&brokers, &topic, &batch, records).await?;
                println!("{}", batch.partition);
            }
            Ok(())
        }
        Task::Read {
            brokers,
            topic,
            mut readings,
        } => C::read(&brokers, &topic, &mut readings).await,
        Task::Produce(load) => {
            let digest = load.digest().to_string();
            let started = Instant::now();
            let acknowledged = C::produce(&load).await?;
            tell(
                json!({ "records": acknowledged, "digest": digest }),
                started,
            )
        }
        Task::Tasks(load, tasks) => {
            let digest = load.digest().to_string();
            let started = Instant::now();
            let acknowledged = C::produce_by(load, tasks).await?;
            tell(
                json!({ "records": acknowledged, "digest": digest }),
                started,
            )
        }
        Task::Consume {
            brokers,
            topic,
            partitions,
            records,
            as_stream,
        } => {
            let mut tally = Tally::new(records);
            let started = Instant::now();
            if as_stream {
                C::stream(&brokers, &topic, partitions, &mut tally).await?;
            } else {
                C::consume(&brokers, &topic, partitions, &mut tally).await?;
            }
            tell(tally.to_json(), started)
        }
        Task::Latency(load) => {
            let mut times = Times::new();
            let started = Instant::now();
            C::latency(&load, &mut times).await?;
            tell(times.to_json(), started)
        }
    }
}

fn tell(mut result: Value, started: Instant) -> Result<()> {
    result["secs"] = json!(started.elapsed().as_secs_f64());
    println!("{result}");
    Ok(())
}

/// The version of a crate that this package is locked to.
///
/// # Errors
/// It is not.
pub fn locked(name: &str) -> Result<String> {
    let package = format!("\nname = \"{name}\"\nversion = \"");
    let (_, rest) = include_str!("../Cargo.lock")
        .split_once(&package)
        .ok_or_else(|| format!("{name} is not in Cargo.lock"))?;
    let version = rest.split('"').next().unwrap_or_default();
    Ok(version.to_owned())
}
