//! What a client was told about security, and what that comes to.
//!
//! Properties come in any order and one at a time: they are put aside here and looked at together when the client is
//! made. What cannot be kept is refused: nobody may believe in an encryption that is not there.

use ottla_connection::{Pem, Tls, TlsClient, TlsConfigError, TlsVersion};

use super::builder::invalid;
use crate::error::{Error, Result};

/// All that was said, so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Security {
    /// Chosen in code; it has the last word.
    pub(super) tls: Option<Tls>,
    encrypted: bool,
    pub(super) ca: Option<Pem>,
    pub(super) chain: Option<Pem>,
    pub(super) key: Option<Pem>,
    pub(super) any_hostname: bool,
    versions: Option<Vec<TlsVersion>>,
    /// A property that cannot be kept.
    pub(super) impossible: Option<&'static str>,
}

impl Security {
    /// `security.protocol`.
    pub(super) fn set_protocol(&mut self, name: &str) -> Result<(), String> {
        self.encrypted = match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => false,
            "SSL" => true,
            _ => {
                return Err(format!(
                    "{name} is not available; only PLAINTEXT and SSL are"
                ));
            }
        };
        Ok(())
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
    fn secrets_are_in_no_error_and_no_debug() {
        let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
        let chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let properties = [("ssl.certificate.pem", chain), ("ssl.key.pem", key)];
        let (_, reason) = refused(&properties);
        assert!(!reason.contains("c2VjcmV0"), "{reason}");
        let builder = Client::from_properties(properties).unwrap();
        let shown = format!("{builder:?}");
        assert!(
            !shown.contains("c2VjcmV0") && shown.contains("key: Some(Text)"),
            "{shown}"
        );
    }
}
