//! What the clients talk to: a broker that somebody else has started, or a sink that is started for a work.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use ottla_peers::{Log, Result};

use crate::measurement::Logged;
use crate::works::{Against, Kind, Work};

/// Brokers, for as long as this lives.
pub(crate) struct Target {
    pub(crate) brokers: String,
    log: Log,
    has_sizes: bool,
    /// The topic that is full of records already.
    filled: Option<String>,
    process: Option<Child>,
}

impl Target {
    pub(crate) fn broker(brokers: &str) -> Result<Self> {
        Ok(Self {
            brokers: brokers.to_owned(),
            log: Log::connect(brokers)?,
            has_sizes: true,
            filled: None,
            process: None,
        })
    }

    /// Starts a sink with the program `ottla`, filled if the work is to consume.
    pub(crate) fn sink(ottla: &str, brokers: u32, work: &Work) -> Result<Self> {
        let mut command = Command::new(ottla);
        command.args(["fake", "--quiet", "--sink", "--port", "0"]);
        command.args(["--brokers", &brokers.to_string()]);
        let filled = (work.kind == Kind::Consume).then(|| format!("{}-filled", work.name()));
        if let Some(topic) = &filled {
            command.args(["--topic", &format!("{topic}:{}", work.partitions)]);
            command.args(["--records", &work.records.to_string()]);
            command.args(["--size", &work.size.to_string()]);
            command.args(["--compression", work.codec.name()]);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{ottla}: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let Some(brokers) = line.trim().strip_prefix("ready ") else {
            process.kill()?;
            process.wait()?;
            return Err("the sink does not start".into());
        };
        Ok(Self {
            brokers: brokers.to_owned(),
            log: Log::connect(brokers)?,
            has_sizes: false,
            filled,
            process: Some(process),
        })
    }

    /// The topic to consume, if there is one already.
    pub(crate) fn filled(&self) -> Option<&str> {
        self.filled.as_deref()
    }

    pub(crate) async fn create(&self, topic: &str, partitions: i32) -> Result<()> {
        self.log.create(topic, partitions as usize).await
    }

    pub(crate) async fn delete(&self, topic: &str) -> Result<()> {
        self.log.delete(topic).await
    }

    /// What there is of a topic.
    pub(crate) async fn logged(&self, topic: &str, partitions: i32) -> Result<Logged> {
        Ok(Logged {
            ends: self.log.ends(topic).await?,
            bytes: match self.has_sizes {
                true => Some(self.log.bytes(topic, partitions).await?),
                false => None,
            },
        })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // One that has ended by itself needs no ending.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Starts what a work is measured against.
pub(crate) fn start(work: &Work, brokers: Option<&str>, ottla: Option<&str>) -> Result<Target> {
    match work.against {
        Against::Nothing => Err("there is nothing to start".into()),
        Against::Broker => Target::broker(brokers.ok_or("no broker is given")?),
        Against::Sink(brokers) => Target::sink(ottla.ok_or("no sink is given")?, brokers, work),
    }
}
