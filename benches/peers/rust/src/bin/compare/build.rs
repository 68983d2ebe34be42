//! A minimal program, compiled with all that it needs and nothing there before.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ottla_peers::Result;

use crate::child;

/// Within this time a program is compiled.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A program that was compiled.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) cpu: Duration,
    pub(crate) time: Duration,
    /// Of the program, stripped.
    pub(crate) bytes: u64,
    /// In its lock file, beside itself.
    pub(crate) crates: usize,
}

/// Builds the package of a client, which is one of several in a directory.
pub(crate) fn build(packages: &Path, client: &str) -> Result<Built> {
    let package = packages.join(client);
    let target = std::env::temp_dir().join(format!("ottla-minimal-{client}"));
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let manifest = text(&package.join("Cargo.toml"));
    let cargo = ["cargo".to_owned()];
    let options = |command: &str| {
        let words = [command, "--quiet", "--manifest-path", &manifest];
        words.map(str::to_owned).to_vec()
    };
    // What is not here yet is fetched before the clock starts.
    child::finish(&cargo, &options("fetch"), &[], PATIENCE)?;
    let mut args = options("build");
    args.extend([
        "--release".to_owned(),
        "--target-dir".to_owned(),
        text(&target),
    ]);
    let started = Instant::now();
    let ended = child::finish(&cargo, &args, &[], PATIENCE)?;
    let time = started.elapsed();
    let program = target.join("release").join(format!("minimal-{client}"));
    let bytes = fs::metadata(program)?.len();
    fs::remove_dir_all(&target)?;
    Ok(Built {
        cpu: ended.used.rusage.utime + ended.used.rusage.stime,
        time,
        bytes,
        crates: crates(&fs::read_to_string(package.join("Cargo.lock"))?),
    })
}

/// Of a lock file.
fn crates(lock: &str) -> usize {
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    packages.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_its_own_is_no_crate_that_it_needs() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\n\n[[package]]\nname = \"minimal\"\n";
        assert_eq!(crates(lock), 1);
        assert_eq!(crates(""), 0);
    }
}
