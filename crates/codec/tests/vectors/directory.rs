//! Where the vectors are.

use std::env;
use std::path::{Path, PathBuf};

/// The directory that `OTTLA_CODEC_VECTORS` names, or the one that is checked in.
pub(crate) fn vectors() -> PathBuf {
    env::var_os("OTTLA_CODEC_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"),
        PathBuf::from,
    )
}
