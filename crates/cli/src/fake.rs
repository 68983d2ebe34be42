//! `ottla fake`: a fake cluster for other programs' tests, or to measure them with.

use std::io::{self, Write};

use ottla_fake::{FakeCluster, FakeError, Record, TopicSpec};
use snafu::ResultExt;

use crate::args::{Codec, Fake};
use crate::diagnostics::complain;
use crate::failure::{Failure, Result, StdoutSnafu};
use crate::interrupt::Interrupt;
use crate::text::counted;
use crate::values::values;

/// How many bytes of values the batches of a filled topic have, but for a record that alone has more.
const BATCH_BYTES: usize = 128 << 10;

pub(crate) async fn run(arguments: Fake) -> Result<()> {
    let mut interrupt = Interrupt::listen()?;
    let mut builder = FakeCluster::builder()
        .brokers(arguments.brokers.into())
        .base_port(arguments.port)
        .sink(arguments.sink)
        .release(arguments.release);
    for topic in &arguments.topics {
        let mut spec = TopicSpec::new(&topic.name, topic.partitions);
        if let Some(codec) = arguments.compression {
            let setting = match codec {
                Codec::None => "uncompressed",
                codec => codec.name(),
            };
            spec = spec.config("compression.type", setting);
        }
        builder = builder.topic_spec(spec);
    }
    let cluster = builder.start().await?;
    tokio::select! {
        biased;
        signal = interrupt.heard() => return Err(Failure::Interrupted { signal }),
        filled = fill(&cluster, &arguments) => filled?,
    }
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

/// Puts the records that were asked for into every topic, batch by batch into its partitions in turn.
async fn fill(cluster: &FakeCluster, wanted: &Fake) -> Result<(), FakeError> {
    let size = wanted.size as usize;
    let in_batch = (BATCH_BYTES / size.max(1)).max(1) as u64;
    for topic in &wanted.topics {
        let values = values(size);
        let mut values = values.iter().cycle();
        let mut left = wanted.records;
        for partition in (0..topic.partitions).cycle() {
            let count = left.min(in_batch);
            if count == 0 {
                break;
            }
            let records = values.by_ref().take(count as usize);
            let records = records.map(|value| Record::of(value.clone()));
            cluster.append(&topic.name, partition, records).await?;
            left -= count;
        }
    }
    Ok(())
}
