//! Which subject holds which mention: over a whole view, for measuring linkage against a known truth; of one subject, for an audit.

use std::collections::BTreeSet;

use linkage::Component;
use record::{MentionId, Pseudonym};
use view_store::{KeyRange, Table, View};

use crate::fold::{FoldError, MentionRow, decode_member, decode_node};

const ROWS_AT_A_TIME: usize = 4096;

/// Calls `each` with every live mention and its subject, in the order of mention ids.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn each_subject(view: &View, mut each: impl FnMut(MentionId, MentionId)) -> Result<(), FoldError> {
    let mut from: Vec<u8> = Vec::new();
    loop {
        let rows = view.range(Table::Mention, KeyRange::From(&from), ROWS_AT_A_TIME)?;
        for (key, value) in &rows {
            let mention = MentionId(key.as_ref().try_into().map_err(|_| FoldError::Row("mention"))?);
            let node = MentionRow::decode(value)?.placement.node;
            let meta = view.get(Table::NodeMeta, &node.0.to_be_bytes())?.ok_or(FoldError::Row("node"))?;
            each(mention, decode_node(&meta)?.subject);
        }
        match rows.last() {
            Some((key, _)) if rows.len() == ROWS_AT_A_TIME => from = [key.as_ref(), &[0]].concat(),
            _ => return Ok(()),
        }
    }
}

/// The records that speak of the subject which holds this mention now, at most `max`; none when no live record has the mention.
///
/// # Errors
/// [`FoldError`] when the store cannot be read.
pub fn records_of(view: &View, mention: MentionId, max: usize) -> Result<BTreeSet<Pseudonym>, FoldError> {
    let mut records = BTreeSet::new();
    let Some(row) = view.get(Table::Mention, &mention.0)? else { return Ok(records) };
    let node = MentionRow::decode(&row)?.placement.node;
    let meta = |node: linkage::NodeNo| -> Result<linkage::NodeMeta, FoldError> {
        let row = view.get(Table::NodeMeta, &node.0.to_be_bytes())?.ok_or(FoldError::Row("node"))?;
        decode_node(&row)
    };
    let nodes = match meta(node)?.component {
        None => vec![node],
        Some(component) => {
            let row = view.get(Table::Component, &component.0.to_be_bytes())?.ok_or(FoldError::Row("component"))?;
            let component = Component::decode(&row)?;
            let at = component.place(node).ok_or(FoldError::Row("component"))?;
            component.cluster_of(at).map(|i| component.nodes[i].no).collect()
        }
    };
    for node in nodes {
        if let Some(sole) = meta(node)?.sole() {
            let row = view.get(Table::Mention, &sole.0)?.ok_or(FoldError::Row("mention"))?;
            records.insert(MentionRow::decode(&row)?.record);
            continue;
        }
        let left = max.saturating_sub(records.len());
        for (key, value) in view.range(Table::NodeMember, KeyRange::Prefix(&node.0.to_be_bytes()), left)? {
            records.insert(decode_member(&key, &value)?.1);
        }
        if records.len() >= max {
            break;
        }
    }
    Ok(records)
}
