//! Control entries: what they change in the views beside their own row.

use std::sync::Arc;

use event_log::Logged;
use projection::basis::Basis;
use projection::state::{ControlState, Effect};
use record::control::Control;
use record::{ContractId, Entry, Index, Positions, Pseudonym, Reader, Timestamp, Writer};
use view_store::{KeyRange, Table, View};

use super::{FoldError, Step};

/// The last cut in force: its time, then its ends. Whoever goes on after a restart must not go back behind it.
const CUT: &[u8] = b"cut";
/// First byte of the keys of control entries in [`Table::Control`].
const ENTRY_KEY: u8 = 1;

pub(crate) fn control_key(index: Index) -> [u8; 9] {
    let mut key = [ENTRY_KEY; 9];
    key[1..].copy_from_slice(&index.0.to_be_bytes());
    key
}

/// The control entries that the store keeps (all but cuts), then the end that the positions name.
pub(super) fn load_control(view: &View, end: Index, basis: Basis) -> Result<ControlState, FoldError> {
    let mut state = ControlState::on(basis);
    let from = [ENTRY_KEY];
    for (key, value) in view.range(Table::Control, KeyRange::Prefix(&from), usize::MAX)? {
        let index: [u8; 8] = key[1..].try_into().map_err(|_| FoldError::Row("control"))?;
        let entry = Entry::decode(&value)?;
        let body = entry.plain_body().map_err(FoldError::Kept)?;
        state.apply(Index(u64::from_be_bytes(index)), entry.header.recorded_at, Control::decode(body)?);
    }
    if let Some(row) = view.get(Table::Control, CUT)? {
        let mut r = Reader::new(&row);
        let cut = (Timestamp(r.i64()?), Positions::decode(&mut r)?);
        r.end("cut")?;
        state.cut = Some(cut);
    }
    state.end = state.end.max(end);
    Ok(state)
}

impl Step<'_, '_> {
    pub(super) fn control(&mut self, entry: &Entry<'_>, logged: &Logged) -> Result<(), FoldError> {
        let position = logged.position;
        let body = entry.plain_body().map_err(|source| FoldError::Body { position, source })?;
        let control = Control::decode(body).map_err(|source| FoldError::Entry { position, source })?;
        self.folded.controls += 1;
        let effect = Arc::make_mut(self.control).apply(position.index, entry.header.recorded_at, control);
        match &effect {
            Effect::Cut => {
                self.keep_cut();
                return Ok(());
            }
            Effect::Void(reason) => {
                tracing::warn!(position = %position, %reason, "a control entry is without effect");
            }
            Effect::None
            | Effect::Contract(_)
            | Effect::Model
            | Effect::Basis
            | Effect::Decision { .. }
            | Effect::Erasure(_)
            | Effect::Quarantine(_) => {}
        }
        self.txn.put(Table::Control, &control_key(position.index), &logged.bytes);
        match effect {
            Effect::Contract(id) => self.contract_came(id),
            Effect::Decision { index, a, b, verdict } => self.decided(index, (a, b), verdict),
            Effect::Erasure(records) => records.into_iter().try_for_each(|record| self.erase(record)),
            Effect::Quarantine(record) => self.retry(record),
            Effect::None | Effect::Model | Effect::Basis | Effect::Cut | Effect::Void(_) => Ok(()),
        }
    }

    fn keep_cut(&mut self) {
        let Some((at, ends)) = &self.control.cut else { return };
        let mut w = Writer::new();
        w.i64(at.0);
        ends.encode(&mut w);
        self.txn.put(Table::Control, CUT, &w.finish());
    }

    fn contract_came(&mut self, id: ContractId) -> Result<(), FoldError> {
        let waiting = self.txn.range(Table::Waiting, KeyRange::Prefix(&id.0), usize::MAX)?;
        for (key, _) in waiting {
            let record = Pseudonym(key[16..].try_into().map_err(|_| FoldError::Row("waiting"))?);
            let mut head = self.head(record)?.ok_or(FoldError::Row("head"))?;
            let before = head.clone();
            for version in head.versions.clone() {
                if version.row.contract == id {
                    self.index_lookups(&head, record, &version)?;
                }
            }
            self.relink(&mut head, record, None)?;
            self.put_head(record, Some(&before), &head);
        }
        Ok(())
    }
}
