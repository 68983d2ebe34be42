//! `cargo xtask lint`: formatting, clippy, and the house rules that neither knows.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::report::Report;
use crate::{edges, tidy};

/// Formatting, clippy with the MSRV lint, tidy.
pub(crate) fn steps(report: &mut Report, sh: &Shell) {
    report.step("fmt", || Ok(cmd!(sh, "cargo fmt --all --check").run()?));
    report.step("clippy", || {
        Ok(cmd!(
            sh,
            "cargo clippy --workspace --all-targets --features ottla-codec/serde -- -D warnings"
        )
        .run()?)
    });
    report.step("tidy", || tidy::check(sh));
    report.step("dependency edges", || edges::check(sh));
}

/// The documentation of the libraries, without warnings. The program shares its name with one of them.
pub(crate) fn docs(sh: &Shell) -> Result<()> {
    let _env = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    cmd!(sh, "cargo doc --no-deps --workspace --lib").run()?;
    Ok(())
}
