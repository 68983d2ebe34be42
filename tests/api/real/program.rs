//! The `ottla` program on a real Kafka: lines of a file in, the same lines out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdout, Command};
use tokio::time::{Duration, interval, timeout};

use crate::support::{PATIENCE, long_runs, real};

/// What a process may take beside its byte budget.
const BESIDE: u64 = 24 << 20;
/// After how many bytes the reader of a program's output stops for a while, again and again.
const SPELL: usize = 60 << 20;

/// How a run ended.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
    /// The most memory it had, in bytes; of an unoptimised program without its code.
    peak: u64,
}

impl Ended {
    #[track_caller]
    pub(super) fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

/// The program, built once, beside these tests.
pub(super) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // What it takes is judged by the program as people have it: code counts, and is twice the size
        // unoptimised.
        let profile = if long_runs() { "release" } else { "dev" };
        let built = std::process::Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "ottla-cli",
                "--profile",
                profile,
            ])
            .current_dir(xtask::project::root())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the program cannot be built");
        // The tests' binary is in `deps`, below the programs of its profile.
        let tests = std::env::current_exe().expect("a path");
        let dir = tests.parent().and_then(Path::parent).expect("deps");
        match long_runs() {
            true => dir.with_file_name("release").join("ottla"),
            false => dir.join("ottla"),
        }
    })
}

pub(super) async fn ottla(arguments: &str, stdin: &[u8]) -> Ended {
    let mut child = Command::new(program())
        .args(arguments.split_whitespace())
        .env("OTTLA_BROKERS", real::brokers())
        .env_remove("OTTLA_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    let mut pipe = child.stdin.take().expect("stdin");
    let status = format!("/proc/{}/status", child.id().expect("it has just started"));
    let feed = async {
        // A program that gives up early does not read all of it.
        let _ = pipe.write_all(stdin).await;
        drop(pipe);
        std::future::pending::<()>().await;
    };
    let mut peak = 0;
    let watch = async {
        let mut tick = interval(Duration::from_millis(10));
        loop {
            tick.tick().await;
            let all = memory(&status, "VmHWM").unwrap_or(0);
            // Unoptimised code is no measure of anything, and as large as all the rest.
            let code = match long_runs() {
                true => 0,
                false => memory(&status, "RssFile").unwrap_or(0),
            };
            peak = all.saturating_sub(code).max(peak);
        }
    };
    let stdout = read_in_spells(child.stdout.take().expect("stdout"), &status);
    let mut pipe = child.stderr.take().expect("stderr");
    let mut stderr = String::new();
    let ended = async {
        tokio::select! {
            biased;
            ended = async { tokio::join!(stdout, pipe.read_to_string(&mut stderr), child.wait()) } => ended,
            () = feed => unreachable!("it waits for ever"),
            () = watch => unreachable!("it watches for ever"),
        }
    };
    let limit = if long_runs() {
        10 * PATIENCE
    } else {
        2 * PATIENCE
    };
    let (stdout, read, status) = timeout(limit, ended).await.expect("it hangs");
    read.expect("UTF-8");
    Ended {
        code: status.expect("it ends").code(),
        stdout,
        stderr,
        peak,
    }
}

/// Reads all that a program prints, but stops at the beginning and now and then until the program has
/// come to rest: whatever it collects ahead of a slow reader is collected by then.
async fn read_in_spells(mut pipe: ChildStdout, status: &str) -> Vec<u8> {
    let mut stdout = Vec::new();
    let mut next_stop = 1;
    while pipe.read_buf(&mut stdout).await.expect("it can be read") > 0 {
        if stdout.len() >= next_stop {
            at_rest(status).await;
            next_stop = stdout.len() + SPELL;
        }
    }
    stdout
}

/// Waits until a process's memory is the same for half a second, or it has ended.
async fn at_rest(status: &str) {
    let mut tick = interval(Duration::from_millis(10));
    let (mut before, mut same) = (None, 0);
    while same < 50 {
        tick.tick().await;
        let now = memory(status, "VmRSS");
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
}

/// What Linux, where it is that, says of a process's memory.
fn memory(status: &str, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Lines that are numbered, so that their order shows: 5 million of them in a long run.
fn lines() -> Vec<u8> {
    let count = if long_runs() { 5_000_000 } else { 100_000 };
    let line = |number: u64| {
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{number:07} and something that differs, {noise:016x}\n").into_bytes()
    };
    (0..count).flat_map(line).collect()
}

#[rstest]
#[case("none")]
#[case("gzip")]
#[case("snappy")]
#[case("lz4")]
#[case("zstd")]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn lines_come_back_complete_and_in_order(
    #[case] codec: &str,
    #[values(false, true)] little: bool,
) {
    let topic = real::topic(&real::client(), "lines", 6, &[]).await;
    let text = lines();
    let (produce, consume, produce_budget, consume_budget) = match little {
        true => (
            "-X buffer.memory=1048576",
            "-X queued.max.messages.kbytes=1024",
            1 << 20,
            1 << 20,
        ),
        false => ("", "", 32 << 20, 64 << 20),
    };
    let produced = ottla(&format!("produce -t {topic} -z {codec} {produce}"), &text)
        .await
        .good();
    let count = text.iter().filter(|&&byte| byte == b'\n').count();
    assert!(
        produced
            .last_line()
            .starts_with(&format!("produced {count} records, "))
    );
    assert!(produced.last_line().ends_with(" s, 0 errors"));
    assert!(
        produced.peak < produce_budget + BESIDE,
        "{} bytes",
        produced.peak
    );

    let format = r"-f %p\t%s\n";
    let consumed = ottla(&format!("consume -t {topic} -e {format} {consume}"), b"")
        .await
        .good();
    assert!(
        consumed.peak < consume_budget + BESIDE,
        "{} bytes",
        consumed.peak
    );
    let mut by_partition = BTreeMap::<&[u8], Vec<&[u8]>>::new();
    for line in consumed.stdout.split_inclusive(|&byte| byte == b'\n') {
        let tab = line.iter().position(|&byte| byte == b'\t').expect("a tab");
        by_partition
            .entry(&line[..tab])
            .or_default()
            .push(&line[tab + 1..]);
    }
    assert!(
        by_partition.values().all(|lines| lines.is_sorted()),
        "out of order"
    );
    let mut all: Vec<&[u8]> = by_partition.into_values().flatten().collect();
    all.sort_unstable();
    assert!(
        all.into_iter()
            .eq(text.split_inclusive(|&byte| byte == b'\n')),
        "not the same lines"
    );
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn java_reads_what_the_program_wrote() {
    let topic = real::topic(&real::client(), "program", 1, &[]).await;
    let stdin = "k:v\n:\nno key\n".as_bytes();
    ottla(&format!("produce -t {topic} -K : -Z -H a=1 -H b"), stdin)
        .await
        .good();
    let lines = real::console_consume(&topic, 3, &[]).await;
    let rest: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once('\t').expect("a timestamp").1)
        .collect();
    assert_eq!(
        rest,
        [
            "Offset:0\ta:1,b:null\tk\tv",
            "Offset:1\ta:1,b:null\tnull\tnull",
            "Offset:2\ta:1,b:null\tnull\tno key",
        ]
    );
}

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn bad_input_is_one_clear_line() {
    let topic = real::topic(&real::client(), "bad", 2, &[("max.message.bytes", "2000")]).await;
    let unknown = real::unique("unknown");
    let large = vec![b'x'; 100_000];
    let count = "topic has 2 partitions, there is no partition 2"
        .replace("topic", &format!("topic {topic}"));
    for (arguments, stdin, said) in [
        (
            format!("consume -t {unknown} -e"),
            &b""[..],
            format!("the cluster has no topic {unknown}"),
        ),
        (
            format!("produce -t {unknown}"),
            b"a",
            format!("the cluster has no topic {unknown}"),
        ),
        (format!("produce -t {topic} -p 2"), b"a", count.clone()),
        (format!("consume -t {topic} -p 2"), b"", count),
        (
            format!("produce -t {topic}"),
            &large,
            "MESSAGE_TOO_LARGE".to_owned(),
        ),
        (
            format!("consume -t {topic} -o 7 -c 1"),
            b"",
            "out of range".to_owned(),
        ),
    ] {
        let ended = ottla(&arguments, stdin).await;
        assert_eq!(ended.code, Some(1), "{arguments}: {}", ended.stderr);
        let errors: Vec<_> = ended
            .stderr
            .lines()
            .filter(|line| line.starts_with("ottla: "))
            .collect();
        assert!(
            errors.len() == 1 && errors[0].contains(&said),
            "{arguments}: {}",
            ended.stderr
        );
    }
}
