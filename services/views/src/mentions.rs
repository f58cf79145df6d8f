//! Which subject holds which mention, over a whole view: for measuring linkage against a known truth.

use record::MentionId;
use view_store::{KeyRange, Table, View};

use crate::fold::{FoldError, MentionRow, decode_node};

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
