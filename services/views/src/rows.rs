//! The rows that the digest is the sum of, read again from a store: whether it holds what its digest says, and which rows two
//! stores hold otherwise.
//!
//! A digest that is committed with every batch says what the fold did, not what the disk gives back. Reading every row again says
//! that, without a replay; rows fall into buckets by their names, so that only those of a few buckets are kept when two stores
//! are compared.

use std::collections::BTreeMap;
use std::fmt;

use linkage::{Component, EdgeChange, NodeId};
use projection::head::Head;
use record::control::Verdict;
use record::{Digest, Index, Kind, LtHash, MentionId, Pseudonym, Row, Timestamp};
use telemetry::told;
use view_store::{KeyRange, Table, View};

use crate::decisions::{self, Effect};
use crate::fold::{
    DecisionRow, FoldError, MentionRow, decision_row, decode_node, edge_row, effect_stands, effect_undone, parked,
    parked_row,
};
use crate::runtime::ViewsHandle;
use crate::verify::digest_of;

/// Rows that are read at once.
const ROWS: usize = 2048;
const BUCKETS: usize = 256;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowName {
    /// A record: its head, its findings and relations.
    Record(Pseudonym),
    /// A mention, and the subject that holds it.
    Mention(MentionId),
    /// An edge between two nodes.
    Edge(NodeId, NodeId),
    /// What a reviewer's decision came to.
    Decision(Index),
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8; 16]| MentionId(*bytes).to_hex();
        match self {
            Self::Record(record) => write!(f, "record {}", hex(&record.0)),
            Self::Mention(mention) => write!(f, "mention {}", mention.to_hex()),
            Self::Edge(a, b) => write!(f, "edge {} {}", hex(&a.0), hex(&b.0)),
            Self::Decision(index) => write!(f, "decision {}", index.0),
        }
    }
}

impl RowName {
    fn bucket(&self) -> usize {
        let bytes = match self {
            Self::Record(record) => record.0,
            Self::Mention(mention) => mention.0,
            Self::Edge(a, b) => std::array::from_fn(|at| a.0[at] ^ b.0[at].rotate_left(1)),
            Self::Decision(index) => u128::from(index.0).to_be_bytes(),
        };
        usize::from(blake3::hash(&bytes).as_bytes()[0])
    }
}

/// How two stores differ in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differs {
    /// Only the first store has it.
    OnlyFirst,
    /// Only the second store has it.
    OnlySecond,
    /// Both have it, and it says something else.
    Other,
}

impl Differs {
    /// How it is told, the first store being the live one.
    pub fn text(self) -> &'static str {
        match self {
            Self::OnlyFirst => "only in the live views",
            Self::OnlySecond => "only in the replay",
            Self::Other => "different",
        }
    }
}

/// Every row of a view, summed.
pub struct Sums {
    buckets: Vec<LtHash>,
    total: LtHash,
    /// Rows.
    pub rows: u64,
}

impl Sums {
    /// The digest of all rows: what the store committed, if it holds what it was given.
    pub fn digest(&self) -> Digest {
        self.total.digest()
    }

    fn differing(&self, other: &Self) -> Vec<usize> {
        (0..BUCKETS).filter(|at| self.buckets[*at].digest() != other.buckets[*at].digest()).collect()
    }
}

/// The kinds of rows, by the first byte of their encoding.
pub const KINDS: [(u8, &str); 6] =
    [(1, "head"), (2, "mention"), (3, "edge"), (4, "decision"), (5, "relation"), (6, "finding")];

/// The rows of one kind, summed.
#[derive(Default)]
pub struct OfKind {
    /// How many.
    pub rows: u64,
    sum: LtHash,
}

impl OfKind {
    /// The digest of these rows alone.
    pub fn digest(&self) -> Digest {
        self.sum.digest()
    }
}

/// Every row of a view, summed by kind, in the order of [`KINDS`]. `pace` as in [`sums`].
///
/// # Errors
/// [`FoldError`] when a row cannot be read.
pub fn by_kind(view: &View, pace: impl FnMut(u64) -> bool) -> Result<Option<[OfKind; 6]>, FoldError> {
    let mut kinds: [OfKind; 6] = std::array::from_fn(|_| OfKind::default());
    let whole = walk(view, pace, |_, row| {
        if let Some(at) = KINDS.iter().position(|(byte, _)| row.first() == Some(byte)) {
            kinds[at].rows += 1;
            kinds[at].sum.add(row);
        }
    })?;
    Ok(whole.then_some(kinds))
}

/// What the last look at the live rows found.
#[derive(Debug, Clone)]
pub struct Checked {
    /// When it ended.
    pub at: Timestamp,
    /// Rows that were read.
    pub rows: u64,
    /// What is wrong; `None` when the store gives back what it was given.
    pub wrong: Option<String>,
}

/// Reads every row of the views that serve, and compares them with the digest that was committed. `pace` as in [`sums`].
pub fn check(handle: &ViewsHandle, at: Timestamp, pace: impl FnMut(u64) -> bool) -> Option<Checked> {
    let looked = || -> Result<Option<(u64, Option<String>)>, FoldError> {
        let (view, _) = handle.view()?;
        let Some(found) = sums(&view, pace)? else { return Ok(None) };
        let (is, should) = (found.digest(), digest_of(&view)?);
        let wrong = (is != should).then(|| format!("the rows have the digest {is} instead of {should}"));
        Ok(Some((found.rows, wrong)))
    };
    match looked() {
        Ok(found) => found.map(|(rows, wrong)| Checked { at, rows, wrong }),
        Err(error) => Some(Checked { at, rows: 0, wrong: Some(told(&error)) }),
    }
}

/// Reads every row of a view. `pace` is called with the rows so far, now and then, and ends it by returning `false`.
///
/// # Errors
/// [`FoldError`] when a row cannot be read: that is a difference too.
pub fn sums(view: &View, pace: impl FnMut(u64) -> bool) -> Result<Option<Sums>, FoldError> {
    let mut sums = Sums { buckets: vec![LtHash::default(); BUCKETS], total: LtHash::default(), rows: 0 };
    let whole = walk(view, pace, |name, row| {
        sums.buckets[name.bucket()].add(row);
        sums.rows += 1;
    })?;
    sums.buckets.iter().for_each(|bucket| sums.total.merge(bucket));
    Ok(whole.then_some(sums))
}

/// The rows that two views hold otherwise, in the order of their names; at most `limit`.
///
/// # Errors
/// [`FoldError`] when a row cannot be read.
pub fn differences(
    first: (&View, &Sums),
    second: (&View, &Sums),
    limit: usize,
) -> Result<Vec<(RowName, Differs)>, FoldError> {
    let wanted = first.1.differing(second.1);
    let mut found: BTreeMap<RowName, [Option<LtHash>; 2]> = BTreeMap::new();
    for (side, view) in [first.0, second.0].into_iter().enumerate() {
        walk(
            view,
            |_| true,
            |name, row| {
                if wanted.contains(&name.bucket()) {
                    found.entry(name).or_default()[side].get_or_insert_default().add(row);
                }
            },
        )?;
    }
    let differs = |(name, sides): (RowName, [Option<LtHash>; 2])| {
        let digests = sides.map(|side| side.map(|sum| sum.digest()));
        let differs = match digests {
            [Some(a), Some(b)] if a == b => return None,
            [Some(_), Some(_)] => Differs::Other,
            [Some(_), None] => Differs::OnlyFirst,
            [None, _] => Differs::OnlySecond,
        };
        Some((name, differs))
    };
    Ok(found.into_iter().filter_map(differs).take(limit).collect())
}

/// Calls `each` with every row. `false` when `pace` ended it.
fn walk(
    view: &View,
    mut pace: impl FnMut(u64) -> bool,
    mut each: impl FnMut(RowName, &[u8]),
) -> Result<bool, FoldError> {
    let mut read = 0;
    let whole = tables(view, Table::Head, |rows| {
        for (key, value) in rows {
            let record = Pseudonym(key.as_ref().try_into().map_err(|_| FoldError::Row("head"))?);
            let head = Head::decode(value)?;
            head.rows(record, |row| each(RowName::Record(record), &row));
            for (mention, kind) in head.facts().into_iter().flat_map(|f| f.mentions.iter().map(|m| (m.id, m.kind))) {
                if let Some(row) = mention_row(view, mention, kind)? {
                    each(RowName::Mention(mention), &row);
                }
            }
        }
        read += rows.len() as u64;
        Ok(pace(read))
    })?;
    if !whole {
        return Ok(false);
    }
    let whole = tables(view, Table::Component, |rows| {
        for (_, value) in rows {
            for edge in Component::decode(value)?.canonical_edges() {
                let change = EdgeChange { a: edge.a, b: edge.b, old: None, new: Some(edge.state) };
                if let Some(row) = edge_row(&change, change.new) {
                    each(RowName::Edge(edge.a, edge.b), &row);
                }
            }
        }
        read += rows.len() as u64;
        Ok(pace(read))
    })?;
    if !whole {
        return Ok(false);
    }
    let mut last = None;
    loop {
        let page = parked(view, last.as_ref(), ROWS)?;
        page.iter().for_each(|parked| each(RowName::Record(parked.record), &parked_row(parked.record)));
        match page.into_iter().next_back() {
            Some(parked) => last = Some(parked),
            None => break,
        }
    }
    tables(view, Table::Decision, |rows| {
        for (key, value) in rows {
            let row = DecisionRow::decode(key, value)?;
            // Each stands twice, once from either side.
            if row.mention < row.other {
                each(RowName::Decision(row.index), &decided(view, &row)?);
            }
        }
        Ok(pace(read))
    })
}

fn mention_row(view: &View, mention: MentionId, kind: Kind) -> Result<Option<Vec<u8>>, FoldError> {
    let Some(row) = view.get(Table::Mention, &mention.0)? else { return Ok(None) };
    let node = MentionRow::decode(&row)?.placement.node;
    let Some(meta) = view.get(Table::NodeMeta, &node.0.to_be_bytes())? else { return Ok(None) };
    let subject = decode_node(&meta)?.subject;
    Ok(Some(Row::Mention { kind, mention, subject }.encode()))
}

fn decided(view: &View, row: &DecisionRow) -> Result<Vec<u8>, FoldError> {
    let order = row.index.0;
    Ok(match row.verdict {
        Verdict::Unsure | Verdict::Undo => effect_stands(order),
        Verdict::Must | Verdict::Cannot if row.undone => effect_undone(order),
        Verdict::Must | Verdict::Cannot => match decisions::effect(view, row)? {
            Effect::Void => decision_row(order, Some(true)),
            Effect::Stands | Effect::Undone => decision_row(order, Some(false)),
            Effect::Waiting => decision_row(order, None),
        },
    })
}

/// Calls `with` on a table's rows in the order of their keys, some at a time, until it returns `false`.
fn tables(
    view: &View,
    table: Table,
    mut with: impl FnMut(&[(Box<[u8]>, view_store::Value)]) -> Result<bool, FoldError>,
) -> Result<bool, FoldError> {
    let mut next: Vec<u8> = Vec::new();
    loop {
        let range = if next.is_empty() { KeyRange::All } else { KeyRange::From(&next) };
        let rows = view.range(table, range, ROWS)?;
        if !with(&rows)? {
            return Ok(false);
        }
        match rows.last() {
            Some((key, _)) if rows.len() == ROWS => next = [key.as_ref(), &[0]].concat(),
            _ => return Ok(true),
        }
    }
}
