//! Who gets which partition: pure functions over plain Rust types.
