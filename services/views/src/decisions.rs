//! Reviewers' decisions as the views hold them: what stands on a mention, and what a new one would contradict.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use linkage::{Component, NodeMeta};
use projection::head::Head;
use record::control::{Control, Verdict};
use record::{Entry, Index, Kind, MentionId, Timestamp};
use view_store::{KeyRange, Table, View};

use crate::fold::{DecisionRow, FoldError, MentionRow, control_key, decode_node};

/// Most decisions that are looked through for a contradiction. Beyond, the fold still decides.
const CONNECTED_MAX: usize = 10_000;

/// What a decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It holds.
    Stands,
    /// An earlier decision contradicts it.
    Void,
    /// A later one undid it.
    Undone,
    /// A mention of it is not there.
    Waiting,
}

impl Effect {
    /// The name, as answers write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Void => "void",
            Self::Undone => "undone",
            Self::Waiting => "waiting",
        }
    }
}

/// A decision with who took it and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Its entry in the control stream.
    pub index: Index,
    /// The mentions, the smaller first.
    pub pair: (MentionId, MentionId),
    /// What was decided.
    pub verdict: Verdict,
    /// What it came to.
    pub effect: Effect,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub recorded_at: Timestamp,
}

/// The decisions that name a mention, or all; at most `limit`, and whether there are more.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn decisions(view: &View, mention: Option<MentionId>, limit: usize) -> Result<(Vec<Decided>, bool), FoldError> {
    let prefix = mention.map(|m| m.0);
    let range = prefix.as_ref().map_or(KeyRange::All, |prefix| KeyRange::Prefix(prefix));
    // Without a mention every decision stands twice, once from either side.
    let read = limit.saturating_mul(2).saturating_add(1);
    let rows = view.range(Table::Decision, range, read)?;
    let more_rows = rows.len() == read;
    let mut out = Vec::new();
    for (key, value) in rows {
        let row = DecisionRow::decode(&key, &value)?;
        if mention.is_some() || row.mention < row.other {
            out.push(row);
        }
    }
    let more = more_rows || out.len() > limit;
    out.truncate(limit);
    Ok((out.into_iter().map(|row| told(view, &row)).collect::<Result<_, _>>()?, more))
}

/// The decision of a control entry on a pair.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn decision(view: &View, pair: (MentionId, MentionId), index: Index) -> Result<Option<Decided>, FoldError> {
    let row = rows_of(view, &[pair.0.0, pair.1.0].concat())?.into_iter().find(|row| row.index == index);
    row.map(|row| told(view, &row)).transpose()
}

/// Whether a reviewer has looked at a pair: a decision on it that was not undone.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn is_decided(view: &View, a: MentionId, b: MentionId) -> Result<bool, FoldError> {
    Ok(rows_of(view, &[a.0, b.0].concat())?.iter().any(|row| !row.undone && row.verdict != Verdict::Undo))
}

fn rows_of(view: &View, prefix: &[u8]) -> Result<Vec<DecisionRow>, FoldError> {
    let rows = view.range(Table::Decision, KeyRange::Prefix(prefix), CONNECTED_MAX)?;
    rows.iter().map(|(key, value)| DecisionRow::decode(key, value)).collect()
}

fn told(view: &View, row: &DecisionRow) -> Result<Decided, FoldError> {
    let bytes = view.get(Table::Control, &control_key(row.index))?.ok_or(FoldError::Row("control"))?;
    let entry = Entry::decode(&bytes)?;
    let control = Control::decode(entry.plain_body().map_err(FoldError::Kept)?)?;
    Ok(Decided {
        index: row.index,
        pair: (row.mention.min(row.other), row.mention.max(row.other)),
        verdict: row.verdict,
        effect: effect(view, row)?,
        actor: control.actor,
        reason: control.reason,
        recorded_at: entry.header.recorded_at,
    })
}

pub(crate) fn effect(view: &View, row: &DecisionRow) -> Result<Effect, FoldError> {
    if row.undone {
        return Ok(Effect::Undone);
    }
    if row.must().is_none() {
        return Ok(Effect::Stands);
    }
    let component = component(view, row.mention)?;
    let found = component.as_ref().and_then(|c| c.decisions.iter().find(|d| d.order == row.index.0).map(|d| (c, d)));
    Ok(match found {
        None => Effect::Waiting,
        Some((component, decision)) if component.is_void(decision) => Effect::Void,
        Some(_) => Effect::Stands,
    })
}

/// The subject that holds a mention; `None` when no live record has the mention.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn subject_of(view: &View, mention: MentionId) -> Result<Option<MentionId>, FoldError> {
    Ok(node_of(view, mention)?.map(|meta| meta.subject))
}

/// The kind of a mention; `None` when no live record has it.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn kind_of(view: &View, mention: MentionId) -> Result<Option<Kind>, FoldError> {
    let Some(row) = view.get(Table::Mention, &mention.0)? else { return Ok(None) };
    let record = MentionRow::decode(&row)?.record;
    let head = Head::decode(&view.get(Table::Head, &record.0)?.ok_or(FoldError::Row("head"))?)?;
    let found = head.facts().and_then(|f| f.mentions.iter().find(|m| m.id == mention));
    Ok(found.map(|m| m.kind))
}

fn node_of(view: &View, mention: MentionId) -> Result<Option<NodeMeta>, FoldError> {
    let Some(row) = view.get(Table::Mention, &mention.0)? else { return Ok(None) };
    let node = MentionRow::decode(&row)?.placement.node;
    let meta = view.get(Table::NodeMeta, &node.0.to_be_bytes())?.ok_or(FoldError::Row("node"))?;
    Ok(Some(decode_node(&meta)?))
}

fn component(view: &View, mention: MentionId) -> Result<Option<Component>, FoldError> {
    let Some(no) = node_of(view, mention)?.and_then(|meta| meta.component) else { return Ok(None) };
    let row = view.get(Table::Component, &no.0.to_be_bytes())?.ok_or(FoldError::Row("component"))?;
    Ok(Some(Component::decode(&row)?))
}

/// A decision in force on the way of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Where the way comes from.
    pub from: MentionId,
    /// Where it goes.
    pub to: MentionId,
    /// True for a must-link, false for a cannot-link.
    pub must: bool,
    /// Its entry in the control stream.
    pub index: Index,
}

/// The chain of decisions in force that a new one would contradict: from `a` to `b` by must-links and, for a new must-link, one
/// cannot-link. Empty when there is none.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn contradicted(view: &View, a: MentionId, b: MentionId, must: bool) -> Result<Vec<Link>, FoldError> {
    let standing = standing(view, a, b)?;
    let from_a = reached(&standing, a);
    if !must {
        return Ok(way(&from_a, b));
    }
    let from_b = reached(&standing, b);
    let across = standing.iter().filter(|link| !link.must).find_map(|link| {
        let there = from_a.contains_key(&link.from) && from_b.contains_key(&link.to);
        let back = from_a.contains_key(&link.to) && from_b.contains_key(&link.from);
        if there { Some(*link) } else { back.then_some(Link { from: link.to, to: link.from, ..*link }) }
    });
    let Some(across) = across else { return Ok(Vec::new()) };
    let mut chain = way(&from_a, across.from);
    chain.push(across);
    let back = way(&from_b, across.to).into_iter().rev();
    chain.extend(back.map(|link| Link { from: link.to, to: link.from, ..link }));
    Ok(chain)
}

/// The decisions in force around two mentions, those left out that earlier ones contradict.
fn standing(view: &View, a: MentionId, b: MentionId) -> Result<Vec<Link>, FoldError> {
    let (mut links, mut seen, mut front) = (BTreeMap::new(), BTreeSet::from([a, b]), VecDeque::from([a, b]));
    while let Some(mention) = front.pop_front() {
        for row in rows_of(view, &mention.0)? {
            let Some(must) = row.must() else { continue };
            let (from, to) = (row.mention.min(row.other), row.mention.max(row.other));
            links.insert(row.index, Link { from, to, must, index: row.index });
            if links.len() < CONNECTED_MAX && seen.insert(row.other) {
                front.push_back(row.other);
            }
        }
    }
    let mut standing: Vec<Link> = Vec::with_capacity(links.len());
    for link in links.into_values() {
        let before = reached(&standing, link.from);
        let together = before.contains_key(&link.to);
        let apart = || {
            let after = reached(&standing, link.to);
            standing.iter().filter(|l| !l.must).any(|l| {
                let ends = |x, y| before.contains_key(x) && after.contains_key(y);
                ends(&l.from, &l.to) || ends(&l.to, &l.from)
            })
        };
        if if link.must { together || !apart() } else { !together } {
            standing.push(link);
        }
    }
    Ok(standing)
}

/// What must-links connect with a mention, each with the link that it was reached by.
fn reached(links: &[Link], from: MentionId) -> BTreeMap<MentionId, Option<Link>> {
    let mut came = BTreeMap::from([(from, None)]);
    let mut front = VecDeque::from([from]);
    while let Some(at) = front.pop_front() {
        for link in links.iter().filter(|l| l.must && (l.from == at || l.to == at)) {
            let to = if link.from == at { link.to } else { link.from };
            came.entry(to).or_insert_with(|| {
                front.push_back(to);
                Some(Link { from: at, to, ..*link })
            });
        }
    }
    came
}

fn way(came: &BTreeMap<MentionId, Option<Link>>, to: MentionId) -> Vec<Link> {
    let (mut out, mut at) = (Vec::new(), to);
    while let Some(Some(link)) = came.get(&at) {
        out.push(*link);
        at = link.from;
    }
    out.reverse();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u64, a: u8, b: u8, must: bool) -> Link {
        Link { from: MentionId([a; 16]), to: MentionId([b; 16]), must, index: Index(index) }
    }

    #[test]
    fn way_goes_from_mention_to_mention_whatever_way_the_links_were_written() {
        let links = [link(1, 1, 2, true), link(2, 3, 2, true), link(3, 3, 4, false), link(4, 5, 3, true)];
        let came = reached(&links, MentionId([1; 16]));
        let ends =
            |to: u8| way(&came, MentionId([to; 16])).iter().map(|l| (l.from.0[0], l.to.0[0])).collect::<Vec<_>>();
        assert_eq!(ends(5), [(1, 2), (2, 3), (3, 5)]);
        assert!(ends(4).is_empty(), "a cannot-link leads nowhere");
    }
}
