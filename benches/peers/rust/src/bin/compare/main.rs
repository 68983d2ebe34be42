//! Measures clients doing the same work, one after another in every round.
//!
//! ```text
//! compare BROKERS FRANZ_GO JAVA CLASS_PATH [--clients A,B…] [--work A,B…] [--rounds N] [--records N] [--out DIR]
//! ```
//!
//! The tables go to stdout, and with `--out` as `RESULTS.md` and `results.svg` into a directory. `cargo xtask bench
//! peers` builds everything and starts this.

mod chart;
mod child;
mod measurement;
mod results;
mod works;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use ottla_peers::{Log, Programs, Result};

use measurement::{Logged, Measurement};
use results::{Cell, Conditions, Table};
use works::{CLIENTS, Contender, Kind, PARTITIONS, WORKS, Work};

const USAGE: &str = "usage: compare BROKERS FRANZ_GO JAVA CLASS_PATH [--clients A,B…] [--work A,B…] [--rounds N] \
                     [--records N] [--out DIR]";

/// The heap that Kafka's own tools for measuring have.
const JAVA_OPTIONS: [&str; 1] = ["-Xmx512M"];

/// Whose records are consumed: Kafka's own.
const WRITER: &str = "java";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [brokers, franz_go, java, class_path, options @ ..] = &args[..] else {
        return Err(USAGE.into());
    };
    let choice = Choice::parse(options)?;
    let bench = Bench {
        brokers: brokers.clone(),
        log: Log::connect(brokers)?,
        programs: Programs::new(franz_go, java, class_path, &JAVA_OPTIONS)?,
    };
    let mut conditions = Conditions::now(choice.rounds);
    for client in &choice.clients {
        let version = child::output(&bench.programs.command(client), &["version".into()])?;
        conditions
            .versions
            .push((client, version.trim().to_owned()));
    }
    let mut tables = Vec::new();
    for work in &choice.works {
        let table = bench.measure(work, &choice).await?;
        println!("{table}");
        tables.push(table);
    }
    conditions.ended();
    if let Some(dir) = &choice.out {
        fs::write(dir.join("RESULTS.md"), results::page(&tables, &conditions))?;
        fs::write(dir.join("results.svg"), chart::svg(&tables))?;
    }
    Ok(match results::are_sound(&tables) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What to measure.
#[derive(Debug)]
struct Choice {
    clients: Vec<&'static str>,
    works: Vec<Work>,
    rounds: usize,
    out: Option<PathBuf>,
}

impl Choice {
    fn parse(options: &[String]) -> Result<Self> {
        let mut choice = Self {
            clients: CLIENTS.to_vec(),
            works: WORKS.to_vec(),
            rounds: 5,
            out: None,
        };
        let mut records = None;
        for option in options.chunks(2) {
            let [name, value] = option else {
                return Err(USAGE.into());
            };
            match name.as_str() {
                "--clients" => {
                    choice.clients = chosen(value, CLIENTS, |client| (*client).to_owned())?
                }
                "--work" => choice.works = chosen(value, WORKS, Work::name)?,
                "--rounds" => choice.rounds = value.parse()?,
                "--records" => records = Some(value.parse()?),
                "--out" => choice.out = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        if let Some(records) = records {
            for work in &mut choice.works {
                work.records = records;
            }
        }
        Ok(choice)
    }
}

/// Those of the names in a list.
fn chosen<T, const N: usize>(
    names: &str,
    all: [T; N],
    name_of: impl Fn(&T) -> String,
) -> Result<Vec<T>> {
    let known: Vec<String> = all.iter().map(&name_of).collect();
    if let Some(unknown) = names
        .split(',')
        .find(|name| !known.iter().any(|of| of == name))
    {
        return Err(format!("no {unknown}; there are {}", known.join(", ")).into());
    }
    let is_chosen = |one: &T| names.split(',').any(|name| name == name_of(one));
    Ok(all.into_iter().filter(is_chosen).collect())
}

struct Bench {
    brokers: String,
    log: Log,
    programs: Programs,
}

impl Bench {
    /// Has everybody do a work, in rounds of which the first does not count, each begun by another.
    async fn measure(&self, work: &Work, choice: &Choice) -> Result<Table> {
        let contenders = work.contenders(&choice.clients);
        let filled = match work.kind {
            Kind::Consume => Some(self.fill(work).await?),
            _ => None,
        };
        let mut cells: BTreeMap<String, Cell> = BTreeMap::new();
        for round in 0..=choice.rounds {
            for turn in 0..contenders.len() {
                let contender = &contenders[(round + turn) % contenders.len()];
                let cell = cells.entry(contender.name()).or_default();
                // It has no number any more, and perhaps a long wait.
                if cell.has_failed() {
                    continue;
                }
                let outcome = match &filled {
                    Some(topic) => self.run(work, contender, topic).await,
                    None => {
                        let topic = format!("{}-{}-{round}", work.name(), contender.client);
                        self.log.create(&topic, PARTITIONS as usize).await?;
                        let outcome = self.run(work, contender, &topic).await;
                        self.log.delete(&topic).await?;
                        outcome
                    }
                };
                let (work, name) = (work.name(), contender.name());
                eprintln!("{work} round {round}, {name}: {}", shown(&outcome));
                // The first is a warm-up, if it is a success.
                if round > 0 || outcome.is_err() {
                    cell.add(outcome);
                }
            }
        }
        if let Some(topic) = filled {
            self.log.delete(&topic).await?;
        }
        let rows = contenders.iter().map(Contender::name);
        let rows = rows.map(|name| (cells.remove(&name).unwrap_or_default(), name));
        Ok(Table {
            work: *work,
            rows: rows.map(|(cell, name)| (name, cell)).collect(),
        })
    }

    /// Makes the topic that is to be consumed.
    async fn fill(&self, work: &Work) -> Result<String> {
        let filling = work.filling();
        let topic = format!("{}-filled", work.name());
        self.log.create(&topic, PARTITIONS as usize).await?;
        let writer = Contender {
            client: WRITER,
            command: filling.kind.name(),
        };
        self.run(&filling, &writer, &topic).await?;
        Ok(topic)
    }

    async fn run(&self, work: &Work, contender: &Contender, topic: &str) -> Result<Measurement> {
        let args = work.args(contender.command, &self.brokers, topic);
        let run = child::run(&self.programs.command(contender.client), &args)?;
        let logged = Logged {
            ends: self.log.ends(topic, PARTITIONS).await?,
            bytes: self.log.bytes(topic, PARTITIONS).await?,
        };
        Measurement::of(work, &run, &logged)
    }
}

fn shown(outcome: &Result<Measurement>) -> String {
    match outcome {
        Ok(run) => format!(
            "{:.3} us a record, {:.0} records a second, {:.0} MB",
            run.cpu, run.rate, run.memory
        ),
        Err(error) => format!("FAILED: {error}"),
    }
}
