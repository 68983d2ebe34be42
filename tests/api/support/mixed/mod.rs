//! Groups whose members are different clients, each a program that says what it does in the words of Kafka's
//! verifiable consumer. Also a part of the programs in `benches/peers/`: it knows no more than what both have.

mod history;
mod member;
mod scenario;

pub(crate) use scenario::{Join, share};
