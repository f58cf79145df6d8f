//! `GetQuality`: counters rolled up, and the four measures that they give.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::HubAction;
use contract::UnitRef;
use projection::quality::{Cell, Counts, Measures, measures};
use projection::state::ControlState;
use record::{RegisterName, Timestamp};
use view_store::{KeyRange, Table};
use wire::query::{
    GetQualityHistoryRequest, GetQualityHistoryResponse, GetQualityRequest, GetQualityResponse, Quality, QualityBefore,
    QualityPoint,
};

use super::Core;
use super::error::Error;
use super::session::{AsOf, Session};
use super::told::wire_time;
use super::units::resolved;
use crate::fold::decode_counter;
use crate::quality_history::Sample;

const HOUR_US: i64 = 3_600_000_000;
/// Longest look back: as long as samples are kept.
const TREND_HOURS_MAX: u32 = 92 * 24;
/// Times of a curve.
const POINTS_MAX: usize = 60;

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
        if request.trend_hours > TREND_HOURS_MAX {
            let description = format!("at most {TREND_HOURS_MAX} hours are looked back");
            return Err(Error::field("trend_hours", "field_invalid", description));
        }
        let core = Arc::clone(self);
        let read = move || {
            let now = core.now();
            let session = Session::open(&core, AsOf::default(), now)?;
            let before = match (&core.options.quality, request.trend_hours) {
                (None, _) | (_, 0) => None,
                (Some(history), hours) => {
                    let at = Timestamp(now.0 - i64::from(hours) * HOUR_US);
                    history.before(at).map_err(|error| Error::History(Arc::new(error)))?
                }
            };
            session.quality(register.as_ref(), by, before)
        };
        self.searches.run(read).await
    }

    pub(super) async fn get_quality_history(
        self: &Arc<Self>,
        caller: &str,
        request: GetQualityHistoryRequest,
    ) -> Result<GetQualityHistoryResponse, Error> {
        self.handle.access.load().permit_hub(caller, HubAction::GetQuality)?;
        let core = Arc::clone(self);
        let read = move || {
            let now = core.now();
            let session = Session::open(&core, AsOf::default(), now)?;
            let unreadable = |error| Error::History(Arc::new(error));
            let history = core.options.quality.as_ref().map(|history| history.curve(POINTS_MAX)).transpose();
            // On the first day there is nothing but the present.
            let present = Sample { at: now, cells: session.cells(None)? };
            let mut points = Vec::new();
            for sample in history.map_err(unreadable)?.into_iter().flatten().chain([present]) {
                let rows = session.roll_up(sample.cells, By::Register);
                let wanted = |of: &RegisterName| request.register.is_empty() || of.as_str() == request.register;
                points.extend(rows.into_iter().filter(|((of, ..), _)| wanted(of)).map(|(row, counts)| QualityPoint {
                    at: Some(wire_time(sample.at)),
                    register: row.0.as_str().to_owned(),
                    measures: Some(before(&session.control, By::Register, &row, &counts)),
                }));
            }
            Ok(GetQualityHistoryResponse { points })
        };
        self.searches.run(read).await
    }
}

/// What is rolled up, by register, agency and commune.
type Rows = BTreeMap<(RegisterName, String, String), Counts>;

impl Session {
    fn quality(
        &self,
        register: Option<&RegisterName>,
        by: By,
        sample: Option<Sample>,
    ) -> Result<GetQualityResponse, Error> {
        let rows = self.roll_up(self.cells(register)?, by);
        let compared_at = sample.as_ref().map(|sample| wire_time(sample.at));
        let earlier = sample.map_or_else(Rows::new, |sample| self.roll_up(sample.cells, by));
        let rows = rows.into_iter().map(|(row, counts)| {
            let before = earlier.get(&row).map(|counts| before(&self.control, by, &row, counts));
            Quality { before, ..quality(&self.control, by, row, &counts) }
        });
        Ok(GetQualityResponse { rows: rows.collect(), compared_at })
    }

    /// The counters as they are.
    fn cells(&self, register: Option<&RegisterName>) -> Result<Vec<(Cell, Counts)>, Error> {
        let prefix = register.map(|r| [r.as_str().as_bytes(), &[0]].concat());
        let range = prefix.as_deref().map_or(KeyRange::All, KeyRange::Prefix);
        let rows = self.view.range(Table::Counter, range, usize::MAX)?;
        Ok(rows.iter().map(|(key, value)| decode_counter(key, value)).collect::<Result<_, _>>()?)
    }

    fn roll_up(&self, cells: Vec<(Cell, Counts)>, by: By) -> Rows {
        let mut rows = Rows::new();
        for (cell, counts) in cells {
            if let Some(row) = self.row_of(&cell, by) {
                rows.entry(row).or_default().add(&counts, 1);
            }
        }
        rows
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
            By::Commune => Some((register, String::new(), self.commune(&cell.commune, &cell.list_version))),
        }
    }

    /// The commune in the newest list; as printed, with its list, when that is undecided or unknown.
    pub(super) fn commune(&self, code: &str, list_version: &str) -> String {
        let unit = UnitRef { code, list_version };
        match resolved(unit, &self.units) {
            Some((unit, _)) if !list_version.is_empty() => unit.code.clone(),
            Some(_) | None if list_version.is_empty() => code.to_owned(),
            Some(_) | None => format!("{code}@{list_version}"),
        }
    }
}

/// The measures of a row, by the number of objects that its register expects today.
fn measured(control: &ControlState, by: By, row: &(RegisterName, String, String), counts: &Counts) -> Measures {
    let (register, _, commune) = row;
    // A register publishes what it expects for itself and by commune, not by agency.
    let expected = match by {
        By::Register => control.expected_objects(register, None),
        By::Agency => None,
        By::Commune => control.expected_objects(register, Some(commune)).filter(|_| !commune.is_empty()),
    };
    measures(counts, expected)
}

fn before(control: &ControlState, by: By, row: &(RegisterName, String, String), counts: &Counts) -> QualityBefore {
    let Measures { correct, sufficient, clean, alive } = measured(control, by, row, counts);
    QualityBefore { records: counts.records, correct, sufficient, clean, alive }
}

fn quality(control: &ControlState, by: By, row: (RegisterName, String, String), counts: &Counts) -> Quality {
    let found = measured(control, by, &row, counts);
    let (register, agency, commune) = row;
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
        before: None,
    }
}
