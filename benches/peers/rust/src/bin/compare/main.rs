//! Measures clients doing the same work, one after another in every round.
//!
//! ```text
//! compare FRANZ_GO JAVA CLASS_PATH [--broker HOST:PORT] [--sink OTTLA] [--minimal DIR] [--counting LIBRARY]
//!         [--clients A,B…] [--work A,B…] [--rounds N] [--records N] [--scale full|brief] [--out DIR]
//! ```
//!
//! The tables go to stdout, and with `--out` beside what a directory has from earlier runs: `results.json`,
//! `RESULTS.md`, `results.svg`. What nothing is given to be measured against is left out. Briefly, whatever can be is done
//! with few records. `cargo xtask bench peers` builds everything and starts this.

mod build;
mod chart;
mod child;
mod measurement;
mod results;
mod table;
mod target;
mod works;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ottla_peers::{Programs, Result};

use measurement::{Measurement, Metric, of_build, of_idle, of_run};
use results::Results;
use table::{Cell, Table};
use target::Target;
use works::{Against, CLIENTS, Contender, Kind, WORKS, Work};

const USAGE: &str = "usage: compare FRANZ_GO JAVA CLASS_PATH [--broker HOST:PORT] [--sink OTTLA] \
                     [--minimal DIR] [--counting LIBRARY] [--clients A,B…] [--work A,B…] [--rounds N] [--records N] [--scale full|brief] \
                     [--out DIR]";

/// The heap that Kafka's own tools for measuring have.
const JAVA_OPTIONS: [&str; 1] = ["-Xmx512M"];

/// How much is done briefly.
const BRIEF_ROUNDS: usize = 1;
const BRIEF_RECORDS: usize = 10_000;

/// Whose records are consumed from a broker: Kafka's own.
const WRITER: &str = "java";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [franz_go, java, class_path, options @ ..] = &args[..] else {
        return Err(USAGE.into());
    };
    let bench = Bench {
        programs: Programs::new(franz_go, java, class_path, &JAVA_OPTIONS)?,
        choice: Choice::parse(options)?,
    };
    let mut results = match &bench.choice.out {
        Some(dir) => Results::load(dir)?,
        None => Results::default(),
    };
    for client in &bench.choice.clients {
        let version = child::output(&bench.programs.command(client), &["version".into()])?;
        let version = version.trim().to_owned();
        results.versions.insert((*client).to_owned(), version);
    }
    for work in &bench.choice.works {
        let table = match work.against {
            Against::Nothing => bench.build(work),
            _ => bench.measure(work).await?,
        };
        println!("{}", table.shown(work));
        results.add(work, table);
        // After each: it may be stopped before all are done.
        if let Some(dir) = &bench.choice.out {
            results.save(dir)?;
        }
    }
    Ok(match results.are_sound() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What to measure, and with what.
#[derive(Debug)]
struct Choice {
    clients: Vec<&'static str>,
    works: Vec<Work>,
    rounds: usize,
    out: Option<PathBuf>,
    /// The address of a broker.
    broker: Option<String>,
    /// The program that can be a sink.
    sink: Option<String>,
    /// The packages to build.
    minimal: Option<PathBuf>,
    /// The library that counts allocations.
    counting: Option<PathBuf>,
}

impl Choice {
    fn parse(options: &[String]) -> Result<Self> {
        let mut choice = Self {
            clients: CLIENTS.to_vec(),
            works: WORKS.to_vec(),
            rounds: 5,
            out: None,
            broker: None,
            sink: None,
            minimal: None,
            counting: None,
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
                "--scale" => match value.as_str() {
                    "full" => {}
                    "brief" => {
                        choice.works.retain(Work::is_small);
                        choice.rounds = BRIEF_ROUNDS;
                        records = Some(BRIEF_RECORDS);
                    }
                    _ => return Err(USAGE.into()),
                },
                "--out" => choice.out = Some(value.into()),
                "--broker" => choice.broker = Some(value.clone()),
                "--sink" => choice.sink = Some(value.clone()),
                "--minimal" => choice.minimal = Some(value.into()),
                "--counting" => choice.counting = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        choice.works.retain(|work| match work.against {
            Against::Nothing => choice.minimal.is_some(),
            Against::Broker => choice.broker.is_some(),
            Against::Sink(_) => choice.sink.is_some(),
        });
        if let Some(records) = records {
            if choice.out.is_some() {
                return Err("what is kept is of as many records as its title says".into());
            }
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
    programs: Programs,
    choice: Choice,
}

impl Bench {
    /// Builds everybody's package.
    fn build(&self, work: &Work) -> Table {
        let load = results::load();
        let mut cells: BTreeMap<String, Cell> = BTreeMap::new();
        let packages = self.choice.minimal.clone().unwrap_or_default();
        for round in 1..=self.choice.rounds {
            for contender in work.contenders(&self.choice.clients) {
                let built = build::build(&packages, contender.client);
                let outcome = built.map(|built| of_build(&built));
                let name = contender.name();
                eprintln!("build round {round}, {name}: {}", shown(&outcome));
                cells.entry(name).or_default().add(outcome);
            }
        }
        Table {
            rounds: self.choice.rounds,
            load: [load, results::load()],
            cells,
        }
    }

    /// Has everybody do a work, in rounds of which the first does not count, each begun by another.
    async fn measure(&self, work: &Work) -> Result<Table> {
        let contenders = work.contenders(&self.choice.clients);
        let load = results::load();
        let (broker, sink) = (self.choice.broker.as_deref(), self.choice.sink.as_deref());
        let target = target::start(work, broker, sink)?;
        let shared = match work.kind {
            Kind::Consume | Kind::Idle => Some(self.prepare(&target, work).await?),
            _ => None,
        };
        let mut cells: BTreeMap<String, Cell> = BTreeMap::new();
        // Waiting needs no practice.
        let practice = if work.kind == Kind::Idle { 1 } else { 0 };
        for round in practice..=self.choice.rounds {
            for turn in 0..contenders.len() {
                let contender = &contenders[(round + turn) % contenders.len()];
                let cell = cells.entry(contender.name()).or_default();
                // It has no number any more, and perhaps a long wait.
                if cell.has_failed() {
                    continue;
                }
                let outcome = match &shared {
                    Some(topic) => self.run(&target, work, contender, topic, round).await,
                    None => {
                        let topic = format!("{}-{}-{round}", work.name(), contender.client);
                        target.create(&topic, work.partitions).await?;
                        let outcome = self.run(&target, work, contender, &topic, round).await;
                        target.delete(&topic).await?;
                        outcome
                    }
                };
                let (work, name) = (work.name(), contender.name());
                eprintln!("{work} round {round}, {name}: {}", shown(&outcome));
                match outcome {
                    Ok(practice) if round == 0 => {
                        cell.allocations = practice.get(&Metric::Allocations).copied();
                    }
                    outcome => cell.add(outcome),
                }
            }
        }
        if let Some(topic) = shared {
            target.delete(&topic).await?;
        }
        Ok(Table {
            rounds: self.choice.rounds,
            load: [load, results::load()],
            cells,
        })
    }

    /// Has a topic that everybody consumes.
    async fn prepare(&self, target: &Target, work: &Work) -> Result<String> {
        if let Some(topic) = target.filled() {
            return Ok(topic.to_owned());
        }
        let topic = format!("{}-filled", work.name());
        target.create(&topic, work.partitions).await?;
        if work.kind == Kind::Consume {
            let filling = work.filling();
            let writer = Contender::new(WRITER, filling.kind.name());
            self.run(target, &filling, &writer, &topic, 1).await?;
        }
        Ok(topic)
    }

    async fn run(
        &self,
        target: &Target,
        work: &Work,
        contender: &Contender,
        topic: &str,
        round: usize,
    ) -> Result<Measurement> {
        let words = self.programs.command(contender.client);
        let args = work.args(contender, &target.brokers, topic);
        if work.kind == Kind::Idle {
            return Ok(of_idle(&child::idle(&words, &args)?));
        }
        let counting = self.choice.counting.as_deref();
        let counting = counting.filter(|_| round == 0 && contender.is_native());
        let threads = contender.way.map(|way| way.threads.to_string());
        let variables = [
            ("LD_PRELOAD", counting.map(Path::as_os_str)),
            ("TOKIO_WORKER_THREADS", threads.as_deref().map(OsStr::new)),
        ];
        let run = child::run(&words, &args, &variables)?;
        of_run(work, &run, &target.logged(topic, work.partitions).await?)
    }
}

fn shown(outcome: &Result<Measurement>) -> String {
    match outcome {
        Ok(run) => {
            let numbers = run.iter();
            let numbers: Vec<_> = numbers
                .map(|(metric, number)| format!("{} {:.3}", metric.title(), metric.shown(*number)))
                .collect();
            numbers.join("; ")
        }
        Err(error) => format!("FAILED: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &str) -> Result<Choice> {
        let options: Vec<_> = options.split_whitespace().map(str::to_owned).collect();
        Choice::parse(&options)
    }

    #[test]
    fn works_are_those_that_something_is_given_for() {
        let against = |options: &str| -> Vec<_> {
            let works = parse(options).unwrap().works;
            works
                .iter()
                .map(|work| work.against != Against::Broker)
                .collect()
        };
        assert!(against("").is_empty());
        assert!(against("--broker a:1").iter().all(|is_sink| !is_sink));
        assert!(against("--sink ottla").iter().all(|is_sink| *is_sink));
        assert_eq!(against("--minimal dir").len(), 1);
        assert_eq!(
            against("--sink ottla --broker a:1 --minimal dir").len(),
            WORKS.len()
        );
    }

    #[test]
    fn briefly_there_is_one_round_of_few_records() {
        let brief = parse("--sink ottla --broker a:1 --minimal dir --scale brief").unwrap();
        assert_eq!(brief.rounds, 1);
        assert!(brief.works.iter().all(|work| work.records == 10_000));
        let left_out = WORKS.len() - brief.works.len();
        assert_eq!(
            left_out,
            WORKS.iter().filter(|work| !work.is_small()).count()
        );
        assert!(left_out > 0);
    }

    #[test]
    fn a_choice_is_by_name_and_unknown_names_are_refused() {
        let choice =
            parse("--broker a:1 --work latency-100-none --clients java,ottla --records 7").unwrap();
        assert_eq!(choice.clients, ["ottla", "java"]);
        let works: Vec<_> = choice
            .works
            .iter()
            .map(|work| (work.name(), work.records))
            .collect();
        assert_eq!(works, [("latency-100-none".to_owned(), 7)]);
        let error = parse("--work produce-1-none").unwrap_err().to_string();
        assert!(
            error.starts_with("no produce-1-none; there are produce-100-none, "),
            "{error}"
        );
        assert!(parse("--rounds").is_err());
        assert!(parse("--records 7 --out dir").is_err());
        assert!(parse("--nothing 1").is_err());
    }
}
