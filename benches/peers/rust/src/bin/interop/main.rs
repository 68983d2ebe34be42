//! Has clients write to a broker and others read it, and compares what they read with what was to be written.
//!
//! ```text
//! interop BROKERS FRANZ_GO JAVA CLASS_PATH table [--all]     ottla with every other client; --all: everybody with everybody
//! interop BROKERS FRANZ_GO JAVA CLASS_PATH vectors DIR       what the others wrote, as vectors for the codec's tests
//! interop BROKERS FRANZ_GO JAVA CLASS_PATH groups OTTLA      members of groups: ottla's program beside others'
//! ```
//!
//! `cargo xtask peers` builds everything and starts this.

mod clients;
mod groups;
mod matrix;
#[path = "../../../../../../tests/api/support/mixed/mod.rs"]
mod mixed;
mod program;
mod vectors;

use std::env;
use std::path::Path;
use std::process::ExitCode;

use ottla_peers::{Batch, Codec, Digest, Log, Programs, Result, records};

use clients::{Case, PEERS, Peer};
use matrix::{Cell, Matrix};
use program::Output;

const USAGE: &str =
    "usage: interop BROKERS FRANZ_GO JAVA CLASS_PATH table [--all] | vectors DIR | groups OTTLA";

/// For programs that end soon.
const JAVA_OPTIONS: [&str; 2] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [brokers, franz_go, java, class_path, command @ ..] = &args[..] else {
        return Err(USAGE.into());
    };
    let run = Run {
        brokers: brokers.clone(),
        log: Log::connect(brokers)?,
        programs: Programs::new(franz_go, java, class_path, &JAVA_OPTIONS)?,
    };
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    match command[..] {
        ["table"] => run.table(false).await,
        ["table", "--all"] => run.table(true).await,
        ["vectors", dir] => run.vectors(Path::new(dir)).await,
        ["groups", ottla] => Ok(exit_code(run.groups(Path::new(ottla)).await?)),
        _ => Err(USAGE.into()),
    }
}

struct Run {
    brokers: String,
    log: Log,
    programs: Programs,
}

impl Run {
    async fn table(&self, all: bool) -> Result<ExitCode> {
        let mut matrix = Matrix::default();
        for writer in &PEERS {
            let topic = self.write(writer).await;
            for reader in &PEERS {
                let concerns_us = writer.name == "ottla" || reader.name == "ottla";
                if !concerns_us && !all {
                    continue;
                }
                for codec in Codec::ALL {
                    let cell = match &topic {
                        Ok(topic) => self.read(writer, reader, codec, topic).await?,
                        Err(error) => Cell::failed(format!("not written: {error}")),
                    };
                    matrix.add(writer.name, reader.name, codec, concerns_us, cell);
                }
            }
        }
        print!("{matrix}");
        Ok(exit_code(matrix.is_good()))
    }

    async fn vectors(&self, dir: &Path) -> Result<ExitCode> {
        for peer in PEERS.iter().filter(|peer| peer.name != "ottla") {
            let topic = self.write(peer).await?;
            let version = self
                .run(peer, vec!["version".into()])
                .await?
                .success()?
                .concat();
            vectors::write(dir, peer, &version, &self.log, &topic).await?;
            println!("{} {version}", peer.name);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Has a client write all of its cases; the topic's name.
    async fn write(&self, peer: &Peer) -> Result<String> {
        let topic = format!("by-{}", peer.name);
        let cases = peer.cases();
        self.log.create(&topic, cases.len()).await?;
        let mut args = vec!["write".to_owned(), self.brokers.clone(), topic.clone()];
        for (partition, Case { codec, level, set }) in (0..).zip(cases) {
            let set = set.to_owned();
            let batch = Batch {
                partition,
                codec,
                level,
                set,
            };
            args.push(batch.to_string());
        }
        let told = args.len() - 3;
        let written = self.run(peer, args).await?.success()?.len();
        if written != told {
            return Err(format!("{written} of {told} cases written").into());
        }
        Ok(topic)
    }

    /// Has a client read what another wrote with a codec. After a failure it reads partition by partition, for a client
    /// may give up at the first that it cannot read.
    async fn read(&self, writer: &Peer, reader: &Peer, codec: Codec, topic: &str) -> Result<Cell> {
        let cases = (0..).zip(writer.cases());
        let chosen: Vec<(i32, Case)> = cases
            .filter(|(_, case)| case.codec == codec && reader.can(case))
            .collect();
        let output = self.read_partitions(reader, topic, &chosen).await?;
        let mut cell = Cell::default();
        let mut judge = |output: &Output, chosen: &[(i32, Case)]| {
            let read = output.by_partition();
            for (partition, case) in chosen {
                let expected = expected(case);
                match read.get(partition) {
                    Some(lines) if *lines == [&expected] => cell.good += 1,
                    other => {
                        let found = other.map_or("nothing".to_owned(), |lines| lines.join(", "));
                        let level = case
                            .level
                            .map_or("default".to_owned(), |level| level.to_string());
                        let why = output.failure.as_deref().unwrap_or("other records");
                        let set = case.set;
                        cell.bad.push(format!(
                            "{set} at level {level}: {found} for {expected} ({why})"
                        ));
                    }
                }
            }
        };
        if output.failure.is_none() {
            judge(&output, &chosen);
        } else {
            for one in chosen.chunks(1) {
                judge(&self.read_partitions(reader, topic, one).await?, one);
            }
        }
        Ok(cell)
    }

    async fn read_partitions(
        &self,
        reader: &Peer,
        topic: &str,
        chosen: &[(i32, Case)],
    ) -> Result<Output> {
        let mut args = vec!["read".to_owned(), self.brokers.clone(), topic.to_owned()];
        args.extend(chosen.iter().map(|(partition, case)| {
            let count = records(case).len();
            format!("{partition}:{count}")
        }));
        self.run(reader, args).await
    }

    async fn run(&self, peer: &Peer, args: Vec<String>) -> Result<Output> {
        program::run(&self.programs.command(peer.name), &args).await
    }
}

fn exit_code(is_good: bool) -> ExitCode {
    match is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn records(case: &Case) -> Vec<records::Record> {
    records::of(case.set).expect("a set of the table")
}

/// What a reader prints of a partition, behind its number.
fn expected(case: &Case) -> String {
    let records = records(case);
    format!("{} {}", records.len(), Digest::of(&records))
}
