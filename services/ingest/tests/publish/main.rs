//! The door through real parts: an embedded log, a view store, and gRPC over mutual TLS on loopback.

mod full_disk;
mod hub;
mod identity_of_a_change;
mod refusals;
mod start;
mod streams;
