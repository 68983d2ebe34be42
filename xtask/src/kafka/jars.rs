//! The jars of one Kafka version: resolved by Maven once, then reused.
//!
//! `target/kafka/<version>/` holds them and appears by a rename, so it is complete or absent.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Version;
use super::process::Identity;
use crate::project;

const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1";
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(600);

/// The jars of one Kafka version, on this machine.
#[derive(Clone, Debug)]
pub struct Jars {
    version: Version,
    dir: PathBuf,
}

impl Jars {
    /// The jars of `version`, resolved by Maven unless they are here already.
    ///
    /// # Errors
    /// Maven or Java is missing, or Maven failed.
    pub fn resolve(version: Version) -> Result<Self> {
        let jars = Self {
            version,
            dir: target().join(version.as_str()),
        };
        if jars.is_resolved() {
            return Ok(jars);
        }
        let deadline = Instant::now() + RESOLVE_TIMEOUT;
        let _lock = Lock::acquire(&target().join(format!("{version}.lock")), deadline)?;
        if !jars.is_resolved() {
            jars.run_maven()?;
        }
        Ok(jars)
    }

    /// Which Kafka these jars are.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The directory that holds the jars.
    #[must_use]
    pub fn libs(&self) -> PathBuf {
        self.dir.join("libs")
    }

    /// The jar of an artifact of Kafka's own, for example `kafka-clients`.
    ///
    /// # Errors
    /// There is no such jar.
    pub fn jar(&self, artifact: &str) -> Result<PathBuf> {
        let path = self.libs().join(format!("{artifact}-{}.jar", self.version));
        ensure!(path.is_file(), "{} does not exist", path.display());
        Ok(path)
    }

    /// A command that runs `main_class` with warnings and errors logged to standard error.
    ///
    /// Standard streams are inherited until the caller says otherwise.
    #[must_use]
    pub fn java_class<I, S>(&self, main_class: &str, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(java());
        command
            .args(["-Xmx256m"])
            .args(self.java_args("WARN"))
            .arg(main_class)
            .args(args);
        command
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The options every JVM of ours gets.
    pub(crate) fn java_args(&self, log_level: &str) -> Vec<String> {
        let dir = self.dir.display();
        vec![
            "-XX:TieredStopAtLevel=1".into(),
            "-XX:+UseSerialGC".into(),
            "-Djava.awt.headless=true".into(),
            format!("-Dottla.log.level={log_level}"),
            format!("-Dlog4j.configuration=file:{dir}/log4j.properties"),
            format!("-Dlog4j2.configurationFile=file:{dir}/log4j2.properties"),
            "-cp".into(),
            format!("{dir}/libs/*"),
        ]
    }

    fn is_resolved(&self) -> bool {
        self.dir.is_dir()
            && fs::read_to_string(self.dir.join("pom.xml"))
                .is_ok_and(|pom| pom == self.version.pom())
    }

    fn run_maven(&self) -> Result<()> {
        require_java()?;
        let staging = target().join(format!("{}.new", self.version));
        remove_dir(&staging)?;
        remove_dir(&self.dir)?;
        fs::create_dir_all(&staging)?;
        fs::write(staging.join("pom.xml"), self.version.pom())?;
        fs::write(
            staging.join("log4j.properties"),
            include_str!("../../kafka/log4j.properties"),
        )?;
        fs::write(
            staging.join("log4j2.properties"),
            include_str!("../../kafka/log4j2.properties"),
        )?;
        eprintln!("resolving the jars of Kafka {} with Maven", self.version);
        let output = Command::new("mvn")
            .current_dir(&staging)
            .args(["--batch-mode", "--quiet"])
            .arg(format!("{DEPENDENCY_PLUGIN}:copy-dependencies"))
            .args(["-DincludeScope=runtime", "-DoutputDirectory=libs"])
            .stdin(Stdio::null())
            .output();
        let output = match output {
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(MISSING_MAVEN),
            other => other.context("running mvn")?,
        };
        ensure!(
            output.status.success(),
            "Maven could not resolve Kafka {}:\n{}{}",
            self.version,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        fs::rename(&staging, &self.dir)
            .with_context(|| format!("completing {}", self.dir.display()))
    }
}

const MISSING_JAVA: &str = "no Java found: install a JDK 17 (Debian and Ubuntu: apt-get install openjdk-17-jdk-headless; macOS: brew install openjdk@17) or set JAVA_HOME, or pass --no-kafka";
const MISSING_MAVEN: &str = "no Maven found: install it (Debian and Ubuntu: apt-get install maven; macOS: brew install maven), or pass --no-kafka";

/// Checks that Java and Maven can be run.
///
/// # Errors
/// One is missing; the error says how to get it.
pub fn require_java_and_maven() -> Result<()> {
    require_java()?;
    match Command::new("mvn")
        .arg("--version")
        .stdin(Stdio::null())
        .output()
    {
        Ok(output) if output.status.success() => Ok(()),
        _ => bail!(MISSING_MAVEN),
    }
}

fn require_java() -> Result<()> {
    match Command::new(java())
        .arg("-version")
        .stdin(Stdio::null())
        .output()
    {
        Ok(output) if output.status.success() => Ok(()),
        _ => bail!(MISSING_JAVA),
    }
}

pub(crate) fn java() -> PathBuf {
    java_tool("java")
}

/// A program of the JDK, for example `javac`: that of `JAVA_HOME`, or the one on the path.
#[must_use]
pub fn java_tool(name: &str) -> PathBuf {
    match env::var_os("JAVA_HOME") {
        Some(home) if !home.is_empty() => Path::new(&home).join("bin").join(name),
        _ => PathBuf::from(name),
    }
}

pub(crate) fn target() -> PathBuf {
    project::target_dir().join("kafka")
}

pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// A lock file that names its owner, so that a dead owner's lock can be taken over.
#[derive(Debug)]
struct Lock(PathBuf);

impl Lock {
    fn acquire(path: &Path, deadline: Instant) -> Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let me = Identity::current()?.to_string();
        // Written beside and linked into place: a lock file never exists without its owner's name.
        let mine = path.with_extension(format!("lock-{}", std::process::id()));
        loop {
            fs::write(&mine, &me)?;
            let linked = fs::hard_link(&mine, path);
            fs::remove_file(&mine)?;
            match linked {
                Ok(()) => return Ok(Self(path.into())),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).context("creating a lock file"),
            }
            let owner = fs::read_to_string(path).unwrap_or_default();
            if owner
                .parse::<Identity>()
                .is_ok_and(|owner| !owner.is_alive())
            {
                // Renaming decides between several waiters which of them removes it.
                let stale = path.with_extension(format!("stale-{}", std::process::id()));
                if fs::rename(path, &stale).is_ok() {
                    fs::remove_file(&stale)?;
                }
                continue;
            }
            ensure!(
                Instant::now() < deadline,
                "{} is held by {owner} for too long",
                path.display()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock left behind is taken over by the next caller once this process has ended.
        let _ = fs::remove_file(&self.0);
    }
}
