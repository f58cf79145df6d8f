//! `GetStatus`: how far the hub is.

use access::HubAction;
use projection::FOLD_VERSION;
use record::{Positions, Stream};
use wire::query::{GetStatusResponse, PreparedViews, RowsChecked};

use super::Core;
use super::error::Error;
use super::told::{ends, hex, wire_time};

impl Core {
    pub(super) fn get_status(&self, caller: &str) -> Result<GetStatusResponse, Error> {
        let handle = &self.handle;
        handle.access.load().permit_hub(caller, HubAction::GetStatus)?;
        let status = handle.status.borrow().clone();
        let control = handle.control.load();
        let log_ends = handle.log.ends();
        let contracts = control.registers().map(|(r, known)| (r.as_str().to_owned(), known.contract.id().to_hex()));
        Ok(GetStatusResponse {
            version: self.options.version.clone(),
            log: handle.log.kind().to_owned(),
            store: handle.store.to_string(),
            behind: folds(&log_ends).saturating_sub(folds(&status.positions)),
            log_ends: ends(&log_ends),
            folded: ends(&status.positions),
            subjects_persons: status.totals.persons,
            subjects_parcels: status.totals.parcels,
            records: status.totals.records,
            mentions: status.totals.mentions,
            digest: hex(&status.digest.0),
            fold_version: FOLD_VERSION,
            model_epoch: control.model.as_ref().map_or(0, |m| m.model.epoch()),
            contracts: contracts.collect(),
            last_cut: control.cut.as_ref().map(|(at, _)| wire_time(*at)),
            parked: status.totals.waiting,
            quarantined: status.quarantined.records,
            quarantined_changes: status.quarantined.changes,
            fold_stopped: status.stopped.clone().unwrap_or_default(),
            rebuilding_because: status.rebuilding_because.clone().unwrap_or_default(),
            rows_checked: handle.checked.load().as_ref().map(|checked| RowsChecked {
                at: Some(wire_time(checked.at)),
                rows: checked.rows,
                wrong: checked.wrong.clone().unwrap_or_default(),
            }),
            basis: control.serving().to_string(),
            switching_to: status.switching_to.as_ref().map_or_else(String::new, ToString::to_string),
            prepared: handle.operator.prepared.borrow().as_ref().map(|prepared| PreparedViews {
                basis: prepared.basis.to_string(),
                entries: prepared.entries,
                entries_total: prepared.of,
                level: prepared.level,
                failed: prepared.failed.clone().unwrap_or_default(),
                entries_ordered: prepared.ordered,
            }),
        })
    }
}

/// Entries of the streams that the fold reads.
fn folds(positions: &Positions) -> u64 {
    positions.iter().filter(|(stream, ..)| *stream != Stream::Access).map(|(_, _, end)| end.0).sum()
}
