//! The `ottla` program: Kafka for people who live in a terminal.
//!
//! Data goes to stdout, everything else to stderr. The exit status is 0 if all of it worked, 1 if not,
//! 2 if the command line makes no sense, 130 or 143 if SIGINT or SIGTERM came before it was done. A broken
//! pipe ends the program quietly.

// Both panic where nothing can be written; `diagnostics` and `Failure::Stdout` do not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod args;
mod bench;
mod consume;
mod deliveries;
mod demo;
mod diagnostics;
mod failure;
mod fake;
mod groups;
mod interrupt;
mod log;
mod output;
mod produce;
mod progress;
mod settings;
mod table;
mod text;
mod topics;
mod values;
mod verifiable;

use std::io::{self, Write};
use std::process::ExitCode;

use snafu::ResultExt;
use tokio::runtime::Builder;

use args::{Command, CommandLine};
use diagnostics::complain;
use failure::{Result, StdoutSnafu, SystemSnafu, chain};
use settings::Environment;

fn main() -> ExitCode {
    let outcome = match CommandLine::read() {
        Ok(line) => run(line),
        Err(refusal) if refusal.use_stderr() => {
            // As in `diagnostics`.
            let _ = refusal.print();
            return ExitCode::from(2);
        }
        // The help, or the version.
        Err(answer) => answer
            .print()
            .and_then(|()| io::stdout().flush())
            .context(StdoutSnafu),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                complain(format_args!("{}", chain(&failure)));
            }
            ExitCode::from(failure.status())
        }
    }
}

fn run(line: CommandLine) -> Result<()> {
    log::to_stderr(line.verbosity());
    let environment = Environment::read();
    let mut runtime = match line.command {
        // Serves any number of clients.
        Command::Fake(_) => Builder::new_multi_thread(),
        // One thread is as fast as several here, for it is the broker that is waited for, and fetching
        // does not run far ahead of printing: consuming 5 million lines takes 20 to 30 MB instead of 70
        // to 110. Compressing, decompressing, reading files and writing to stdout have threads anyway.
        _ => Builder::new_current_thread(),
    };
    // Allocators keep memory for each thread that ever used some: one to read, the others to compress.
    // Nothing here blocks for long but stdin, and that once.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = runtime.max_blocking_threads(1 + cpus).enable_all();
    let runtime = runtime.build().context(SystemSnafu {
        doing: "start threads",
    })?;
    let common = line.common;
    let outcome = runtime.block_on(async {
        match line.command {
            Command::Topics(command) => topics::run(command, common, &environment).await,
            Command::Groups(command) => groups::run(command, common, &environment).await,
            Command::Produce(command) => produce::run(command, common, &environment).await,
            Command::Consume(command) => consume::run(command, common, &environment).await,
            Command::Fake(command) => fake::run(command).await,
            Command::Demo(command) => demo::run(command).await,
            Command::Bench(command) => bench::run(command, common, &environment).await,
            Command::VerifiableProducer(command) => {
                verifiable::produce(command, common, &environment).await
            }
            Command::VerifiableConsumer(command) => {
                verifiable::consume(command, common, &environment).await
            }
        }
    });
    // Reading stdin cannot be called back: nothing waits for such threads.
    runtime.shutdown_background();
    outcome
}
