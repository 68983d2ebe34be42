//! Children end with their owner, and signals reach only the process that was meant.

use std::fs;

use super::*;

fn dir(name: &str) -> PathBuf {
    let dir = crate::project::target_dir()
        .join("xtask-tests")
        .join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn sleeper() -> Vec<String> {
    ["sleep", "1000"].map(String::from).to_vec()
}

#[test]
fn start_time_is_read_past_a_strange_name() {
    let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4711 20";
    assert_eq!(
        parse_stat(&format!("42 (a) b (c) {fields}")),
        Some("4711".into())
    );
    assert_eq!(
        parse_stat(&format!("42 (a) {}", fields.replacen('S', "Z", 1))),
        None
    );
    let ending = fields.replacen('S', "Z", 1).replace(" 16 1 ", " 16 7 ");
    assert_eq!(parse_stat(&format!("42 (a) {ending}")), Some("4711".into()));
    assert_eq!(parse_stat("42"), None);
}

#[test]
fn another_process_with_the_same_pid_is_not_ours() {
    let dir = dir("identity");
    let process = Process::spawn(&sleeper(), &dir, &dir.join("log"), Lifetime::Attached).unwrap();
    let stranger = Identity {
        pid: process.identity.pid,
        started: "1".into(),
    };
    assert!(!stranger.is_alive());
    stranger.signal("KILL").unwrap();
    assert!(process.identity.is_alive());
    let text = process.identity.to_string();
    assert_eq!(text.parse::<Identity>().unwrap(), process.identity);
    let identity = process.identity.clone();
    process.kill().unwrap();
    assert!(!identity.is_alive());
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_attached_child_dies_when_its_pipe_closes() {
    let dir = dir("attached");
    let mut process =
        Process::spawn(&sleeper(), &dir, &dir.join("log"), Lifetime::Attached).unwrap();
    let identity = process.identity.clone();
    assert!(identity.is_alive());
    // What the kernel does to the pipe when the owner is killed.
    let (mut shell, stdin) = process.supervisor.take().unwrap();
    drop(stdin);
    assert!(identity.wait(Instant::now() + Duration::from_secs(10)));
    shell.wait().unwrap();
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_detached_child_stays_until_it_is_stopped() {
    let dir = dir("detached");
    let process = Process::spawn(&sleeper(), &dir, &dir.join("log"), Lifetime::Detached).unwrap();
    let identity = process.identity.clone();
    drop(process);
    assert!(identity.is_alive());
    identity.terminate(Duration::from_secs(10)).unwrap();
    assert!(!identity.is_alive());
    fs::remove_dir_all(dir).unwrap();
}
