//! Real brokers obey: started, killed, paused, restarted, and gone when their owner is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use xtask::kafka::{Cluster, Jars, Version, down, status};

fn version() -> Version {
    match env::var("OTTLA_TEST_KAFKA_VERSION") {
        Ok(version) => version.parse().unwrap(),
        Err(_) => Version::DEFAULT,
    }
}

/// Runs a Java tool with `input`, and returns what it printed.
fn java(jars: &Jars, main_class: &str, args: &[&str], input: &str) -> String {
    let mut tool = jars.java_class(main_class, args);
    let mut tool = tool
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success(), "{main_class} failed");
    String::from_utf8(output.stdout).unwrap()
}

fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
#[ignore = "needs Java and Maven: cargo xtask test"]
fn java_tools_write_and_read_across_a_kill() {
    let mut cluster = Cluster::builder().version(version()).start().unwrap();
    let servers = cluster.bootstrap_servers();
    let jars = cluster.jars().clone();
    let create = ["--bootstrap-server", &servers, "--create", "--topic", "t"];
    java(&jars, version().topic_command(), &create, "");
    let produce = ["--bootstrap-server", &servers, "--topic", "t"];
    java(&jars, version().console_producer(), &produce, "one\ntwo\n");

    cluster.kill(1).unwrap();
    assert!(!cluster.is_running(1));
    assert!(TcpStream::connect(&servers).is_err());
    cluster.restart(1).unwrap();
    assert_eq!(cluster.bootstrap_servers(), servers);

    let consume = [
        "--bootstrap-server",
        &servers,
        "--topic",
        "t",
        "--partition",
        "0",
        "--offset",
        "0",
        "--max-messages",
        "2",
    ];
    assert_eq!(
        java(&jars, version().console_consumer(), &consume, ""),
        "one\ntwo\n"
    );
    let segment = cluster
        .data_path(1)
        .unwrap()
        .join("t-0/00000000000000000000.log");
    let segment = segment.to_str().unwrap();
    let dump = java(
        &jars,
        version().dump_log_segments(),
        &["--files", segment, "--print-data-log"],
        "",
    );
    assert!(dump.contains("payload: two"), "{dump}");
    let offsets = ["--broker-list", &servers, "--topic", "t"];
    let offsets = if version() == Version::V4_3 {
        produce
    } else {
        offsets
    };
    assert!(java(&jars, version().offset_shell(), &offsets, "").contains("t:0:2"));
}

#[test]
#[ignore = "needs Java and Maven: cargo xtask test"]
fn three_nodes_survive_one_that_moves_and_a_pause_keeps_the_socket_open() {
    let mut cluster = Cluster::builder()
        .version(version())
        .nodes(3)
        .start()
        .unwrap();
    assert_eq!(cluster.node_ids(), [1, 2, 3]);
    cluster.stop(2).unwrap();
    assert!(cluster.is_running(1) && !cluster.is_running(2) && cluster.is_running(3));
    let old = cluster.address(2).unwrap();
    cluster.change_port(2).unwrap();
    assert!(!cluster.bootstrap_servers().contains(&old));
    cluster.restart(2).unwrap();
    assert!(TcpStream::connect(&old).is_err());
    assert!(TcpStream::connect(cluster.address(2).unwrap()).is_ok());
    cluster.await_ready(&[1, 2, 3]).unwrap();

    cluster.pause(3).unwrap();
    let mut stream = TcpStream::connect(cluster.address(3).unwrap()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let api_versions = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    stream.write_all(&api_versions).unwrap();
    let mut answer = [0; 8];
    assert!(stream.read_exact(&mut answer).is_err());
    cluster.resume(3).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[4..], [0, 0, 0, 7]);
}

#[test]
#[ignore = "needs Java and Maven: cargo xtask test"]
fn a_wrong_property_shows_the_log() {
    let error = Cluster::builder()
        .version(version())
        .set("num.io.threads", "none")
        .start()
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("num.io.threads"), "{text}");
}

#[test]
#[ignore = "needs Java and Maven: cargo xtask test"]
fn a_detached_cluster_runs_until_it_is_taken_down() {
    let name = format!("detached-{}", std::process::id());
    let cluster = Cluster::builder()
        .version(version())
        .name(&name)
        .detached()
        .start()
        .unwrap();
    let state = cluster.detach().unwrap();
    assert!(state.is_running());
    assert!(status().unwrap().iter().any(|state| state.name == name));
    let again = Cluster::builder()
        .version(version())
        .name(&name)
        .start()
        .unwrap_err();
    assert!(again.to_string().contains("runs already"), "{again:#}");
    down(&state).unwrap();
    assert!(!state.is_running());
    assert!(TcpStream::connect(&state.bootstrap_servers).is_err());
    assert!(!status().unwrap().iter().any(|state| state.name == name));
    fs::remove_dir_all(state.logs().parent().unwrap()).unwrap();
}

/// Not a test: what the next one kills.
#[test]
#[ignore = "run by another test"]
fn hold_a_cluster() {
    if env::var_os("OTTLA_HOLD_CLUSTER").is_some() {
        let cluster = Cluster::builder().version(version()).start().unwrap();
        println!("holding {}", cluster.bootstrap_servers());
        // Until it is killed, or its input ends with the test that runs it.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
#[ignore = "needs Java and Maven: cargo xtask test"]
fn brokers_die_with_an_owner_that_is_killed() {
    let mut owner = Command::new(env::current_exe().unwrap())
        .args([
            "hold_a_cluster",
            "--exact",
            "--include-ignored",
            "--nocapture",
        ])
        .env("OTTLA_HOLD_CLUSTER", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut held = lines.filter_map(|line| Some(line.split_once("holding ")?.1.to_owned()));
    let server = held.next().unwrap();
    assert!(TcpStream::connect(&server).is_ok());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(within(Duration::from_secs(20), || TcpStream::connect(
        &server
    )
    .is_err()));
}
