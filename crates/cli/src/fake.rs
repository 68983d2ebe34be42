//! `ottla fake`: a fake cluster for other programs' tests.

use std::io::{self, Write};

use ottla_fake::FakeCluster;
use snafu::ResultExt;

use crate::args::Fake;
use crate::diagnostics::complain;
use crate::failure::{Result, StdoutSnafu};
use crate::interrupt::Interrupt;
use crate::text::counted;

pub(crate) async fn run(arguments: Fake) -> Result<()> {
    let mut interrupt = Interrupt::listen()?;
    let mut builder = FakeCluster::builder()
        .brokers(arguments.brokers.into())
        .base_port(arguments.port)
        .release(arguments.release);
    for topic in &arguments.topics {
        builder = builder.topic(&topic.name, topic.partitions);
    }
    let cluster = builder.start().await?;
    let servers = cluster.bootstrap_servers();
    let first = servers.split(',').next().unwrap_or_default();
    let mut stdout = io::stdout();
    writeln!(stdout, "ready {first}")
        .and_then(|()| stdout.flush())
        .context(StdoutSnafu)?;
    if !arguments.verbosity.quiet {
        let brokers = counted(arguments.brokers.into(), "fake broker");
        complain(format_args!("{brokers} at {servers}"));
    }
    interrupt.heard().await;
    cluster.shutdown();
    Ok(())
}
