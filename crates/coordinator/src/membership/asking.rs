//! Calls of assignors, which are anybody's code.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ottla_assignor::Assignor;

use super::Failure;
use super::error::failure::PanickedSnafu;

/// What an assignor has to say. Its panic is a failure that the caller is told of: the member, and whoever drives it,
/// live on. Nobody but the assignor sees what it leaves behind.
///
/// # Errors
///
/// It panicked.
pub(super) fn ask<T>(
    assignor: &dyn Assignor,
    question: impl FnOnce(&dyn Assignor) -> T,
) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(|| question(assignor))).map_err(|_| {
        let assignor = assignor.name();
        PanickedSnafu { assignor }.build()
    })
}
