//! What the command line and the environment say about the cluster, as properties.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla::Client;
use snafu::ResultExt;

use crate::args::Common;
use crate::failure::{Failure, PropertiesFileSnafu, Result, UnreachableSnafu};

/// How long the first answer of a broker may take.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings(Vec<(String, String)>);

impl Settings {
    /// Weakest first: the environment's file, the environment's brokers, `-F`, `-X`, `-b`. A file named
    /// with `-F` stands in place of the environment's.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or no brokers anywhere.
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
        let settings = Self(properties);
        match settings.last(&BROKERS) {
            Some(brokers) if !brokers.trim().is_empty() => Ok(settings),
            _ => Err(Failure::NoBrokers),
        }
    }

    /// Adds one, stronger than all others.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    /// Adds one, weaker than all others.
    pub(crate) fn set_default(&mut self, name: &str, value: impl ToString) {
        self.0.insert(0, (name.to_owned(), value.to_string()));
    }

    /// The value that applies, under any of these names.
    pub(crate) fn last(&self, names: &[&str]) -> Option<&str> {
        let found = self
            .0
            .iter()
            .rev()
            .find(|(name, _)| names.contains(&name.trim()));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
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
    /// # Errors
    ///
    /// No answer in time.
    pub(crate) async fn reach(&self, client: &Client) -> Result<()> {
        let brokers = self.last(&BROKERS).unwrap_or_default();
        client
            .ready(FIRST_ANSWER)
            .await
            .context(UnreachableSnafu { brokers })
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn read(file: &Path) -> Result<Vec<(String, String)>> {
    let bytes = std::fs::read(file).context(PropertiesFileSnafu { path: file })?;
    Ok(ottla::parse_properties(&String::from_utf8_lossy(&bytes)))
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
