//! Where the clients' programs are, and how each is started.

use std::env;
use std::path::{Path, PathBuf};

use crate::Result;

/// The programs; those in Rust are beside this one.
#[derive(Debug)]
pub struct Programs {
    beside: PathBuf,
    franz_go: PathBuf,
    java: PathBuf,
    class_path: String,
    java_options: &'static [&'static str],
}

impl Programs {
    /// # Errors
    /// This program does not know where it is.
    pub fn new(
        franz_go: &str,
        java: &str,
        class_path: &str,
        java_options: &'static [&'static str],
    ) -> Result<Self> {
        let own = env::current_exe()?;
        Ok(Self {
            beside: own.parent().ok_or("no directory")?.to_owned(),
            franz_go: franz_go.into(),
            java: java.into(),
            class_path: class_path.to_owned(),
            java_options,
        })
    }

    /// A program built beside this one.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.beside.join(name)
    }

    /// franz-go's program.
    #[must_use]
    pub fn franz_go(&self) -> &Path {
        &self.franz_go
    }

    /// The words that start a client's program.
    #[must_use]
    pub fn command(&self, client: &str) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        match client {
            "franz-go" => vec![text(&self.franz_go)],
            "java" => {
                let mut words = vec![text(&self.java)];
                words.extend(self.java_options.iter().map(|option| (*option).to_owned()));
                words.extend(["-cp".into(), self.class_path.clone(), "Peer".into()]);
                words
            }
            name => vec![text(&self.beside(name))],
        }
    }
}
