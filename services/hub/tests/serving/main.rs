//! The hub and its commands as real processes: what a day looks like, and what happens to bad input.

mod bad_input;
mod day;
mod hub;
mod orders;
mod start;
