//! `cargo xtask typecheck`: every crate by itself, in every set of features that people can ask for.
//!
//! By itself, because in the whole workspace one crate's features hide what another forgot to ask for.

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::metadata::{Metadata, Package};

pub(crate) fn check(sh: &Shell) -> Result<()> {
    let metadata = Metadata::load(sh)?;
    let mut wrong = Vec::new();
    for package in metadata.members().filter(|package| package.is_published()) {
        for set in sets(package) {
            let (name, args) = (&package.name, &set);
            if cmd!(sh, "cargo check --quiet --package {name} {args...}")
                .run()
                .is_err()
            {
                wrong.push(format!("{name} {}", set.join(" ")));
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} feature sets do not compile\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// The default, none, each one alone, and all: as arguments of cargo.
fn sets(package: &Package) -> Vec<Vec<String>> {
    let mut sets = vec![Vec::new()];
    let features: Vec<&String> = package
        .features
        .keys()
        .filter(|name| *name != "default")
        .collect();
    if features.is_empty() {
        return sets;
    }
    sets.push(vec!["--no-default-features".into()]);
    for feature in &features {
        sets.push(vec![
            "--no-default-features".into(),
            "--features".into(),
            (*feature).clone(),
        ]);
    }
    sets.push(vec!["--all-features".into()]);
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(features: &str) -> Package {
        let json = format!(
            r#"{{"id":"x","name":"x","features":{features},"publish":null,"dependencies":[]}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_crate_without_features_is_checked_once() {
        assert_eq!(sets(&package("{}")), [Vec::<String>::new()]);
    }

    #[test]
    fn each_feature_is_checked_alone_and_all_together() {
        let sets: Vec<String> = sets(&package(r#"{"default":["a"],"a":[],"b":[]}"#))
            .iter()
            .map(|set| set.join(" "))
            .collect();
        assert_eq!(
            sets,
            [
                "",
                "--no-default-features",
                "--no-default-features --features a",
                "--no-default-features --features b",
                "--all-features",
            ]
        );
    }
}
