//! `cargo xtask`: the workspace's own commands.

mod brokers;
mod ci;
mod codegen;
mod command;
mod compaction;
mod deny;
mod edges;
mod features;
mod flags;
mod fuzz;
mod harness;
mod lint;
mod metadata;
mod peers;
mod report;
mod scenarios;
mod suite;
mod tidy;
mod vectors;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

use deny::Installation;
use flags::Flags;
use report::Report;
use xshell::Shell;
use xtask::project;

const HELP: &str = "cargo xtask <command>

  ci [--full] [--no-kafka]
           everything below; --full adds the other Kafka versions and the long runs
  lint     formatting, clippy, house rules, dependency edges, docs
  typecheck
           every published crate alone, in each set of its features
  test [--version V]… [--full] [--no-kafka] [-- FILTER…]
           the tests on the fake, then the suite on real Kafka; with FILTER only those of
           package ottla-tests that match, beside a real broker
  soak [--minutes N] [--version V]
           a producer and a group at half of what the brokers take, for half an hour or N minutes, while
           a broker is restarted every two: nothing may be lost, and nothing may grow
  compaction [--version V]… [--full] [--no-kafka]
           the scenarios of compacted logs
  deps     dependency edges between the crates
  deny     bans, licences and sources of dependencies
  codegen [--check]
           write the codec's messages from Kafka's schemas and the fake's table of older releases, or
           see whether they are up to date
  vectors [--check | --seed N --out DIR | --read DIR]
           have Kafka's own classes write the bytes for the codec's tests, see whether they are up to
           date, write others elsewhere, or have Kafka read what the codec's example has written
  fuzz [--seconds N]
           the codec's fuzz targets for a minute each, or for N seconds; without a nightly toolchain
           and cargo-fuzz, the same targets as long property runs
  peers interop [--all]
           other clients read what ottla writes and ottla what they write, through a real broker, with
           every codec and level; --all: also each other. Needs Go; builds 270 crates the first time
  peers groups
           members of librdkafka and franz-go beside ottla's in groups, joining and leaving
  peers vectors
           have the other clients write the batches for the codec's tests
  bench peers [--against broker|sink] [--clients A,B…] [--work A,B…] [--rounds N] [--records N] [--scale brief]
              [--out DIR] [--build]
           how much processor time and memory each of the clients takes for the same work, one after another in
           rounds, against a real broker and against the fake cluster as a sink. All of it takes an hour and writes
           benches/RESULTS.md; with --build nothing is measured
  kafka up [--version V] [--nodes N] [--security ssl|mtls|sasl_plaintext|sasl_ssl] [--set k=v]…
           [--java OPTION]… [--name NAME]
           start real brokers that run on, and print their addresses; --security: clients need
           what is in the properties file that is printed beside them
  kafka down [--version V] [--name NAME]
           stop them and remove their data
  kafka status
           what runs
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut flags = Flags::new(env::args().skip(1));
    if flags.switch("--help") {
        print!("{HELP}");
        return Ok(());
    }
    let sh = Shell::new()?;
    sh.change_dir(project::root());
    match flags.word().as_deref() {
        Some("ci") => ci::run(flags, &sh),
        Some("lint") => steps(flags, |report| {
            lint::steps(report, &sh);
            report.step("docs", || lint::docs(&sh));
        }),
        Some("typecheck") => steps(flags, |report| {
            report.step("typecheck", || features::check(&sh))
        }),
        Some("test") => suite::run(flags),
        Some("soak") => suite::soak(flags),
        Some("compaction") => compaction::run(flags),
        Some("deps") => steps(flags, |report| {
            report.step("dependency edges", || edges::check(&sh))
        }),
        Some("deny") => steps(flags, |report| {
            report.step("deny", || Installation::start()?.check(&sh))
        }),
        Some("codegen") => codegen::command(flags),
        Some("vectors") => vectors::command(flags),
        Some("fuzz") => fuzz::run(flags, &sh),
        Some("peers") => peers::command(flags),
        Some("bench") => peers::bench(flags),
        Some("kafka") => brokers::run(flags),
        Some("help") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("unknown command {other:?}\n\n{HELP}"),
    }
}

/// A command without arguments of its own.
fn steps(flags: Flags, add: impl FnOnce(&mut Report)) -> Result<()> {
    flags.done()?;
    let mut report = Report::default();
    add(&mut report);
    report.finish()
}
