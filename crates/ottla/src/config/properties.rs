//! Property names as Java's and librdkafka's users have them in their files, and what they set here.
//!
//! A name is in one of three classes. A *used* one has a row in a builder's table and sets something.
//! One *known but not applicable* means something to another client or another builder: it is skipped,
//! with one warning that names all of them. Anything else is *unknown*, an error that suggests the
//! nearest known name: a misspelt `acks` must not cost records.

use std::fmt::Debug;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// One property that a builder `B` understands.
pub(crate) struct Property<B: 'static> {
    /// Java's name for it, or librdkafka's where Java has none.
    pub(crate) name: &'static str,
    /// Other spellings: librdkafka's, older ones.
    pub(crate) aliases: &'static [&'static str],
    /// What it sets, with unit and default, for the generated documentation.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the test that writes the table")
    )]
    pub(crate) about: &'static str,
    /// Parses the value and sets it; says what is wrong with a value that cannot be.
    pub(crate) set: fn(&mut B, &str) -> std::result::Result<(), String>,
}

impl<B> Property<B> {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// Sets what `properties` say on a builder.
///
/// `elsewhere` holds the names that other builders of the same client use; they are passed over in
/// silence, because one file usually serves all of them.
pub(crate) fn apply<B, K, V>(
    builder: &mut B,
    table: &'static [Property<B>],
    elsewhere: &[&'static str],
    properties: impl IntoIterator<Item = (K, V)>,
) -> Result<()>
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    let mut not_applicable = Vec::new();
    for (name, value) in properties {
        let (name, value) = (name.as_ref().trim(), value.as_ref().trim());
        if let Some(property) = table.iter().find(|property| property.is_called(name)) {
            (property.set)(builder, value).map_err(|reason| {
                Error::new(ErrorKind::InvalidConfig {
                    property: name.to_owned(),
                    reason,
                })
            })?;
        } else if elsewhere.contains(&name) {
            continue;
        } else if super::known::is_known(name) {
            not_applicable.push(name.to_owned());
        } else {
            let candidates = table
                .iter()
                .flat_map(Property::names)
                .chain(elsewhere.iter().copied());
            return Err(ErrorKind::UnknownProperty {
                name: name.to_owned(),
                nearest: nearest(name, candidates.chain(super::known::names())),
            }
            .into());
        }
    }
    if !not_applicable.is_empty() {
        tracing::warn!(
            properties = not_applicable.join(","),
            "properties that do not apply here"
        );
    }
    Ok(())
}

/// Every name in a table, for another builder's `elsewhere`.
pub(crate) fn names_of<B>(table: &'static [Property<B>]) -> Vec<&'static str> {
    table.iter().flat_map(Property::names).collect()
}

/// Holds a table against its file in the documentation, or, with `OTTLA_UPDATE_DOCS` set, writes it.
#[cfg(test)]
pub(crate) fn check_documented<B>(table: &'static [Property<B>], file: &str, documented: &str) {
    if std::env::var_os("OTTLA_UPDATE_DOCS").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(file);
        std::fs::write(path, markdown(table)).unwrap();
    } else {
        assert_eq!(
            documented,
            markdown(table),
            "run the tests with OTTLA_UPDATE_DOCS=1"
        );
    }
}

#[cfg(test)]
fn markdown<B>(table: &'static [Property<B>]) -> String {
    let mut out = String::from("| property | also called | what it sets |\n|---|---|---|\n");
    for property in table {
        let aliases: Vec<String> = property.aliases.iter().map(|a| format!("`{a}`")).collect();
        out += &format!(
            "| `{}` | {} | {} |\n",
            property.name,
            aliases.join(", "),
            property.about
        );
    }
    out
}

/// The candidate with the fewest edits, if they are few enough for a misspelling.
fn nearest(name: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    candidates
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= candidate.len().max(name.len()) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Milliseconds, not negative.
pub(crate) fn millis(value: &str) -> std::result::Result<Duration, String> {
    number::<u64>(value).map(Duration::from_millis)
}

/// A number.
pub(crate) fn number<N>(value: &str) -> std::result::Result<N, String>
where
    N: std::str::FromStr,
    N::Err: Debug,
{
    value
        .parse()
        .map_err(|_| format!("{value:?} is not a number in its range"))
}

/// `true` or `false`, in any case, as Java reads them; `1`, `0`, `t`, `f` as librdkafka does.
pub(crate) fn boolean(value: &str) -> std::result::Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Ok(true),
        "false" | "f" | "0" => Ok(false),
        _ => Err(format!("{value:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Builder {
        linger: Duration,
    }

    static TABLE: &[Property<Builder>] = &[Property {
        name: "linger.ms",
        aliases: &["queue.buffering.max.ms"],
        about: "",
        set: |builder, value| {
            builder.linger = millis(value)?;
            Ok(())
        },
    }];

    fn set(name: &str, value: &str) -> Result<Builder> {
        let mut builder = Builder::default();
        apply(&mut builder, TABLE, &["bootstrap.servers"], [(name, value)])?;
        Ok(builder)
    }

    #[test]
    fn a_name_and_its_aliases_set_the_same() {
        for name in ["linger.ms", "queue.buffering.max.ms"] {
            assert_eq!(set(name, " 7 ").unwrap().linger, Duration::from_millis(7));
        }
    }

    #[test]
    fn another_builders_names_and_known_ones_are_passed_over() {
        for name in [
            "bootstrap.servers",
            "key.serializer",
            "statistics.interval.ms",
        ] {
            assert_eq!(set(name, "x").unwrap().linger, Duration::ZERO, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let error = set("linger.sm", "7").unwrap_err();
        let nearest = Some("linger.ms");
        assert_eq!(
            *error.kind(),
            ErrorKind::UnknownProperty {
                name: "linger.sm".into(),
                nearest
            }
        );
        assert_eq!(
            error.to_string(),
            "unknown property linger.sm, did you mean linger.ms?"
        );
        let error = set("completely different", "7").unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::UnknownProperty { nearest: None, .. }
        ));
    }

    #[test]
    fn a_bad_value_names_its_property() {
        let error = set("linger.ms", "soon").unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidConfig { property, .. } if property == "linger.ms")
        );
    }
}
