//! The hub and its commands as real processes: what a day looks like, and what happens to bad input.

mod bad_input;
mod canary;
mod client;
mod collector;
mod connections;
mod contracts;
mod crash;
mod day;
mod full_disk;
mod http;
mod hub;
mod ledger;
mod orders;
mod planted;
mod proofs;
mod raw;
mod replay;
mod reproduce;
mod review;
mod start;
mod switching;
mod telemetry;
mod views_trust;
mod watch;
mod wire_input;
mod witness;
