//! Kafka's client jars, resolved by Maven, and what is read out of the pinned version's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use xtask::project::{root, target_dir};

/// The Kafka version whose messages are generated.
const VERSION: &str = "4.3.0";

/// What the generator reads.
pub(super) struct Source {
    pub(super) version: &'static str,
    /// Directory of the message schemas.
    pub(super) schemas: PathBuf,
    pub(super) errors: Vec<ErrorCode>,
}

/// One of Kafka's error codes.
pub(super) struct ErrorCode {
    pub(super) code: i16,
    /// As in Java, for example `NOT_LEADER_OR_FOLLOWER`.
    pub(super) name: String,
    pub(super) retriable: bool,
    pub(super) invalid_metadata: bool,
}

/// Fetches jar and contents below `target/`, unless an earlier run has.
pub(super) fn resolve() -> Result<Source> {
    let schemas = cache(VERSION).join("message");
    let list = schemas.join("errors.tsv");
    if !list.exists() {
        let jars = jars(VERSION)?;
        run(Command::new("java")
            .arg("-cp")
            .arg(jars.join("*"))
            .arg(root().join("xtask/codegen/Extract.java"))
            .arg(jar(&jars, VERSION))
            .arg(&schemas))?;
    }
    let errors = fs::read_to_string(&list)?
        .lines()
        .map(error_code)
        .collect::<Result<_>>()?;
    Ok(Source {
        version: VERSION,
        schemas,
        errors,
    })
}

/// The directory of a release's client jar and of what that needs, fetched by Maven unless an earlier run has.
pub(super) fn jars(version: &str) -> Result<PathBuf> {
    let jars = cache(version).join("jars");
    if !jar(&jars, version).exists() {
        println!("resolving kafka-clients {version} with Maven");
        run(Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(root().join("xtask/codegen/pom.xml"))
            .arg(format!("-Dkafka.version={version}"))
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", jars.display())))?;
    }
    Ok(jars)
}

fn jar(jars: &Path, version: &str) -> PathBuf {
    jars.join(format!("kafka-clients-{version}.jar"))
}

fn cache(version: &str) -> PathBuf {
    target_dir().join("kafka-clients").join(version)
}

fn error_code(line: &str) -> Result<ErrorCode> {
    let [code, name, retriable, invalid_metadata] = line
        .split('\t')
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .with_context(|| format!("odd line: {line}"))?;
    Ok(ErrorCode {
        code: code.parse()?,
        name: name.to_owned(),
        retriable: retriable.parse()?,
        invalid_metadata: invalid_metadata.parse()?,
    })
}

/// Runs a program to its end; what it printed.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| {
        format!("{program} does not start; codegen needs a JDK (17 or newer) and Maven")
    })?;
    ensure!(
        output.status.success(),
        "{program} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
