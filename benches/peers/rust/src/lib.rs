//! What the programs of the clients have in common: their command line, the records they write, the digest of those
//! they read. See `../README.md`.

mod digest;
mod readings;
#[path = "../../../../crates/codec/tests/peers/records.rs"]
pub mod records;
mod task;

use std::error::Error;

pub use digest::Digest;
pub use readings::Readings;
pub use task::{Batch, Codec};

use records::Record;
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
    }
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
