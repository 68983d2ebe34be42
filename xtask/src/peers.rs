//! `cargo xtask peers` and `bench peers`: other clients beside ottla, through a real broker.
//!
//! Builds the programs in `benches/peers/` and starts one that runs them all; who is told what, and what is compared,
//! is there. They are locked by themselves and built below `target/peers/`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::kafka::{Cluster, Jars, Version, java_tool};
use xtask::project;

use crate::command::succeed;
use crate::flags::Flags;

pub(crate) fn command(mut flags: Flags) -> Result<()> {
    let all = flags.switch("--all");
    let word = flags.word();
    flags.done()?;
    match word.as_deref() {
        Some("interop") if all => {
            Programs::build(Profile::Dev)?.run("interop", &["table", "--all"])
        }
        Some("interop") => interop(),
        Some("groups") if !all => groups(),
        Some("vectors") if !all => {
            let dir = project::root().join("crates/codec/tests/vectors/peers");
            let dir = dir.to_str().context("a path in UTF-8")?;
            Programs::build(Profile::Dev)?.run("interop", &["vectors", dir])
        }
        _ => bail!("peers needs one of interop [--all], groups, vectors"),
    }
}

/// That ottla and every other client read all of each other.
pub(crate) fn interop() -> Result<()> {
    Programs::build(Profile::Dev)?.run("interop", &["table"])
}

/// That members of ottla and of other clients share groups.
pub(crate) fn groups() -> Result<()> {
    let programs = Programs::build(Profile::Dev)?;
    succeed(
        Command::new("cargo")
            .args(["build", "--quiet", "--package", "ottla-cli"])
            .current_dir(project::root()),
    )?;
    let ottla = project::target_dir().join("debug/ottla");
    programs.run(
        "interop",
        &["groups", ottla.to_str().context("a path in UTF-8")?],
    )
}

/// `bench peers`: how much each takes for the same work. Only the whole comparison is written down.
pub(crate) fn bench(mut flags: Flags) -> Result<()> {
    let word = flags.word();
    let mut args = Vec::new();
    for name in ["--clients", "--work", "--rounds", "--records"] {
        if let Some(value) = flags.value::<String>(name)? {
            args.extend([name.to_owned(), value]);
        }
    }
    flags.done()?;
    if word.as_deref() != Some("peers") {
        bail!("bench needs peers");
    }
    if args.is_empty() {
        let dir = project::root().join("benches");
        let dir = dir.to_str().context("a path in UTF-8")?;
        args.extend(["--out".to_owned(), dir.to_owned()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Programs::build(Profile::Release)?.run("compare", &args)
}

/// That the programs still do the work; says nothing of how fast.
pub(crate) fn bench_briefly() -> Result<()> {
    let args = ["--rounds", "1", "--records", "10000"];
    Programs::build(Profile::Dev)?.run("compare", &args)
}

/// How the Rust programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Dev,
    Release,
}

/// The clients' programs.
struct Programs {
    rust: PathBuf,
    franz_go: PathBuf,
    class_path: String,
}

impl Programs {
    fn build(profile: Profile) -> Result<Self> {
        let sources = project::root().join("benches/peers");
        let target = project::target_dir().join("peers");
        let classes = target.join("java");
        let franz_go = target.join("franz-go");
        fs::create_dir_all(&classes)?;

        let (options, built): (&[&str], _) = match profile {
            Profile::Dev => (&[], "debug"),
            Profile::Release => (&["--release"], "release"),
        };
        succeed(
            Command::new("cargo")
                .args(["build", "--quiet", "--bins"])
                .args(options)
                .arg("--target-dir")
                .arg(&target)
                .current_dir(sources.join("rust")),
        )?;
        succeed(
            Command::new("go")
                .args(["build", "-o"])
                .arg(&franz_go)
                .current_dir(sources.join("go")),
        )?;
        let libs = Jars::resolve(Version::V4_3)?.libs();
        let mut java = Vec::new();
        for entry in fs::read_dir(sources.join("java"))? {
            java.push(entry?.path());
        }
        succeed(
            Command::new(java_tool("javac"))
                .args(["-Xlint:all", "-Werror", "-d"])
                .arg(&classes)
                .arg("-cp")
                .arg(libs.join("*"))
                .args(java),
        )?;
        // Beside the jars is how they log.
        let logging = libs.parent().context("a directory")?.to_owned();
        let class_path = env::join_paths([classes, logging, libs.join("*")])?;
        Ok(Self {
            rust: target.join(built),
            franz_go,
            class_path: class_path.into_string().ok().context("a path in UTF-8")?,
        })
    }

    /// Runs them, by the one of this name, against a broker of their own.
    fn run(&self, runner: &str, args: &[&str]) -> Result<()> {
        let mut cluster = Cluster::builder().version(Version::V4_3).start()?;
        let result = succeed(
            Command::new(self.rust.join(runner))
                .arg(cluster.bootstrap_servers())
                .arg(&self.franz_go)
                .arg(java_tool("java"))
                .arg(&self.class_path)
                .args(args),
        );
        if result.is_err() {
            cluster.keep_logs();
        }
        result
    }
}
