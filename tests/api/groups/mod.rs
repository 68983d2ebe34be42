//! Consumers in groups. What needs nothing but brokers runs on the fake cluster and on a real Kafka alike, as
//! functions of a [`Subject`]; the rest disturbs the fake cluster.

mod history;
mod seeded;
mod sharing;
mod subject;
