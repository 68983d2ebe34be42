//! `cargo xtask kafka up|down|status`.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use xtask::kafka::{self, Cluster, RunState, Security, Version};

use crate::flags::Flags;

pub(crate) fn run(mut flags: Flags) -> Result<()> {
    match flags.word().as_deref() {
        Some("up") => up(flags),
        Some("down") => down(flags),
        Some("status") => status(flags),
        _ => bail!("kafka needs one of up, down, status"),
    }
}

fn up(mut flags: Flags) -> Result<()> {
    let version = flags.value("--version")?.unwrap_or(Version::DEFAULT);
    let nodes = flags.value("--nodes")?.unwrap_or(1);
    let name = flags
        .value::<String>("--name")?
        .unwrap_or_else(|| format!("kafka-{version}"));
    let security = flags.value("--security")?.unwrap_or(Security::Plaintext);
    let settings = flags.values("--set")?;
    let java_options = flags.values("--java")?;
    flags.done()?;
    let mut builder = Cluster::builder()
        .version(version)
        .nodes(nodes)
        .name(name)
        .security(security)
        .detached();
    for setting in settings {
        let (key, value) = setting
            .split_once('=')
            .with_context(|| format!("--set {setting}: not key=value"))?;
        builder = builder.set(key, value);
    }
    for option in java_options {
        builder = builder.java_option(option);
    }
    let start = Instant::now();
    let state = builder.start()?.detach()?;
    eprintln!(
        "{}: ready after {:.1} s; logs in {}",
        state.name,
        start.elapsed().as_secs_f64(),
        state.logs().display()
    );
    if security != Security::Plaintext {
        eprintln!(
            "what a client needs is in {}",
            state.client_properties().display()
        );
    }
    println!("{}", state.bootstrap_servers);
    Ok(())
}

fn down(mut flags: Flags) -> Result<()> {
    let version = flags
        .value::<Version>("--version")?
        .map(|version| version.to_string());
    let name = flags.value::<String>("--name")?;
    flags.done()?;
    let wanted = |state: &RunState| {
        state.detached
            && name.as_ref().is_none_or(|name| *name == state.name)
            && version
                .as_ref()
                .is_none_or(|version| *version == state.version)
    };
    let clusters: Vec<RunState> = kafka::status()?.into_iter().filter(wanted).collect();
    if clusters.is_empty() {
        println!("nothing to stop");
    }
    for state in clusters {
        kafka::down(&state)?;
        println!(
            "{}: stopped; logs in {}",
            state.name,
            state.logs().display()
        );
    }
    Ok(())
}

fn status(flags: Flags) -> Result<()> {
    flags.done()?;
    let clusters = kafka::status()?;
    if clusters.is_empty() {
        println!("no cluster");
    }
    for state in clusters {
        let owner = if state.detached { "" } else { ", of a test" };
        println!(
            "{} (Kafka {}{owner}): {}",
            state.name, state.version, state.bootstrap_servers
        );
        for line in state.processes() {
            println!("  {line}");
        }
        println!("  logs: {}", state.logs().display());
    }
    Ok(())
}
