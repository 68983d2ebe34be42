//! `cargo xtask deny`: bans, licences and sources of all dependencies, by cargo-deny.
//!
//! cargo-deny is compiled once, into `target/tools`. In `ci` that happens beside the other steps,
//! at low priority and in a target directory of its own, so that neither waits for the other.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};
use xtask::project;

const VERSION: &str = "0.20.2";

/// An installation that may still be under way.
#[derive(Debug)]
pub(crate) struct Installation(Option<Child>);

impl Installation {
    /// Starts to install cargo-deny, unless it is here.
    pub(crate) fn start() -> Result<Self> {
        if is_installed() {
            return Ok(Self(None));
        }
        let tools = tools();
        fs::create_dir_all(&tools)?;
        let log = File::create(log_path())?;
        eprintln!(
            "installing cargo-deny {VERSION} in the background; log in {}",
            log_path().display()
        );
        let child = Command::new("nice")
            .args([
                "-n",
                "19",
                "cargo",
                "install",
                "cargo-deny",
                "--locked",
                "--version",
                VERSION,
                "--root",
            ])
            .arg(&tools)
            .arg("--target-dir")
            .arg(tools.join("build"))
            // It runs for a second: what it costs is compiling it.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .current_dir(project::root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("running nice")?;
        Ok(Self(Some(child)))
    }

    /// Waits for the end, and runs cargo-deny.
    pub(crate) fn check(mut self, sh: &Shell) -> Result<()> {
        if let Some(mut child) = self.0.take() {
            let status = child.wait()?;
            let log = || fs::read_to_string(log_path()).unwrap_or_default();
            ensure!(
                status.success(),
                "cargo-deny could not be installed\n{}",
                log()
            );
            fs::write(marker(), VERSION)?;
            let build = tools().join("build");
            if build.exists() {
                // Only the binary is needed again.
                fs::remove_dir_all(build)?;
            }
        }
        let deny = binary();
        cmd!(
            sh,
            "{deny} --workspace check --hide-inclusion-graph bans licenses sources"
        )
        .run()?;
        Ok(())
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Only after an error elsewhere; the next run starts it again.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn is_installed() -> bool {
    binary().is_file() && fs::read_to_string(marker()).is_ok_and(|version| version == VERSION)
}

fn tools() -> PathBuf {
    project::target_dir().join("tools")
}

fn binary() -> PathBuf {
    tools().join("bin").join("cargo-deny")
}

fn marker() -> PathBuf {
    tools().join("cargo-deny.version")
}

fn log_path() -> PathBuf {
    tools().join("cargo-deny.log")
}
