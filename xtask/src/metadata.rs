//! What `cargo metadata` says about the workspace, as far as the checks need it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;
use xshell::{Shell, cmd};

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    /// The registries it may go to: none listed means all, an empty list none.
    publish: Option<Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or nothing for a normal one.
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDep>,
}

#[derive(Debug, Deserialize)]
struct NodeDep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Debug, Deserialize)]
struct DepKind {
    kind: Option<String>,
}

impl Package {
    pub(crate) fn is_published(&self) -> bool {
        self.publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
    }
}

impl Metadata {
    /// All features on, so that no edge hides behind one.
    pub(crate) fn load(sh: &Shell) -> Result<Self> {
        let json = cmd!(sh, "cargo metadata --format-version 1 --all-features")
            .quiet()
            .read()?;
        Self::parse(&json)
    }

    pub(crate) fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).context("reading cargo metadata")
    }

    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The names of all packages that are linked into `package`: over normal and build edges.
    pub(crate) fn reach<'a>(&'a self, package: &'a Package) -> BTreeSet<&'a str> {
        let nodes: BTreeMap<&str, &Node> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (&*node.id, node))
            .collect();
        let mut seen = BTreeSet::new();
        let mut open = vec![&*package.id];
        while let Some(id) = open.pop() {
            let deps = nodes.get(id).map(|node| &*node.deps).unwrap_or_default();
            for dep in deps {
                let linked = dep
                    .dep_kinds
                    .iter()
                    .any(|dep| dep.kind.as_deref() != Some("dev"));
                if linked && seen.insert(&*dep.pkg) {
                    open.push(&dep.pkg);
                }
            }
        }
        let named = self
            .packages
            .iter()
            .filter(|package| seen.contains(&*package.id));
        named.map(|package| &*package.name).collect()
    }
}
