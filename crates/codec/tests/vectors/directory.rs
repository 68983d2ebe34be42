//! Where the vectors are.

use std::env;
use std::path::{Path, PathBuf};

/// The directory that `OTTLA_CODEC_VECTORS` names, or the one that is checked in. A relative name counts from the
/// workspace's root, where people are when they run tests, and not from the crate, where cargo runs them.
pub(crate) fn vectors() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match env::var_os("OTTLA_CODEC_VECTORS") {
        Some(named) => here.join("../..").join(named),
        None => here.join("tests/vectors"),
    }
}
