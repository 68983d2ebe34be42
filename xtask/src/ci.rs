//! `cargo xtask ci`: everything that must hold before a change is accepted.

use anyhow::Result;
use xshell::{Shell, cmd};
use xtask::kafka::{Jars, require_java_and_maven};

use crate::deny::Installation;
use crate::flags::Flags;
use crate::metadata::Metadata;
use crate::report::Report;
use crate::suite::{self, Brokers};
use crate::{codegen, compaction, features, lint, peers, vectors};

pub(crate) fn run(mut flags: Flags, sh: &Shell) -> Result<()> {
    let brokers = Brokers::from_flags(&mut flags)?;
    flags.done()?;
    if !brokers.skip {
        require_java_and_maven()?;
    }
    let deny = Installation::start()?;
    let mut report = Report::default();
    lint::steps(&mut report, sh);
    report.step("typecheck", || features::check(sh));
    if brokers.skip {
        report.skip("jars", "--no-kafka");
        report.skip(
            "codegen check",
            "--no-kafka: the message schemas are in Kafka's jars",
        );
        report.skip("vectors check", "--no-kafka: Kafka's classes write them");
    } else {
        report.step("jars", || {
            brokers
                .versions
                .iter()
                .try_for_each(|version| Jars::resolve(*version).map(drop))
        });
        report.step("codegen check", || codegen::run(true));
        report.step("vectors check", vectors::check);
    }
    report.step("docs", || lint::docs(sh));
    suite::on_fake(&mut report, brokers.long);
    suite::on_real(&mut report, &brokers);
    compaction::steps(&mut report, &brokers);
    if brokers.skip {
        report.skip("other clients", "--no-kafka");
        report.skip("groups with other clients", "--no-kafka");
        report.skip("bench of other clients", "--no-kafka");
    } else if brokers.long {
        report.step("other clients", peers::interop);
        report.step("groups with other clients", peers::groups);
        report.step("bench of other clients", peers::bench_briefly);
    } else {
        for step in [
            "other clients",
            "groups with other clients",
            "bench of other clients",
        ] {
            report.skip(step, "only with --full: they take minutes to build");
        }
    }
    report.step("package", || package(sh, brokers.long));
    report.step("deny", || deny.check(sh));
    report.finish()
}

/// That every published crate can be packaged. To build each from its package means to compile
/// everything again, and is left to `--full`.
fn package(sh: &Shell, build: bool) -> Result<()> {
    let metadata = Metadata::load(sh)?;
    let published = metadata.members().filter(|package| package.is_published());
    let packages: Vec<String> = published
        .flat_map(|package| ["--package".into(), package.name.clone()])
        .collect();
    let verify = if build { None } else { Some("--no-verify") };
    cmd!(
        sh,
        "cargo package --quiet --allow-dirty {verify...} {packages...}"
    )
    .run()?;
    Ok(())
}
