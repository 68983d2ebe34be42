//! What a client was told about security, and what that comes to.
//!
//! Properties come in any order and one at a time: they are put aside here and looked at together when the client is
//! made. What cannot be kept is refused: nobody may believe in an encryption that is not there.

use ottla_connection::{Pem, Sasl, SaslMechanism, Tls, TlsClient, TlsConfigError, TlsVersion};
use zeroize::Zeroizing;

use super::builder::invalid;
use crate::config::jaas;
use crate::error::{Error, Result};

/// All that was said, so far.
#[derive(Clone, Default)]
pub(super) struct Security {
    /// Chosen in code; it has the last word.
    pub(super) tls: Option<Tls>,
    pub(super) sasl: Option<Sasl>,
    encrypted: bool,
    authenticated: bool,
    pub(super) ca: Option<Pem>,
    pub(super) chain: Option<Pem>,
    pub(super) key: Option<Pem>,
    pub(super) any_hostname: bool,
    versions: Option<Vec<TlsVersion>>,
    /// A property that cannot be kept.
    pub(super) impossible: Option<&'static str>,
    mechanism: Option<SaslMechanism>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) jaas: Option<jaas::Login>,
}

impl Security {
    /// `security.protocol`.
    pub(super) fn set_protocol(&mut self, name: &str) -> Result<(), String> {
        (self.encrypted, self.authenticated) = match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                return Err(format!(
                    "{name} is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
                ));
            }
        };
        Ok(())
    }

    /// `sasl.mechanism`.
    pub(super) fn set_mechanism(&mut self, name: &str) -> Result<(), String> {
        let mechanism = name.parse();
        self.mechanism =
            Some(mechanism.map_err(|error: ottla_connection::SaslFault| error.to_string())?);
        Ok(())
    }

    /// How brokers are told who this client is, if they want to know.
    pub(super) fn sasl(&self) -> Result<Option<Sasl>> {
        if self.sasl.is_some() || !self.authenticated {
            return Ok(self.sasl.clone());
        }
        let Some(mechanism) = self.mechanism else {
            // Java would take GSSAPI.
            let reason = "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 has to be chosen";
            return Err(invalid("sasl.mechanism", reason).into());
        };
        let (username, password) = match &self.jaas {
            Some(login) if !login.serves(mechanism) => {
                let reason = format!("its login module is not for {mechanism}");
                return Err(invalid("sasl.jaas.config", reason).into());
            }
            Some(login) => (login.username.as_ref(), login.password.as_ref()),
            None => (self.username.as_ref(), self.password.as_ref()),
        };
        match (username, password) {
            (Some(username), Some(password)) => Ok(Some(Sasl::new(
                mechanism,
                username.as_str(),
                password.as_str(),
            ))),
            (None, _) => Err(invalid("sasl.username", "there is none").into()),
            (_, None) => Err(invalid("sasl.password", "there is none").into()),
        }
    }

    /// `ssl.enabled.protocols`.
    pub(super) fn set_versions(&mut self, names: &str) -> Result<(), String> {
        let version = |name: &str| match name.trim() {
            "TLSv1.2" => Ok(TlsVersion::V1_2),
            "TLSv1.3" => Ok(TlsVersion::V1_3),
            other => Err(format!("{other:?} is neither TLSv1.2 nor TLSv1.3")),
        };
        let versions: Result<Vec<_>, _> = names.split(',').map(version).collect();
        self.versions = Some(versions?);
        Ok(())
    }

    /// TLS with its certificates read, if connections are to be encrypted.
    pub(super) fn load_tls(&self) -> Result<Option<TlsClient>> {
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None if self.encrypted => self.tls_of_properties()?,
            None => return Ok(None),
        };
        match tls.load() {
            Ok(loaded) => Ok(Some(loaded)),
            Err(error) => Err(invalid(property_of(&error), error.to_string()).into()),
        }
    }

    fn tls_of_properties(&self) -> Result<Tls> {
        if let Some(property) = self.impossible {
            let reason =
                "this is not available; Tls::from_rustls takes a configuration that has it";
            return Err(invalid(property, reason).into());
        }
        let mut tls = Tls::new().verify_hostname(!self.any_hostname);
        if let Some(ca) = &self.ca {
            tls = tls.ca(ca.clone());
        }
        tls = match (&self.chain, &self.key) {
            (Some(chain), Some(key)) => tls.certificate(chain.clone(), key.clone()),
            (None, None) => tls,
            (Some(_), None) => return Err(alone("ssl.key.location", "certificate")),
            (None, Some(_)) => return Err(alone("ssl.certificate.location", "private key")),
        };
        if let Some(versions) = &self.versions {
            tls = tls.versions(versions.iter().copied());
        }
        Ok(tls)
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security")
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .field("encrypted", &self.encrypted)
            .field("authenticated", &self.authenticated)
            .field("ca", &self.ca)
            .field("chain", &self.chain)
            .field("key", &self.key)
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// `ssl.truststore.type` and `ssl.keystore.type`.
pub(super) fn only_pem(name: &str) -> Result<(), String> {
    match name.eq_ignore_ascii_case("PEM") {
        true => Ok(()),
        false => Err(format!(
            "{name} stores cannot be read here; `keytool -exportcert -rfc` and `openssl pkcs12` write PEM"
        )),
    }
}

fn alone(property: &str, what: &str) -> Error {
    invalid(
        property,
        format!("there is a {what} without the other half"),
    )
    .into()
}

fn property_of(error: &TlsConfigError) -> &'static str {
    match error {
        TlsConfigError::HostnameUnverified => "ssl.endpoint.identification.algorithm",
        error if error.is_identity() => "ssl.keystore.location",
        _ => "ssl.truststore.location",
    }
}

#[cfg(test)]
mod tests {
    use crate::client::Client;
    use crate::error::ErrorKind;

    fn refused(properties: &[(&str, &str)]) -> (String, String) {
        let all = [
            ("bootstrap.servers", "b:9092"),
            ("security.protocol", "ssl"),
        ];
        let all = all.iter().chain(properties).copied();
        let built = Client::from_properties(all).and_then(|builder| builder.build());
        match built.unwrap_err().kind() {
            ErrorKind::InvalidConfig { property, reason } => (property.clone(), reason.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (properties, about) in [
            (&[("ssl.crl.location", "x")][..], "ssl.crl.location"),
            (&[("ssl.cipher.suites", "x")], "ssl.cipher.suites"),
            (&[("ssl.keystore.type", "JKS")], "ssl.keystore.type"),
            (&[("ssl.truststore.type", "PKCS12")], "ssl.truststore.type"),
            (
                &[("ssl.enabled.protocols", "TLSv1.1")],
                "ssl.enabled.protocols",
            ),
            (
                &[("enable.ssl.certificate.verification", "false")],
                "enable.ssl.certificate.verification",
            ),
            (&[("ssl.certificate.pem", "x")], "ssl.key.location"),
            (&[("ssl.key.pem", "x")], "ssl.certificate.location"),
            (&[("ssl.ca.pem", "x")], "ssl.truststore.location"),
            (
                &[("ssl.ca.location", "no-such-file")],
                "ssl.truststore.location",
            ),
            (
                &[("ssl.keystore.location", "no-such-file")],
                "ssl.keystore.location",
            ),
            (
                &[("ssl.endpoint.identification.algorithm", "")],
                "ssl.endpoint.identification.algorithm",
            ),
        ] {
            assert_eq!(refused(properties).0, about);
        }
    }

    #[test]
    fn a_user_is_found_in_either_place() {
        let sasl = |more: &[(&str, &str)]| {
            let all = [
                ("bootstrap.servers", "b:9092"),
                ("security.protocol", "SASL_PLAINTEXT"),
                ("sasl.username", "alice"),
                ("sasl.password", "x"),
            ];
            let builder = Client::from_properties(all.iter().chain(more).copied())?;
            builder.security.sasl()
        };
        let shown = |more: &[(&str, &str)]| format!("{:?}", sasl(more).unwrap().unwrap());
        let own = shown(&[("sasl.mechanisms", "SCRAM-SHA-256")]);
        assert!(
            own.contains("ScramSha256") && own.contains("alice"),
            "{own}"
        );
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
        let jaas = format!("{module} required\n username=\"bob\" password='a\\\"b;c';");
        let jaas = ("sasl.jaas.config", jaas.as_str());
        let bobs = shown(&[("sasl.mechanism", "scram-sha-512"), jaas]);
        assert!(
            bobs.contains("ScramSha512") && bobs.contains("bob"),
            "{bobs}"
        );
        let property = |more: &[(&str, &str)]| match sasl(more).unwrap_err().kind() {
            ErrorKind::InvalidConfig { property, .. } => property.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(property(&[]), "sasl.mechanism");
        assert_eq!(property(&[("sasl.mechanism", "GSSAPI")]), "sasl.mechanism");
        assert_eq!(
            property(&[("sasl.mechanism", "PLAIN"), jaas]),
            "sasl.jaas.config"
        );
    }

    #[test]
    fn secrets_are_in_no_error_and_no_debug() {
        let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
        let chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let properties = [
            ("ssl.certificate.pem", chain),
            ("ssl.key.pem", key),
            ("sasl.username", "alice"),
            ("sasl.password", "c2VjcmV0"),
            (
                "sasl.jaas.config",
                "x.PlainLoginModule required username=\"alice\" password=\"c2VjcmV0\";",
            ),
        ];
        let (_, reason) = refused(&properties);
        assert!(!reason.contains("c2VjcmV0"), "{reason}");
        for damaged in [
            "x.PlainLoginModule required password=\"c2VjcmV0",
            "x.PlainLoginModule required password=\"c2VjcmV0\"",
            "x.PlainLoginModule required c2VjcmV0;",
            "x.PlainLoginModule c2VjcmV0=\"x\";",
            "x.C2VjcmV0",
        ] {
            let error = Client::from_properties([("sasl.jaas.config", damaged)]).unwrap_err();
            let text = format!("{error} {error:?}").to_lowercase();
            assert!(
                text.contains("jaas") && !text.contains("c2vjcmv0"),
                "{text}"
            );
        }
        let builder = Client::from_properties(properties).unwrap();
        let shown = format!("{builder:?}");
        assert!(
            !shown.contains("c2VjcmV0") && shown.contains("key: Some(Text)"),
            "{shown}"
        );
    }
}
