//! Programs that are run to their end.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a program whose output people see as it comes.
///
/// # Errors
/// It does not start, or fails.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| {
        format!("{program} does not start; CONTRIBUTING.md says what is needed")
    })?;
    ensure!(status.success(), "{program} failed: {status}");
    Ok(())
}
