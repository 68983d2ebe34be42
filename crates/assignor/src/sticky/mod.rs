//! Balanced assignments that leave partitions where they are (KIP-54, KIP-341, KIP-429, KIP-881).
//!
//! [`claims`] settles who may say to have had what; [`quota`] balances a group whose members all subscribe to the
//! same topics, [`general`] any other, and [`aiokafka`] uses the latter always; [`user_data`] is what members tell each other about it. The two assignors
//! differ in where claims come from and in when a partition is handed over.

mod aiokafka;
mod balance;
mod claims;
mod cooperative;
mod eager;
mod general;
mod movements;
mod quota;
mod user_data;

pub use cooperative::CooperativeStickyAssignor;
pub use eager::StickyAssignor;
pub use user_data::StickyUserData;
