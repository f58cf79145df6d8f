//! `GetQuality`: counters rolled up, and the four measures that they give.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::HubAction;
use contract::UnitRef;
use projection::quality::{Cell, Counts, measures};
use projection::state::ControlState;
use record::RegisterName;
use view_store::{KeyRange, Table};
use wire::query::{GetQualityRequest, GetQualityResponse, Quality};

use super::Core;
use super::error::Error;
use super::session::{AsOf, Session};
use super::units::resolved;
use crate::fold::decode_counter;

/// What rows are rolled up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Register,
    Agency,
    Commune,
}

impl Core {
    pub(super) async fn get_quality(
        self: &Arc<Self>,
        caller: &str,
        request: GetQualityRequest,
    ) -> Result<GetQualityResponse, Error> {
        self.handle.access.load().permit_hub(caller, HubAction::GetQuality)?;
        let by = match request.by.as_str() {
            "" | "register" => By::Register,
            "agency" => By::Agency,
            "commune" => By::Commune,
            _ => return Err(Error::field("by", "field_invalid", "say register, agency or commune")),
        };
        let register = match request.register.as_str() {
            "" => None,
            name => {
                let name = RegisterName::try_from(name);
                Some(name.map_err(|e| Error::field("register", "field_invalid", e.to_string()))?)
            }
        };
        let core = Arc::clone(self);
        let read = move || {
            let session = Session::open(&core, AsOf::default(), core.now())?;
            session.quality(register.as_ref(), by)
        };
        self.searches.run(read).await
    }
}

impl Session {
    fn quality(&self, register: Option<&RegisterName>, by: By) -> Result<GetQualityResponse, Error> {
        let prefix = register.map(|r| [r.as_str().as_bytes(), &[0]].concat());
        let range = prefix.as_deref().map_or(KeyRange::All, KeyRange::Prefix);
        let mut rows: BTreeMap<(RegisterName, String, String), Counts> = BTreeMap::new();
        for (key, value) in self.view.range(Table::Counter, range, usize::MAX)? {
            let (cell, counts) = decode_counter(&key, &value)?;
            if let Some(row) = self.row_of(&cell, by) {
                rows.entry(row).or_default().add(&counts, 1);
            }
        }
        let rows = rows.into_iter().map(|(row, counts)| quality(&self.control, by, row, &counts));
        Ok(GetQualityResponse { rows: rows.collect() })
    }

    /// Under which row a cell counts. What counts for a register as a whole has no agency and no commune, hence a row of its
    /// own only there.
    fn row_of(&self, cell: &Cell, by: By) -> Option<(RegisterName, String, String)> {
        let register = cell.register.clone();
        let whole = cell.agency.is_empty();
        match by {
            By::Register => Some((register, String::new(), String::new())),
            By::Agency | By::Commune if whole => None,
            By::Agency => Some((register, cell.agency.clone(), String::new())),
            By::Commune => Some((register, String::new(), self.commune(cell))),
        }
    }

    /// The commune in the newest list; as printed, with its list, when that is undecided or unknown.
    fn commune(&self, cell: &Cell) -> String {
        let unit = UnitRef { code: &cell.commune, list_version: &cell.list_version };
        match resolved(unit, &self.units) {
            Some((unit, _)) if !cell.list_version.is_empty() => unit.code.clone(),
            Some(_) | None if cell.list_version.is_empty() => cell.commune.clone(),
            Some(_) | None => format!("{}@{}", cell.commune, cell.list_version),
        }
    }
}

fn quality(control: &ControlState, by: By, row: (RegisterName, String, String), counts: &Counts) -> Quality {
    let (register, agency, commune) = row;
    // A register publishes what it expects for itself and by commune, not by agency.
    let expected = match by {
        By::Register => control.expected_objects(&register, None),
        By::Agency => None,
        By::Commune => control.expected_objects(&register, Some(&commune)).filter(|_| !commune.is_empty()),
    };
    let found = measures(counts, expected);
    Quality {
        register: register.as_str().to_owned(),
        agency,
        commune,
        records: counts.records,
        correct: found.correct,
        sufficient: found.sufficient,
        clean: found.clean,
        alive: found.alive,
        counters: counts.named().into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
    }
}
