//! What the vector test and the law tests share.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses its part"
)]

pub mod case;
pub mod measure;
