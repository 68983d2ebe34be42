//! Consumers in groups. What needs nothing but brokers runs on the fake cluster and on a real Kafka alike, as
//! functions of a [`Subject`](subject::Subject); the rest disturbs the fake cluster.

mod assignors;
mod auto_commit;
mod away;
mod chain;
mod changes_of_mind;
mod chaos;
mod commits;
mod faults;
mod handing_over;
pub(crate) mod history;
mod interrupted;
mod nonsense;
mod real;
mod seeded;
mod sharing;
mod static_members;
pub(crate) mod subject;
mod subscriptions;
