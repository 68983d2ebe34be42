//! What is measured: the only table of it.

use ottla_peers::Codec;

/// How many partitions every topic has.
pub(crate) const PARTITIONS: i32 = 6;

/// Everybody's settings for what is not about the latency of single records.
pub(crate) const LINGER_MS: u32 = 5;
pub(crate) const BATCH_BYTES: u32 = 128 << 10;

/// The clients, in the order of the first round.
pub(crate) const CLIENTS: [&str; 8] = [
    "ottla",
    "franz-go",
    "librdkafka",
    "confluent-kafka",
    "kacrab",
    "krafka",
    "rskafka",
    "java",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Produce,
    Consume,
    Latency,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Latency => "latency",
        }
    }
}

/// A thing that every client does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) kind: Kind,
    /// Bytes of each value; there is no key.
    pub(crate) size: usize,
    pub(crate) codec: Codec,
    pub(crate) records: usize,
}

const fn work(kind: Kind, size: usize, codec: Codec, records: usize) -> Work {
    Work {
        kind,
        size,
        codec,
        records,
    }
}

pub(crate) const WORKS: [Work; 11] = [
    work(Kind::Produce, 100, Codec::None, 1_000_000),
    work(Kind::Consume, 100, Codec::None, 1_000_000),
    work(Kind::Produce, 1024, Codec::Lz4, 200_000),
    work(Kind::Consume, 1024, Codec::Lz4, 200_000),
    work(Kind::Produce, 1024, Codec::Zstd, 200_000),
    work(Kind::Consume, 1024, Codec::Zstd, 200_000),
    work(Kind::Produce, 1024, Codec::Snappy, 200_000),
    work(Kind::Consume, 1024, Codec::Snappy, 200_000),
    work(Kind::Produce, 1024, Codec::Gzip, 200_000),
    work(Kind::Consume, 1024, Codec::Gzip, 200_000),
    work(Kind::Latency, 100, Codec::None, 5_000),
];

impl Work {
    /// As in `--work`: `produce-100-none`.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}-{}", self.kind.name(), self.size, self.codec.name())
    }

    /// Who does it, in the order of the first round: ottla consumes in two ways.
    pub(crate) fn contenders(&self, clients: &[&'static str]) -> Vec<Contender> {
        let mut contenders = Vec::new();
        for client in clients {
            contenders.push(Contender {
                client,
                command: self.kind.name(),
            });
            if *client == "ottla" && self.kind == Kind::Consume {
                contenders.push(Contender {
                    client,
                    command: "stream",
                });
            }
        }
        contenders
    }

    /// The command line of a program that does it, behind the program's own words.
    pub(crate) fn args(&self, command: &str, brokers: &str, topic: &str) -> Vec<String> {
        let mut args = vec![command.to_owned(), brokers.to_owned(), topic.to_owned()];
        let (records, size) = (self.records.to_string(), self.size.to_string());
        match self.kind {
            Kind::Produce => args.extend([
                records,
                size,
                self.codec.name().to_owned(),
                LINGER_MS.to_string(),
                BATCH_BYTES.to_string(),
            ]),
            Kind::Consume => args.extend([PARTITIONS.to_string(), records]),
            Kind::Latency => args.extend([records, size]),
        }
        args
    }

    /// What has to be sent before this can be consumed.
    pub(crate) fn filling(&self) -> Self {
        Self {
            kind: Kind::Produce,
            ..*self
        }
    }
}

/// A client, and the command of its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    pub(crate) client: &'static str,
    pub(crate) command: &'static str,
}

impl Contender {
    pub(crate) fn name(&self) -> String {
        match self.command {
            "stream" => format!("{} (stream)", self.client),
            _ => self.client.to_owned(),
        }
    }
}
