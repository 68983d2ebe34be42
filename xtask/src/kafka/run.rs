//! What is recorded about running clusters under `target/kafka/run/<name>/`.
//!
//! `state.json` beside `logs/`, `data/` and `conf/`. It is what `status` and `down` go by, and what
//! lets a later start clear up after a process that was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::jars::{remove_dir, target};
use super::process::Identity;
use super::security::CLIENT_PROPERTIES;

/// One recorded cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunState {
    /// The directory's name under `target/kafka/run/`.
    pub name: String,
    /// The Kafka version, for example `4.3.0`.
    pub version: String,
    /// `host:port` of every node.
    pub bootstrap_servers: String,
    /// Whether it runs on after the process that started it.
    pub detached: bool,
    pub(crate) owner: Identity,
    /// ZooKeeper last, so that brokers can leave it in good order.
    pub(crate) processes: Vec<(String, Identity)>,
}

impl RunState {
    /// What this cluster's processes do: `node-1: pid 42, running`.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let state = |identity: &Identity| {
            if identity.is_alive() {
                "running"
            } else {
                "ended"
            }
        };
        let line = |(name, identity): &(String, Identity)| {
            format!("{name}: pid {}, {}", identity.pid, state(identity))
        };
        self.processes.iter().map(line).collect()
    }

    /// Whether any of its processes runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.processes
            .iter()
            .any(|(_, identity)| identity.is_alive())
    }

    /// Where its logs are.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        run_dir(&self.name).join("logs")
    }

    /// The properties by which clients get in, if that takes more than the address.
    #[must_use]
    pub fn client_properties(&self) -> PathBuf {
        run_dir(&self.name).join("conf").join(CLIENT_PROPERTIES)
    }

    pub(crate) fn write(&self) -> Result<()> {
        let path = run_dir(&self.name).join("state.json");
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&new, &path).with_context(|| format!("writing {}", path.display()))
    }

    fn is_abandoned(&self) -> bool {
        !self.detached && !self.owner.is_alive() && !self.is_running()
    }
}

/// All recorded clusters, by name.
///
/// # Errors
/// The directory cannot be read.
pub fn status() -> Result<Vec<RunState>> {
    let runs = target().join("run");
    if !runs.exists() {
        return Ok(Vec::new());
    }
    let mut states = Vec::new();
    for entry in fs::read_dir(&runs)? {
        // Without a readable state it is being made or removed at this moment.
        let Ok(text) = fs::read(entry?.path().join("state.json")) else {
            continue;
        };
        if let Ok(state) = serde_json::from_slice::<RunState>(&text) {
            states.push(state);
        }
    }
    states.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(states)
}

/// Stops a detached cluster by its recorded processes, and removes its data; its logs stay.
///
/// # Errors
/// A process cannot be stopped, or belongs to another process that still runs.
pub fn down(state: &RunState) -> Result<()> {
    ensure!(
        state.detached || !state.owner.is_alive(),
        "{} belongs to process {}, which still runs",
        state.name,
        state.owner.pid
    );
    // Their data goes next: an orderly end, in which they wait for each other, would save nothing.
    for (_, identity) in &state.processes {
        identity.kill()?;
    }
    let dir = run_dir(&state.name);
    remove_dir(&dir.join("data"))?;
    fs::remove_file(dir.join("state.json")).context("removing the state file")
}

/// Removes what processes left behind that were killed before they could, and logs kept for a day.
pub(crate) fn sweep() -> Result<()> {
    for state in status()?.into_iter().filter(RunState::is_abandoned) {
        remove_dir(&run_dir(&state.name))?;
    }
    let Ok(entries) = fs::read_dir(target().join("run")) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let age = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .map(|time| time.elapsed());
        let is_old = matches!(age, Ok(Ok(age)) if age > Duration::from_secs(24 * 60 * 60));
        if is_old && !path.join("state.json").exists() {
            remove_dir(&path)?;
        }
    }
    Ok(())
}

pub(crate) fn run_dir(name: &str) -> PathBuf {
    target().join("run").join(name)
}

/// An empty directory for a cluster of this name.
pub(crate) fn fresh_run_dir(name: &str) -> Result<PathBuf> {
    let dir = run_dir(name);
    if let Some(state) = read_state(&dir) {
        ensure!(
            !state.is_running(),
            "a cluster named {name} runs already: {}",
            state.bootstrap_servers
        );
    }
    remove_dir(&dir)?;
    for sub in ["conf", "data", "logs"] {
        fs::create_dir_all(dir.join(sub))?;
    }
    Ok(dir)
}

fn read_state(dir: &Path) -> Option<RunState> {
    serde_json::from_slice(&fs::read(dir.join("state.json")).ok()?).ok()
}
