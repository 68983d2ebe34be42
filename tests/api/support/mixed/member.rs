//! A member's program.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::history::{History, Id};
use super::scenario::PATIENCE;

pub(super) struct Member {
    pub(super) id: Id,
    child: Child,
    said: JoinHandle<()>,
    complaints: JoinHandle<String>,
}

impl Member {
    pub(super) fn start(mut command: Command, id: Id, history: &Arc<Mutex<History>>) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut stderr = child.stderr.take().expect("a pipe");
        let history = history.clone();
        let said = tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(line) = lines.next_line().await.expect("UTF-8") {
                history.lock().expect("no panic").said(id, &line);
            }
        });
        let complaints = tokio::spawn(async move {
            let mut all = Vec::new();
            // What was said before an error is still told.
            let _ = stderr.read_to_end(&mut all).await;
            String::from_utf8_lossy(&all).into_owned()
        });
        Self {
            id,
            child,
            said,
            complaints,
        }
    }

    /// Whether it is still there, and makes sense.
    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none() && !self.said.is_finished()
    }

    /// Asks it to leave, and waits until it has.
    pub(super) async fn leave(mut self) -> Id {
        let pid = self.child.id().expect("it runs").to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(killed.expect("kill runs").success());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends").expect("a child");
        self.said.await.expect("it makes sense");
        self.id
    }

    /// What it has said on stderr, once it is killed.
    pub(super) async fn complaints(mut self) -> String {
        // Fails only where it has ended already.
        let _ = self.child.start_kill();
        self.complaints.await.unwrap_or_default()
    }
}
