//! `cargo xtask fuzz`: the codec's fuzz targets, a minute each; without libFuzzer, as long property runs.

use std::fs;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};
use xtask::project::root;

use crate::flags::Flags;
use crate::report::Report;

const SECONDS: u32 = 60;

pub(crate) fn run(mut flags: Flags, sh: &Shell) -> Result<()> {
    let seconds = flags.value("--seconds")?.unwrap_or(SECONDS);
    flags.done()?;
    let mut report = Report::default();
    if is_available(sh) {
        for target in targets()? {
            report.step(&target, || fuzz(sh, &target, seconds));
        }
    } else {
        eprintln!(
            "no nightly toolchain with cargo-fuzz here: the same targets run as long property runs"
        );
        report.step("property runs", || properties(sh));
    }
    report.finish()
}

fn is_available(sh: &Shell) -> bool {
    cmd!(sh, "cargo +nightly fuzz --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok()
}

/// The targets' names, in order.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/fuzz_targets")).context("fuzz targets")? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .and_then(|name| Some(name.to_str()?.to_owned())),
        );
    }
    names.sort();
    Ok(names)
}

fn fuzz(sh: &Shell, target: &str, seconds: u32) -> Result<()> {
    let seconds = seconds.to_string();
    let corpus = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let vectors = root().join("crates/codec/tests/vectors");
    let seeds = match target {
        "record_batches" => Some(vectors.join("batches")),
        "message_sets" => Some(vectors.join("message-sets")),
        _ => None,
    };
    cmd!(
        sh,
        "cargo +nightly fuzz run {target} {corpus} {seeds...} -- -max_total_time={seconds} -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1"
    )
    .run()?;
    Ok(())
}

fn properties(sh: &Shell) -> Result<()> {
    cmd!(
        sh,
        "cargo test --package ottla-codec --test properties --test hostile"
    )
    .env("OTTLA_TEST_LONG", "1")
    .run()?;
    Ok(())
}
