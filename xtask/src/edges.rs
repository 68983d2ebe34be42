//! Which crate may depend on which: the layers of the workspace, held against `cargo metadata`.
//!
//! Only what is linked counts: dev-dependencies are free, except that no crate but the tests'
//! package may use xtask.

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::metadata::Metadata;

/// The rule of one crate of the workspace.
struct Rule {
    name: &'static str,
    /// The workspace's crates it may depend on.
    may: &'static [&'static str],
    /// Packages that must not be linked into it, however far away.
    never: &'static [&'static str],
    /// Whether it may have any normal dependency at all.
    alone: bool,
}

const IO: &[&str] = &["mio", "rustls", "socket2", "tokio", "tokio-util", "anyhow"];

const RULES: &[Rule] = &[
    Rule {
        name: "ottla-codec",
        may: &[],
        never: IO,
        alone: false,
    },
    Rule {
        name: "ottla-assignor",
        may: &[],
        never: IO,
        alone: true,
    },
    Rule {
        name: "ottla-cluster",
        may: &["ottla-codec"],
        never: IO,
        alone: false,
    },
    Rule {
        name: "ottla-coordinator",
        may: &["ottla-assignor", "ottla-codec"],
        never: IO,
        alone: false,
    },
    Rule {
        name: "ottla-connection",
        may: &["ottla-codec"],
        never: &["anyhow"],
        alone: false,
    },
    Rule {
        name: "ottla",
        may: &[
            "ottla-assignor",
            "ottla-cluster",
            "ottla-codec",
            "ottla-connection",
            "ottla-coordinator",
        ],
        never: &["anyhow", "clap"],
        alone: false,
    },
    Rule {
        name: "ottla-fake",
        may: &["ottla-codec"],
        never: &["anyhow", "clap"],
        alone: false,
    },
    Rule {
        name: "ottla-cli",
        may: &["ottla", "ottla-fake"],
        never: &["anyhow"],
        alone: false,
    },
    Rule {
        name: "xtask",
        may: &[],
        never: &["clap", "tokio"],
        alone: false,
    },
    Rule {
        name: "ottla-tests",
        may: &[],
        never: &[],
        alone: true,
    },
    Rule {
        name: EXAMPLE,
        may: &["ottla-assignor"],
        never: IO,
        alone: false,
    },
    Rule {
        name: "ottla-benches",
        may: &[],
        never: &[],
        alone: true,
    },
];

/// What someone links who uses the assignors alone.
const EXAMPLE: &str = "ottla-capacity-planner";

pub(crate) fn check(sh: &Shell) -> Result<()> {
    let tree = cmd!(
        sh,
        "cargo tree --all-features --edges normal,build --package {EXAMPLE}"
    );
    let tree = tree.read()?;
    eprintln!("{tree}");
    ensure!(
        is_assignor_alone(&tree),
        "{EXAMPLE} links more than ottla-assignor"
    );
    let metadata = Metadata::load(sh)?;
    let wrong = violations(&metadata);
    ensure!(
        wrong.is_empty(),
        "{} wrong dependencies\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    eprintln!(
        "{} crates depend on nothing they must not",
        metadata.members().count()
    );
    Ok(())
}

/// Whether a tree of dependencies is the example and `ottla-assignor`, nothing else.
fn is_assignor_alone(tree: &str) -> bool {
    let name = |line: &str| {
        let words = line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        words.split(' ').next().unwrap_or_default().to_owned()
    };
    tree.lines().map(name).eq([EXAMPLE, "ottla-assignor"])
}

fn violations(metadata: &Metadata) -> Vec<String> {
    let ours: Vec<&str> = metadata.members().map(|package| &*package.name).collect();
    let mut wrong = Vec::new();
    for package in metadata.members() {
        let name = &package.name;
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            wrong.push(format!("{name} is not in the table of crates in xtask"));
            continue;
        };
        for dependency in &package.dependencies {
            let to = &*dependency.name;
            let dev = dependency.kind.as_deref() == Some("dev");
            if dev && to == "xtask" && name != "ottla-tests" {
                wrong.push(format!("{name} uses xtask in its tests"));
            } else if !dev && rule.alone {
                wrong.push(format!("{name} depends on {to}; it must depend on nothing"));
            } else if !dev && ours.contains(&to) && !rule.may.contains(&to) {
                wrong.push(format!("{name} depends on {to}"));
            }
        }
        let reach = metadata.reach(package);
        for never in rule.never.iter().filter(|never| reach.contains(**never)) {
            wrong.push(format!("{name} has {never} linked in"));
        }
        let unpublished = metadata
            .members()
            .filter(|other| !other.is_published() && reach.contains(&*other.name));
        if package.is_published() {
            wrong.extend(
                unpublished.map(|other| format!("{name} is published, but needs {}", other.name)),
            );
        }
    }
    wrong
}

#[cfg(test)]
mod tests;
