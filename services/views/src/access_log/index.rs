//! The index: which entries of the `access` stream read a record.
//!
//! ```text
//! Table::Lookup   pseudonym (16), mark (24: inverted time, partition, index, place in the entry) -> locator (u64)
//! Table::Control  "log" -> format (u8), log id (16);  "positions" -> how far the stream is indexed
//! ```
//!
//! It is a store of its own, in a folder of its own: the tables' names are borrowed, their rows are not those of the views.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use event_log::{EventLog, Locator, ReadError, Reader as LogReader, StreamSet};
use record::access::{Access, AccessBatch};
use record::{Entry, EntryKind, Position, Positions, Pseudonym, Reader, Stream, Timestamp, Writer};
use telemetry::told;
use view_store::{Batch, Durability, KeyRange, Store, Table};

use super::{AccessLogError, AccessLogOptions, Accessed, StartError};

const FORMAT: u8 = 1;
const LOG: &[u8] = b"log";
const POSITIONS: &[u8] = b"positions";
const MARK_BYTES: usize = 24;
const SCAN_ENTRIES: usize = 1024;
const SCAN_BYTES: usize = 8 << 20;

/// A place in the list of accesses, newest first. Opaque to callers; its text is a page token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; MARK_BYTES]);

/// The text is no mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a page token of this list: send the one that the last answer gave")]
pub struct MarkError;

impl Mark {
    fn new(at: Timestamp, position: Position, place: u64) -> Self {
        // Later first: a greater time, index or place has a smaller mark. Times are after 1970.
        let mut out = [0; MARK_BYTES];
        out[..8].copy_from_slice(&(!u64::try_from(at.0).unwrap_or(0)).to_be_bytes());
        out[8..10].copy_from_slice(&(!position.partition.0).to_be_bytes());
        out[10..18].copy_from_slice(&(!position.index.0).to_be_bytes());
        out[18..].copy_from_slice(&(!place).to_be_bytes()[2..]);
        Self(out)
    }

    fn place(&self) -> usize {
        let mut place = [0xff; 8];
        place[2..].copy_from_slice(&self.0[18..]);
        usize::try_from(!u64::from_be_bytes(place)).unwrap_or(usize::MAX)
    }

    /// The text of a page token.
    pub fn to_text(&self) -> String {
        self.0.iter().fold(String::with_capacity(2 * MARK_BYTES), |mut out, b| {
            use std::fmt::Write as _;
            write!(out, "{b:02x}").expect("writing to a string cannot fail");
            out
        })
    }

    /// Reads a page token.
    ///
    /// # Errors
    /// [`MarkError`].
    pub fn from_text(text: &str) -> Result<Self, MarkError> {
        if text.len() != 2 * MARK_BYTES || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(MarkError);
        }
        let mut out = [0; MARK_BYTES];
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).or(Err(MarkError))?;
        }
        Ok(Self(out))
    }
}

pub(super) struct AccessIndex {
    dir: PathBuf,
    options: AccessLogOptions,
    /// Written by the committer alone; `None` when it could not be opened again.
    store: RwLock<Option<Store>>,
    /// Whether a write failed, so that the log holds entries that are not indexed.
    behind: AtomicBool,
}

/// The index of accesses could not be opened again after a failed write.
fn closed() -> AccessLogError {
    AccessLogError::from(view_store::Error::Closed)
}

impl AccessIndex {
    /// Opens the index and brings it up to the end of the stream; builds it anew when it cannot be used.
    pub(super) fn open(log: &EventLog, dir: &Path, options: &AccessLogOptions) -> Result<Self, StartError> {
        match Self::resume(log, dir, options) {
            Ok(index) => return Ok(index),
            // The log's own trouble is not the index's: only an index that is ahead of the log is of another one.
            Err(AccessLogError::Read(error)) if !matches!(*error, ReadError::BeyondEnd { .. }) => {
                return Err(AccessLogError::Read(error).into());
            }
            Err(error) => {
                if dir.exists() {
                    tracing::warn!(error = %told(&error), "the access index is discarded and built again from the log");
                    let folder = |source| StartError::Folder { dir: dir.to_owned(), source };
                    std::fs::remove_dir_all(dir).map_err(folder)?;
                }
            }
        }
        Ok(Self::resume(log, dir, options)?)
    }

    fn resume(log: &EventLog, dir: &Path, options: &AccessLogOptions) -> Result<Self, AccessLogError> {
        let store = RwLock::new(Some(named(dir, options)?));
        let index = Self { dir: dir.to_owned(), options: options.clone(), store, behind: AtomicBool::new(false) };
        index.catch_up(log)?;
        Ok(index)
    }

    /// A store that failed a write may take none before it is opened again: its files are let go of first.
    fn reopen(&self) -> Result<(), AccessLogError> {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        *store = None;
        *store = Some(named(&self.dir, &self.options)?);
        Ok(())
    }

    fn with_store<T>(&self, f: impl FnOnce(&Store) -> Result<T, view_store::Error>) -> Result<T, AccessLogError> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        Ok(f(store.as_ref().ok_or_else(closed)?)?)
    }

    pub(super) fn positions(&self) -> Result<Positions, AccessLogError> {
        match self.with_store(|store| store.get(Table::Control, POSITIONS))? {
            Some(bytes) => Ok(Positions::decode(&mut Reader::new(&bytes))?),
            None => Ok(Positions::new()),
        }
    }

    fn catch_up(&self, log: &EventLog) -> Result<(), AccessLogError> {
        let mut from = self.positions()?;
        for (stream, partition, first) in log.first().of(Stream::Access).iter() {
            if from.get(stream, partition) < first {
                from.set(stream, partition, first);
            }
        }
        let mut reader = log.reader(&from, StreamSet::empty().with(Stream::Access))?;
        while self.take(&mut reader)? > 0 {}
        Ok(())
    }

    /// Indexes what the reader gives next; how many entries that were.
    pub(super) fn take(&self, reader: &mut LogReader) -> Result<usize, AccessLogError> {
        let read = reader.next_batch(SCAN_ENTRIES, SCAN_BYTES)?;
        if read.entries.is_empty() {
            return Ok(0);
        }
        let mut decoded = Vec::with_capacity(read.entries.len());
        for logged in &read.entries {
            decoded.push((logged.position, logged.appended_at, logged.locator, decode(&logged.bytes)?));
        }
        self.add(decoded.iter().map(|(position, at, locator, batch)| (*position, *at, *locator, batch)))?;
        Ok(read.entries.len())
    }

    /// Indexes entries that were just appended; after a failure everything that the log holds beyond what is indexed.
    pub(super) fn follow<'a>(
        &self,
        log: &EventLog,
        entries: impl Iterator<Item = (Position, Timestamp, Locator, &'a AccessBatch)>,
    ) -> Result<(), AccessLogError> {
        // Set while it writes: a panic leaves it behind too.
        let behind = self.behind.swap(true, Ordering::AcqRel);
        if behind {
            self.reopen()?;
            self.catch_up(log)?
        } else {
            self.add(entries)?
        }
        self.behind.store(false, Ordering::Release);
        Ok(())
    }

    /// Writes the rows of entries, in the order of each partition.
    fn add<'a>(
        &self,
        entries: impl Iterator<Item = (Position, Timestamp, Locator, &'a AccessBatch)>,
    ) -> Result<(), AccessLogError> {
        let mut positions = self.positions()?;
        let mut rows = Batch::new();
        for (position, at, locator, batch) in entries {
            for (place, access) in batch.accesses.iter().enumerate() {
                let mark = Mark::new(at, position, place as u64);
                for record in &access.records {
                    rows.put(Table::Lookup, &[record.0.as_slice(), &mark.0].concat(), &locator.0.to_be_bytes());
                }
            }
            positions.include(position);
        }
        let mut w = Writer::new();
        positions.encode(&mut w);
        rows.put(Table::Control, POSITIONS, &w.finish());
        self.with_store(|store| store.commit(rows, Durability::Buffered))
    }

    pub(super) fn list(
        &self,
        log: &EventLog,
        records: &[Pseudonym],
        after: Option<Mark>,
        limit: usize,
    ) -> Result<(Vec<Accessed>, bool), AccessLogError> {
        let mut found = BTreeMap::new();
        for record in records {
            self.rows(*record, after, limit + 1, &mut found)?;
        }
        let more = found.len() > limit;
        let mut out = Vec::with_capacity(limit.min(found.len()));
        let mut entry: Option<(Locator, Position, AccessBatch)> = None;
        for (mark, locator) in found.into_iter().take(limit) {
            if entry.as_ref().is_none_or(|(at, ..)| *at != locator) {
                entry = match log.read(locator) {
                    Ok(logged) => Some((locator, logged.position, decode(&logged.bytes)?)),
                    // Retention has let go of it.
                    Err(ReadError::NotFound { .. }) => None,
                    Err(e) => return Err(e.into()),
                };
            }
            if let Some((_, position, batch)) = &entry
                && let Some(access) = batch.accesses.get(mark.place())
            {
                out.push(Accessed { position: *position, mark, access: Access::clone(access) });
            }
        }
        Ok((out, more))
    }

    fn rows(
        &self,
        record: Pseudonym,
        after: Option<Mark>,
        limit: usize,
        found: &mut BTreeMap<Mark, Locator>,
    ) -> Result<(), AccessLogError> {
        let from = match after {
            // The least key behind the mark's own.
            Some(mark) => [record.0.as_slice(), &mark.0, &[0]].concat(),
            None => record.0.to_vec(),
        };
        let to = [record.0.as_slice(), &[0xff; MARK_BYTES + 1]].concat();
        let range = KeyRange::Between { from: &from, to: &to };
        for (key, value) in self.with_store(|store| store.range(Table::Lookup, range, limit))? {
            let mark = key.get(16..).and_then(|m| m.try_into().ok()).map(Mark).ok_or(AccessLogError::Row)?;
            let locator = value[..].try_into().map(u64::from_be_bytes).or(Err(AccessLogError::Row))?;
            found.insert(mark, Locator(locator));
        }
        // Only the first of all records' rows can be on the page.
        while found.len() > limit {
            found.pop_last();
        }
        Ok(())
    }
}

/// The store in a folder, which is this log's.
fn named(dir: &Path, options: &AccessLogOptions) -> Result<Store, AccessLogError> {
    let store = Store::open(options.store, dir, options.cache_bytes)?;
    let name = [&[FORMAT], options.log_id.as_slice()].concat();
    match store.get(Table::Control, LOG)? {
        Some(found) if *found == name[..] => {}
        Some(_) => return Err(AccessLogError::Row),
        None => {
            let mut batch = Batch::new();
            batch.put(Table::Control, LOG, &name);
            store.commit(batch, Durability::Synced)?;
        }
    }
    Ok(store)
}

fn decode(bytes: &[u8]) -> Result<AccessBatch, AccessLogError> {
    let entry = Entry::decode(bytes)?;
    debug_assert_eq!(entry.header.kind, EntryKind::Access);
    Ok(AccessBatch::decode(entry.plain_body()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Index, Partition};

    fn mark(at: i64, index: u64, place: u64) -> Mark {
        let position = Position { stream: Stream::Access, partition: Partition(1), index: Index(index) };
        Mark::new(Timestamp(at), position, place)
    }

    #[test]
    fn later_accesses_come_first() {
        assert!(mark(2, 1, 0) < mark(1, 5, 0));
        assert!(mark(1, 5, 0) < mark(1, 4, 9));
        assert!(mark(1, 5, 1) < mark(1, 5, 0));
        assert_eq!(mark(1, 5, 511).place(), 511);
    }

    #[test]
    fn marks_survive_as_page_tokens_and_other_text_does_not() {
        assert_eq!(Mark::from_text(&mark(7, 8, 9).to_text()), Ok(mark(7, 8, 9)));
        for text in ["", "00", &"x".repeat(48), &"é".repeat(24)] {
            assert_eq!(Mark::from_text(text), Err(MarkError));
        }
    }
}
