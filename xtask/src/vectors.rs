//! `cargo xtask vectors`: bytes by Kafka's own classes, for the codec's tests.
//!
//! The Java in `xtask/java/` writes them; what it writes, and in which form, is told in the codec's
//! `tests/vectors/README.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::kafka::{Jars, Version, java_tool};
use xtask::project;

use crate::codegen;
use crate::command::succeed;
use crate::flags::Flags;

/// The seed of the vectors that are checked in.
const SEED: i64 = 1;

/// What a directory of vectors consists of.
const PARTS: [&str; 3] = ["messages", "batches", "message-sets"];

pub(crate) fn command(mut flags: Flags) -> Result<()> {
    let check = flags.switch("--check");
    let read = flags.value::<PathBuf>("--read")?;
    let seed = flags.value::<i64>("--seed")?;
    let out = flags.value::<PathBuf>("--out")?;
    flags.done()?;
    match (check, read, seed, out) {
        (true, None, None, None) => self::check(),
        (false, Some(dir), None, None) => Harness::compile()?.run("read", &[&dir], &[]),
        (false, None, Some(seed), Some(dir)) => Harness::compile()?.write(&dir, seed),
        (false, None, None, None) => Harness::compile()?.write(&committed(), SEED),
        _ => bail!("--seed and --out go together, --check and --read alone"),
    }
}

/// That the vectors which are checked in are those of their seed.
pub(crate) fn check() -> Result<()> {
    let harness = Harness::compile()?;
    let fresh = harness.dir.join("fresh");
    harness.write(&fresh, SEED)?;
    harness
        .run("compare", &[&committed(), &fresh], &[])
        .context("vectors are out of date: run `cargo xtask vectors`")
}

fn committed() -> PathBuf {
    project::root().join("crates/codec/tests/vectors")
}

/// The compiled Java, and the jars that it needs.
struct Harness {
    jars: Jars,
    dir: PathBuf,
}

impl Harness {
    fn compile() -> Result<Self> {
        let harness = Self {
            jars: Jars::resolve(Version::V4_3)?,
            dir: project::target_dir().join("vectors"),
        };
        let mut sources = Vec::new();
        for entry in fs::read_dir(project::root().join("xtask/java"))? {
            sources.push(entry?.path());
        }
        let mut javac = Command::new(java_tool("javac"));
        javac
            .args(["-Xlint:all", "-Werror", "-d"])
            .arg(harness.classes())
            .arg("-cp")
            .arg(harness.jars.libs().join("*"))
            .args(sources);
        succeed(&mut javac)?;
        Ok(harness)
    }

    fn classes(&self) -> PathBuf {
        self.dir.join("classes")
    }

    /// Replaces the vectors in `dir`.
    fn write(&self, dir: &Path, seed: i64) -> Result<()> {
        for part in PARTS.map(|part| dir.join(part)) {
            if part.exists() {
                fs::remove_dir_all(&part).with_context(|| part.display().to_string())?;
            }
        }
        let seed = seed.to_string();
        let mut args = codegen::messages();
        args.insert(0, &seed);
        self.run("write", &[dir], &args)
    }

    fn run(&self, command: &str, dirs: &[&Path], args: &[&str]) -> Result<()> {
        let class_path = [self.classes(), self.jars.libs().join("*")];
        let mut java = Command::new(java_tool("java"));
        java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(std::env::join_paths(class_path)?)
            .args(["Vectors", command])
            .args(dirs)
            .args(args);
        succeed(&mut java)
    }
}
