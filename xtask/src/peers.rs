//! `cargo xtask peers` and `bench peers`: other clients beside ottla, through a real broker.
//!
//! Builds the programs in `benches/peers/` and starts one that runs them all; who is told what, and what is compared,
//! is there. They are locked by themselves and built below `target/peers/`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
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
    let ottla = Profile::Dev.ottla()?;
    programs.run("interop", &["groups", &ottla])
}

/// `bench peers`: how much each takes for the same work. Without a choice, all of it is written down in `benches/`, but for
/// the building of minimal programs, which is long and done by its name only.
pub(crate) fn bench(mut flags: Flags) -> Result<()> {
    let word = flags.word();
    let only_build = flags.switch("--build");
    let against = flags.value::<String>("--against")?;
    let mut args = Vec::new();
    for name in [
        "--clients",
        "--work",
        "--rounds",
        "--records",
        "--scale",
        "--out",
    ] {
        if let Some(value) = flags.value::<String>(name)? {
            args.extend([name.to_owned(), value]);
        }
    }
    flags.done()?;
    if word.as_deref() != Some("peers") {
        bail!("bench needs peers");
    }
    let (broker, sink) = match against.as_deref() {
        None => (true, true),
        Some("broker") => (true, false),
        Some("sink") => (false, true),
        Some(other) => bail!("--against {other}: it is broker or sink"),
    };
    if args.is_empty() && against.is_none() {
        let dir = text(&project::root().join("benches"))?;
        args.extend(["--out".to_owned(), dir]);
    }
    let is_build = args.windows(2).any(|pair| pair == ["--work", "build"]);
    if is_build {
        let dir = text(&project::root().join("benches/peers/minimal"))?;
        args.extend(["--minimal".to_owned(), dir]);
    }
    let programs = Programs::build(Profile::Release)?;
    let counting = counting()?;
    let ottla = Profile::Release.ottla()?;
    if only_build {
        return Ok(());
    }
    if sink {
        args.extend(["--sink".to_owned(), ottla]);
    }
    if let Some(library) = counting {
        args.extend(["--counting".to_owned(), library]);
    }
    programs.compare(broker && !is_build, args)
}

/// That the programs still do the work; says nothing of how fast.
pub(crate) fn bench_briefly() -> Result<()> {
    let programs = Programs::build(Profile::Dev)?;
    succeed(
        Command::new("cargo")
            .args(["test", "--quiet", "--lib", "--bin", "compare"])
            .arg("--target-dir")
            .arg(project::target_dir().join("peers"))
            .current_dir(project::root().join("benches/peers/rust")),
    )?;
    let ottla = Profile::Dev.ottla()?;
    let args = ["--scale", "brief", "--sink", &ottla];
    programs.compare(true, args.map(str::to_owned).to_vec())
}

/// Builds the library that counts a program's allocations, where that can be.
fn counting() -> Result<Option<String>> {
    if env::consts::OS != "linux" {
        return Ok(None);
    }
    let library = project::target_dir().join("peers/allocations.so");
    succeed(
        Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-fPIC", "-shared", "-o"])
            .arg(&library)
            .arg(project::root().join("benches/peers/allocations.c")),
    )?;
    text(&library).map(Some)
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}

/// How the Rust programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Dev,
    Release,
}

impl Profile {
    /// Cargo's options, and the directory that they build to.
    fn options(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Dev => (&[], "debug"),
            Self::Release => (&["--release"], "release"),
        }
    }

    /// The program `ottla`, built.
    fn ottla(self) -> Result<String> {
        let (options, built) = self.options();
        succeed(
            Command::new("cargo")
                .args(["build", "--quiet", "--package", "ottla-cli"])
                .args(options)
                .current_dir(project::root()),
        )?;
        text(&project::target_dir().join(built).join("ottla"))
    }
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

        let (options, built) = profile.options();
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

    /// Measures them, against a broker of their own if there is to be one.
    fn compare(&self, broker: bool, mut args: Vec<String>) -> Result<()> {
        let cluster = match broker {
            true => Some(Cluster::builder().version(Version::V4_3).start()?),
            false => None,
        };
        if let Some(cluster) = &cluster {
            args.extend(["--broker".to_owned(), cluster.bootstrap_servers()]);
        }
        let result = succeed(
            Command::new(self.rust.join("compare"))
                .arg(&self.franz_go)
                .arg(java_tool("java"))
                .arg(&self.class_path)
                .args(args),
        );
        if let (Some(mut cluster), Err(_)) = (cluster, &result) {
            cluster.keep_logs();
        }
        result
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
