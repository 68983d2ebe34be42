//! What brokers of older releases serve, read from those releases' own jars: the fake's table.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};
use xtask::project::root;

use super::{apis, emit::provenance, kafka};

/// The releases, oldest first: the table's columns.
const RELEASES: [&str; 3] = ["2.1.1", "2.4.1", "3.0.2"];

/// API by API the newest version that a release serves.
type Newest = BTreeMap<String, i16>;

/// The file, relative to the fake's sources.
pub(super) fn generate() -> Result<BTreeMap<PathBuf, String>> {
    let releases = RELEASES
        .iter()
        .map(|release| newest(release))
        .collect::<Result<Vec<_>>>()?;
    Ok(BTreeMap::from([(
        PathBuf::from("release/table.rs"),
        table(&releases),
    )]))
}

fn table(releases: &[Newest]) -> String {
    let columns = RELEASES.join(", ");
    let mut out = provenance(&columns, "the client-side APIs that brokers serve");
    out += "//! The newest version of each API that brokers of older releases serve.\n\n";
    out += "use ottla_codec::ApiKey;\n\n";
    _ = writeln!(
        out,
        "/// Columns: {columns}. The oldest version is always 0.\npub(super) const NEWEST: &[(ApiKey, [Option<i16>; {}])] = &[",
        RELEASES.len()
    );
    for &api in apis::CLIENT_SIDE {
        let row: Vec<_> = releases.iter().map(|newest| newest.get(api)).collect();
        if row.iter().any(Option::is_some) {
            _ = writeln!(out, "(ApiKey::{api}, {row:?}),");
        }
    }
    out + "];\n"
}

fn newest(release: &str) -> Result<Newest> {
    let jars = kafka::jars(release)?;
    let list = jars.with_file_name("apis.tsv");
    if !list.exists() {
        let listed = kafka::run(
            Command::new("java")
                .arg("-cp")
                .arg(jars.join("*"))
                .arg(root().join("xtask/codegen/Releases.java")),
        )?;
        fs::write(&list, listed)?;
    }
    fs::read_to_string(&list)?
        .lines()
        .map(|line| api(line).with_context(|| format!("Kafka {release}: {line}")))
        .collect()
}

fn api(line: &str) -> Result<(String, i16)> {
    let [name, oldest, newest] = line
        .split('\t')
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .context("odd line")?;
    ensure!(oldest == "0", "the oldest version is not 0");
    Ok((name.to_owned(), newest.parse()?))
}
