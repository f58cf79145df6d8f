//! The log on Kafka when brokers fail: real ones that are stopped, killed and frozen, and the client library's mock for error codes that a
//! real one does not give on demand.
//!
//! After each: every acknowledged entry is at its place, no entry is there twice, a partition's order is that of its appends.
//! `HUB_FAULT_SECONDS` sets how long an outage lasts (6).

#[path = "../kafka/brokers.rs"]
mod brokers;
mod load;
mod mock;
mod network;
mod outages;
mod secure;
