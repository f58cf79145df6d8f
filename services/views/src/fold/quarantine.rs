//! The quarantine: changes that the fold cannot apply, with what their records said after them.
//!
//! Whether a change can be applied follows from its bytes and the log's keys alone. What is parked of a record is therefore its sequence from the
//! first entry on that cannot be applied and was not dropped by a control entry; it does not matter which of the two the fold met
//! first. So live views and a replay agree here too, and the digest counts what is parked.
//!
//! Its rows stand in `Table::Control` ([`projection::quarantine`]); the record's head and links know nothing of them.

use std::collections::BTreeMap;

use event_log::{Locator, Logged};
use projection::head::RULE_QUARANTINED;
use projection::quarantine::KEY;
pub use projection::quarantine::Parked;
use record::entry::BodyError;
use record::{Entry, EntryHeader, EntryKind, Position, Pseudonym, RegisterEpoch, Row, Stream};
use view_store::{KeyRange, Table, View};

use super::prepare::PreparedEntry;
use super::{FoldError, Step};

/// Records that may be parked: they are held in memory. Past it the fold stops, because that many bad changes are no accident of records.
const RECORDS_MAX: usize = 100_000;
/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 200;

fn parked_change(logged: &Logged, header: Option<&EntryHeader>, reason: Option<&FoldError>) -> Parked {
    let reason = reason.map(|reason| {
        let mut text = cause(reason);
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        text
    });
    Parked {
        record: header.map_or_else(|| unnamed(logged.position), |header| header.record),
        position: logged.position,
        locator: logged.locator.0,
        register: header.and_then(|header| header.register.clone()),
        epoch: header.map_or(RegisterEpoch::default(), |header| header.epoch),
        version: header.map_or(0, |header| header.version),
        recorded_at: header.map(|header| header.recorded_at),
        reason,
    }
}

/// The name of a record that cannot be named: two positions never share one.
fn unnamed(position: Position) -> Pseudonym {
    let place = format!("hub 2026 unreadable entry {position}");
    Pseudonym(blake3::hash(place.as_bytes()).as_bytes()[..16].try_into().expect("a hash has 32 bytes"))
}

fn cause(error: &FoldError) -> String {
    match error {
        FoldError::Entry { source, .. } => format!("the entry cannot be decoded: {source}"),
        FoldError::Body { source, .. } => format!("the body cannot be read: {source}"),
        FoldError::Hash { .. } => "the body does not have the hash that the header names".to_owned(),
        FoldError::Register { .. } => "a change without a register".to_owned(),
        // Nothing else parks.
        other => other.to_string(),
    }
}

/// Whether an error says that this entry cannot be applied, whoever folds it, rather than that something is wrong with the process.
pub(super) fn parks(error: &FoldError, at: Position) -> bool {
    let position = match error {
        FoldError::Entry { position, .. } | FoldError::Hash { position } | FoldError::Register { position } => position,
        FoldError::Body { source: BodyError::Encrypted | BodyError::Erased, .. } => return false,
        FoldError::Body { position, .. } => position,
        _ => return false,
    };
    *position == at && at.stream == Stream::Change
}

/// Row of the digest of one parked change.
pub(crate) fn parked_row(record: Pseudonym) -> Vec<u8> {
    Row::Finding { record, rule: RULE_QUARANTINED, field: "", other: None }.encode()
}

/// What is parked, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quarantined {
    /// Records.
    pub records: u64,
    /// Changes.
    pub changes: u64,
}

/// The parked records, with the number of their parked changes.
#[derive(Debug, Default)]
pub(super) struct Quarantine(BTreeMap<Pseudonym, u64>);

impl Quarantine {
    pub(super) fn load(view: &View) -> Result<Self, FoldError> {
        let mut all = Self::default();
        let mut last = None;
        loop {
            let page = parked(view, last.as_ref(), PAGE)?;
            page.iter().for_each(|parked| *all.0.entry(parked.record).or_default() += 1);
            match page.into_iter().next_back() {
                Some(parked) => last = Some(parked),
                None => return Ok(all),
            }
        }
    }

    pub(super) fn counts(&self) -> Quarantined {
        Quarantined { records: self.0.len() as u64, changes: self.0.values().sum() }
    }

    fn holds(&self, record: Pseudonym) -> bool {
        !self.0.is_empty() && self.0.contains_key(&record)
    }
}

const PAGE: usize = 1_000;

/// Parked changes in the order of their records and positions, after one, at most `limit`.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn parked(view: &View, after: Option<&Parked>, limit: usize) -> Result<Vec<Parked>, FoldError> {
    let from = after.map_or_else(|| vec![KEY], |parked| [parked.key(), vec![0]].concat());
    let rows = view.range(Table::Control, KeyRange::Between { from: &from, to: &[KEY + 1] }, limit)?;
    rows.iter().map(|(key, value)| Ok(Parked::decode(key, value)?)).collect()
}

/// What is parked of one record, in order, at most `limit`.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn parked_of(view: &View, record: Pseudonym, limit: usize) -> Result<Vec<Parked>, FoldError> {
    let rows = view.range(Table::Control, KeyRange::Prefix(&Parked::prefix(record)), limit)?;
    rows.iter().map(|(key, value)| Ok(Parked::decode(key, value)?)).collect()
}

impl Step<'_, '_> {
    /// Folds an entry of the change stream, or parks it.
    pub(super) fn of_change(&mut self, prepared: PreparedEntry) -> Result<(), FoldError> {
        let PreparedEntry { logged, body, read, fault } = prepared;
        let position = logged.position;
        let entry = match Entry::decode(&logged.bytes) {
            Ok(entry) => entry,
            Err(source) => return self.park(&logged, None, Some(&FoldError::Entry { position, source })),
        };
        if !matches!(entry.header.kind, EntryKind::Upsert | EntryKind::Retract) {
            return Ok(());
        }
        if self.quarantine.holds(entry.header.record) {
            let counts = self.counts(&entry, position).unwrap_or(true);
            return if counts { self.park(&logged, Some(&entry.header), fault.as_ref()) } else { Ok(()) };
        }
        let folded = match fault {
            None => self.change(&entry, &logged, &body, read),
            Some(fault) => match self.counts(&entry, position) {
                Ok(true) => Err(fault),
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            },
        };
        match folded {
            Err(error) if parks(&error, position) => self.park(&logged, Some(&entry.header), Some(&error)),
            folded => folded,
        }
    }

    fn park(
        &mut self,
        logged: &Logged,
        header: Option<&EntryHeader>,
        reason: Option<&FoldError>,
    ) -> Result<(), FoldError> {
        let parked = parked_change(logged, header, reason);
        let place = (parked.position.partition, parked.position.index);
        if reason.is_some() && self.control.dropped.contains(&place) {
            return Ok(());
        }
        if !self.quarantine.holds(parked.record) {
            if self.quarantine.0.len() >= RECORDS_MAX {
                return Err(FoldError::QuarantineFull { position: parked.position, max: RECORDS_MAX });
            }
            let reason = parked.reason.as_deref().unwrap_or_default();
            tracing::error!(
                position = %parked.position,
                reason,
                "a change cannot be applied: its record is parked; see 'hub quarantine list'"
            );
        }
        *self.quarantine.0.entry(parked.record).or_default() += 1;
        self.digest.add(&parked_row(parked.record));
        self.txn.put(Table::Control, &parked.key(), &parked.encode());
        Ok(())
    }

    /// Lets go of what is parked of a record; what it was.
    pub(super) fn release(&mut self, record: Pseudonym) -> Result<Vec<Parked>, FoldError> {
        if self.quarantine.0.remove(&record).is_none() {
            return Ok(Vec::new());
        }
        let rows = self.txn.range(Table::Control, KeyRange::Prefix(&Parked::prefix(record)), usize::MAX)?;
        let mut released = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            self.txn.delete(Table::Control, &key);
            self.digest.remove(&parked_row(record));
            released.push(Parked::decode(&key, &value)?);
        }
        Ok(released)
    }

    /// Folds what is parked of a record from its first change on, as far as it can be.
    pub(super) fn retry(&mut self, record: Pseudonym) -> Result<(), FoldError> {
        let keys = self.secret.keys();
        for parked in self.release(record)? {
            let logged = self.log.read(Locator(parked.locator))?;
            let prepared = PreparedEntry::new(logged, self.control, self.secret, &keys)?;
            self.of_change(prepared)?;
        }
        Ok(())
    }
}
