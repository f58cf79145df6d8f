//! What of the fold needs no state: an entry is checked against its hash, and its upsert is read by its contract.
//!
//! It depends on the entry, the log's secret and what the control stream has decided, so that it may run ahead of the fold
//! on another thread. Where the control stream has moved on meanwhile, the fold reads again.

use std::borrow::Cow;

use contract::kinds;
use event_log::Logged;
use projection::head::{Change, Linked};
use projection::mention::{self, ReadVersion, Reading, VersionBody};
use projection::state::ControlState;
use record::entry::BodyError;
use record::{Entry, EntryHeader, EntryKind, Envelope, KeyTree, LogSecret, Position, Pseudonym, RegisterName};

use super::FoldError;
use super::quarantine::parks;

/// Entries that are ready to be folded, in the order of the log.
pub struct Prepared {
    pub(super) entries: Vec<PreparedEntry>,
    /// [`ControlState::revision`] by which they were read.
    pub(super) revision: u64,
}

pub(super) struct PreparedEntry {
    pub(super) logged: Logged,
    pub(super) body: Opened,
    /// What an upsert says, when its contract was known.
    pub(super) read: Option<Result<ReadVersion, Linked>>,
    /// Why a change cannot be applied.
    pub(super) fault: Option<FoldError>,
}

/// The body of a change, opened once.
pub(super) enum Opened {
    /// It stands plain in the entry; or it is of no change, and the fold does not look at it.
    InEntry,
    /// It was encrypted.
    Plain(Vec<u8>),
    /// The record's key was destroyed.
    Erased,
}

impl Opened {
    pub(super) fn of(entry: &Entry<'_>, keys: &KeyTree, position: Position) -> Result<Self, FoldError> {
        match entry.header.kind {
            EntryKind::Upsert | EntryKind::Retract => {}
            EntryKind::Control | EntryKind::Access | EntryKind::Rejected | EntryKind::RejectedClosed => {
                return Ok(Self::InEntry);
            }
        }
        match entry.body(keys) {
            Ok(Cow::Borrowed(_)) => Ok(Self::InEntry),
            Ok(Cow::Owned(body)) => Ok(Self::Plain(body)),
            Err(BodyError::Erased) => Ok(Self::Erased),
            Err(source) => Err(FoldError::Body { position, source }),
        }
    }

    fn is_erased(&self) -> bool {
        matches!(self, Self::Erased)
    }

    /// The body; `None` when the record is erased.
    pub(super) fn bytes<'b>(&'b self, entry: &Entry<'b>, position: Position) -> Result<Option<&'b [u8]>, FoldError> {
        match self {
            Self::InEntry => entry.plain_body().map(Some).map_err(|source| FoldError::Body { position, source }),
            Self::Plain(body) => Ok(Some(body)),
            Self::Erased => Ok(None),
        }
    }
}

/// An upsert's body as the log keeps it, with what its reading needs.
pub(super) struct Body<'b> {
    pub(super) header: &'b EntryHeader,
    pub(super) envelope: Envelope<'b>,
}

impl Prepared {
    /// Prepares a batch.
    ///
    /// # Errors
    /// [`FoldError`]: an entry is not what its hash says, or cannot be decoded.
    pub fn new(entries: Vec<Logged>, control: &ControlState, secret: &LogSecret) -> Result<Self, FoldError> {
        let keys = secret.keys();
        let prepare = |logged| PreparedEntry::new(logged, control, secret, &keys);
        let entries = entries.into_iter().map(prepare).collect::<Result<_, _>>()?;
        Ok(Self { entries, revision: control.revision })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl PreparedEntry {
    pub(super) fn new(
        logged: Logged,
        control: &ControlState,
        secret: &LogSecret,
        keys: &KeyTree,
    ) -> Result<Self, FoldError> {
        match Self::open(&logged, control, secret, keys) {
            Ok((body, read)) => Ok(Self { logged, body, read, fault: None }),
            Err(fault) if parks(&fault, logged.position) => {
                Ok(Self { logged, body: Opened::InEntry, read: None, fault: Some(fault) })
            }
            Err(error) => Err(error),
        }
    }

    fn open(
        logged: &Logged,
        control: &ControlState,
        secret: &LogSecret,
        keys: &KeyTree,
    ) -> Result<(Opened, Option<Result<ReadVersion, Linked>>), FoldError> {
        let position = logged.position;
        let entry = Entry::decode(&logged.bytes).map_err(|source| FoldError::Entry { position, source })?;
        if !entry.verify_body(&logged.bytes) {
            return Err(FoldError::Hash { position });
        }
        let body = Opened::of(&entry, keys, position)?;
        let read = match (entry.header.kind, &entry.header.register, &control.model) {
            (EntryKind::Upsert, Some(register), Some(_)) if !body.is_erased() => {
                let body = body.bytes(&entry, position)?.expect("it is not erased");
                let envelope = Envelope::decode(body).map_err(|source| FoldError::Entry { position, source })?;
                let body = Body { header: &entry.header, envelope };
                let read = read_body(control, secret, register, entry.header.record, &body);
                (!matches!(read, Err(Linked::Waiting { .. }))).then_some(read)
            }
            _ => None,
        };
        Ok((body, read))
    }
}

/// Reads an upsert by the contract that it was checked against.
///
/// # Errors
/// What linkage makes of the record instead: it waits for its contract, or cannot be read.
pub(super) fn read_body(
    control: &ControlState,
    secret: &LogSecret,
    register: &RegisterName,
    record: Pseudonym,
    body: &Body<'_>,
) -> Result<ReadVersion, Linked> {
    let version = (body.header.epoch, body.header.version);
    let contract = control.by_id(body.header.contract);
    let contract = contract.ok_or(Linked::Waiting { contract: body.header.contract })?;
    let model = control.model.as_ref().expect("a change is folded only after a model");
    let reading = Reading { contract, kinds: kinds(), model: &model.model, units: &model.units, secret };
    // Why it cannot be read is found again from the entry by whoever asks; the fold needs to know only that.
    mention::read(&reading, &version_body(register, record, body)).map_err(|_| Linked::Unreadable { version })
}

fn version_body<'b>(register: &'b RegisterName, record: Pseudonym, body: &'b Body<'_>) -> VersionBody<'b> {
    VersionBody {
        register,
        record,
        version: (body.header.epoch, body.header.version),
        record_type: body.envelope.record_type,
        agency: &body.envelope.agency,
        recorded_at: body.header.recorded_at,
        payload: body.envelope.payload,
    }
}

/// A key that records of one subject mostly share; none of a version that names no subject, or cannot be read.
pub(super) fn place_of(
    control: &ControlState,
    secret: &LogSecret,
    register: &RegisterName,
    record: Pseudonym,
    body: &Body<'_>,
) -> Option<u64> {
    let (contract, model) = (control.by_id(body.header.contract)?, control.model.as_ref()?);
    let reading = Reading { contract, kinds: kinds(), model: &model.model, units: &model.units, secret };
    let row = mention::first_row(&reading, &version_body(register, record, body))?;
    linkage::locality_key(&row)
}

/// The rows of an upsert's mentions as linkage reads them; none of one that cannot be read by its contract, or is erased.
///
/// # Errors
/// The entry is damaged.
pub(crate) fn read_change(
    control: &ControlState,
    secret: &LogSecret,
    entry: &Entry<'_>,
    position: record::Position,
) -> Result<Vec<linkage::FeatureRow>, FoldError> {
    let Some(register) = &entry.header.register else { return Ok(Vec::new()) };
    let opened = Opened::of(entry, &secret.keys(), position)?;
    let Some(body) = opened.bytes(entry, position)? else { return Ok(Vec::new()) };
    let envelope = Envelope::decode(body).map_err(|source| FoldError::Entry { position, source })?;
    let body = Body { header: &entry.header, envelope };
    let read = read_body(control, secret, register, entry.header.record, &body);
    // What cannot be read is told where it stands; a sample goes without it.
    Ok(read.map(|read| read.inputs.iter().map(|input| input.row).collect()).unwrap_or_default())
}

/// A change as a head takes it.
pub(super) fn change(header: &EntryHeader, envelope: &Envelope<'_>, logged: &Logged) -> Change {
    Change {
        epoch: header.epoch,
        version: header.version,
        replaces: envelope.replaces,
        operation: envelope.operation,
        effective_at: header.effective_at,
        contract: header.contract,
        statement: envelope.statement_hash(),
        index: logged.position.index,
        locator: logged.locator.0,
        published_at: envelope.published_at,
    }
}
