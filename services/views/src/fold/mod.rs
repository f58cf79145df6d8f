//! The fold: one entry of the log after the other, into the view store, in atomic batches.
//!
//! Three stages, each over the rows of its own key: a record's entry moves its head and yields its mentions
//! (`projection`); mentions move nodes, edges and clusters (`linkage`); what changed moves digest and counters. Everything
//! of a batch is committed at once with the positions that it reached, so that a kill between two batches loses nothing and
//! counts nothing twice.

mod count;
mod counters;
mod decide;
mod erase;
mod error;
mod feed;
mod journal;
mod kept;
mod links;
mod prepare;
mod review;
mod tally;

use std::sync::Arc;

use arc_swap::ArcSwap;
use event_log::{EventLog, Locator, Logged, StreamSet};
use linkage::{EdgeChange, EdgeOutcome, Engine, OldRecord, RecordMentions, Reviewed};
use projection::basis::Basis;
use projection::head::{Applied, Change, Facts, Head, Linked, StoredVersion};
use projection::mention::{LookupKey, ReadVersion};
use projection::quality;
use projection::state::{ControlState, Effect};
use record::control::Control;
use record::digest::EdgeState;
use record::entry::BodyError;
use record::{
    ContractId, Entry, EntryHeader, EntryKind, Envelope, Index, LogSecret, LtHash, MentionId, Operation, Position,
    Positions, Pseudonym, Reader, Row, Stream, Writer,
};
use view_store::{KeyRange, Table, Txn, ViewStore};

use count::Moved;
use counters::Counters;
pub(crate) use counters::decode_counter;
pub(crate) use decide::{DecisionRow, decision_row, effect_stands, effect_undone};
pub use error::FoldError;
pub(crate) use feed::covered;
pub use feed::{Fed, Feed, FeedOptions};
use journal::Journal;
pub(crate) use journal::{Touch, after, generation, locate};
pub use links::decode_node;
use links::{LinkCache, StoreLinks};
pub(crate) use links::{MentionRow, decode_member};
pub use prepare::Prepared;
pub(crate) use prepare::read_change;
use prepare::{Body, Opened, PreparedEntry, read_body};
pub(crate) use review::{REVIEW_KEY_BYTES, ReviewClass, ReviewRow};

const TOTALS: &[u8] = b"totals";
const BASIS: &[u8] = b"basis";

/// What the views hold, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Records with at least one version.
    pub records: u64,
    /// Live mentions.
    pub mentions: u64,
    /// Subjects that are persons.
    pub persons: u64,
    /// Subjects that are parcels.
    pub parcels: u64,
    /// Records that wait for their contract.
    pub waiting: u64,
    /// Pairs of nodes that bear one personal id and are not one person.
    pub id_conflicts: u64,
    /// Entries without effect because an equal one counted before.
    pub duplicates: u64,
    /// Entries without effect because another statement counted before.
    pub conflicts: u64,
}

impl Totals {
    fn fields(&mut self) -> [&mut u64; 8] {
        [
            &mut self.records,
            &mut self.mentions,
            &mut self.persons,
            &mut self.parcels,
            &mut self.waiting,
            &mut self.id_conflicts,
            &mut self.duplicates,
            &mut self.conflicts,
        ]
    }

    fn encode(mut self) -> Vec<u8> {
        let mut w = Writer::with_capacity(32);
        self.fields().into_iter().for_each(|f| {
            w.varint(*f);
        });
        w.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FoldError> {
        let mut out = Self::default();
        let mut r = Reader::new(bytes);
        for field in out.fields() {
            *field = r.varint()?;
        }
        Ok(out)
    }
}

/// What one batch did.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    /// Entries of the change stream.
    pub changes: u64,
    /// Entries of the control stream.
    pub controls: u64,
    /// A record was erased whose bodies could be read no more: its look-ups are still there, until [`Fold::purge`].
    pub lookups_left: bool,
    /// Traces of the publishers whose changes were folded, for the spans of this batch. At most 64.
    pub traces: Vec<record::envelope::TraceContext>,
}

/// The fold over one view store.
pub struct Fold {
    store: ViewStore,
    log: EventLog,
    secret: LogSecret,
    control: Arc<ControlState>,
    /// [`Fold::control`] as of the last committed batch, for other threads.
    shared_control: Arc<ArcSwap<ControlState>>,
    digest: LtHash,
    positions: Positions,
    totals: Totals,
    counters: Counters,
    links: LinkCache,
    journal: Journal,
}

impl Fold {
    /// Continues where the store's last batch ended. A fresh store is folded on `basis`; another keeps its own.
    ///
    /// # Errors
    /// [`FoldError`] when the store cannot be read.
    pub fn resume(mut store: ViewStore, log: EventLog, secret: LogSecret, basis: Basis) -> Result<Self, FoldError> {
        restore_postings(&mut store)?;
        let committed = store.committed().clone();
        let positions = decode_positions(&committed.positions)?;
        let digest = match committed.digest.as_slice() {
            [] => LtHash::default(),
            bytes => LtHash::from_bytes(bytes)?,
        };
        let view = store.reader().view()?;
        let totals = view.get(Table::Control, TOTALS)?.map_or(Ok(Totals::default()), |v| Totals::decode(&v))?;
        let counters = Counters::load(view.range(Table::Counter, Counters::range(), usize::MAX)?)?;
        let kept = view.get(Table::Control, BASIS)?.map(|row| Basis::decode(&row)).transpose()?;
        let fresh = kept.is_none();
        let basis = kept.unwrap_or(basis);
        let control = load_control(&view, positions.get(Stream::Control, record::Partition(0)), basis)?;
        let links = LinkCache::load(&view)?;
        let journal = Journal::load(&view)?;
        drop(view);
        if fresh {
            // At once, so that whoever opens it after a kill knows what it is folded with.
            let mut txn = store.begin()?;
            txn.put(Table::Control, BASIS, &control.basis().encode());
            let mut w = Writer::new();
            positions.encode(&mut w);
            txn.commit(&w.finish(), &digest.to_bytes())?;
        }
        let control = Arc::new(control);
        let shared_control = Arc::new(ArcSwap::new(Arc::clone(&control)));
        Ok(Self { store, log, secret, control, shared_control, digest, positions, totals, counters, links, journal })
    }

    /// What the control stream has decided.
    pub fn control(&self) -> &Arc<ControlState> {
        &self.control
    }

    /// What the control stream has decided as of the last committed batch, kept up to date for other threads.
    pub fn shared_control(&self) -> Arc<ArcSwap<ControlState>> {
        Arc::clone(&self.shared_control)
    }

    /// Keeps another handle up to date from here on, so that those who hold it need not know that the fold is another.
    pub(crate) fn adopt(&mut self, shared: Arc<ArcSwap<ControlState>>) {
        shared.store(Arc::clone(&self.control));
        self.shared_control = shared;
    }

    /// The digest of all rows.
    pub fn digest(&self) -> &LtHash {
        &self.digest
    }

    /// How far the log has been folded.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// What the views hold.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// A handle for queries.
    pub fn reader(&self) -> view_store::Reader {
        self.store.reader()
    }

    pub(crate) fn log(&self) -> &EventLog {
        &self.log
    }

    pub(crate) fn secret(&self) -> &LogSecret {
        &self.secret
    }

    /// The store's kind.
    pub fn store_kind(&self) -> view_store::StoreKind {
        self.store.kind()
    }

    /// Puts everything on disk and closes.
    ///
    /// # Errors
    /// [`FoldError::Store`].
    pub fn close(self) -> Result<(), FoldError> {
        Ok(self.store.close()?)
    }

    /// Folds what the log holds up to these positions and this fold does not.
    ///
    /// # Errors
    /// As [`Fold::fold`], and when the log ends before them.
    pub(crate) fn reach(&mut self, target: &Positions) -> Result<(), FoldError> {
        let mut reader = self.log.reader(&self.positions, StreamSet::ALL_BUT_ACCESS)?;
        let wanted = covered(target);
        while !self.positions.covers_all(target) {
            let mut batch = reader.next_batch(REACH_ENTRIES, REACH_BYTES)?;
            if batch.entries.is_empty() {
                return Err(FoldError::Positions);
            }
            batch.entries.retain(&wanted);
            self.fold(batch.entries)?;
        }
        Ok(())
    }

    /// Folds entries in the order in which the log gave them, in one atomic batch. Entries that are folded already are left
    /// out.
    ///
    /// # Errors
    /// [`FoldError`]. Nothing of the batch is in the store then, and this value must not be used any more.
    pub fn fold(&mut self, entries: Vec<Logged>) -> Result<Folded, FoldError> {
        let prepared = Prepared::new(entries, &self.control, &self.secret)?;
        self.fold_prepared(prepared)
    }

    /// [`Fold::fold`] of entries that were prepared before, on whatever thread.
    ///
    /// # Errors
    /// As [`Fold::fold`].
    pub fn fold_prepared(&mut self, batch: Prepared) -> Result<Folded, FoldError> {
        let mut txn = self.store.begin()?;
        let mut step = Step {
            txn: &mut txn,
            log: &self.log,
            secret: &self.secret,
            control: &mut self.control,
            digest: &mut self.digest,
            totals: &mut self.totals,
            counters: &mut self.counters,
            links: &mut self.links,
            journal: &mut self.journal,
            folded: Folded::default(),
        };
        for mut entry in batch.entries {
            let position = entry.logged.position;
            if !self.positions.covers(position) {
                if step.control.revision != batch.revision {
                    entry.read = None;
                }
                step.entry(entry)?;
                self.positions.include(position);
            }
        }
        let folded = step.finish();
        self.journal.finish(&self.positions, &mut txn)?;
        let mut w = Writer::new();
        self.positions.encode(&mut w);
        txn.commit(&w.finish(), &self.digest.to_bytes())?;
        if folded.controls > 0 {
            self.shared_control.store(Arc::clone(&self.control));
        }
        Ok(folded)
    }
}

fn restore_postings(store: &mut ViewStore) -> Result<(), FoldError> {
    store.restore_postings(|_, row, keys| {
        let row: [u8; linkage::ROW_BYTES] = row.try_into().expect("a feature row has its size");
        linkage::blocking_keys(&linkage::FeatureRow(row), keys);
    })?;
    Ok(())
}

/// Reads committed positions; none for a fresh store.
pub(crate) fn decode_positions(bytes: &[u8]) -> Result<Positions, FoldError> {
    if bytes.is_empty() {
        return Ok(Positions::new());
    }
    Positions::decode(&mut Reader::new(bytes)).map_err(|_| FoldError::Positions)
}

/// The control entries that the store keeps (all but cuts), then the end that the positions name.
fn load_control(view: &view_store::View, end: Index, basis: Basis) -> Result<ControlState, FoldError> {
    let mut state = ControlState::on(basis);
    let from = [ENTRY_KEY];
    for (key, value) in view.range(Table::Control, KeyRange::Prefix(&from), usize::MAX)? {
        let index: [u8; 8] = key[1..].try_into().map_err(|_| FoldError::Row("control"))?;
        let entry = Entry::decode(&value)?;
        let body = entry.plain_body().map_err(FoldError::Kept)?;
        state.apply(Index(u64::from_be_bytes(index)), entry.header.recorded_at, Control::decode(body)?);
    }
    state.end = state.end.max(end);
    Ok(state)
}

/// First byte of the keys of control entries in [`Table::Control`].
const ENTRY_KEY: u8 = 1;

pub(crate) fn control_key(index: Index) -> [u8; 9] {
    let mut key = [ENTRY_KEY; 9];
    key[1..].copy_from_slice(&index.0.to_be_bytes());
    key
}

/// One batch under way.
struct Step<'s, 't> {
    txn: &'s mut Txn<'t>,
    log: &'s EventLog,
    secret: &'s LogSecret,
    control: &'s mut Arc<ControlState>,
    digest: &'s mut LtHash,
    totals: &'s mut Totals,
    counters: &'s mut Counters,
    links: &'s mut LinkCache,
    journal: &'s mut Journal,
    folded: Folded,
}

const TRACES_MAX: usize = 64;
/// A batch of [`Fold::reach`].
const REACH_ENTRIES: usize = 4096;
const REACH_BYTES: usize = 8 << 20;

/// The upsert that is being folded, and what it says if that was read ahead.
struct AtHand<'b> {
    body: Body<'b>,
    read: Option<Result<ReadVersion, Linked>>,
}

impl<'t> Step<'_, 't> {
    fn finish(self) -> Folded {
        self.counters.write(self.txn);
        self.links.finish(self.txn);
        self.txn.put(Table::Control, TOTALS, &self.totals.encode());
        self.folded
    }

    fn entry(&mut self, prepared: PreparedEntry) -> Result<(), FoldError> {
        let PreparedEntry { logged, body, read } = prepared;
        let position = logged.position;
        let entry = Entry::decode(&logged.bytes).map_err(|source| FoldError::Entry { position, source })?;
        match entry.header.kind {
            EntryKind::Control => self.control(&entry, &logged),
            EntryKind::Upsert | EntryKind::Retract => self.change(&entry, &logged, &body, read),
            EntryKind::Access | EntryKind::Rejected | EntryKind::RejectedClosed => Ok(()),
        }
    }

    fn control(&mut self, entry: &Entry<'_>, logged: &Logged) -> Result<(), FoldError> {
        let position = logged.position;
        let body = entry.plain_body().map_err(|source| FoldError::Body { position, source })?;
        let control = Control::decode(body).map_err(|source| FoldError::Entry { position, source })?;
        self.folded.controls += 1;
        let effect = Arc::make_mut(self.control).apply(position.index, entry.header.recorded_at, control);
        match &effect {
            Effect::Cut => return Ok(()),
            Effect::Void(reason) => {
                tracing::warn!(position = %position, %reason, "a control entry is without effect");
            }
            Effect::None
            | Effect::Contract(_)
            | Effect::Model
            | Effect::Basis
            | Effect::Decision { .. }
            | Effect::Erasure(_) => {}
        }
        self.txn.put(Table::Control, &control_key(position.index), &logged.bytes);
        match effect {
            Effect::Contract(id) => self.contract_came(id),
            Effect::Decision { a, b, verdict } => self.decided(position.index, (a, b), verdict),
            Effect::Erasure(records) => records.into_iter().try_for_each(|record| self.erase(record)),
            Effect::None | Effect::Model | Effect::Basis | Effect::Cut | Effect::Void(_) => Ok(()),
        }
    }

    fn contract_came(&mut self, id: ContractId) -> Result<(), FoldError> {
        let waiting = self.txn.range(Table::Waiting, KeyRange::Prefix(&id.0), usize::MAX)?;
        for (key, _) in waiting {
            let record = Pseudonym(key[16..].try_into().map_err(|_| FoldError::Row("waiting"))?);
            let mut head = self.head(record)?.ok_or(FoldError::Row("head"))?;
            let before = head.clone();
            for version in head.versions.clone() {
                if version.row.contract == id {
                    self.index_lookups(&head, record, &version)?;
                }
            }
            self.relink(&mut head, record, None)?;
            self.put_head(record, Some(&before), &head);
        }
        Ok(())
    }

    fn head(&self, record: Pseudonym) -> Result<Option<Head>, FoldError> {
        Ok(self.txn.get(Table::Head, &record.0)?.map(|v| Head::decode(&v)).transpose()?)
    }

    fn change(
        &mut self,
        entry: &Entry<'_>,
        logged: &Logged,
        body: &Opened,
        read: Option<Result<ReadVersion, Linked>>,
    ) -> Result<(), FoldError> {
        let (position, header) = (logged.position, &entry.header);
        if self.control.model.is_none() {
            return Err(FoldError::NoModel { position });
        }
        self.folded.changes += 1;
        let register = header.register.as_ref().ok_or(FoldError::Row("change without a register"))?;
        if !self.control.counts(register, header.epoch, position.partition, position.index) {
            return Ok(());
        }
        let Some(body) = body.bytes(entry, position)?.filter(|_| !self.control.erased.contains(&header.record)) else {
            return Ok(());
        };
        let envelope = Envelope::decode(body).map_err(|source| FoldError::Entry { position, source })?;
        if let Some(trace) = envelope.trace
            && self.folded.traces.len() < TRACES_MAX
        {
            self.folded.traces.push(trace);
        }
        let before = self.head(header.record)?;
        let mut head = match &before {
            Some(head) => head.clone(),
            None => Head::new(register.clone()),
        };
        match head.apply(&change(header, &envelope, logged)) {
            Applied::Duplicate => self.totals.duplicates += 1,
            Applied::Conflict => self.totals.conflicts += 1,
            Applied::Full => {
                tracing::warn!(position = %position, "a record has too many versions; the entry is without effect");
                return Ok(());
            }
            Applied::New => {
                self.totals.records += u64::from(before.is_none());
                let version = *head.version(header.epoch, header.version).expect("it was just applied");
                let mut at_hand = AtHand { body: Body { header, envelope }, read };
                self.relink(&mut head, header.record, Some(&mut at_hand))?;
                let read = head.facts().is_some_and(|f| f.version == (header.epoch, header.version));
                if !read && version.row.operation == Operation::Upsert as u8 {
                    let read = self.read_at_hand(&head, header.record, &mut at_hand);
                    if let Ok(read) = read {
                        self.put_lookups(header.record, &read.lookups);
                    }
                }
            }
        }
        self.put_head(header.record, before.as_ref(), &head);
        Ok(())
    }

    /// Writes a head, and moves the digest and the counters from what it was to what it is.
    fn put_head(&mut self, record: Pseudonym, before: Option<&Head>, head: &Head) {
        if let Some(before) = before {
            before.rows(record, |row| self.digest.remove(&row));
            self.count_head(before, -1);
        }
        head.rows(record, |row| self.digest.add(&row));
        self.count_head(head, 1);
        self.txn.put(Table::Head, &record.0, &head.encode());
    }

    fn count_head(&mut self, head: &Head, sign: i64) {
        if let Some((cell, counts)) = quality::of_head(head) {
            let no = self.counters.number(&cell);
            self.counters.add(no, &counts, sign);
        }
    }

    /// Brings the record's mentions to the version that linkage reads, when that is another one than before.
    fn relink(
        &mut self,
        head: &mut Head,
        record: Pseudonym,
        at_hand: Option<&mut AtHand<'_>>,
    ) -> Result<(), FoldError> {
        let wanted = head.linkage_version().copied();
        let same = match (&head.linked, &wanted) {
            (Linked::Out, None) => true,
            (Linked::In(facts), Some(v)) => facts.version == (v.row.epoch, v.row.version),
            (Linked::Unreadable { version }, Some(v)) => *version == (v.row.epoch, v.row.version),
            (Linked::Waiting { .. }, _)
            | (Linked::Out, Some(_))
            | (Linked::In(_) | Linked::Unreadable { .. }, None) => false,
        };
        if same {
            return self.touch_subjects(head, record);
        }
        let read = match &wanted {
            None => Err(Linked::Out),
            Some(v) => self.read(head, record, v, at_hand)?,
        };
        self.leave_waiting(head, record);
        let old = std::mem::take(&mut head.linked);
        let new = match read {
            Ok(ReadVersion { facts, inputs, distinct, lookups }) => {
                head.linked = Linked::In(Box::new(facts));
                self.put_lookups(record, &lookups);
                Some((inputs, distinct))
            }
            Err(linked) => {
                head.linked = linked;
                None
            }
        };
        if let Linked::Waiting { contract } = &head.linked {
            self.txn.put(Table::Waiting, &[contract.0, record.0].concat(), &[]);
            self.totals.waiting += 1;
        }
        let old = match &old {
            Linked::In(facts) => Some(facts.as_ref()),
            Linked::Out | Linked::Waiting { .. } | Linked::Unreadable { .. } => None,
        };
        let inputs = new.as_ref().map(|(mentions, distinct)| RecordMentions { mentions, distinct });
        let moved = Moved { register: &head.register, old, new: head.facts() };
        self.link(record, &moved, inputs.as_ref())
    }

    fn leave_waiting(&mut self, head: &Head, record: Pseudonym) {
        if let Linked::Waiting { contract } = &head.linked {
            self.txn.delete(Table::Waiting, &[contract.0, record.0].concat());
            self.totals.waiting -= 1;
        }
    }

    /// Reads a version by its contract: from the entry at hand, else from the log.
    fn read(
        &self,
        head: &Head,
        record: Pseudonym,
        version: &StoredVersion,
        at_hand: Option<&mut AtHand<'_>>,
    ) -> Result<Result<ReadVersion, Linked>, FoldError> {
        if let Some(at_hand) = at_hand
            && (at_hand.body.header.epoch, at_hand.body.header.version) == (version.row.epoch, version.row.version)
        {
            return Ok(self.read_at_hand(head, record, at_hand));
        }
        // Of a record whose key is destroyed nothing can be read; its erasure is on its way.
        Ok(self.with_body(version, |body| self.read_body(head, record, body))?.unwrap_or(Err(Linked::Out)))
    }

    fn read_at_hand(&self, head: &Head, record: Pseudonym, at_hand: &mut AtHand<'_>) -> Result<ReadVersion, Linked> {
        at_hand.read.take().unwrap_or_else(|| self.read_body(head, record, &at_hand.body))
    }

    /// `None` when the record's key was destroyed.
    fn with_body<T>(
        &self,
        version: &StoredVersion,
        use_body: impl FnOnce(&Body<'_>) -> T,
    ) -> Result<Option<T>, FoldError> {
        let logged = self.log.read(Locator(version.locator))?;
        let position = logged.position;
        let entry = Entry::decode(&logged.bytes).map_err(|source| FoldError::Entry { position, source })?;
        let bytes = match entry.body(&self.secret.keys()) {
            Ok(bytes) => bytes,
            Err(BodyError::Erased) => return Ok(None),
            Err(source) => return Err(FoldError::Body { position, source }),
        };
        let envelope = Envelope::decode(&bytes).map_err(|source| FoldError::Entry { position, source })?;
        Ok(Some(use_body(&Body { header: &entry.header, envelope })))
    }

    fn read_body(&self, head: &Head, record: Pseudonym, body: &Body<'_>) -> Result<ReadVersion, Linked> {
        read_body(self.control, self.secret, &head.register, record, body)
    }

    /// Makes a version findable that linkage does not read: a retired id still finds its person.
    fn index_lookups(&mut self, head: &Head, record: Pseudonym, version: &StoredVersion) -> Result<(), FoldError> {
        if version.row.operation != Operation::Upsert as u8 {
            return Ok(());
        }
        if let Some(Ok(read)) = self.with_body(version, |body| self.read_body(head, record, body))? {
            self.put_lookups(record, &read.lookups);
        }
        Ok(())
    }

    fn put_lookups(&mut self, record: Pseudonym, lookups: &[(LookupKey, MentionId)]) {
        for (key, mention) in lookups {
            self.txn.put(Table::Lookup, &[key.0.as_slice(), &mention.0].concat(), &record.0);
        }
    }

    /// Moves the record's mentions in the links, and the digest and counters with them.
    fn link(
        &mut self,
        record: Pseudonym,
        moved: &Moved<'_>,
        new: Option<&RecordMentions<'_>>,
    ) -> Result<(), FoldError> {
        if moved.old.is_none() && new.is_none() {
            return Ok(());
        }
        if self.links.pinned.is_empty() {
            return self.link_reviewed(record, moved, new, &Reviewed::default());
        }
        self.link_pinned(record, moved, new, &[])
    }

    fn link_reviewed(
        &mut self,
        record: Pseudonym,
        moved: &Moved<'_>,
        new: Option<&RecordMentions<'_>>,
        reviewed: &Reviewed<'_>,
    ) -> Result<(), FoldError> {
        let old = moved.old;
        let model = Arc::clone(&self.control.model.as_ref().expect("a change is folded only after a model").model);
        let old_ids: Vec<MentionId> = old.map_or_else(Vec::new, |f| f.mentions.iter().map(|m| m.id).collect());
        let old_pairs = old.map_or_else(Vec::new, distinct_pairs);
        let old_record = old.map(|_| OldRecord { mentions: &old_ids, distinct: &old_pairs });
        let mut state = StoreLinks { txn: self.txn, cache: self.links, record };
        let diff = Engine::new(&model, &mut state).review(old_record.as_ref(), new, reviewed)?;
        self.count_totals(moved, &diff);
        self.digest_links(moved, &diff)?;
        self.queue_reviews(&diff, &model);
        self.journal_links(moved, &diff)?;
        self.count_links(record, moved, &diff, &model)
    }
}

fn distinct_pairs(facts: &Facts) -> Vec<(usize, usize)> {
    facts.distinct.iter().map(|(a, b)| (usize::from(*a), usize::from(*b))).collect()
}

pub(crate) fn edge_row(edge: &EdgeChange, state: Option<linkage::EdgeState>) -> Option<Vec<u8>> {
    let state = state?;
    let (verdict, reason) = match state.outcome {
        EdgeOutcome::Tree | EdgeOutcome::Inside => (EdgeState::Accepted, 0),
        EdgeOutcome::RefusedByReviewer(..) => (EdgeState::Refused, 1),
        EdgeOutcome::RefusedByIds(..) => (EdgeState::Refused, 2),
        EdgeOutcome::RefusedBySameRecord(..) => (EdgeState::Refused, 3),
        EdgeOutcome::RefusedByBound => (EdgeState::Refused, 4),
    };
    Some(Row::Edge { a: edge.a.0, b: edge.b.0, bits: state.bits, state: verdict, reason }.encode())
}

fn change(header: &EntryHeader, envelope: &Envelope<'_>, logged: &Logged) -> Change {
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

/// The position of a version of a record.
pub(crate) fn position_of(record: Pseudonym, index: Index, partitions: u16) -> Position {
    Position { stream: Stream::Change, partition: record.partition(partitions), index }
}
