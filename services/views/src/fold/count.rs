//! What a record's move in the links means for the digest, the numbers of subjects, "correct" and "surplus".

use std::collections::{BTreeMap, BTreeSet};

use linkage::{Field, Level, LinkDiff, LinkState, NodeChange, NodeNo};
use projection::head::{Facts, Head};
use projection::quality::{Cell, Counts};
use record::{Kind, MentionId, Pseudonym, Row};
use view_store::{KeyRange, Table};

use super::decide::decision_row;
use super::journal::Touch;
use super::links::{StoreLinks, decode_member};
use super::tally::{self, Compared, Tally};
use super::{FoldError, Step, edge_row};

impl<'t> Step<'_, 't> {
    pub(super) fn count_totals(&mut self, moved: &Moved<'_>, diff: &LinkDiff) {
        let count = |f: Option<&Facts>| f.map_or(0, |f| f.mentions.len() as u64);
        self.totals.mentions = self.totals.mentions + count(moved.new) - count(moved.old);
        for conflict in &diff.conflicts {
            let step = if conflict.arose { 1 } else { -1 };
            self.totals.id_conflicts = self.totals.id_conflicts.saturating_add_signed(step);
        }
    }

    pub(super) fn digest_links(&mut self, moved: &Moved<'_>, diff: &LinkDiff) -> Result<(), FoldError> {
        for edge in &diff.edges {
            if let Some(row) = edge_row(edge, edge.old) {
                self.digest.remove(&row);
            }
            if let Some(row) = edge_row(edge, edge.new) {
                self.digest.add(&row);
            }
        }
        for change in &diff.decisions {
            self.digest.remove(&decision_row(change.order, change.old));
            self.digest.add(&decision_row(change.order, change.new));
        }
        let own: BTreeSet<MentionId> = diff.mentions.iter().map(|m| m.mention).collect();
        for m in &diff.mentions {
            let row = |kind, subject| Row::Mention { kind, mention: m.mention, subject }.encode();
            if let Some(old) = m.old {
                self.digest.remove(&row(moved.kind(m.mention), old.subject));
            }
            if let Some(new) = m.new {
                self.digest.add(&row(moved.kind(m.mention), new.subject));
            }
        }
        for node in &diff.nodes {
            let (Some(old), Some(new)) = (node.old, node.new) else { continue };
            if old == new {
                continue;
            }
            let kind = self.node_kind(node.no)?;
            for mention in self.members(node)? {
                if !own.contains(&mention) {
                    self.digest.remove(&Row::Mention { kind, mention, subject: old }.encode());
                    self.digest.add(&Row::Mention { kind, mention, subject: new }.encode());
                }
            }
        }
        Ok(())
    }

    fn members(&self, node: &NodeChange) -> Result<Vec<MentionId>, FoldError> {
        if let Some(sole) = node.sole {
            return Ok(vec![sole]);
        }
        let rows = self.txn.range(Table::NodeMember, KeyRange::Prefix(&node.no.0.to_be_bytes()), usize::MAX)?;
        rows.iter().map(|(key, value)| decode_member(key, value).map(|(member, _)| member.mention)).collect()
    }

    /// Tells those who watch which subjects the record's move touched.
    pub(super) fn journal_links(&mut self, moved: &Moved<'_>, diff: &LinkDiff) -> Result<(), FoldError> {
        for change in &diff.mentions {
            let kind = moved.kind(change.mention);
            let (old, new) = (change.old.map(|s| s.subject), change.new.map(|s| s.subject));
            if old == new {
                self.journal.touch_all(old, kind, Touch::CHANGED);
            } else {
                self.journal.touch_all(old, kind, Touch::UNLINKED);
                self.journal.touch_all(new, kind, Touch::LINKED);
            }
        }
        for change in diff.nodes.iter().filter(|change| change.old != change.new) {
            let kind = self.node_kind(change.no)?;
            self.journal.touch_all(change.old, kind, Touch::UNLINKED);
            self.journal.touch_all(change.new, kind, Touch::LINKED);
        }
        // By kind: how many more clusters there are than before.
        let mut more = BTreeMap::from([(Kind::Person, 0i64), (Kind::Parcel, 0)]);
        for (clusters, step) in [(&diff.before, -1), (&diff.after, 1)] {
            for cluster in clusters {
                let Some(first) = cluster.nodes.first() else { continue };
                *more.entry(self.node_kind(*first)?).or_default() += step;
            }
        }
        for cluster in &diff.after {
            let Some(first) = cluster.nodes.first() else { continue };
            let kind = self.node_kind(*first)?;
            match more[&kind] {
                i64::MIN..=-1 => self.journal.touch(cluster.subject, kind, Touch::MERGED),
                1.. if !diff.before.is_empty() => self.journal.touch(cluster.subject, kind, Touch::SPLIT),
                _ => {}
            }
        }
        Ok(())
    }

    /// The record says something else, and its mentions stay where they are.
    pub(super) fn touch_subjects(&mut self, head: &Head, record: Pseudonym) -> Result<(), FoldError> {
        for mention in head.facts().into_iter().flat_map(|facts| &facts.mentions) {
            let mut state = self.state(record);
            let placement = state.placement(&mention.id)?.ok_or(FoldError::Row("mention"))?;
            let subject = state.meta_row(placement.node)?.subject;
            self.journal.touch(subject, mention.kind, Touch::CHANGED);
        }
        Ok(())
    }

    fn state(&mut self, record: Pseudonym) -> StoreLinks<'_, 't> {
        StoreLinks { txn: self.txn, cache: self.links, record }
    }

    fn node_kind(&mut self, no: NodeNo) -> Result<Kind, FoldError> {
        let row = self.state(Pseudonym::default()).row(no)?;
        match row.kind() {
            Some(linkage::Kind::Person) => Ok(Kind::Person),
            Some(linkage::Kind::Parcel) => Ok(Kind::Parcel),
            None => Err(FoldError::Row("feature")),
        }
    }

    /// Moves "correct", "surplus" and the numbers of subjects for every cluster that the record touched.
    pub(super) fn count_links(
        &mut self,
        record: Pseudonym,
        moved: &Moved<'_>,
        diff: &LinkDiff,
        model: &linkage::Model,
    ) -> Result<(), FoldError> {
        let (gone, came) = placed(moved, diff);
        let changed: BTreeSet<NodeNo> =
            diff.before.iter().chain(&diff.after).flat_map(|c| c.nodes.iter().copied()).collect();
        let steady = self.steady_clusters(record, moved, gone.iter().chain(&came), &changed)?;
        let touched = changed.iter().copied().chain(gone.iter().chain(&came).map(|(no, _)| *no));
        let all: BTreeSet<NodeNo> = touched.chain(steady.iter().flatten().copied()).collect();
        let mut tallies: BTreeMap<NodeNo, Tally> = BTreeMap::new();
        for no in &all {
            tallies.insert(*no, self.state(record).tally(*no)?.clone());
        }
        for nodes in diff.before.iter().map(|c| &c.nodes).chain(&steady) {
            self.count_surplus(nodes, &tallies, -1);
        }
        for (no, tally) in &mut tallies {
            self.count_compared(tally, -1);
            if changed.contains(no) {
                tally.compared = None;
            }
        }
        self.move_tallies(moved, &gone, moved.old, &mut tallies, -1);
        self.move_tallies(moved, &came, moved.new, &mut tallies, 1);
        for nodes in diff.after.iter().map(|c| &c.nodes) {
            self.compare_cluster(nodes, &mut tallies, model)?;
        }
        for nodes in diff.after.iter().map(|c| &c.nodes).chain(&steady) {
            self.count_surplus(nodes, &tallies, 1);
        }
        for (no, tally) in tallies {
            self.count_compared(&tally, 1);
            let mut state = self.state(record);
            if *state.tally(no)? != tally {
                state.put_tally(no, tally)?;
            }
        }
        self.count_subjects(diff)
    }

    /// Clusters that a mention joined or left without changing them, where the record is one of which a subject should have
    /// but one: their surplus is counted again.
    fn steady_clusters<'p>(
        &mut self,
        record: Pseudonym,
        moved: &Moved<'_>,
        placed: impl Iterator<Item = &'p (NodeNo, usize)>,
        changed: &BTreeSet<NodeNo>,
    ) -> Result<Vec<Vec<NodeNo>>, FoldError> {
        let once = |facts: Option<&Facts>| facts.is_some_and(|f| f.mentions.iter().any(|m| m.once));
        if !once(moved.old) && !once(moved.new) {
            return Ok(Vec::new());
        }
        let mut steady: BTreeMap<MentionId, Vec<NodeNo>> = BTreeMap::new();
        for no in placed.map(|(no, _)| *no).filter(|no| !changed.contains(no)) {
            if self.state(record).is_live(no)? {
                let (subject, nodes) = self.cluster(no)?;
                steady.insert(subject, nodes);
            }
        }
        Ok(steady.into_values().collect())
    }

    /// The cluster of a live node.
    fn cluster(&mut self, no: NodeNo) -> Result<(MentionId, Vec<NodeNo>), FoldError> {
        let mut state = self.state(Pseudonym::default());
        let meta = state.meta(no)?;
        let Some(component) = meta.component else { return Ok((meta.subject, vec![no])) };
        let component = state.component(component)?;
        let at = component.place(no).ok_or(FoldError::Row("component"))?;
        let nodes = component.cluster_of(at).map(|i| component.nodes[i].no).collect();
        Ok((meta.subject, nodes))
    }

    fn move_tallies(
        &mut self,
        moved: &Moved<'_>,
        placed: &Placed,
        facts: Option<&Facts>,
        tallies: &mut BTreeMap<NodeNo, Tally>,
        sign: i32,
    ) {
        let Some(facts) = facts else { return };
        let cell = self.counters.number(&Cell {
            register: moved.register.clone(),
            agency: facts.agency.as_str().to_owned(),
            commune: facts.unit.0.clone(),
            list_version: facts.unit.1.clone(),
        });
        let whole = self.counters.number(&Cell::of_register(moved.register));
        for (no, at) in placed {
            let tally = tallies.entry(*no).or_default();
            tally.count_cell(cell, sign);
            let mention = &facts.mentions[*at];
            if mention.once {
                tally.count_once((whole, once_key(&facts.record_type, mention.role)), sign);
            }
        }
    }

    fn count_surplus(&mut self, nodes: &[NodeNo], tallies: &BTreeMap<NodeNo, Tally>, sign: i64) {
        let mut once: BTreeMap<(tally::CellNo, u32), u64> = BTreeMap::new();
        for tally in nodes.iter().filter_map(|no| tallies.get(no)) {
            for (key, n) in &tally.once {
                *once.entry(*key).or_default() += u64::from(*n);
            }
        }
        for ((cell, _), n) in once {
            self.counters.add(cell, &Counts { surplus: n.saturating_sub(1), ..Counts::default() }, sign);
        }
    }

    fn compare_cluster(
        &mut self,
        nodes: &[NodeNo],
        tallies: &mut BTreeMap<NodeNo, Tally>,
        model: &linkage::Model,
    ) -> Result<(), FoldError> {
        let Some(first) = nodes.first() else { return Ok(()) };
        let mut state = self.state(Pseudonym::default());
        let subject = state.meta_row(*first)?.subject;
        let mut anchor = None;
        for no in nodes {
            let first = state.meta_row(*no)?.anchor;
            if first.mention == subject {
                anchor = Some((*no, first.rank));
            }
        }
        let (anchor, rank) = anchor.ok_or(FoldError::Row("node"))?;
        let anchor_row = state.row(anchor)?;
        for no in nodes {
            let row = state.row(*no)?;
            let matched = *no == anchor || model.score(&row, &anchor_row).levels().iter().all(|l| agrees(*l));
            let kind = row.kind().ok_or(FoldError::Row("feature"))?;
            if let Some(tally) = tallies.get_mut(no) {
                tally.compared = Some(Compared { kind, rank, matched });
            }
        }
        Ok(())
    }

    fn count_compared(&mut self, tally: &Tally, sign: i64) {
        let Some(compared) = &tally.compared else { return };
        let register = compared.register();
        for (cell, n) in &tally.cells {
            if self.counters.register(*cell) != register {
                let n = u64::from(*n);
                let counts = Counts { compared: n, matched: if compared.matched { n } else { 0 }, ..Counts::default() };
                self.counters.add(*cell, &counts, sign);
            }
        }
    }

    fn count_subjects(&mut self, diff: &LinkDiff) -> Result<(), FoldError> {
        for (clusters, step) in [(&diff.before, -1), (&diff.after, 1)] {
            for cluster in clusters {
                let Some(first) = cluster.nodes.first() else { continue };
                let total = match self.node_kind(*first)? {
                    Kind::Person => &mut self.totals.persons,
                    Kind::Parcel => &mut self.totals.parcels,
                };
                *total = total.saturating_add_signed(step);
            }
        }
        Ok(())
    }
}

type Placed = Vec<(NodeNo, usize)>;

/// What a record was and is, for the counters.
pub(super) struct Moved<'a> {
    pub(super) register: &'a record::RegisterName,
    pub(super) old: Option<&'a Facts>,
    pub(super) new: Option<&'a Facts>,
}

impl Moved<'_> {
    fn kind(&self, mention: MentionId) -> Kind {
        let find = |facts: Option<&Facts>| facts?.mentions.iter().find(|m| m.id == mention).map(|m| m.kind);
        find(self.new).or_else(|| find(self.old)).expect("a moved mention is one of the record's own")
    }
}

/// The nodes that the record's mentions left and joined, each with the mention's place in the facts.
fn placed(moved: &Moved<'_>, diff: &LinkDiff) -> (Placed, Placed) {
    let (mut gone, mut came) = (Vec::new(), Vec::new());
    for m in &diff.mentions {
        if let (Some(old), Some(at)) = (m.old, place(moved.old, m.mention)) {
            gone.push((old.no, at));
        }
        if let (Some(new), Some(at)) = (m.new, place(moved.new, m.mention)) {
            came.push((new.no, at));
        }
    }
    (gone, came)
}

fn place(facts: Option<&Facts>, mention: MentionId) -> Option<usize> {
    facts?.mentions.iter().position(|m| m.id == mention)
}

fn once_key(record_type: &str, role: u8) -> u32 {
    let hash = blake3::Hasher::new().update(record_type.as_bytes()).update(&[0, role]).finalize();
    u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("a hash has 4 bytes"))
}

/// Whether a level says that two mentions agree as far as both say anything.
pub(crate) fn agrees(level: Level) -> bool {
    match level.field() {
        Field::Name | Field::Birth | Field::Sex => matches!(
            level,
            Level::NameAbsent
                | Level::NameAccented
                | Level::NameFolded
                | Level::BirthAbsent
                | Level::BirthExact
                | Level::BirthFirstOfJanuary
                | Level::BirthYearVague
                | Level::SexAbsent
                | Level::SexEqual
        ),
        _ => true,
    }
}
