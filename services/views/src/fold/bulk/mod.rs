//! Folding a log from scratch in bulk.
//!
//! The view at a cut is a function of each record's own sequence and of the control sequence, so a fold from scratch may take records in any
//! order. In the order of the log the records of one subject come far apart: each finds rows that have left memory, and writes anew what the one
//! before it wrote. In bulk the control stream is folded first; then the changes, record by record, in the order of a key that records of one
//! subject mostly share ([`linkage::locality_key`]).
//!
//! Positions are committed at the end, with the last changes. Until then a row of the store says how many changes of the order it holds,
//! so that a killed process goes on there; and no such store serves or is folded otherwise.

mod order;

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use event_log::{EventLog, ReadError, StreamSet};
use projection::state::ControlState;
use record::{DecodeError, LogSecret, Positions, Reader, Stream, Writer};
use view_store::{Table, View};

use super::prepare::Prepared;
use super::{Fold, FoldError, covered};
use order::Order;
pub(crate) use order::remove as remove_order;

/// The row that says how far it is.
const BULK: &[u8] = b"bulk";
/// Bytes of entries of a batch.
const BATCH_BYTES: usize = 8 << 20;
/// Entries of the log that are read at a time to order them.
const READ_ENTRIES: usize = 4096;
/// How long brokers that do not answer are waited for before somebody is asked whether to go on.
const READ_WAIT: Duration = Duration::from_millis(200);

/// How a log is folded in bulk.
#[derive(Debug, Clone, Copy)]
pub struct BulkOptions {
    /// Below so many changes the log is folded in its own order.
    pub changes_min: u64,
    /// Changes of a batch.
    pub batch: usize,
    /// Threads that read what each change is ordered by; the caller's is one of them.
    pub threads: usize,
}

impl BulkOptions {
    /// For views that have their processors to themselves. What a subject's records write again and again is written once a batch; a log of fewer than
    /// a thousand changes is folded before it could be put in order.
    pub const ALONE: Self = Self { changes_min: 1_000, batch: 8_192, threads: 2 };
}

/// How far a bulk fold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BulkProgress {
    /// Entries that were read to put their changes in order.
    pub ordered: u64,
    /// Changes that are folded.
    pub folded: u64,
}

/// What the store knows of a bulk fold under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnderWay {
    /// What the log held when it began.
    target: Positions,
    /// Changes of the order that are folded.
    folded: u64,
}

impl UnderWay {
    pub(super) fn load(view: &View) -> Result<Option<Self>, FoldError> {
        view.get(Table::Control, BULK)?.map(|row| Ok(Self::decode(&row)?)).transpose()
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.varint(self.folded);
        self.target.encode(&mut w);
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let folded = r.varint()?;
        let target = Positions::decode(&mut r)?;
        r.end("bulk")?;
        Ok(Self { target, folded })
    }

    /// Writes the row with the batch.
    pub(super) fn put(&self, txn: &mut view_store::Txn<'_>) {
        txn.put(Table::Control, BULK, &self.encode());
    }
}

impl Fold {
    /// Changes that a bulk fold under way has folded; `None` when none is under way.
    pub fn in_bulk(&self) -> Option<u64> {
        self.bulk.as_ref().map(|under| under.folded)
    }

    /// Whether a bulk fold that was broken off can go on with the order in `dir`. One that cannot is begun anew, in a fresh store.
    ///
    /// # Errors
    /// The order cannot be read.
    pub fn bulk_goes_on(&self, dir: &Path) -> Result<bool, FoldError> {
        let Some(under) = &self.bulk else { return Ok(true) };
        let found = Order::open(dir, &under.target).map_err(FoldError::Order)?;
        Ok(found.is_some_and(|order| order.len() >= under.folded))
    }

    /// Folds what the log holds up to `target`, in bulk, when no change is folded yet. `dir` is for the order of the changes, 80 bytes a change at
    /// most; it is removed at the end. Afterwards, and when there is nothing to do in bulk, the fold goes on in the order of the log. A bulk fold
    /// that was broken off goes on to its own target.
    ///
    /// `go_on` is called after each batch, with the time that it took; when it says no, what is folded stays, another call goes on
    /// with it, and this one returns false.
    ///
    /// # Errors
    /// [`FoldError`]; this value must not be used any more.
    pub fn fold_bulk(
        &mut self,
        dir: &Path,
        target: &Positions,
        options: BulkOptions,
        mut go_on: impl FnMut(BulkProgress, Duration) -> bool,
    ) -> Result<bool, FoldError> {
        let (under, order) = match self.bulk.clone() {
            Some(under) => {
                let order = Order::open(dir, &under.target).map_err(FoldError::Order)?;
                (under, order.ok_or_else(|| FoldError::Order(std::io::ErrorKind::NotFound.into()))?)
            }
            None => match self.begin_bulk(dir, target, options, &mut go_on)? {
                Begun::Ordered(target, order) => (UnderWay { target, folded: 0 }, order),
                Begun::NotWorth => return Ok(true),
                Begun::Ended => return Ok(false),
            },
        };
        if !self.fold_ordered(under.clone(), &order, options, &mut go_on)? {
            return Ok(false);
        }
        self.end_bulk(&under.target)?;
        order::remove(dir).map_err(FoldError::Order)?;
        Ok(true)
    }

    fn begin_bulk(
        &mut self,
        dir: &Path,
        target: &Positions,
        options: BulkOptions,
        go_on: &mut impl FnMut(BulkProgress, Duration) -> bool,
    ) -> Result<Begun, FoldError> {
        // What an earlier process left of an order is of no use without its row in the store.
        order::remove(dir).map_err(FoldError::Order)?;
        let (changes, control) = (target.of(Stream::Change), target.of(Stream::Control));
        let begun = self.positions.iter().any(|(stream, ..)| stream == Stream::Change);
        if begun || changes.total() < options.changes_min.max(1) {
            return Ok(Begun::NotWorth);
        }
        self.reach_of(&control, StreamSet::empty().with(Stream::Control))?;
        if self.control.model.is_none() {
            return Ok(Begun::NotWorth);
        }
        let mut reached = Positions::new();
        target.iter().filter(|(stream, ..)| *stream != Stream::Access).for_each(|(s, p, end)| reached.set(s, p, end));
        let mut reader = self.log.reader(&Positions::new(), StreamSet::empty().with(Stream::Change))?;
        let mut sorter = order::Sorter::begin(dir, changes.total()).map_err(FoldError::Order)?;
        let (wanted, mut read, mut ordered) = (covered(&changes), Positions::new(), 0);
        while !read.covers_all(&changes) {
            let begun = Instant::now();
            let mut entries = match reader.next_batch(READ_ENTRIES, BATCH_BYTES) {
                Err(ReadError::Unanswered { .. }) => {
                    reader.wait(READ_WAIT);
                    if !go_on(BulkProgress { ordered, folded: 0 }, Duration::ZERO) {
                        return Ok(Begun::Ended);
                    }
                    continue;
                }
                batch => batch?.entries,
            };
            if entries.is_empty() {
                return Err(FoldError::Positions);
            }
            entries.retain(&wanted);
            entries.iter().for_each(|logged| read.include(logged.position));
            ordered += entries.len() as u64;
            let places = order::places(&entries, &self.control, &self.secret, options.threads);
            sorter.add(&places).map_err(FoldError::Order)?;
            if !go_on(BulkProgress { ordered, folded: 0 }, begun.elapsed()) {
                return Ok(Begun::Ended);
            }
        }
        let order = sorter.finish(&reached).map_err(FoldError::Order)?;
        Ok(Begun::Ordered(reached, order))
    }

    /// Folds what of the order is not folded yet; a thread reads and prepares the batch after.
    fn fold_ordered(
        &mut self,
        mut under: UnderWay,
        order: &Order,
        options: BulkOptions,
        go_on: &mut impl FnMut(BulkProgress, Duration) -> bool,
    ) -> Result<bool, FoldError> {
        let (log, secret, control) = (self.log.clone(), self.secret.clone(), self.control.clone());
        let (send, batches) = sync_channel(1);
        let from = under.folded;
        std::thread::scope(|scope| {
            let read_ahead = move || {
                let mut at = from;
                while at < order.len() {
                    let batch = read(order, at, options.batch, &log, &control, &secret);
                    at += batch.as_ref().map_or(0, Prepared::len) as u64;
                    let last = batch.is_err();
                    if send.send(batch).is_err() || last {
                        return;
                    }
                }
            };
            std::thread::Builder::new()
                .name("fold-feed".into())
                .spawn_scoped(scope, read_ahead)
                .map_err(FoldError::Thread)?;
            // Dropped on every way out, so that the thread that reads ahead ends.
            let batches = batches;
            while let Ok(batch) = batches.recv() {
                let (batch, begun) = (batch?, Instant::now());
                under.folded += batch.len() as u64;
                self.fold_batch(batch, Some(&under), || ())?;
                self.bulk = Some(under.clone());
                if !go_on(BulkProgress { ordered: 0, folded: under.folded }, begun.elapsed()) {
                    self.settle()?;
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// From here on it is a store like any other.
    fn end_bulk(&mut self, target: &Positions) -> Result<(), FoldError> {
        let mut txn = self.store.begin()?;
        txn.delete(Table::Control, BULK);
        // Whoever watches from before this must begin anew.
        self.journal.begin_at(target, &mut txn);
        let mut w = Writer::new();
        target.encode(&mut w);
        txn.commit(&w.finish(), &self.digest.to_bytes())?;
        self.positions = target.clone();
        self.bulk = None;
        Ok(())
    }
}

enum Begun {
    Ordered(Positions, Order),
    NotWorth,
    Ended,
}

/// The batch of the order that begins at a place.
fn read(
    order: &Order,
    at: u64,
    entries_max: usize,
    log: &EventLog,
    control: &ControlState,
    secret: &LogSecret,
) -> Result<Prepared, FoldError> {
    let (mut entries, mut bytes) = (Vec::with_capacity(entries_max), 0);
    for locator in order.read(at, entries_max).map_err(FoldError::Order)? {
        let logged = log.read(locator)?;
        bytes += logged.bytes.len();
        entries.push(logged);
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    Prepared::new(entries, control, secret)
}
