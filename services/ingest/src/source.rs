//! Time and randomness as inputs.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use record::Timestamp;
use record::entry::SALT_BYTES;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Fills a buffer with unpredictable bytes.
pub type Salts = Arc<dyn Fn(&mut [u8]) -> io::Result<()> + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp(since.map_or(0, |after| i64::try_from(after.as_micros()).unwrap_or(i64::MAX)))
    })
}

/// The system's random numbers.
pub fn system_salts() -> Salts {
    Arc::new(|buffer| getrandom::fill(buffer).map_err(io::Error::other))
}

/// The salts of `count` entries, drawn at once.
pub(crate) fn draw(salts: &Salts, count: usize) -> io::Result<Vec<[u8; SALT_BYTES]>> {
    let mut out = vec![[0; SALT_BYTES]; count];
    salts(out.as_flattened_mut())?;
    Ok(out)
}
