//! `cargo xtask`: the workspace's own commands.

fn main() {}
