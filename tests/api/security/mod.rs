//! Who is who: encryption and identity on the fake cluster. On brokers that want them it is `real::own::security`.

mod sasl;
mod tls;
mod world;

pub(crate) use world::round_trip;
