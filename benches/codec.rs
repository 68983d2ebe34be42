//! Benches of the codec.

fn main() {}
