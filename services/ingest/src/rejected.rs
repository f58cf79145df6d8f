//! Which refused changes are open: an index over the rejected stream.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_log::{Appended, EventLog, Locator, Logged, ReadError, Reader, StreamSet};
use record::envelope::RefusalClosed;
use record::{
    DecodeError, Entry, EntryKind, Index, Partition, Position, Positions, RegisterName, Stream, entry::BodyError,
};

const SCAN_ENTRIES: usize = 4_096;
const SCAN_BYTES: usize = 4 << 20;
/// Longest that a stop takes to be seen.
const FOLLOW_WAIT: Duration = Duration::from_millis(200);

/// Why the rejected stream could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Body(#[from] BodyError),
}

type Place = (Partition, Index);

/// The open refusals by register and position, with the way to their entries. Bounded; complete once the scan is done, as far as the bound
/// reaches.
#[derive(Debug)]
pub(crate) struct Rejected {
    open: Mutex<Open>,
    scanned: AtomicBool,
    max: usize,
}

#[derive(Debug, Default)]
struct Open {
    by_register: BTreeMap<RegisterName, BTreeMap<Place, Locator>>,
    registers: BTreeMap<Place, RegisterName>,
    overflowed: bool,
}

impl Open {
    fn insert(&mut self, register: &RegisterName, place: Place, locator: Locator, max: usize) {
        if self.registers.len() >= max {
            if !self.overflowed {
                tracing::warn!(max, "more refused changes are open than are held: the rest is listed after a restart");
            }
            self.overflowed = true;
            return;
        }
        self.registers.insert(place, register.clone());
        self.by_register.entry(register.clone()).or_default().insert(place, locator);
    }

    fn remove(&mut self, place: Place) {
        let Some(register) = self.registers.remove(&place) else { return };
        if let Some(open) = self.by_register.get_mut(&register) {
            open.remove(&place);
        }
    }
}

impl Rejected {
    pub(crate) fn new(max: usize) -> Self {
        Self { open: Mutex::default(), scanned: AtomicBool::new(false), max }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().expect("no panic happens while the list is held")
    }

    /// Whether the stream has been read up to where this process began.
    pub(crate) fn ready(&self) -> bool {
        self.scanned.load(Ordering::Acquire)
    }

    /// New refusals of a register.
    pub(crate) fn opened(&self, register: &RegisterName, refusals: &[Appended]) {
        if refusals.is_empty() {
            return;
        }
        let mut open = self.lock();
        for refusal in refusals {
            open.insert(register, place(refusal.position), refusal.locator, self.max);
        }
    }

    /// Refusals that are open no more.
    pub(crate) fn closed(&self, positions: &[Position]) {
        if positions.is_empty() {
            return;
        }
        let mut open = self.lock();
        positions.iter().for_each(|position| open.remove(place(*position)));
    }

    /// The open refusals of a register after a position, at most `limit`, in order.
    pub(crate) fn after(&self, register: &RegisterName, after: Option<Place>, limit: usize) -> Vec<(Place, Locator)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let open = self.lock();
        let Some(of_register) = open.by_register.get(register) else { return Vec::new() };
        let from = after.map_or(Unbounded, Excluded);
        of_register.range((from, Unbounded)).take(limit).map(|(place, locator)| (*place, *locator)).collect()
    }

    /// The way to one open refusal of a register.
    pub(crate) fn find(&self, register: &RegisterName, place: Place) -> Option<Locator> {
        self.lock().by_register.get(register)?.get(&place).copied()
    }

    /// Reads the rejected stream up to `ends`, where this process began. What this process refuses later is told by the committer; what
    /// others do is read on, where a log is shared, until `stop`. Blocks on the log.
    pub(crate) fn scan(&self, log: &EventLog, ends: &Positions, stop: &AtomicBool) -> Result<(), ScanError> {
        let ends = ends.of(Stream::Rejected);
        let shared = log.kind() == "kafka";
        let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Rejected))?;
        while !reader.positions().covers_all(&ends) && !stop.load(Ordering::Relaxed) {
            let batch = reader.next_batch(SCAN_ENTRIES, SCAN_BYTES)?;
            if batch.entries.is_empty() {
                break;
            }
            let mut wanted = batch.entries.iter().filter(|logged| shared || ends.covers(logged.position));
            wanted.try_for_each(|logged| self.scan_one(logged))?;
        }
        self.scanned.store(true, Ordering::Release);
        if shared { self.follow(&mut reader, stop) } else { Ok(()) }
    }

    /// What this process has told itself is told once more, in the stream's order: in the end the list is what the stream says.
    fn follow(&self, reader: &mut Reader, stop: &AtomicBool) -> Result<(), ScanError> {
        while !stop.load(Ordering::Relaxed) {
            let batch = match reader.next_batch(SCAN_ENTRIES, SCAN_BYTES) {
                // Brokers that do not answer come back; the log tells of them meanwhile.
                Err(ReadError::Unanswered { .. }) => continue,
                batch => batch?,
            };
            if batch.entries.is_empty() {
                reader.wait(FOLLOW_WAIT);
            }
            batch.entries.iter().try_for_each(|logged| self.scan_one(logged))?;
        }
        Ok(())
    }

    fn scan_one(&self, logged: &Logged) -> Result<(), ScanError> {
        let entry = Entry::decode(&logged.bytes)?;
        match entry.header.kind {
            EntryKind::Rejected => {
                if let Some(register) = &entry.header.register {
                    self.lock().insert(register, place(logged.position), logged.locator, self.max);
                }
            }
            EntryKind::RejectedClosed => {
                let closed = RefusalClosed::decode(entry.plain_body()?)?;
                self.lock().remove((closed.partition, closed.index));
            }
            EntryKind::Upsert | EntryKind::Retract | EntryKind::Control | EntryKind::Access => {}
        }
        Ok(())
    }
}

fn place(position: Position) -> Place {
    (position.partition, position.index)
}
