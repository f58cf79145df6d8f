//! Which subjects each batch touched, for those who watch. Bounded: who has fallen behind it begins anew.

use hashbrown::HashMap;
use projection::FOLD_VERSION;
use record::{Kind, MentionId, Positions, Reader, Writer};
use view_store::{KeyRange, Table, Txn, View};

use super::FoldError;

/// Touched subjects that are kept, 17 bytes each.
const KEPT_MAX: u64 = 1 << 20;

/// What happened to a subject; several may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Touch(u8);

impl Touch {
    /// A record of it says something else.
    pub(crate) const CHANGED: Self = Self(1);
    /// A mention came to it.
    pub(crate) const LINKED: Self = Self(2);
    /// A mention left it.
    pub(crate) const UNLINKED: Self = Self(4);
    /// Several subjects became fewer.
    pub(crate) const MERGED: Self = Self(8);
    /// One became several.
    pub(crate) const SPLIT: Self = Self(16);
    /// It is a parcel; else a person.
    const PARCEL: Self = Self(128);

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn kind(self) -> Kind {
        if self.has(Self::PARCEL) { Kind::Parcel } else { Kind::Person }
    }

    fn of_kind(self, kind: Kind) -> Self {
        match kind {
            Kind::Person => self,
            Kind::Parcel => self.with(Self::PARCEL),
        }
    }
}

/// The journal under way.
pub(super) struct Journal {
    next: u64,
    first: u64,
    kept: u64,
    touched: HashMap<MentionId, Touch>,
}

/// One batch of it.
pub(crate) struct Batch {
    pub(crate) number: u64,
    /// What had been folded after it.
    pub(crate) reached: Positions,
    /// In the order of their ids.
    pub(crate) touched: Vec<(MentionId, Touch)>,
}

impl Batch {
    fn key(number: u64) -> [u8; 8] {
        number.to_be_bytes()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(64 + 17 * self.touched.len());
        self.reached.encode(&mut out);
        out.varint(self.touched.len() as u64);
        for (subject, touch) in &self.touched {
            out.raw(&subject.0).u8(touch.0);
        }
        out.finish()
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, FoldError> {
        let number = u64::from_be_bytes(key.try_into().map_err(|_| FoldError::Row("changed"))?);
        let mut input = Reader::new(value);
        let reached = Positions::decode(&mut input)?;
        let mut touched = Vec::new();
        for _ in 0..input.count(17)? {
            touched.push((MentionId(input.array()?), Touch(input.u8()?)));
        }
        input.end("changed")?;
        Ok(Self { number, reached, touched })
    }
}

impl Journal {
    pub(super) fn load(view: &View) -> Result<Self, FoldError> {
        let mut journal = Self { next: 1, first: 1, kept: 0, touched: HashMap::new() };
        for (at, (key, value)) in view.range(Table::Changed, KeyRange::All, usize::MAX)?.into_iter().enumerate() {
            let batch = Batch::decode(&key, &value)?;
            if at == 0 {
                journal.first = batch.number;
            }
            journal.next = batch.number + 1;
            journal.kept += batch.touched.len() as u64;
        }
        Ok(journal)
    }

    pub(super) fn touch(&mut self, subject: MentionId, kind: Kind, touch: Touch) {
        let known = self.touched.entry(subject).or_default();
        *known = known.with(touch.of_kind(kind));
    }

    pub(super) fn touch_all(&mut self, subject: Option<MentionId>, kind: Kind, touch: Touch) {
        if let Some(subject) = subject {
            self.touch(subject, kind, touch);
        }
    }

    /// Leaves out what the batch touched: nobody can have watched it.
    pub(super) fn forget(&mut self) {
        self.touched.clear();
    }

    /// Begins at these positions: a cursor from before them finds no place.
    pub(super) fn begin_at(&mut self, reached: &Positions, txn: &mut Txn<'_>) {
        // Not the first batch of all: that one says that it reaches back to the beginning.
        let batch = Batch { number: self.next + 1, reached: reached.clone(), touched: Vec::new() };
        txn.put(Table::Changed, &Batch::key(batch.number), &batch.encode());
        (self.first, self.next) = (batch.number, batch.number + 1);
    }

    /// Writes the batch's row, and drops the oldest rows.
    pub(super) fn finish(&mut self, reached: &Positions, txn: &mut Txn<'_>) -> Result<(), FoldError> {
        let mut touched: Vec<(MentionId, Touch)> = self.touched.drain().collect();
        if touched.is_empty() {
            return Ok(());
        }
        touched.sort_unstable_by_key(|(subject, _)| *subject);
        let batch = Batch { number: self.next, reached: reached.clone(), touched };
        txn.put(Table::Changed, &Batch::key(batch.number), &batch.encode());
        self.next += 1;
        self.kept += batch.touched.len() as u64;
        while self.kept > KEPT_MAX && self.first < batch.number {
            let key = Batch::key(self.first);
            if let Some(row) = txn.get(Table::Changed, &key)? {
                self.kept -= Batch::decode(&key, &row)?.touched.len() as u64;
                txn.delete(Table::Changed, &key);
            }
            self.first += 1;
        }
        Ok(())
    }
}

/// The last batch that a cursor covers: what is behind it came after the cursor. A cursor of another process may lie within a
/// batch, which is then told again. `None` when the store does not reach back to it.
pub(crate) fn locate(view: &View, cursor: &Positions) -> Result<Option<u64>, FoldError> {
    let rows = view.range(Table::Changed, KeyRange::All, usize::MAX)?;
    for (key, value) in rows.iter().rev() {
        let batch = Batch::decode(key, value)?;
        if cursor.covers_all(&batch.reached) {
            return Ok(Some(batch.number));
        }
        if batch.number == 1 {
            return Ok(Some(0));
        }
    }
    Ok(rows.is_empty().then_some(0))
}

/// The batches behind one, oldest first; `None` when those that followed it are not kept any more.
pub(crate) fn after(view: &View, number: u64) -> Result<Option<Vec<Batch>>, FoldError> {
    let rows = view.range(Table::Changed, KeyRange::From(&Batch::key(number + 1)), usize::MAX)?;
    let batches = rows.iter().map(|(key, value)| Batch::decode(key, value)).collect::<Result<Vec<_>, _>>()?;
    let whole = batches.first().is_none_or(|first| first.number == number + 1);
    Ok(whole.then_some(batches))
}

/// What a cursor must agree on beside positions: other rules or another model make other subjects.
pub(crate) fn generation(basis: u32) -> (u32, u32) {
    (FOLD_VERSION, basis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_begins_late_has_no_place_for_an_earlier_cursor() {
        use record::{Index, Partition, Stream};
        let dir = tempfile::tempdir().expect("a folder");
        let expect = view_store::Expect { fold_version: FOLD_VERSION, log_id: [0; 16] };
        let opened = view_store::ViewStore::open(&dir.path().join("views"), view_store::Options::default(), expect);
        let mut store = opened.expect("the store opens").into_store();
        let at = |end| {
            let mut positions = Positions::new();
            positions.set(Stream::Change, Partition(0), Index(end));
            positions
        };
        let mut journal = Journal::load(&store.reader().view().expect("a view")).expect("a sound store");
        let mut txn = store.begin().expect("a sound store");
        journal.begin_at(&at(10), &mut txn);
        txn.commit(&[], &[]).expect("written");
        let mut txn = store.begin().expect("a sound store");
        journal.touch(MentionId([7; 16]), Kind::Person, Touch::CHANGED);
        journal.finish(&at(12), &mut txn).expect("written");
        txn.commit(&[], &[]).expect("written");
        let view = store.reader().view().expect("a view");
        assert_eq!(locate(&view, &at(9)).expect("sound"), None, "what it missed is not told here");
        let number = locate(&view, &at(10)).expect("sound").expect("it has missed nothing before");
        let missed = after(&view, number).expect("sound").expect("all of it is kept");
        assert_eq!(missed.iter().map(|batch| batch.touched.len()).collect::<Vec<_>>(), [1]);
        let again = Journal::load(&view).expect("a sound store");
        assert_eq!((again.first, again.next, again.kept), (journal.first, journal.next, journal.kept));
    }

    #[test]
    fn a_row_survives_both_ways() {
        let touched =
            vec![(MentionId([3; 16]), Touch::MERGED.of_kind(Kind::Parcel)), (MentionId([4; 16]), Touch::CHANGED)];
        let batch = Batch { number: 7, reached: Positions::new(), touched };
        let read = Batch::decode(&Batch::key(7), &batch.encode()).expect("own bytes");
        assert_eq!((read.number, read.reached, &read.touched), (7, Positions::new(), &batch.touched));
        assert_eq!(read.touched[0].1.kind(), Kind::Parcel);
        assert!(Batch::decode(&Batch::key(7), &batch.encode()[1..]).is_err());
    }
}
