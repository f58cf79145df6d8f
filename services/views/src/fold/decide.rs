//! Reviewers' decisions: which are in force, and what they move when they come, go, or meet their mentions.

use hashbrown::HashSet;
use linkage::{Decision, LinkState as _, MentionInput, RecordMentions, Reviewed};
use record::control::Verdict;
use record::{Index, MentionId, Pseudonym, Row};
use view_store::{KeyRange, Table, View};

use super::count::Moved;
use super::links::{MentionRow, StoreLinks};
use super::{FoldError, Step, distinct_pairs};

/// A decision as it stands in [`Table::Decision`], seen from one of its mentions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecisionRow {
    /// The mention that it is seen from.
    pub(crate) mention: MentionId,
    /// The other.
    pub(crate) other: MentionId,
    /// Its entry in the control stream.
    pub(crate) index: Index,
    pub(crate) verdict: Verdict,
    pub(crate) undone: bool,
}

impl DecisionRow {
    fn key(&self) -> [u8; 40] {
        let mut key = [0; 40];
        key[..16].copy_from_slice(&self.mention.0);
        key[16..32].copy_from_slice(&self.other.0);
        key[32..].copy_from_slice(&self.index.0.to_be_bytes());
        key
    }

    fn value(&self) -> [u8; 2] {
        [self.verdict as u8, u8::from(self.undone)]
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, FoldError> {
        let damaged = || FoldError::Row("decision");
        let (mention, rest) = key.split_first_chunk::<16>().ok_or_else(damaged)?;
        let (other, index) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
        let index = Index(u64::from_be_bytes(index.try_into().or(Err(damaged()))?));
        let [verdict, undone] = value else { return Err(damaged()) };
        let verdict = Verdict::from_number(*verdict).ok_or_else(damaged)?;
        Ok(Self { mention: MentionId(*mention), other: MentionId(*other), index, verdict, undone: *undone == 1 })
    }

    /// True for a must-link, false for a cannot-link, `None` where linkage takes no notice.
    pub(crate) fn must(&self) -> Option<bool> {
        match (self.undone, self.verdict) {
            (false, Verdict::Must) => Some(true),
            (false, Verdict::Cannot) => Some(false),
            (_, Verdict::Unsure | Verdict::Undo) | (true, Verdict::Must | Verdict::Cannot) => None,
        }
    }

    fn in_force(&self) -> Option<Decision> {
        let (a, b) = (self.mention.min(self.other), self.mention.max(self.other));
        self.must().map(|must| Decision { order: self.index.0, must, a, b })
    }
}

/// The mentions that a decision in force names.
pub(super) fn load_pinned(view: &View) -> Result<HashSet<MentionId>, FoldError> {
    let mut pinned = HashSet::new();
    for (key, value) in view.range(Table::Decision, KeyRange::All, usize::MAX)? {
        let row = DecisionRow::decode(&key, &value)?;
        if row.must().is_some() {
            pinned.insert(row.mention);
        }
    }
    Ok(pinned)
}

const STANDS: u8 = 1;
const VOID: u8 = 2;
const UNDONE: u8 = 3;
const ABSENT: u8 = 4;

fn effect_row(order: u64, effect: u8) -> Vec<u8> {
    Row::Decision { control_index: order, effect }.encode()
}

/// The digest's row of a decision in force: `void` as linkage tells it, `None` while a mention of it is not there.
pub(crate) fn decision_row(order: u64, void: Option<bool>) -> Vec<u8> {
    effect_row(
        order,
        match void {
            None => ABSENT,
            Some(false) => STANDS,
            Some(true) => VOID,
        },
    )
}

/// The digest's row of a decision that linkage takes no notice of.
pub(crate) fn effect_stands(order: u64) -> Vec<u8> {
    effect_row(order, STANDS)
}

/// The digest's row of a decision that was undone.
pub(crate) fn effect_undone(order: u64) -> Vec<u8> {
    effect_row(order, UNDONE)
}

impl<'t> Step<'_, 't> {
    /// Folds a decision: it is in force from here on, or undoes those on its pair that were.
    pub(super) fn decided(
        &mut self,
        index: Index,
        (a, b): (MentionId, MentionId),
        verdict: Verdict,
    ) -> Result<(), FoldError> {
        let mut undone = Vec::new();
        match verdict {
            Verdict::Must | Verdict::Cannot => {
                self.digest.add(&decision_row(index.0, None));
                self.put_decision(DecisionRow { mention: a, other: b, index, verdict, undone: false });
                self.links.pinned.extend([a, b]);
            }
            Verdict::Unsure => {
                self.digest.add(&effect_stands(index.0));
                self.put_decision(DecisionRow { mention: a, other: b, index, verdict, undone: false });
                return Ok(());
            }
            Verdict::Undo => {
                self.digest.add(&effect_stands(index.0));
                undone = self.undo((a, b))?;
                self.put_decision(DecisionRow { mention: a, other: b, index, verdict, undone: false });
            }
        }
        let mut records = Vec::new();
        for mention in [a, b] {
            if let Some(row) = self.txn.get(Table::Mention, &mention.0)? {
                let record = MentionRow::decode(&row)?.record;
                if !records.contains(&record) {
                    records.push(record);
                }
            }
        }
        for record in records {
            self.relink_decided(record, &undone)?;
        }
        for decision in undone {
            self.digest.remove(&decision_row(decision.order, None));
            self.digest.add(&effect_undone(decision.order));
        }
        Ok(())
    }

    fn put_decision(&mut self, row: DecisionRow) {
        for row in [row, DecisionRow { mention: row.other, other: row.mention, ..row }] {
            self.txn.put(Table::Decision, &row.key(), &row.value());
        }
    }

    /// Marks the decisions in force on a pair, and pins its mentions no more where nothing else does.
    fn undo(&mut self, (a, b): (MentionId, MentionId)) -> Result<Vec<Decision>, FoldError> {
        let rows: Vec<DecisionRow> = self.decision_rows(&[a.0, b.0].concat())?;
        let mut undone = Vec::new();
        for row in rows.into_iter().filter(|row| !row.undone) {
            undone.extend(row.in_force());
            self.put_decision(DecisionRow { undone: true, ..row });
        }
        for mention in [a, b] {
            if self.standing(&[mention])?.is_empty() {
                self.links.pinned.remove(&mention);
            }
        }
        Ok(undone)
    }

    fn decision_rows(&self, prefix: &[u8]) -> Result<Vec<DecisionRow>, FoldError> {
        let rows = self.txn.range(Table::Decision, KeyRange::Prefix(prefix), usize::MAX)?;
        rows.iter().map(|(key, value)| DecisionRow::decode(key, value)).collect()
    }

    /// The decisions in force that name one of the mentions, in control order.
    fn standing(&self, mentions: &[MentionId]) -> Result<Vec<Decision>, FoldError> {
        let mut out = Vec::new();
        for mention in mentions {
            out.extend(self.decision_rows(&mention.0)?.iter().filter_map(DecisionRow::in_force));
        }
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    /// [`Step::link`], where mentions may be pinned.
    pub(super) fn link_pinned(
        &mut self,
        record: Pseudonym,
        moved: &Moved<'_>,
        new: Option<&RecordMentions<'_>>,
        undone: &[Decision],
    ) -> Result<(), FoldError> {
        let mut named: Vec<MentionId> = moved.old.iter().flat_map(|f| f.mentions.iter().map(|m| m.id)).collect();
        named.extend(new.iter().flat_map(|r| r.mentions.iter().map(|m| m.id)));
        named.retain(|mention| self.links.pinned.contains(mention));
        let standing = self.standing(&named)?;
        let reviewed = Reviewed { standing: &standing, undone };
        let Some(new) = new else { return self.link_reviewed(record, moved, None, &reviewed) };
        let pin = |m: &MentionInput| MentionInput { pinned: self.links.pinned.contains(&m.id), ..*m };
        let mentions: Vec<MentionInput> = new.mentions.iter().map(pin).collect();
        let pinned = RecordMentions { mentions: &mentions, distinct: new.distinct };
        self.link_reviewed(record, moved, Some(&pinned), &reviewed)
    }

    /// Puts a record's mentions where the decisions in force want them; what the record says stays as it is.
    fn relink_decided(&mut self, record: Pseudonym, undone: &[Decision]) -> Result<(), FoldError> {
        let head = self.head(record)?.ok_or(FoldError::Row("head"))?;
        let facts = head.facts().ok_or(FoldError::Row("head"))?;
        let mut state = StoreLinks { txn: self.txn, cache: self.links, record };
        let mut mentions = Vec::with_capacity(facts.mentions.len());
        for mention in &facts.mentions {
            let placement = state.placement(&mention.id)?.ok_or(FoldError::Row("mention"))?;
            let row = state.row(placement.node)?;
            mentions.push(MentionInput { id: mention.id, rank: placement.rank, row, pinned: false });
        }
        let distinct = distinct_pairs(facts);
        let moved = Moved { register: &head.register, old: Some(facts), new: Some(facts) };
        let new = RecordMentions { mentions: &mentions, distinct: &distinct };
        self.link_pinned(record, &moved, Some(&new), undone)
    }
}
