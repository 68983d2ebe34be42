//! Each house rule catches what it is for.

use super::*;

const MANIFEST: &str = "[package]
name = \"x\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
repository.workspace = true

[lints]
workspace = true
";

#[test]
fn module_docs_are_wanted() {
    assert_eq!(
        problems("crates/x/src/a.rs", "//! Docs.\n\nuse std;\n"),
        [""; 0]
    );
    assert_eq!(
        problems("crates/x/src/a.rs", "#![deny(warnings)]\n\n//! Docs.\n"),
        [""; 0]
    );
    assert_eq!(problems("crates/x/src/a.rs", "use std;\n").len(), 1);
    assert_eq!(problems("crates/x/src/a.rs", "").len(), 1);
    assert_eq!(problems("crates/x/src/a/tests.rs", "use std;\n"), [""; 0]);
}

#[test]
fn long_files_are_generated_or_wrong() {
    let long = "//! Docs.\n".repeat(MAX_LINES);
    assert_eq!(problems("crates/x/src/a.rs", &long), [""; 0]);
    assert_eq!(
        problems("crates/x/src/a.rs", &format!("{long}//\n")).len(),
        1
    );
    assert_eq!(
        problems("crates/x/src/a.rs", &format!("{GENERATED}\n{long}")),
        [""; 0]
    );
}

#[test]
fn paths_of_one_machine_are_caught() {
    let home = MACHINE_PATHS[2];
    assert_eq!(problems("a.md", &format!("in {home}/someone/x\n")).len(), 1);
    assert_eq!(problems("a.md", &format!("`{home}`\n")).len(), 1);
    assert_eq!(
        problems("a.md", &format!("a{home}/b and {home}s\n")),
        [""; 0]
    );
}

#[test]
fn registry_hosts_are_caught() {
    assert_eq!(
        problems("a.toml", &format!("https://{}/x\n", REGISTRY_HOSTS[2])).len(),
        1
    );
}

#[test]
fn clocks_are_read_in_one_place() {
    let text = "//! Docs.\nlet now = SystemTime::now();\n";
    assert_eq!(problems("crates/codec/src/a.rs", text).len(), 1);
    assert_eq!(problems("crates/ottla/src/env.rs", text), [""; 0]);
    assert_eq!(problems("xtask/src/a.rs", text), [""; 0]);
    assert_eq!(
        problems(
            "crates/codec/src/a.rs",
            "//! Docs.\n// not SystemTime::now\n"
        ),
        [""; 0]
    );
}

#[test]
fn ignored_tests_say_why() {
    assert_eq!(
        problems("tests/api/a.rs", "//! Docs.\n    #[ignore]\n").len(),
        1
    );
    assert_eq!(
        problems("tests/api/a.rs", "//! Docs.\n    #[ignore = \"why\"]\n"),
        [""; 0]
    );
}

#[test]
fn manifests_inherit() {
    assert_eq!(problems("crates/x/Cargo.toml", MANIFEST), [""; 0]);
    for line in [
        "edition.workspace = true\n",
        "license.workspace = true\n",
        "repository.workspace = true\n",
    ] {
        assert_eq!(
            problems("crates/x/Cargo.toml", &MANIFEST.replace(line, "")).len(),
            1,
            "{line}"
        );
    }
    let own_lints = MANIFEST.replace("[lints]\nworkspace = true", "[lints.rust]");
    assert_eq!(problems("crates/x/Cargo.toml", &own_lints).len(), 1);
    assert_eq!(problems("fuzz/Cargo.toml", ""), [""; 0]);
    let unpublished = MANIFEST.replace("repository.workspace = true", "publish = false");
    assert_eq!(problems("tests/Cargo.toml", &unpublished), [""; 0]);
}
