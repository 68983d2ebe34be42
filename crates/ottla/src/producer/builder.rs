//! How a producer is set up: setters with their defaults, and the check that they fit together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ottla_connection::Backoff;
use tokio::sync::Semaphore;

use super::accumulator::{Accumulator, Limits};
use super::assigner::Assigner;
use super::compression::{Compression, Sealer};
use super::handle::Producer;
use super::partitioner::Partitioner;
use super::properties::PROPERTIES;
use super::sender::Context;
use super::shared::Shared;
use super::upkeep::Upkeep;
use crate::client::Core;
use crate::config::properties;
use crate::error::{ErrorKind, Result};

/// How many answers an idempotent producer may leave outstanding: what brokers remember of it.
const MAX_IDEMPOTENT_IN_FLIGHT: usize = 5;

/// Whose acknowledgement makes a record count as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acks {
    /// Nobody's: a record counts as written when it was handed to the network, its offset stays
    /// unknown, and it may be lost without notice.
    None,
    /// The leader's alone: an acknowledged record is lost if the leader dies before its followers
    /// have it.
    Leader,
    /// That of all replicas in sync. The default.
    #[default]
    All,
}

impl Acks {
    fn on_the_wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// The settings of a producer that is about to be made.
#[derive(Clone)]
pub struct ProducerBuilder {
    core: Arc<Core>,
    pub(super) settings: Settings,
    partitioner: Option<Arc<dyn Partitioner>>,
}

/// Every setting, `None` where the default depends on others.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) acks: Acks,
    pub(super) idempotence: Option<bool>,
    pub(super) max_in_flight: Option<usize>,
    pub(super) batch_size: usize,
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Option<Duration>,
    pub(super) max_block: Duration,
    pub(super) unknown_topic_timeout: Duration,
    pub(super) memory: usize,
    pub(super) max_request_size: usize,
    pub(super) compression: Compression,
    pub(super) compression_level: Option<i32>,
    /// Levels that count for one codec only: Java has a property for each.
    codec_levels: [(Compression, Option<i32>); 3],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotence: None,
            max_in_flight: None,
            batch_size: 128 * 1024,
            linger: Duration::from_millis(5),
            delivery_timeout: None,
            max_block: Duration::from_secs(60),
            unknown_topic_timeout: Duration::from_secs(10),
            memory: 32 * 1024 * 1024,
            max_request_size: 1024 * 1024,
            compression: Compression::None,
            compression_level: None,
            codec_levels: [
                (Compression::Gzip, None),
                (Compression::Lz4, None),
                (Compression::Zstd, None),
            ],
        }
    }
}

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

impl ProducerBuilder {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            settings: Settings::default(),
            partitioner: None,
        }
    }

    /// Whose acknowledgement is waited for. Default: that of all replicas in sync.
    ///
    /// Anything less turns idempotence off, unless that was asked for: then it is an error.
    #[doc(alias = "request.required.acks")]
    #[must_use]
    pub fn acks(mut self, acks: Acks) -> Self {
        self.settings.acks = acks;
        self
    }

    /// Whether retries are kept from writing a record twice or out of order (KIP-98, KIP-679).
    /// Default: yes, if all replicas acknowledge.
    ///
    /// Without it a retry may write a record twice, and with more than one request in flight a retry
    /// may come after what was sent later.
    #[doc(alias = "enable.idempotence")]
    #[must_use]
    pub fn idempotence(mut self, idempotence: bool) -> Self {
        self.settings.idempotence = Some(idempotence);
        self
    }

    /// How many requests per broker may be without an answer, from 1; with idempotence at most 5.
    /// Default: 5.
    #[doc(alias = "max.in.flight.requests.per.connection")]
    #[doc(alias = "max.in.flight")]
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.settings.max_in_flight = Some(requests);
        self
    }

    /// The size, in bytes on the wire, at which a batch is full. Default: 128 KiB.
    ///
    /// Larger than Java's 16 KiB, because memory is taken as a batch fills and not in advance: a large
    /// limit costs a slow partition nothing. Compressed batches are filled up to this size by an
    /// estimate that follows the data. It is also how many bytes of records without a key a partition
    /// gets before the next one has its turn.
    #[doc(alias = "batch.size")]
    #[doc(alias = "batch.num.messages")]
    #[must_use]
    pub fn batch_size(mut self, bytes: usize) -> Self {
        self.settings.batch_size = bytes;
        self
    }

    /// How long a record may wait for others to share its batch. Default: 5 ms (KIP-1030).
    ///
    /// A full batch goes at once, and so does everything when [`Producer::flush`] is called. Zero sends
    /// each record as soon as its leader has a request to spare, which is best for one record at a time
    /// and costly for many.
    #[doc(alias = "linger.ms")]
    #[doc(alias = "queue.buffering.max.ms")]
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// How long the delivery of a record may take, from its admission on and with all retries.
    /// Default: 120 s, or the linger and one request timeout if those are more.
    ///
    /// At the deadline the record fails, and [`Error::possibly_written`](crate::Error::possibly_written)
    /// says whether it may be in the log all the same.
    #[doc(alias = "delivery.timeout.ms")]
    #[doc(alias = "message.timeout.ms")]
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.settings.delivery_timeout = Some(timeout);
        self
    }

    /// How long [`Producer::send`] may wait for memory. Default: 60 s.
    ///
    /// It does not wait for metadata: a record of a topic that is not known yet is taken in like any other.
    #[doc(alias = "max.block.ms")]
    #[must_use]
    pub fn max_block(mut self, time: Duration) -> Self {
        self.settings.max_block = time;
        self
    }

    /// How long records wait for a topic that brokers say they do not know: it may have been created just
    /// now, or be created because it is asked for. Then their deliveries fail. Default: 10 s.
    #[must_use]
    pub fn unknown_topic_timeout(mut self, timeout: Duration) -> Self {
        self.settings.unknown_topic_timeout = timeout;
        self
    }

    /// How many bytes all records without an outcome may take together. Default: 32 MiB.
    ///
    /// When they are used up, [`Producer::send`] waits and [`Producer::try_send`] refuses. A record that is
    /// larger than the whole budget passes alone.
    #[doc(alias = "buffer.memory")]
    #[doc(alias = "queue.buffering.max.kbytes")]
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.settings.memory = bytes;
        self
    }

    /// The largest record, with its framing, and the size up to which batches for different partitions
    /// share a request, in bytes. Default: 1 MiB, what brokers take by default.
    #[doc(alias = "max.request.size")]
    #[doc(alias = "message.max.bytes")]
    #[must_use]
    pub fn max_request_size(mut self, bytes: usize) -> Self {
        self.settings.max_request_size = bytes;
        self
    }

    /// How batches are compressed. Default: not at all.
    #[doc(alias = "compression.type")]
    #[doc(alias = "compression.codec")]
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.settings.compression = compression;
        self
    }

    /// How hard the compression tries (KIP-390): gzip 1 to 9, zstd -131072 to 22, LZ4 1 to 17. LZ4 has
    /// one way only, there a level is accepted and changes nothing. Default: the codec's own (6, 3, 9).
    #[doc(alias = "compression.gzip.level")]
    #[doc(alias = "compression.lz4.level")]
    #[doc(alias = "compression.zstd.level")]
    #[doc(alias = "compression.level")]
    #[must_use]
    pub fn compression_level(mut self, level: i32) -> Self {
        self.settings.compression_level = Some(level);
        self
    }

    /// Who chooses partitions for records without an explicit one. Default: as Java's producer does, by
    /// murmur2 of the key; records without a key go to one partition at a time (KIP-794).
    #[doc(alias = "partitioner.class")]
    #[must_use]
    pub fn partitioner(mut self, partitioner: impl Partitioner) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Applies settings by the names that Java's and librdkafka's clients use.
    ///
    #[doc = include_str!("properties.md")]
    ///
    /// Names that belong to the client are left to it; others that Kafka clients know are skipped with
    /// one warning.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownProperty`] for a name that no Kafka client knows,
    /// [`ErrorKind::InvalidConfig`] for a value that cannot be.
    pub fn properties<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        let elsewhere = properties::names_of(crate::client::PROPERTIES);
        properties::apply(&mut self, PROPERTIES, &elsewhere, properties)?;
        Ok(self)
    }

    /// Makes the producer. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] names the setting that cannot work, alone or beside the others.
    pub fn build(self) -> Result<Producer> {
        let config = &self.core.config;
        let limits = self
            .settings
            .limits(config.request_timeout, config.retry_backoff)?;
        let sealer = Sealer::new(self.settings.compression, self.settings.level())?;
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let max_in_flight = limits.max_in_flight;
        let accumulator = Accumulator::new(limits, self.core.env.fork_rng());
        let shared = Arc::new(Shared::new(accumulator));
        let context = Arc::new(Context {
            shutdown: self.core.shutdown.child_token(),
            owner: self.core.next_owner_id(),
            core: self.core,
            shared,
            sealer,
            cpus: Semaphore::new(cpus),
            acks: self.settings.acks.on_the_wire(),
            max_in_flight,
        });
        let assigner = Assigner::new(context.clone(), self.partitioner.clone());
        let upkeep = Upkeep::new(context.clone(), assigner);
        context.core.tasks.spawn(upkeep.run());
        let max_block = self.settings.max_block;
        Ok(Producer::new(context, self.partitioner, max_block))
    }
}

impl Settings {
    /// The level for the codec in use.
    fn level(&self) -> Option<i32> {
        let levels = self.codec_levels.iter();
        let of_codec = levels.filter(|(codec, _)| *codec == self.compression);
        let of_codec = of_codec.filter_map(|(_, level)| *level).next();
        self.compression_level.or(of_codec)
    }

    pub(super) fn set_level(
        &mut self,
        of: Compression,
        value: &str,
    ) -> std::result::Result<(), String> {
        let given = Some(properties::number(value)?);
        for (codec, level) in &mut self.codec_levels {
            if *codec == of {
                *level = given;
            }
        }
        Ok(())
    }

    /// Checks what can be checked without a broker.
    fn limits(
        &self,
        request_timeout: Duration,
        retry_backoff: (Duration, Duration),
    ) -> Result<Limits> {
        let idempotent = self.idempotence.unwrap_or(self.acks == Acks::All);
        if idempotent && self.acks != Acks::All {
            return invalid(
                "acks",
                "idempotence needs the acknowledgement of all replicas",
            );
        }
        let max_in_flight = self.max_in_flight.unwrap_or(MAX_IDEMPOTENT_IN_FLIGHT);
        if max_in_flight == 0 {
            return invalid(
                "max.in.flight.requests.per.connection",
                "it must be at least 1",
            );
        }
        if idempotent && max_in_flight > MAX_IDEMPOTENT_IN_FLIGHT {
            let reason = "idempotence allows for 5 at most";
            return invalid("max.in.flight.requests.per.connection", reason);
        }
        let least = self.linger.saturating_add(request_timeout);
        if self.delivery_timeout.is_some_and(|timeout| timeout < least) {
            let reason = "it must cover the linger and one request timeout";
            return invalid("delivery.timeout.ms", reason);
        }
        for (property, bytes) in [
            ("batch.size", self.batch_size),
            ("buffer.memory", self.memory),
            ("max.request.size", self.max_request_size),
        ] {
            if bytes == 0 {
                return invalid(property, "it must be above zero");
            }
        }
        Ok(Limits {
            batch_size: self.batch_size.min(self.max_request_size),
            linger: self.linger,
            delivery_timeout: self.delivery_timeout.unwrap_or(DELIVERY_TIMEOUT.max(least)),
            unknown_topic_timeout: self.unknown_topic_timeout,
            memory: self.memory,
            max_request_size: self.max_request_size,
            max_in_flight,
            idempotent,
            retry_backoff: Backoff::new(retry_backoff.0, retry_backoff.1),
        })
    }
}

fn invalid<T>(property: &str, reason: &str) -> Result<T> {
    Err(ErrorKind::InvalidConfig {
        property: property.to_owned(),
        reason: reason.to_owned(),
    }
    .into())
}

impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ProducerBuilder");
        out.field("settings", &self.settings);
        out.field("partitioner", &self.partitioner.is_some());
        out.finish_non_exhaustive()
    }
}
