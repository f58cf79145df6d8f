//! The fold: one entry of the log after the other, into the view store, in atomic batches.
//!
//! Three stages, each over the rows of its own key: a record's entry moves its head and yields its mentions
//! (`projection`); mentions move nodes, edges and clusters (`linkage`); what changed moves digest and counters. Everything
//! of a batch is committed at once with the positions that it reached, so that a kill between two batches loses nothing and
//! counts nothing twice.

mod bulk;
mod control;
mod count;
mod counters;
mod decide;
mod edges;
mod erase;
mod error;
mod feed;
mod journal;
mod kept;
mod links;
mod prepare;
mod quarantine;
mod records;
mod review;
mod stages;
mod tally;
mod totals;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use event_log::{EventLog, Logged, StreamSet};
use linkage::{Engine, OldRecord, RecordMentions, Reviewed};
use projection::basis::Basis;
use projection::head::Facts;
use projection::state::ControlState;
use record::{
    Entry, EntryKind, Index, LogSecret, LtHash, MentionId, Position, Positions, Pseudonym, Reader, Stream, Writer,
};
use view_store::{Table, Txn, ViewStore};

pub(crate) use bulk::remove_order;
pub use bulk::{BulkOptions, BulkProgress};
pub(crate) use control::control_key;
use control::load_control;
use count::Moved;
pub(crate) use count::agrees;
use counters::Counters;
pub(crate) use counters::decode_counter;
pub(crate) use decide::{DecisionRow, decision_row, effect_stands, effect_undone};
pub(crate) use edges::edge_row;
pub use error::FoldError;
pub(crate) use feed::covered;
pub use feed::{Fed, Feed, FeedOptions};
use journal::Journal;
pub(crate) use journal::{Touch, after, generation, locate};
pub use links::decode_node;
pub(crate) use links::{Counted, MentionRow, decode_counted, decode_member};
use links::{LinkCache, StoreLinks};
pub use prepare::Prepared;
use prepare::PreparedEntry;
pub(crate) use prepare::read_change;
use quarantine::Quarantine;
pub(crate) use quarantine::parked_row;
pub use quarantine::{Parked, Quarantined, parked, parked_of};
pub(crate) use review::{REVIEW_KEY_BYTES, ReviewClass, ReviewRow};
pub use stages::Stages;
pub use totals::Totals;

const TOTALS: &[u8] = b"totals";
const BASIS: &[u8] = b"basis";

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
    /// How long it took.
    pub stages: Stages,
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
    quarantine: Quarantine,
    /// A bulk fold that is under way.
    bulk: Option<bulk::UnderWay>,
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
        let quarantine = Quarantine::load(&view)?;
        let bulk = bulk::UnderWay::load(&view)?;
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
        Ok(Self {
            store,
            log,
            secret,
            control,
            shared_control,
            digest,
            positions,
            totals,
            counters,
            links,
            journal,
            quarantine,
            bulk,
        })
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

    /// What cannot be applied.
    pub fn quarantined(&self) -> Quarantined {
        self.quarantine.counts()
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

    /// A copy of the views as the last batch left them; waits for a checkpoint.
    pub(crate) fn outgoing(&mut self, aside: &std::path::Path) -> Result<view_store::Outgoing, FoldError> {
        self.settle()?;
        Ok(self.store.outgoing(aside)?)
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
        self.reach_of(target, StreamSet::ALL_BUT_ACCESS)
    }

    /// [`Fold::reach`] of some streams.
    fn reach_of(&mut self, target: &Positions, streams: StreamSet) -> Result<(), FoldError> {
        let mut reader = self.log.reader(&self.positions, streams)?;
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
        let folded = self.fold_ahead(batch, || ())?;
        self.settle()?;
        Ok(folded)
    }

    /// Waits until readers see what was folded by [`Fold::fold_ahead`].
    ///
    /// # Errors
    /// As [`Fold::fold`].
    pub fn settle(&mut self) -> Result<(), FoldError> {
        Ok(self.store.settle()?)
    }

    /// [`Fold::fold_prepared`], but that the batch is still on its way into the store, on another thread, when this returns:
    /// readers see it after [`Fold::settle`], after the next batch, or when that thread calls `stored`.
    ///
    /// # Errors
    /// As [`Fold::fold`], also of the batch before.
    pub fn fold_ahead(&mut self, batch: Prepared, stored: impl FnOnce() + Send + 'static) -> Result<Folded, FoldError> {
        if self.bulk.is_some() {
            return Err(FoldError::InBulk);
        }
        self.fold_batch(batch, None, stored)
    }

    /// Folds a batch in the order of the log, or, with how far it is then, in that of a bulk fold.
    fn fold_batch(
        &mut self,
        batch: Prepared,
        bulk: Option<&bulk::UnderWay>,
        stored: impl FnOnce() + Send + 'static,
    ) -> Result<Folded, FoldError> {
        let begun = Instant::now();
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
            quarantine: &mut self.quarantine,
            folded: Folded::default(),
        };
        for mut entry in batch.entries {
            let position = entry.logged.position;
            if bulk.is_none() && self.positions.covers(position) {
                continue;
            }
            if step.control.revision != batch.revision {
                entry.read = None;
            }
            step.entry(entry)?;
            if bulk.is_none() {
                self.positions.include(position);
            }
        }
        let applied = Instant::now();
        let mut folded = step.finish();
        match bulk {
            None => self.journal.finish(&self.positions, &mut txn)?,
            Some(under) => {
                self.journal.forget();
                under.put(&mut txn);
            }
        }
        let mut w = Writer::new();
        self.positions.encode(&mut w);
        txn.commit_ahead(&w.finish(), &self.digest.to_bytes(), stored)?;
        let stages = &mut folded.stages;
        stages.records = (applied - begun).saturating_sub(stages.links + stages.subjects);
        stages.rows = applied.elapsed();
        if folded.controls > 0 {
            // Whoever reads by it must find the rows that it made.
            self.settle()?;
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
    quarantine: &'s mut Quarantine,
    folded: Folded,
}

/// A batch of [`Fold::reach`].
const REACH_ENTRIES: usize = 4096;
const REACH_BYTES: usize = 8 << 20;

impl<'t> Step<'_, 't> {
    fn finish(self) -> Folded {
        self.counters.write(self.txn);
        self.links.finish(self.txn);
        self.txn.put(Table::Control, TOTALS, &self.totals.encode());
        self.folded
    }

    fn entry(&mut self, prepared: PreparedEntry) -> Result<(), FoldError> {
        let position = prepared.logged.position;
        if position.stream == Stream::Change {
            return self.of_change(prepared);
        }
        let logged = prepared.logged;
        let entry = Entry::decode(&logged.bytes).map_err(|source| FoldError::Entry { position, source })?;
        match entry.header.kind {
            EntryKind::Control => self.control(&entry, &logged),
            EntryKind::Upsert
            | EntryKind::Retract
            | EntryKind::Access
            | EntryKind::Rejected
            | EntryKind::RejectedClosed => Ok(()),
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
        let begun = Instant::now();
        let diff = Engine::new(&model, &mut state).review(old_record.as_ref(), new, reviewed)?;
        let linked = Instant::now();
        self.folded.stages.link(linked - begun);
        self.count_totals(moved, &diff);
        self.digest_links(moved, &diff)?;
        self.queue_reviews(&diff, &model);
        self.journal_links(moved, &diff)?;
        self.count_links(record, moved, &diff, &model)?;
        self.folded.stages.subjects += linked.elapsed();
        Ok(())
    }
}

fn distinct_pairs(facts: &Facts) -> Vec<(usize, usize)> {
    facts.distinct.iter().map(|(a, b)| (usize::from(*a), usize::from(*b))).collect()
}

/// The position of a version of a record.
pub(crate) fn position_of(record: Pseudonym, index: Index, partitions: u16) -> Position {
    Position { stream: Stream::Change, partition: record.partition(partitions), index }
}
