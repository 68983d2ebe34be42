//! What the command line and the environment say about the cluster, as properties.

use std::error::Error as _;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla::{Client, ConnectionFault, ErrorKind};
use snafu::ResultExt;

use crate::args::Common;
use crate::failure::{Failure, PropertiesFileSnafu, PropertiesSnafu, Result, UnreachableSnafu};
use crate::log;

/// How long the first answer of a broker may take.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// How long is waited for a broker where a try has shown that waiting will hardly help.
const FIRST_TRY: Duration = Duration::from_secs(2);

/// How large a request may be, by Java's name.
pub(crate) const MAX_REQUEST_SIZE: &str = "max.request.size";

/// Kafka's default of it, in bytes.
const DEFAULT_MAX_REQUEST_SIZE: usize = 1024 * 1024;

const BROKERS: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];

/// The environment's defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pub(crate) brokers: Option<String>,
    pub(crate) config: Option<PathBuf>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            brokers: set("OTTLA_BROKERS")
                .map(|value: OsString| value.to_string_lossy().into_owned()),
            config: set("OTTLA_CONFIG").map(PathBuf::from),
        }
    }
}

/// Properties, in the order in which they apply: of two for the same thing the later one wins.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    properties: Vec<(String, String)>,
    /// Whether somebody wants to read what the client logs.
    verbose: bool,
}

impl Settings {
    /// Weakest first: the environment's file, the environment's brokers, `-F`, `-X`, `-b`. A file named
    /// with `-F` stands in place of the environment's.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, no brokers anywhere, or what is no address of a broker.
    pub(crate) fn of(common: &Common, environment: &Environment) -> Result<Self> {
        let mut properties = Vec::new();
        if let (Some(file), None) = (&environment.config, &common.file) {
            properties.extend(read(file)?);
        }
        properties.extend(
            environment
                .brokers
                .iter()
                .map(|value| pair(BROKERS[0], value)),
        );
        if let Some(file) = &common.file {
            properties.extend(read(file)?);
        }
        properties.extend(common.properties.iter().map(|p| pair(&p.name, &p.value)));
        properties.extend(common.brokers.iter().map(|value| pair(BROKERS[0], value)));
        let settings = Self {
            properties,
            verbose: common.verbosity.verbose > 0,
        };
        let brokers = settings.last(&BROKERS).unwrap_or_default();
        if brokers.trim().is_empty() {
            return Err(Failure::NoBrokers);
        }
        match brokers
            .split(',')
            .map(str::trim)
            .find(|broker| is_url(broker))
        {
            Some(url) => Err(Failure::Refused {
                message: format!("{url} is an address of the web: brokers are named HOST:PORT"),
            }),
            None => Ok(settings),
        }
    }

    /// Adds one, stronger than all others.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.properties.push((name.to_owned(), value.to_string()));
    }

    /// Adds those of a file that are wanted, stronger than all others.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub(crate) fn overlay(
        &mut self,
        file: &Path,
        wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<()> {
        let properties = read(file)?.into_iter();
        self.properties
            .extend(properties.filter(|(name, value)| wanted(name.trim(), value.trim())));
        Ok(())
    }

    /// Adds one, weaker than all others.
    pub(crate) fn set_default(&mut self, name: &str, value: impl ToString) {
        self.properties
            .insert(0, (name.to_owned(), value.to_string()));
    }

    /// The value that applies, under any of these names.
    pub(crate) fn last(&self, names: &[&str]) -> Option<&str> {
        let found = self
            .properties
            .iter()
            .rev()
            .find(|(name, _)| names.contains(&name.trim()));
        found.map(|(_, value)| value.as_str())
    }

    /// The size, in bytes, of a record that is certainly too large for a producer.
    pub(crate) fn max_request_size(&self) -> usize {
        let said = self.last(&[MAX_REQUEST_SIZE, "message.max.bytes"]);
        said.and_then(|bytes| bytes.trim().parse().ok())
            .unwrap_or(DEFAULT_MAX_REQUEST_SIZE)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// A property that cannot be.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::from_properties(self.iter())?.build()?)
    }

    /// Waits until a broker has answered.
    ///
    /// What the client logs meanwhile is left out, unless somebody wants to read its log: if it matters,
    /// the error says it.
    ///
    /// # Errors
    ///
    /// No answer in time.
    pub(crate) async fn reach(&self, client: &Client) -> Result<()> {
        let brokers = self.last(&BROKERS).unwrap_or_default();
        let _silence = (!self.verbose).then(log::silence);
        let hopeless = async {
            match client.ready(FIRST_TRY).await {
                Err(error) if is_hopeless(&error) => error,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reached = client.ready(FIRST_ANSWER) => reached,
            error = hopeless => Err(error),
        }
        .context(UnreachableSnafu { brokers })
    }
}

/// Whether it was for another reason than slowness that no broker was reached in time.
fn is_hopeless(error: &ottla::Error) -> bool {
    let reason = error.source().and_then(|source| source.downcast_ref());
    let Some(ErrorKind::Connection { fault, .. }) = reason.map(ottla::Error::kind) else {
        return false;
    };
    matches!(
        fault,
        ConnectionFault::NotKafka
            | ConnectionFault::PlaintextExpected
            | ConnectionFault::TlsExpected
            | ConnectionFault::TlsFailed
            | ConnectionFault::Unreachable
    )
}

/// Whether this is meant for a browser. The name of a listener may stand there: `PLAINTEXT://host:9092`.
fn is_url(broker: &str) -> bool {
    let scheme = broker.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    })
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn read(file: &Path) -> Result<Vec<(String, String)>> {
    let bytes = std::fs::read(file).context(PropertiesFileSnafu { path: file })?;
    ottla::parse_properties(&String::from_utf8_lossy(&bytes))
        .context(PropertiesSnafu { path: file })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Pair;

    fn brokers(common: &Common, environment: &Environment) -> Result<String> {
        let settings = Settings::of(common, environment)?;
        Ok(settings.last(&BROKERS).unwrap().to_owned())
    }

    #[test]
    fn the_nearer_word_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (far, near) = (dir.path().join("far"), dir.path().join("near"));
        std::fs::write(&far, "bootstrap.servers=far:1\nclient.id=far").unwrap();
        std::fs::write(&near, "metadata.broker.list = near:1").unwrap();
        let mut common = Common::default();
        let mut environment = Environment {
            brokers: None,
            config: Some(far),
        };
        assert_eq!(brokers(&common, &environment).unwrap(), "far:1");
        environment.brokers = Some("env:1".into());
        assert_eq!(brokers(&common, &environment).unwrap(), "env:1");
        common.file = Some(near);
        assert_eq!(brokers(&common, &environment).unwrap(), "near:1");
        let settings = Settings::of(&common, &environment).unwrap();
        assert_eq!(
            settings.last(&["client.id"]),
            None,
            "-F replaces the environment's file"
        );
        common.properties = vec![Pair {
            name: "bootstrap.servers".into(),
            value: "x:1".into(),
        }];
        assert_eq!(brokers(&common, &environment).unwrap(), "x:1");
        common.brokers = Some("b:1".into());
        assert_eq!(brokers(&common, &environment).unwrap(), "b:1");
    }

    #[test]
    fn no_brokers_is_an_error_that_names_all_three_ways() {
        let error = Settings::of(&Common::default(), &Environment::default()).unwrap_err();
        for way in [
            "-b HOST:PORT",
            "OTTLA_BROKERS",
            "bootstrap.servers",
            "-F FILE",
            "OTTLA_CONFIG",
        ] {
            assert!(error.to_string().contains(way), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let common = Common {
            file: Some("/no/such/file".into()),
            ..Common::default()
        };
        let error = Settings::of(&common, &Environment::default()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such/file");
    }
}
