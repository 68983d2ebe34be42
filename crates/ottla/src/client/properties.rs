//! The properties of a client by their names, and what each sets.

use std::time::Duration;

use ottla_connection::Pem;
use zeroize::Zeroizing;

use super::ClientBuilder;
use super::security::only_pem;
use crate::config::jaas;
use crate::config::properties::{self, Property};

/// The properties that a client understands.
pub(crate) static PROPERTIES: &[Property<ClientBuilder>] = &[
    Property {
        name: "bootstrap.servers",
        aliases: &["metadata.broker.list"],
        about: "the brokers to begin with, `host:port,…`; required",
        set: |b, v| {
            v.clone_into(&mut b.bootstrap_text);
            Ok(())
        },
    },
    Property {
        name: "client.id",
        aliases: &[],
        about: "the name brokers know this client by; default `ottla`",
        set: |b, v| {
            v.clone_into(&mut b.config.client_id);
            Ok(())
        },
    },
    Property {
        name: "request.timeout.ms",
        aliases: &["socket.timeout.ms"],
        about: "how long one request may take; default 30000",
        set: |b, v| {
            b.config.request_timeout = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "socket.connection.setup.timeout.ms",
        aliases: &[],
        about: "how long setting up one connection may take; default 10000",
        set: |b, v| {
            b.config.connect_timeout = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "reconnect.backoff.ms",
        aliases: &[],
        about: "the first pause before a broker is dialled again; default 50",
        set: |b, v| {
            let (first, longest) = &mut b.config.reconnect_backoff;
            *first = properties::millis(v)?;
            *longest = (*longest).max(*first);
            Ok(())
        },
    },
    Property {
        name: "reconnect.backoff.max.ms",
        aliases: &[],
        about: "the longest pause before a broker is dialled again; default 1000",
        set: |b, v| {
            let (first, longest) = &mut b.config.reconnect_backoff;
            *longest = properties::millis(v)?;
            *first = (*first).min(*longest);
            Ok(())
        },
    },
    Property {
        name: "retry.backoff.ms",
        aliases: &[],
        about: "the first pause before a failed request is tried again; default 100",
        set: |b, v| {
            let (first, longest) = &mut b.config.retry_backoff;
            *first = properties::millis(v)?;
            *longest = (*longest).max(*first);
            Ok(())
        },
    },
    Property {
        name: "retry.backoff.max.ms",
        aliases: &[],
        about: "the longest pause before a failed request is tried again; default 1000",
        set: |b, v| {
            let (first, longest) = &mut b.config.retry_backoff;
            *longest = properties::millis(v)?;
            *first = (*first).min(*longest);
            Ok(())
        },
    },
    Property {
        name: "connections.max.idle.ms",
        aliases: &[],
        about: "after which time without use a connection is closed, 0 or -1 for never; default 540000",
        set: |b, v| {
            let millis = properties::number::<i64>(v)?;
            b.config.connections_max_idle = u64::try_from(millis)
                .ok()
                .filter(|&millis| millis > 0)
                .map(Duration::from_millis);
            Ok(())
        },
    },
    Property {
        name: "metadata.max.age.ms",
        aliases: &["topic.metadata.refresh.interval.ms"],
        about: "after which time metadata is asked for again; default 300000",
        set: |b, v| {
            b.config.metadata_max_age = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "metadata.max.idle.ms",
        aliases: &[],
        about: "after which time without use a topic is no longer asked about; default 300000",
        set: |b, v| {
            b.config.metadata_max_idle = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "metadata.recovery.strategy",
        aliases: &[],
        about: "`rebootstrap` or `none`: what to do once no known broker answers; default `rebootstrap`",
        set: |b, v| {
            b.config.rebootstrap = match v.to_ascii_lowercase().as_str() {
                "rebootstrap" => true,
                "none" => false,
                _ => return Err(format!("{v:?} is neither rebootstrap nor none")),
            };
            Ok(())
        },
    },
    Property {
        name: "allow.auto.create.topics",
        aliases: &[],
        about: "whether brokers may create a topic because it is named; default true",
        set: |b, v| {
            b.config.allow_auto_create_topics = properties::boolean(v)?;
            Ok(())
        },
    },
    Property {
        name: "receive.message.max.bytes",
        aliases: &[],
        about: "the largest answer that is read; default 268435456",
        set: |b, v| {
            b.config.max_response_bytes = properties::number(v)?;
            Ok(())
        },
    },
    Property {
        name: "security.protocol",
        aliases: &[],
        about: "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`; default `PLAINTEXT`",
        set: |b, v| b.security.set_protocol(v),
    },
    Property {
        name: "sasl.mechanism",
        aliases: &["sasl.mechanisms"],
        about: "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; required with SASL",
        set: |b, v| b.security.set_mechanism(v),
    },
    Property {
        name: "sasl.username",
        aliases: &[],
        about: "the user's name",
        set: |b, v| {
            b.security.username = Some(v.to_owned());
            Ok(())
        },
    },
    Property {
        name: "sasl.password",
        aliases: &[],
        about: "the user's password",
        set: |b, v| {
            b.security.password = Some(Zeroizing::new(v.to_owned()));
            Ok(())
        },
    },
    Property {
        name: "sasl.jaas.config",
        aliases: &[],
        about: "name and password as Java has them: a `PlainLoginModule` or `ScramLoginModule` with `username` and `password`; goes before the other two",
        set: |b, v| {
            b.security.jaas = Some(jaas::parse(v)?);
            Ok(())
        },
    },
    Property {
        name: "ssl.truststore.location",
        aliases: &["ssl.ca.location"],
        about: "a PEM file with the certificate authorities to trust; default those of the system",
        set: |b, v| {
            b.security.ca = Some(Pem::file(v));
            Ok(())
        },
    },
    Property {
        name: "ssl.truststore.certificates",
        aliases: &["ssl.ca.pem"],
        about: "the same as PEM text",
        set: |b, v| {
            b.security.ca = Some(Pem::text(v));
            Ok(())
        },
    },
    Property {
        name: "ssl.truststore.type",
        aliases: &[],
        about: "`PEM`",
        set: |_, v| only_pem(v),
    },
    Property {
        name: "ssl.keystore.location",
        aliases: &[],
        about: "a PEM file with both the client's certificates and its private key; default none",
        set: |b, v| {
            b.security.chain = Some(Pem::file(v));
            b.security.key = Some(Pem::file(v));
            Ok(())
        },
    },
    Property {
        name: "ssl.keystore.certificate.chain",
        aliases: &["ssl.certificate.pem"],
        about: "the client's certificates, its own first, as PEM text",
        set: |b, v| {
            b.security.chain = Some(Pem::text(v));
            Ok(())
        },
    },
    Property {
        name: "ssl.keystore.key",
        aliases: &["ssl.key.pem"],
        about: "the client's private key as PEM text, not encrypted",
        set: |b, v| {
            b.security.key = Some(Pem::text(v));
            Ok(())
        },
    },
    Property {
        name: "ssl.keystore.type",
        aliases: &[],
        about: "`PEM`",
        set: |_, v| only_pem(v),
    },
    Property {
        name: "ssl.certificate.location",
        aliases: &[],
        about: "a PEM file with the client's certificates, its own first",
        set: |b, v| {
            b.security.chain = Some(Pem::file(v));
            Ok(())
        },
    },
    Property {
        name: "ssl.key.location",
        aliases: &[],
        about: "a PEM file with the client's private key, not encrypted",
        set: |b, v| {
            b.security.key = Some(Pem::file(v));
            Ok(())
        },
    },
    Property {
        name: "ssl.endpoint.identification.algorithm",
        aliases: &[],
        about: "`https`: a broker's certificate must be for its host name; empty or `none`: any of `ssl.truststore.location` will do; default `https`",
        set: |b, v| {
            b.security.any_hostname = match v.to_ascii_lowercase().as_str() {
                "https" => false,
                "" | "none" => true,
                _ => return Err(format!("{v:?} is neither https nor none")),
            };
            Ok(())
        },
    },
    Property {
        name: "ssl.enabled.protocols",
        aliases: &[],
        about: "which of `TLSv1.3` and `TLSv1.2`; default both",
        set: |b, v| b.security.set_versions(v),
    },
    Property {
        name: "ssl.cipher.suites",
        aliases: &[],
        about: "which ciphers: refused together with TLS; `Tls::from_rustls` can have them",
        set: |b, _| {
            b.security.impossible = Some("ssl.cipher.suites");
            Ok(())
        },
    },
    Property {
        name: "ssl.crl.location",
        aliases: &[],
        about: "revoked certificates: refused together with TLS; `Tls::from_rustls` can have them",
        set: |b, _| {
            b.security.impossible = Some("ssl.crl.location");
            Ok(())
        },
    },
    Property {
        name: "enable.ssl.certificate.verification",
        aliases: &[],
        about: "`true`; certificates are always verified",
        set: |_, v| {
            match properties::boolean(v)? {
            true => Ok(()),
            false => Err("a certificate that is not verified proves nothing; name its authority with ssl.ca.location".to_owned()),
        }
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_properties_are_documented() {
        let documented = include_str!("properties.md");
        properties::check_documented(PROPERTIES, "client/properties.md", documented);
    }

    #[test]
    fn properties_set_what_setters_set() {
        let builder = ClientBuilder::from_properties([
            ("metadata.broker.list", "a:1,b"),
            ("socket.timeout.ms", "1234"),
            ("reconnect.backoff.ms", "5000"),
            ("linger.ms", "7"),
            ("key.deserializer", "StringDeserializer"),
        ])
        .unwrap();
        assert_eq!(builder.bootstrap_text, "a:1,b");
        assert_eq!(builder.config.request_timeout, Duration::from_millis(1234));
        let five = Duration::from_secs(5);
        assert_eq!(builder.config.reconnect_backoff, (five, five));
    }

    #[test]
    fn encryption_is_never_left_out_in_silence() {
        let error =
            ClientBuilder::from_properties([("security.protocol", "SASL_TLS")]).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidConfig { property, .. }
            if property == "security.protocol")
        );
    }
}
