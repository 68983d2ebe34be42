//! A producer's settings by the names that Java's and librdkafka's users have in their files.

use super::builder::{Acks, ProducerBuilder};
use super::compression::Compression;
use crate::config::properties::{self, Property};

/// The properties that a producer understands.
pub(crate) static PROPERTIES: &[Property<ProducerBuilder>] = &[
    Property {
        name: "acks",
        aliases: &["request.required.acks"],
        about: "`all` (or -1), 1 or 0: whose acknowledgement is waited for; default `all`",
        set: |b, v| {
            b.settings.acks = match v {
                "all" | "-1" => Acks::All,
                "1" => Acks::Leader,
                "0" => Acks::None,
                _ => return Err(format!("{v:?} is none of all, -1, 1 and 0")),
            };
            Ok(())
        },
    },
    Property {
        name: "enable.idempotence",
        aliases: &[],
        about: "whether retries are kept from writing twice or out of order; default true",
        set: |b, v| {
            b.settings.idempotence = Some(properties::boolean(v)?);
            Ok(())
        },
    },
    Property {
        name: "max.in.flight.requests.per.connection",
        aliases: &["max.in.flight"],
        about: "how many requests per broker may be unanswered; default 5",
        set: |b, v| {
            b.settings.max_in_flight = Some(properties::number(v)?);
            Ok(())
        },
    },
    Property {
        name: "batch.size",
        aliases: &[],
        about: "the bytes on the wire at which a batch is full; default 131072",
        set: |b, v| {
            b.settings.batch_size = properties::number(v)?;
            Ok(())
        },
    },
    Property {
        name: "linger.ms",
        aliases: &["queue.buffering.max.ms"],
        about: "how long a record may wait for others to share its batch; default 5",
        set: |b, v| {
            b.settings.linger = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "delivery.timeout.ms",
        aliases: &["message.timeout.ms"],
        about: "how long a delivery may take with all retries; default 120000",
        set: |b, v| {
            b.settings.delivery_timeout = Some(properties::millis(v)?);
            Ok(())
        },
    },
    Property {
        name: "max.block.ms",
        aliases: &[],
        about: "how long `send` may wait for memory; default 60000",
        set: |b, v| {
            b.settings.max_block = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "buffer.memory",
        aliases: &[],
        about: "how many bytes undelivered records may take; default 33554432",
        set: |b, v| {
            b.settings.memory = properties::number(v)?;
            Ok(())
        },
    },
    Property {
        name: "queue.buffering.max.kbytes",
        aliases: &[],
        about: "the same in KiB",
        set: |b, v| {
            b.settings.memory = properties::number::<usize>(v)?.saturating_mul(1024);
            Ok(())
        },
    },
    Property {
        name: "max.request.size",
        aliases: &["message.max.bytes"],
        about: "the largest record and request, in bytes; default 1048576",
        set: |b, v| {
            b.settings.max_request_size = properties::number(v)?;
            Ok(())
        },
    },
    Property {
        name: "compression.type",
        aliases: &["compression.codec"],
        about: "`none`, `gzip`, `snappy`, `lz4` or `zstd`; default `none`",
        set: |b, v| {
            let mut codecs = Compression::ALL.into_iter();
            let codec = codecs.find(|codec| codec.name() == v);
            b.settings.compression = codec.ok_or_else(|| format!("there is no codec {v:?}"))?;
            Ok(())
        },
    },
    Property {
        name: "compression.level",
        aliases: &[],
        about: "how hard the compression tries; default: the codec's own",
        set: |b, v| {
            b.settings.compression_level = Some(properties::number(v)?);
            Ok(())
        },
    },
    Property {
        name: "compression.gzip.level",
        aliases: &[],
        about: "the level if the codec is gzip, 1 to 9; default 6",
        set: |b, v| b.settings.set_level(Compression::Gzip, v),
    },
    Property {
        name: "compression.lz4.level",
        aliases: &[],
        about: "the level if the codec is LZ4: accepted, but there is one way only",
        set: |b, v| b.settings.set_level(Compression::Lz4, v),
    },
    Property {
        name: "compression.zstd.level",
        aliases: &[],
        about: "the level if the codec is zstd, -131072 to 22; default 3",
        set: |b, v| b.settings.set_level(Compression::Zstd, v),
    },
    Property {
        name: "transactional.id",
        aliases: &[],
        about: "refused, never ignored: there are no transactions yet",
        set: |_, _| Err("transactions are not available yet".to_owned()),
    },
    Property {
        name: "retries",
        aliases: &["message.send.max.retries"],
        about: "accepted for what it mostly means: retries end with the delivery timeout",
        set: |_, v| match properties::number::<i64>(v)? {
            0 => Err("deliveries are retried until their timeout".to_owned()),
            _ => Ok(()),
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_are_documented() {
        let documented = include_str!("properties.md");
        properties::check_documented(PROPERTIES, "producer/properties.md", documented);
    }
}
