//! `cargo xtask`: the workspace's own commands.

mod brokers;
mod codegen;
mod flags;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

use flags::Flags;

const HELP: &str = "cargo xtask <command>

  codegen [--check]
           write the codec's messages from Kafka's schemas, or see whether they are up to date
  kafka up [--version V] [--nodes N] [--set k=v]… [--name NAME]
           start real brokers that run on, and print their addresses
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
    match flags.word().as_deref() {
        Some("codegen") => codegen::command(flags),
        Some("kafka") => brokers::run(flags),
        Some("help") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("unknown command {other:?}\n\n{HELP}"),
    }
}
