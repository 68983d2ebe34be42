//! `cargo xtask codegen`: Kafka's message schemas in, the codec's message types out.
//!
//! [`kafka`] fetches the schemas and error codes of one pinned Kafka version, [`schema`] reads them, [`emit`] and
//! [`tables`] write Rust. [`releases`] reads older releases for the fake. Only facts pass through: names, types, versions, defaults and tags. The schemas' prose does not.

mod apis;
mod emit;
mod kafka;
mod names;
mod releases;
mod schema;
mod tables;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use schema::Message;
use xtask::project::{root, target_dir};

use crate::flags::Flags;

/// One API: its request and its response.
pub(crate) struct Api {
    /// Without `Request`, for example `Produce`.
    name: String,
    key: i16,
    request: Message,
    response: Message,
}

pub(crate) fn command(mut flags: Flags) -> Result<()> {
    let check = flags.switch("--check");
    flags.done()?;
    run(check)
}

/// The APIs, and the messages outside of any, that are generated: Kafka's names.
pub(crate) fn messages<'a>() -> Vec<&'a str> {
    [apis::CLIENT_SIDE, apis::DATA].concat()
}

/// Writes what is generated of the codec and of the fake, or with `check` only says whether it is what would be written.
///
/// # Errors
/// When Kafka's jars cannot be had or read, and with `check` when the committed files differ.
pub(crate) fn run(check: bool) -> Result<()> {
    let codec = write("codec", generate(&kafka::resolve()?)?, check)?;
    let fake = write("fake", releases::generate()?, check)?;
    ensure!(
        codec && fake || !check,
        "generated code is out of date: run `cargo xtask codegen`"
    );
    Ok(())
}

/// Writes files into a crate's sources, unless it is only to be checked; whether they were like that before.
fn write(name: &str, files: BTreeMap<PathBuf, String>, check: bool) -> Result<bool> {
    let files = format(&target_dir().join("codegen").join(name), files)?;
    let target = root().join("crates").join(name).join("src");
    let stale = stale(&target, &files)?;
    let changed: Vec<_> = files
        .iter()
        .filter(|(name, text)| differs(&target.join(name), text))
        .collect();
    if check {
        for name in changed.iter().map(|(name, _)| *name).chain(&stale) {
            eprintln!("differs: {}", target.join(name).display());
        }
    } else {
        for (name, text) in &changed {
            fs::create_dir_all(target.join(name).parent().context("no parent")?)?;
            fs::write(target.join(name), text)?;
        }
        for name in &stale {
            fs::remove_file(target.join(name))?;
        }
    }
    let lines: usize = files.values().map(|text| text.lines().count()).sum();
    println!(
        "{name}: {} files, {lines} lines, {} changed, {} removed",
        files.len(),
        changed.len(),
        stale.len()
    );
    Ok(changed.is_empty() && stale.is_empty())
}

fn generate(source: &kafka::Source) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    let mut modules = Vec::new();
    let mut apis = Vec::new();
    for &name in apis::CLIENT_SIDE {
        let request = Message::load(&source.schemas, &format!("{name}Request"))?;
        let response = Message::load(&source.schemas, &format!("{name}Response"))?;
        let key = request
            .api_key
            .with_context(|| format!("{name} has no key"))?;
        apis.push(Api {
            name: name.to_owned(),
            key,
            request,
            response,
        });
    }
    apis.sort_by_key(|api| api.key);
    for api in &apis {
        let module = names::snake(&api.name);
        files.insert(
            format!("messages/{module}.rs").into(),
            emit::api(api, source.version)?,
        );
        modules.push((module, format!("{}: API key {}", api.name, api.key)));
    }
    for &name in apis::DATA {
        let message = Message::load(&source.schemas, name)?;
        let module = names::snake(name);
        files.insert(
            format!("messages/{module}.rs").into(),
            emit::data(&message, source.version)?,
        );
        modules.push((module, name.to_owned()));
    }
    modules.sort();
    files.insert(
        "messages/mod.rs".into(),
        tables::modules(&apis, &modules, source.version),
    );
    files.insert("messages/any.rs".into(), tables::any(&apis, source.version));
    files.insert("api_key.rs".into(), tables::api_key(&apis, source.version));
    files.insert(
        "error_code.rs".into(),
        tables::error_code(&source.errors, source.version),
    );
    Ok(files)
}

/// Files that an earlier run wrote and this one would not.
fn stale(target: &Path, files: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    let messages = target.join("messages");
    if messages.exists() {
        for entry in fs::read_dir(&messages)? {
            let path = entry?.path();
            let name = path.strip_prefix(target)?.to_owned();
            if !files.contains_key(&name) && fs::read_to_string(&path)?.starts_with("// @generated")
            {
                stale.push(name);
            }
        }
    }
    stale.sort();
    Ok(stale)
}

fn differs(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).ok().as_deref() != Some(text)
}

/// Runs rustfmt over all files at once.
fn format(scratch: &Path, files: BTreeMap<PathBuf, String>) -> Result<BTreeMap<PathBuf, String>> {
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    for (name, text) in &files {
        let path = scratch.join(name);
        fs::create_dir_all(path.parent().context("no parent")?)?;
        fs::write(path, text)?;
    }
    let status = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .args(files.keys().map(|name| scratch.join(name)))
        .status()
        .context("rustfmt does not start")?;
    if !status.success() {
        bail!(
            "rustfmt refused the generated code, see {}",
            scratch.display()
        );
    }
    files
        .into_keys()
        .map(|name| {
            let text = fs::read_to_string(scratch.join(&name))?;
            Ok((name, text))
        })
        .collect()
}
