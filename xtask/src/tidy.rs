//! House rules that rustc and clippy do not know, checked over the tracked files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

const MAX_LINES: usize = 900;

/// First line of a generated file; such files may be long.
const GENERATED: &str = "// @generated";

/// Directories on somebody's machine.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk"),
    concat!("/ro", "ot"),
    concat!("/ho", "me"),
    concat!("/Us", "ers"),
    concat!("/tm", "p"),
];

/// Hosts that packages come from: which of them is used is the machine's business.
const REGISTRY_HOSTS: [&str; 5] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("repo.maven", ".apache.org"),
    concat!("repo1.maven", ".org"),
    concat!("arti", "factory"),
];

/// Where std's clock may be read: the facade's environment and the fake's, the program, and what is
/// no library. A group's member names its instants, which are passed in.
const CLOCK_READERS: [&str; 7] = [
    "crates/ottla/src/env",
    "crates/coordinator/src/membership/",
    "crates/fake/src/builder.rs",
    "crates/cli/",
    "xtask/",
    "tests/",
    "benches/",
];

/// What every manifest of the workspace inherits.
const INHERITED: [&str; 4] = [
    "version.workspace=true",
    "edition.workspace=true",
    "rust-version.workspace=true",
    "license.workspace=true",
];

pub(crate) fn check(sh: &Shell) -> Result<()> {
    let listed = cmd!(sh, "git ls-files -z --cached --others --exclude-standard")
        .quiet()
        .read()?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let full = sh.current_dir().join(path);
        if !full.is_file() {
            continue;
        }
        // What is not text has no lines to check.
        let Ok(text) = String::from_utf8(fs::read(&full).with_context(|| path.to_owned())?) else {
            continue;
        };
        count += 1;
        wrong.extend(
            problems(path, &text)
                .into_iter()
                .map(|problem| format!("{path}: {problem}")),
        );
    }
    ensure!(count > 0, "git lists no files");
    ensure!(
        wrong.is_empty(),
        "{} files break house rules\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    eprintln!("{count} files keep the house rules");
    Ok(())
}

fn problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        for found in MACHINE_PATHS
            .into_iter()
            .filter(|found| names_path(line, found))
        {
            problems.push(format!(
                "line {line_number} names a path of one machine: {found}"
            ));
        }
        for host in REGISTRY_HOSTS
            .into_iter()
            .filter(|host| line.contains(host))
        {
            problems.push(format!(
                "line {line_number} names a registry's host: {host}"
            ));
        }
    }
    match Path::new(path)
        .extension()
        .and_then(|extension| extension.to_str())
    {
        Some("rs") => rust_problems(path, text, &mut problems),
        Some("toml") if is_member(path) => manifest_problems(text, &mut problems),
        _ => {}
    }
    problems
}

fn rust_problems(path: &str, text: &str, problems: &mut Vec<String>) {
    if text.starts_with(GENERATED) {
        return;
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{lines} lines; split it, {MAX_LINES} is the limit"));
    }
    let is_preamble = |line: &&str| line.is_empty() || line.starts_with("#!");
    let first = text.lines().find(|line| !is_preamble(line));
    // The tests of a module are documented by it and by their names.
    let wants_docs = !path.ends_with("/tests.rs");
    if wants_docs && !first.is_some_and(|line| line.starts_with("//!")) {
        problems.push("no module documentation (//!) at its start".into());
    }
    let reads_clock = !CLOCK_READERS
        .iter()
        .any(|allowed| path.starts_with(allowed))
        && path.starts_with("crates/");
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let code = line.trim_start();
        if code.starts_with("#[ignore]") {
            problems.push(format!(
                "line {line_number} ignores a test without a reason"
            ));
        }
        let is_comment = code.starts_with("//");
        if reads_clock
            && !is_comment
            && (code.contains("SystemTime::now") || code.contains("std::time::Instant"))
        {
            problems.push(format!(
                "line {line_number} reads a clock that tests cannot pause"
            ));
        }
    }
}

fn manifest_problems(text: &str, problems: &mut Vec<String>) {
    let lines: Vec<String> = text.lines().map(|line| line.replace(' ', "")).collect();
    for wanted in INHERITED
        .into_iter()
        .filter(|wanted| !lines.iter().any(|line| line == wanted))
    {
        problems.push(format!("lacks {wanted}"));
    }
    let lints = lines.iter().position(|line| line == "[lints]");
    if lints
        .and_then(|index| lines.get(index + 1))
        .is_none_or(|line| line != "workspace=true")
    {
        problems.push("does not inherit the workspace's lints".into());
    }
    let unpublished = lines.iter().any(|line| line == "publish=false");
    if !unpublished && !lines.iter().any(|line| line == "repository.workspace=true") {
        problems.push("is published, but lacks repository.workspace=true".into());
    }
}

/// Manifests of the workspace's members, which the fuzz targets and the other clients are not.
fn is_member(path: &str) -> bool {
    let outside = path.starts_with("fuzz/") || path.starts_with("benches/peers/");
    path.ends_with("/Cargo.toml") && !outside
}

/// Whether `line` holds the absolute path `start`, alone or continued; not as a part of a URL's path.
fn names_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(index, _)| {
        let before = line.get(..index).and_then(|text| text.chars().next_back());
        let after = line
            .get(index + start.len()..)
            .and_then(|text| text.chars().next());
        let begins = before.is_none_or(|c| c.is_whitespace() || "\"'`=(:,<[".contains(c));
        let ends = after.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '-');
        begins && ends
    })
}

#[cfg(test)]
mod tests;
