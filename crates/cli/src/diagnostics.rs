//! What is said on stderr: failures, notes, summaries.
//!
//! What cannot be written is dropped: nobody is left to be told, and the exit status still says how it went.

use std::fmt;
use std::io::{self, Write};

/// Writes a line to stderr, as a whole.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Writes a line to stderr that names the program.
pub(crate) fn complain(what: fmt::Arguments<'_>) {
    say(format_args!("ottla: {what}"));
}
