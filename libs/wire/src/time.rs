//! Times as the API has them.

use prost_types::Timestamp;

/// Microseconds since the Unix epoch, UTC, as protobuf has them.
pub fn timestamp(micros: i64) -> Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("less than a second");
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}
