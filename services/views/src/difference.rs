//! What two views of one log at the same positions say differently: records, and who is one subject.
//!
//! Both are walked in the order of their keys, some thousand rows at a time, so that memory is bounded but for the subjects that
//! differ, and those are bounded by [`MOVED_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use projection::head::{Head, StoredVersion};
use record::{Digest, LtHash, MentionId, Pseudonym, RegisterName};
use view_store::{KeyRange, Table, View};

use crate::decisions;
use crate::fold::{FoldError, MentionRow, decode_node};
use crate::prepared::{Aligned, Side};
use crate::rows;

/// Rows that are read at once.
const ROWS: usize = 4096;
/// Pairs of subjects between which mentions moved, and records that differ, that are told apart; above it, merges, splits and their causes are
/// counted short.
pub const MOVED_MAX: usize = 2_000_000;
/// Changed subjects whose attributes are compared.
pub const SUBJECTS_MAX: usize = 2_000;

/// Records of a register that differ, where an agency and a commune printed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Records {
    /// Stated in both, in the same words.
    pub same: u64,
    /// Not in the views that serve.
    pub added: u64,
    /// In both, stated otherwise.
    pub changed: u64,
    /// Only in the views that serve.
    pub removed: u64,
    /// Stated in the same words, and their rows differ nevertheless: versions, findings or relations.
    pub other_rows: u64,
}

/// Whose records: register, agency, commune as printed.
pub type Cell = (RegisterName, String, String);

/// What became of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectChange {
    /// The subject.
    pub subject: MentionId,
    /// The others: those that came into it, or those that it fell into.
    pub others: Vec<MentionId>,
}

/// Rows of one kind in both views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRows {
    /// As [`rows::KINDS`] calls it.
    pub kind: &'static str,
    /// In the views that serve.
    pub serving: u64,
    /// In the prepared ones.
    pub prepared: u64,
    /// Whether they are the same rows.
    pub equal: bool,
}

/// What differs.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// Digests of the views that serve and of the prepared ones.
    pub digests: Option<(Digest, Digest)>,
    /// Records by cell.
    pub records: BTreeMap<Cell, Records>,
    /// Samples of records whose rows differ.
    pub record_samples: Vec<Pseudonym>,
    /// Subjects before and after.
    pub subjects: (u64, u64),
    /// Mentions that stand only in the views that serve, only in the prepared ones, in both under one subject, and in both under
    /// different ones.
    pub mentions: Mentions,
    /// Subjects of the prepared views that hold what were several before.
    pub merged: Vec<SubjectChange>,
    /// Subjects that serve and become several.
    pub split: Vec<SubjectChange>,
    /// Whether there were more moves than are told apart.
    pub short: bool,
    /// Why things differ, each with its count. A record was `added`, `changed` or `removed`; or its words are the same, and its
    /// `versions`, `relations` or `findings` are others. A subject was merged or split because a record of it differs, or by
    /// its links alone.
    pub causes: BTreeMap<&'static str, u64>,
    /// Subjects of which an answer may be another one: at most [`SUBJECTS_MAX`], the first ones.
    pub touched: BTreeSet<MentionId>,
}

/// Mentions, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mentions {
    /// Only in the views that serve.
    pub removed: u64,
    /// Only in the prepared views.
    pub added: u64,
    /// In both, under one subject.
    pub same: u64,
    /// In both, under different subjects.
    pub moved: u64,
}

impl Difference {
    /// Whether the digests say that all rows are equal.
    pub fn equal(&self) -> bool {
        self.digests.is_some_and(|(a, b)| a == b)
    }

    /// Records by register.
    pub fn of_register(&self, register: &RegisterName) -> Records {
        let mut sum = Records::default();
        for (_, r) in self.records.iter().filter(|((of, ..), _)| of == register) {
            sum.same += r.same;
            sum.added += r.added;
            sum.changed += r.changed;
            sum.removed += r.removed;
            sum.other_rows += r.other_rows;
        }
        sum
    }
}

/// Compares two views. `progress` gets rows walked and rows in all, and ends the comparison by returning `false`.
///
/// # Errors
/// [`FoldError`] when a store cannot be read.
pub fn compare(
    aligned: &Aligned,
    samples_max: usize,
    mut progress: impl FnMut(u64, u64) -> bool,
) -> Result<Option<Difference>, FoldError> {
    let (serving, prepared) = (&aligned.serving, &aligned.prepared);
    let mut changed = BTreeSet::new();
    let mut out = Difference { digests: Some((serving.digest, prepared.digest)), ..Difference::default() };
    let of = |side: &Side| side.totals.records + side.totals.mentions;
    let total = of(serving).max(of(prepared));
    let mut walked = 0;
    let mut pairs = Pairs::new(&serving.view, &prepared.view, Table::Head);
    while let Some(rows) = pairs.next()? {
        for (key, before, after) in &rows {
            out.record(key, (before.as_deref(), after.as_deref()), samples_max, &mut changed)?;
        }
        walked += rows.len() as u64;
        if !progress(walked, total) {
            return Ok(None);
        }
    }
    let mut moved = BTreeMap::new();
    let mut pairs = Pairs::new(&serving.view, &prepared.view, Table::Mention);
    while let Some(rows) = pairs.next()? {
        let before = subjects(&serving.view, rows.iter().map(|(_, before, _)| before.as_deref()))?;
        let after = subjects(&prepared.view, rows.iter().map(|(_, _, after)| after.as_deref()))?;
        for (at, (key, ..)) in rows.iter().enumerate() {
            let mention = MentionId(key.as_ref().try_into().map_err(|_| FoldError::Row("mention"))?);
            let of_changed = match rows[at].1.as_deref().or(rows[at].2.as_deref()) {
                Some(row) if !changed.is_empty() => changed.contains(&MentionRow::decode(row)?.record),
                Some(_) | None => false,
            };
            out.mention(mention, (before[at], after[at]), of_changed, &mut moved);
        }
        walked += rows.len() as u64;
        if !progress(walked, total) {
            return Ok(None);
        }
    }
    out.subjects_of(&moved, aligned)?;
    Ok(Some(out))
}

/// The rows of two views by kind: reads every row of both. `wanted` ends it by returning `false`.
///
/// # Errors
/// [`FoldError`] when a store cannot be read.
pub fn kinds(aligned: &Aligned, mut wanted: impl FnMut() -> bool) -> Result<Option<Vec<KindRows>>, FoldError> {
    let Some(before) = rows::by_kind(&aligned.serving.view, |_| wanted())? else { return Ok(None) };
    let Some(after) = rows::by_kind(&aligned.prepared.view, |_| wanted())? else { return Ok(None) };
    let both = rows::KINDS.iter().zip(before.iter().zip(&after));
    let rows = both.map(|((_, kind), (before, after))| KindRows {
        kind,
        serving: before.rows,
        prepared: after.rows,
        equal: before.digest() == after.digest(),
    });
    Ok(Some(rows.collect()))
}

impl Difference {
    fn record(
        &mut self,
        key: &[u8],
        (before, after): (Option<&[u8]>, Option<&[u8]>),
        samples_max: usize,
        changed: &mut BTreeSet<Pseudonym>,
    ) -> Result<(), FoldError> {
        let record = Pseudonym(key.try_into().map_err(|_| FoldError::Row("head"))?);
        let heads = [before, after].map(|row| row.map(Head::decode).transpose());
        let [before, after] = heads;
        let (before, after) = (before?, after?);
        let Some(any) = after.as_ref().or(before.as_ref()) else { return Ok(()) };
        let states = |head: &Option<Head>| head.as_ref().and_then(Head::linkage_version).map(statement);
        let (said, says) = (states(&before), states(&after));
        let facts = after.as_ref().and_then(Head::facts).or_else(|| before.as_ref().and_then(Head::facts));
        let (agency, commune) =
            facts.map_or_else(Default::default, |f| (f.agency.as_str().to_owned(), f.unit.0.clone()));
        let counts = self.records.entry((any.register.clone(), agency, commune)).or_default();
        let causes: Vec<&'static str> = match (said, says) {
            (None, None) => Vec::new(),
            (None, Some(_)) => {
                counts.added += 1;
                vec!["record_added"]
            }
            (Some(_), None) => {
                counts.removed += 1;
                vec!["record_removed"]
            }
            (Some(said), Some(says)) if said != says => {
                counts.changed += 1;
                vec!["record_changed"]
            }
            (Some(_), Some(_)) => {
                // Encoded heads are equal nearly always; their rows leave out what two copies of a log may differ in.
                let causes = if before == after { Vec::new() } else { other_rows(record, &before, &after) };
                counts.same += u64::from(causes.is_empty());
                counts.other_rows += u64::from(!causes.is_empty());
                causes
            }
        };
        if causes.is_empty() {
            return Ok(());
        }
        causes.into_iter().for_each(|cause| self.count(cause));
        if self.record_samples.len() < samples_max {
            self.record_samples.push(record);
        }
        if changed.len() < MOVED_MAX {
            changed.insert(record);
        } else {
            self.short = true;
        }
        Ok(())
    }

    fn count(&mut self, cause: &'static str) {
        *self.causes.entry(cause).or_default() += 1;
    }

    fn touch(&mut self, subject: MentionId) {
        if self.touched.len() < SUBJECTS_MAX {
            self.touched.insert(subject);
        }
    }

    /// `of_changed`: the mention stands in a record that differs.
    fn mention(
        &mut self,
        mention: MentionId,
        (before, after): (Option<MentionId>, Option<MentionId>),
        of_changed: bool,
        moved: &mut Moves,
    ) {
        if of_changed {
            [before, after].into_iter().flatten().for_each(|subject| self.touch(subject));
        }
        self.subjects.0 += u64::from(before == Some(mention));
        self.subjects.1 += u64::from(after == Some(mention));
        match (before, after) {
            (None, None) => {}
            (Some(_), None) => self.mentions.removed += 1,
            (None, Some(_)) => self.mentions.added += 1,
            (Some(before), Some(after)) if before == after => self.mentions.same += 1,
            (Some(before), Some(after)) => {
                self.mentions.moved += 1;
                if moved.len() < MOVED_MAX {
                    *moved.entry((before, after)).or_default() |= of_changed;
                } else {
                    self.short = true;
                }
            }
        }
    }

    /// A subject keeps its id as long as its anchor is in it; so the moves, and whether an id is still a subject, tell all.
    fn subjects_of(&mut self, moved: &Moves, aligned: &Aligned) -> Result<(), FoldError> {
        let stays = |view: &View, subject: MentionId| {
            Ok::<_, FoldError>(decisions::subject_of(view, subject)? == Some(subject))
        };
        let mut into: BTreeMap<MentionId, BTreeSet<MentionId>> = BTreeMap::new();
        let mut out_of: BTreeMap<MentionId, BTreeSet<MentionId>> = BTreeMap::new();
        let (mut into_changed, mut out_of_changed) = (BTreeSet::new(), BTreeSet::new());
        for ((before, after), of_changed) in moved {
            into.entry(*after).or_default().insert(*before);
            out_of.entry(*before).or_default().insert(*after);
            if *of_changed {
                into_changed.insert(*after);
                out_of_changed.insert(*before);
            }
        }
        for (subject, mut others) in into {
            if stays(&aligned.serving.view, subject)? || others.len() > 1 {
                others.remove(&subject);
                self.count(if into_changed.contains(&subject) { "merged_by_records" } else { "merged_by_links" });
                others.iter().chain([&subject]).for_each(|subject| self.touch(*subject));
                self.merged.push(SubjectChange { subject, others: others.into_iter().collect() });
            }
        }
        for (subject, mut others) in out_of {
            if stays(&aligned.prepared.view, subject)? || others.len() > 1 {
                others.remove(&subject);
                self.count(if out_of_changed.contains(&subject) { "split_by_records" } else { "split_by_links" });
                others.iter().chain([&subject]).for_each(|subject| self.touch(*subject));
                self.split.push(SubjectChange { subject, others: others.into_iter().collect() });
            }
        }
        Ok(())
    }
}

/// Mentions that moved from one subject to another, and whether one of them stands in a record that differs.
type Moves = BTreeMap<(MentionId, MentionId), bool>;

/// Which rows of a record differ whose words are the same.
fn other_rows(record: Pseudonym, before: &Option<Head>, after: &Option<Head>) -> Vec<&'static str> {
    let sums = |head: &Option<Head>| {
        let mut sums: BTreeMap<u8, LtHash> = BTreeMap::new();
        head.iter().for_each(|head| {
            head.rows(record, |row| sums.entry(row.first().copied().unwrap_or_default()).or_default().add(&row));
        });
        sums
    };
    let (before, after) = (sums(before), sums(after));
    let digest = |sums: &BTreeMap<u8, LtHash>, byte| sums.get(&byte).map(LtHash::digest);
    let kinds = [(1, "versions"), (5, "relations"), (6, "findings")];
    let differs = kinds.into_iter().filter(|(byte, _)| digest(&before, *byte) != digest(&after, *byte));
    differs.map(|(_, cause)| cause).collect()
}

fn statement(version: &StoredVersion) -> [u8; 32] {
    version.row.statement
}

/// The subject of each mention row.
fn subjects<'a>(
    view: &View,
    rows: impl Iterator<Item = Option<&'a [u8]>>,
) -> Result<Vec<Option<MentionId>>, FoldError> {
    let nodes: Vec<Option<u32>> = rows
        .map(|row| row.map(|row| MentionRow::decode(row).map(|m| m.placement.node.0)).transpose())
        .collect::<Result<_, _>>()?;
    let mut wanted: Vec<[u8; 4]> = nodes.iter().flatten().map(|no| no.to_be_bytes()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let found = view.multi_get(Table::NodeMeta, &wanted)?;
    let mut by_node = BTreeMap::new();
    for (key, row) in wanted.iter().zip(found) {
        let meta = decode_node(&row.ok_or(FoldError::Row("node"))?)?;
        by_node.insert(u32::from_be_bytes(*key), meta.subject);
    }
    Ok(nodes.into_iter().map(|no| no.and_then(|no| by_node.get(&no).copied())).collect())
}

type KeyValue = (Box<[u8]>, Vec<u8>);
type Pair = (Box<[u8]>, Option<Vec<u8>>, Option<Vec<u8>>);

/// The rows of one table in two views, joined by key.
struct Pairs<'v> {
    sides: [Walk<'v>; 2],
}

struct Walk<'v> {
    view: &'v View,
    table: Table,
    next: Option<Vec<u8>>,
}

impl Walk<'_> {
    /// Rows from where it stands, at most [`ROWS`].
    fn rows(&self) -> Result<Vec<KeyValue>, FoldError> {
        let Some(next) = &self.next else { return Ok(Vec::new()) };
        let range = if next.is_empty() { KeyRange::All } else { KeyRange::From(next) };
        let rows = self.view.range(self.table, range, ROWS)?;
        Ok(rows.into_iter().map(|(key, value)| (key, value.to_vec())).collect())
    }
}

impl<'v> Pairs<'v> {
    fn new(serving: &'v View, prepared: &'v View, table: Table) -> Self {
        Self { sides: [serving, prepared].map(|view| Walk { view, table, next: Some(Vec::new()) }) }
    }

    /// The next keys; `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<Pair>>, FoldError> {
        let rows = [self.sides[0].rows()?, self.sides[1].rows()?];
        if rows.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        // Only up to where both have been read.
        let full = rows.iter().filter(|rows| rows.len() == ROWS);
        let bound: Option<Box<[u8]>> = full.filter_map(|rows| rows.last().map(|(key, _)| key.clone())).min();
        let mut joined: BTreeMap<Box<[u8]>, [Option<Vec<u8>>; 2]> = BTreeMap::new();
        for (side, rows) in rows.into_iter().enumerate() {
            for (key, value) in rows {
                if bound.as_ref().is_none_or(|bound| key <= *bound) {
                    joined.entry(key).or_default()[side] = Some(value);
                }
            }
        }
        let next = bound.map(|bound| [&bound, &[0][..]].concat());
        self.sides.iter_mut().for_each(|side| side.next.clone_from(&next));
        Ok(Some(joined.into_iter().map(|(key, [before, after])| (key, before, after)).collect()))
    }
}
