//! The crate from outside, over whole contracts.

mod compat;
mod compile;
mod facts;
mod judge;
mod samples;
