//! End-to-end tests, and what they share with fuzzing.

pub mod decoders;
