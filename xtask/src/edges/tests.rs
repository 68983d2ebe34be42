//! Wrong edges are caught, and right ones are not.

use std::fmt::Write as _;

use super::*;

/// Metadata of packages `name` with edges `(from, to, kind)`; those in `members` are the workspace's.
fn metadata(members: &[&str], others: &[&str], edges: &[(&str, &str, Option<&str>)]) -> Metadata {
    let kind = |kind: Option<&str>| kind.map_or("null".into(), |kind| format!("{kind:?}"));
    let mut packages = String::new();
    let mut nodes = String::new();
    for name in members.iter().chain(others) {
        let from = edges.iter().filter(|(from, ..)| from == name);
        let dependencies: Vec<String> = from
            .clone()
            .map(|(_, to, k)| format!(r#"{{"name":"{to}","kind":{}}}"#, kind(*k)))
            .collect();
        let deps: Vec<String> = from
            .map(|(_, to, k)| format!(r#"{{"pkg":"{to}","dep_kinds":[{{"kind":{}}}]}}"#, kind(*k)))
            .collect();
        let publish = if *name == "xtask" { "[]" } else { "null" };
        write!(
            packages,
            r#"{{"id":"{name}","name":"{name}","features":{{}},"publish":{publish},"dependencies":[{}]}},"#,
            dependencies.join(",")
        )
        .unwrap();
        write!(nodes, r#"{{"id":"{name}","deps":[{}]}},"#, deps.join(",")).unwrap();
    }
    let json = format!(
        r#"{{"packages":[{}],"workspace_members":{members:?},"resolve":{{"nodes":[{}]}}}}"#,
        packages.trim_end_matches(','),
        nodes.trim_end_matches(',')
    );
    Metadata::parse(&json).unwrap()
}

#[test]
fn the_layers_as_designed_pass() {
    let members = [
        "ottla",
        "ottla-codec",
        "ottla-assignor",
        "ottla-connection",
        "ottla-fake",
        "ottla-tests",
        "xtask",
    ];
    let edges = [
        ("ottla", "ottla-connection", None),
        ("ottla", "ottla-assignor", None),
        ("ottla", "ottla-fake", Some("dev")),
        ("ottla-connection", "ottla-codec", None),
        ("ottla-connection", "tokio", None),
        ("ottla-fake", "ottla-codec", None),
        ("ottla-codec", "bytes", None),
        ("ottla-codec", "tokio", Some("dev")),
        ("ottla-assignor", "proptest", Some("dev")),
        ("ottla-tests", "xtask", Some("dev")),
    ];
    assert_eq!(
        violations(&metadata(&members, &["tokio", "bytes", "proptest"], &edges)),
        [""; 0]
    );
}

#[test]
fn a_wrong_edge_is_caught() {
    let members = ["ottla-fake", "ottla-connection", "ottla-codec"];
    let edges = [
        ("ottla-fake", "ottla-connection", None),
        ("ottla-connection", "ottla-codec", None),
    ];
    let wrong = violations(&metadata(&members, &[], &edges));
    assert_eq!(wrong, ["ottla-fake depends on ottla-connection"]);
}

#[test]
fn a_forbidden_package_is_caught_however_far_away() {
    let edges = [("ottla-codec", "middle", None), ("middle", "tokio", None)];
    let wrong = violations(&metadata(&["ottla-codec"], &["middle", "tokio"], &edges));
    assert_eq!(wrong, ["ottla-codec has tokio linked in"]);
}

#[test]
fn the_assignor_stands_alone() {
    let wrong = violations(&metadata(
        &["ottla-assignor"],
        &["hashbrown"],
        &[("ottla-assignor", "hashbrown", None)],
    ));
    assert_eq!(
        wrong,
        ["ottla-assignor depends on hashbrown; it must depend on nothing"]
    );
}

#[test]
fn xtask_is_for_the_tests_alone() {
    let edges = [("ottla-fake", "xtask", Some("dev"))];
    let wrong = violations(&metadata(&["ottla-fake", "xtask"], &[], &edges));
    assert_eq!(wrong, ["ottla-fake uses xtask in its tests"]);
    let edges = [("ottla-fake", "xtask", None)];
    let wrong = violations(&metadata(&["ottla-fake", "xtask"], &[], &edges));
    assert!(
        wrong.contains(&"ottla-fake is published, but needs xtask".to_owned()),
        "{wrong:?}"
    );
}

#[test]
fn a_crate_without_a_rule_is_caught() {
    let wrong = violations(&metadata(&["ottla-new"], &[], &[]));
    assert_eq!(wrong, ["ottla-new is not in the table of crates in xtask"]);
}

#[test]
fn the_assignor_alone_is_two_lines_of_a_tree() {
    let alone =
        "ottla-capacity-planner v0.1.0 (/somewhere)\n└── ottla-assignor v0.1.0 (/somewhere)\n";
    assert!(is_assignor_alone(alone));
    assert!(!is_assignor_alone(&format!(
        "{alone}    └── tokio v1.54.1\n"
    )));
    assert!(!is_assignor_alone(
        "ottla-capacity-planner v0.1.0 (/somewhere)\n"
    ));
}
