//! Step one: members move between nodes.

use std::collections::BTreeMap;

use record::MentionId;

use super::{Engine, Event, MentionInput, OldRecord, RecordMentions, Touched};
use crate::component::{Member, NodeId, NodeNo};
use crate::diff::Standing;
use crate::model::Model;
use crate::state::{LinkState, NodeMeta, PARTNERS_MAX, Placement};

/// The canonical node of each mention of a record.
pub(crate) fn node_ids(model: &Model, mentions: &[MentionInput]) -> Vec<NodeId> {
    let shares = |m: &MentionInput| !m.pinned && model.self_links(&m.row);
    let id = |m: &MentionInput| {
        if !shares(m) {
            return NodeId::single(&m.row, &m.id);
        }
        let before = mentions.iter().filter(|other| !other.pinned && other.row == m.row && other.id < m.id);
        NodeId::shared(&m.row, before.count() as u32)
    };
    mentions.iter().map(id).collect()
}

impl<S: LinkState> Engine<'_, S> {
    /// Moves the record's members and counts who shares a record with whom.
    pub(super) fn move_members(
        &mut self,
        event: &mut Event,
        old: Option<&OldRecord<'_>>,
        new: Option<&RecordMentions<'_>>,
    ) -> Result<(), S::Error> {
        let mut pairs = BTreeMap::new();
        let leaving = self.leaving(event, old, &mut pairs)?;
        let staying = match new {
            Some(record) => self.place(event, record, &leaving, &mut pairs)?,
            None => Vec::new(),
        };
        for (mention, placement) in leaving {
            let kept = staying.iter().find(|(id, ..)| *id == mention);
            if kept.is_some_and(|(_, now)| *now == placement) {
                continue;
            }
            self.drop_member(event, placement, mention)?;
            if kept.is_none() {
                self.state.put_placement(&mention, None)?;
            }
        }
        for ((a, b), change) in pairs {
            self.count_partners(event, a, b, change)?;
        }
        Ok(())
    }

    /// Where the old version's mentions are, and its pairs as −1.
    fn leaving(
        &mut self,
        event: &mut Event,
        old: Option<&OldRecord<'_>>,
        pairs: &mut BTreeMap<(NodeNo, NodeNo), i32>,
    ) -> Result<Vec<(MentionId, Placement)>, S::Error> {
        let Some(record) = old else { return Ok(Vec::new()) };
        let mut placed = Vec::with_capacity(record.mentions.len());
        for mention in record.mentions {
            placed.push(self.state.placement(mention)?);
        }
        for (a, b) in record.distinct {
            if let (Some(x), Some(y)) = (placed[*a], placed[*b]) {
                count(pairs, x.node, y.node, -1);
            }
        }
        let mut out = Vec::with_capacity(placed.len());
        for (mention, placement) in record.mentions.iter().zip(placed) {
            let Some(placement) = placement else { continue };
            let meta = &self.touch(event, placement.node)?.meta;
            let standing = Standing { node: meta.id, no: placement.node, subject: meta.subject };
            event.mention(*mention, Some(standing), None);
            out.push((*mention, placement));
        }
        Ok(out)
    }

    /// Puts the new version's mentions into their nodes, and its pairs as +1.
    fn place(
        &mut self,
        event: &mut Event,
        record: &RecordMentions<'_>,
        leaving: &[(MentionId, Placement)],
        pairs: &mut BTreeMap<(NodeNo, NodeNo), i32>,
    ) -> Result<Vec<(MentionId, Placement)>, S::Error> {
        let ids = node_ids(self.model, record.mentions);
        let mut out = Vec::with_capacity(ids.len());
        for (input, id) in record.mentions.iter().zip(&ids) {
            let member = Member { rank: input.rank, mention: input.id };
            let no = match self.state.find_node(id)? {
                Some(no) => no,
                None => self.bear(event, id, input)?,
            };
            let placement = Placement { node: no, rank: input.rank };
            let meta = &mut self.touch(event, no)?.meta;
            let standing = Some(Standing { node: *id, no, subject: meta.subject });
            if !leaving.contains(&(input.id, placement)) {
                self.state.add_member(no, meta, &member)?;
                self.state.put_placement(&input.id, Some(placement))?;
                meta.members += 1;
                meta.anchor = meta.anchor.min(member);
            }
            match event.diff.mentions.iter_mut().find(|change| change.mention == input.id) {
                Some(change) => change.new = standing,
                None => event.mention(input.id, None, standing),
            }
            out.push((input.id, placement));
        }
        for (a, b) in record.distinct {
            count(pairs, out[*a].1.node, out[*b].1.node, 1);
        }
        Ok(out)
    }

    fn bear(&mut self, event: &mut Event, id: &NodeId, input: &MentionInput) -> Result<NodeNo, S::Error> {
        let no = self.state.create_node(id, &input.row)?;
        let meta = NodeMeta {
            id: *id,
            component: None,
            members: 0,
            anchor: Member { rank: input.rank, mention: input.id },
            subject: input.id,
            partners: Vec::new(),
            spilled: 0,
        };
        event.nodes.insert(no, Touched { meta, old: None });
        event.rows.insert(no, input.row);
        event.born.push(no);
        Ok(no)
    }

    fn drop_member(&mut self, event: &mut Event, from: Placement, mention: MentionId) -> Result<(), S::Error> {
        let member = Member { rank: from.rank, mention };
        self.state.remove_member(from.node, &member)?;
        let meta = &mut self.touch(event, from.node)?.meta;
        meta.members = meta.members.saturating_sub(1);
        if meta.anchor == member && meta.members > 0 {
            let first = self.state.first_member(from.node)?;
            self.touch(event, from.node)?.meta.anchor = first.expect("a node with members has a first one");
        }
        Ok(())
    }

    /// Counts records that two nodes share as different subjects, on both sides.
    fn count_partners(&mut self, event: &mut Event, a: NodeNo, b: NodeNo, change: i32) -> Result<(), S::Error> {
        if change == 0 {
            return Ok(());
        }
        let (before, after) = self.count_partner(event, a, b, change)?;
        self.count_partner(event, b, a, change)?;
        match (before, after) {
            (0, 1..) => event.parted.push((a, b)),
            (1.., 0) => event.reconciled.push((a, b)),
            _ => {}
        }
        Ok(())
    }

    fn count_partner(
        &mut self,
        event: &mut Event,
        of: NodeNo,
        with: NodeNo,
        change: i32,
    ) -> Result<(u32, u32), S::Error> {
        let meta = &self.touch(event, of)?.meta;
        let found = meta.partners.binary_search_by_key(&with, |(no, _)| *no);
        let (room, spilled) = (meta.partners.len() < PARTNERS_MAX, meta.spilled);
        let before = match found {
            Ok(place) => meta.partners[place].1,
            Err(_) if spilled > 0 => self.state.partner(of, with)?,
            Err(_) => 0,
        };
        let after = before.saturating_add_signed(change);
        let meta = &mut self.touch(event, of)?.meta;
        match found {
            Ok(place) if after == 0 => drop(meta.partners.remove(place)),
            Ok(place) => meta.partners[place].1 = after,
            Err(place) if before == 0 && room => {
                if after > 0 {
                    meta.partners.insert(place, (with, after));
                }
            }
            Err(_) => {
                meta.spilled = meta.spilled + u32::from(before == 0 && after > 0) - u32::from(before > 0 && after == 0);
                self.state.put_partner(of, with, after)?;
            }
        }
        Ok((before, after))
    }
}

fn count(pairs: &mut BTreeMap<(NodeNo, NodeNo), i32>, a: NodeNo, b: NodeNo, change: i32) {
    if a != b {
        *pairs.entry((a.min(b), a.max(b))).or_insert(0) += change;
    }
}
