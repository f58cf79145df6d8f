//! Publishing from files: lines to changes, changes to batches, batches over one stream, answers back to lines.
//!
//! A thread reads and encodes; the stream takes batches as fast as the hub answers. A line that cannot be read is told by its number and
//! field and left out; its neighbours go on. Everything between is bounded.

mod line;
mod read;
mod resume;
mod send;

pub use line::{LineError, Lines};
pub use read::{Found, Source, read};
pub use resume::Resume;
pub use send::{Sent, Tally, Target, send};
