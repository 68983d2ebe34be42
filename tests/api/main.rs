//! Tests against the public API.
