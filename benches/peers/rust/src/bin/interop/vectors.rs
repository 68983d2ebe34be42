//! Writes what the broker has of a client down, for the codec's tests.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ottla_codec::records::Batches;
use ottla_peers::Result;

use crate::clients::Peer;
use ottla_peers::Log;

/// Two files: the batches of all cases behind each other, and what they are.
pub(crate) async fn write(
    dir: &Path,
    peer: &Peer,
    version: &str,
    log: &Log,
    topic: &str,
) -> Result<()> {
    let mut index = format!(
        "# {} {version}, through its public API, on Apache Kafka 4.3.0: cargo xtask peers vectors\n",
        peer.name
    );
    if let Some(lacks) = peer.lacks {
        writeln!(index, "# {lacks}")?;
    }
    index += "# codec level set batches bytes\n";
    fs::create_dir_all(dir)?;
    let bytes = File::create(dir.join(format!("{}.batches.gz", peer.name)))?;
    let mut bytes = GzEncoder::new(bytes, Compression::best());
    for (partition, case) in (0..).zip(peer.cases()) {
        let fetched = log.fetch(topic, partition).await?;
        let batches = Batches::new(fetched.clone()).collect::<std::result::Result<Vec<_>, _>>()?;
        let level = case.level.map_or("-".to_owned(), |level| level.to_string());
        let (codec, set) = (case.codec.name(), case.set);
        writeln!(
            index,
            "{codec} {level} {set} {} {}",
            batches.len(),
            fetched.len()
        )?;
        bytes.write_all(&fetched)?;
    }
    bytes.finish()?;
    fs::write(dir.join(format!("{}.txt", peer.name)), index)?;
    Ok(())
}
