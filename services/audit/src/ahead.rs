//! Reading ahead: a thread takes entries from the log, which checks them, while the ones before are hashed or opened.

use std::sync::mpsc::sync_channel;

use event_log::{Logged, ReadError, Reader};

/// Batches that are ready while one is worked on: with the one that is read, three are in memory.
const AHEAD: usize = 1;
const BATCH_ENTRIES: usize = 4_096;
const BATCH_BYTES: usize = 4 << 20;

/// Gives `use_batch` the log's entries batch by batch, until it returns `false` or the log ends. Whether it went on to the end of
/// the log.
///
/// # Errors
/// The log cannot be read, or `use_batch` failed.
pub(crate) fn read_ahead<E: From<ReadError>>(
    mut reader: Reader,
    mut use_batch: impl FnMut(Vec<Logged>) -> Result<bool, E>,
) -> Result<bool, E> {
    std::thread::scope(|scope| {
        let (send, batches) = sync_channel(AHEAD);
        scope.spawn(move || {
            loop {
                let batch = reader.next_batch(BATCH_ENTRIES, BATCH_BYTES).map(|batch| batch.entries);
                let last = batch.as_ref().map_or(true, Vec::is_empty);
                // Fails when enough was read.
                if send.send(batch).is_err() || last {
                    return;
                }
            }
        });
        for batch in batches {
            let batch = batch?;
            if batch.is_empty() {
                return Ok(true);
            }
            if !use_batch(batch)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}
