//! Formats the storage of KRaft nodes.
//!
//! Kafka's storage tool writes two files: `meta.properties`, which says whose directory it is, and
//! `bootstrap.checkpoint`, the same for all nodes of a version. The tool runs once per version, and
//! what it wrote is reused: a JVM less per node and start.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::jars::Jars;
use super::process::tail;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const CHECKPOINT: &str = "bootstrap.checkpoint";

/// Formats the nodes whose configuration is in `dir/conf`.
///
/// `standard` says that nothing in it changes which features the cluster starts with.
pub(crate) fn format(jars: &Jars, dir: &Path, nodes: &[i32], standard: bool) -> Result<()> {
    let cluster_id = random_id();
    let cached = jars.dir().join(CHECKPOINT);
    for id in nodes {
        let data = dir.join("data").join(format!("node-{id}"));
        if standard && cached.is_file() {
            let meta = format!(
                "version=1\ncluster.id={cluster_id}\nnode.id={id}\ndirectory.id={}\n",
                random_id()
            );
            fs::write(data.join("meta.properties"), meta)?;
            fs::copy(&cached, data.join(CHECKPOINT))?;
            continue;
        }
        run_tool(jars, dir, *id, &cluster_id)?;
        if standard {
            let new = jars
                .dir()
                .join(format!("{CHECKPOINT}-{}", std::process::id()));
            fs::copy(data.join(CHECKPOINT), &new)?;
            fs::rename(&new, &cached)?;
        }
    }
    Ok(())
}

fn run_tool(jars: &Jars, dir: &Path, id: i32, cluster_id: &str) -> Result<()> {
    let log = dir.join("logs").join("format.log");
    let output = fs::File::options().create(true).append(true).open(&log)?;
    let status = jars
        .java_class(
            "kafka.tools.StorageTool",
            ["format", "-t", cluster_id, "-c"],
        )
        .arg(dir.join("conf").join(format!("node-{id}.properties")))
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("running Java")?;
    ensure!(
        status.success(),
        "formatting node {id} failed; {}",
        tail(&log, 20)
    );
    Ok(())
}

/// A random 128-bit id as Kafka writes them: base64 for URLs, without padding.
fn random_id() -> String {
    let random = |salt: u32| u128::from(RandomState::new().hash_one(salt));
    let bits = random(1) << 64 | random(2);
    // The first digit is kept among the letters: a leading dash looks like an option.
    let first = char::from(ALPHABET[(bits >> 123) as usize]);
    let rest = (0..21).map(|index| {
        let digit = match 117_u32.checked_sub(6 * index) {
            Some(shift) => (bits >> shift) & 63,
            None => (bits << 4) & 63,
        };
        char::from(ALPHABET[digit as usize])
    });
    std::iter::once(first).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_22_digits_and_differ() {
        let (one, other) = (random_id(), random_id());
        assert_eq!(one.len(), 22);
        assert!(one.bytes().all(|digit| ALPHABET.contains(&digit)));
        // The last digit carries two bits of 128.
        assert!(one.ends_with(['A', 'Q', 'g', 'w']), "{one}");
        assert_ne!(one, other);
    }
}
