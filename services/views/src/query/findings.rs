//! `ListFindings`: what is wrong with a register's records, told to its owner a page at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use projection::head::Head;
use prost::Message as _;
use record::{Envelope, Pseudonym, RegisterName, Timestamp};
use view_store::{KeyRange, Table};
use wire::query::{ListFindingsRequest, ListFindingsResponse, RecordFinding};

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::faults::{Criterion, Fault, Looked};
use super::session::{AsOf, Session};
use super::standing::{Insight, register_of};
use super::told::{time, wire_time};
use crate::fold::{FoldError, position_of};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Records that one answer looks at.
const LOOKED_AT: usize = 20_000;
/// Records that one answer judges: where a subject has many, each costs the reading of the others.
const JUDGED: usize = 2_000;
/// Rows that are read at once.
const ROWS: usize = 512;

/// What is listed.
struct Page {
    register: RegisterName,
    since: Option<Timestamp>,
    criterion: Option<Criterion>,
    agency: String,
    commune: String,
    limit: usize,
    after: Option<Pseudonym>,
}

impl Core {
    pub(super) async fn list_findings(
        self: &Arc<Self>,
        asked: &Asked,
        request: ListFindingsRequest,
    ) -> Result<(Insight, Told<ListFindingsResponse>), Failure> {
        let register = register_of(&request.register)?;
        let insight = self.permit_standing(asked, &register)?;
        let criterion = match request.criterion.as_str() {
            "" => None,
            name => Some(Criterion::from_name(name).ok_or_else(|| {
                Error::field("criterion", "field_invalid", "say correct, sufficient, clean or alive")
            })?),
        };
        let limit = match request.limit as usize {
            0 => LIMIT_DEFAULT,
            limit => limit.min(LIMIT_MAX),
        };
        let page = Page {
            register,
            since: time("since", request.since.as_ref())?,
            criterion,
            agency: request.agency,
            commune: request.commune,
            limit,
            after: token(&request.page_token)?,
        };
        let (core, now) = (Arc::clone(self), asked.at);
        Ok((insight, self.searches.run(move || page.list(&core, now)).await?))
    }
}

fn token(text: &str) -> Result<Option<Pseudonym>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = || Error::field("page_token", "page_token_malformed", "send the token of an answer as it came");
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = digits.then(|| u128::from_str_radix(text, 16)).ok_or_else(bad)?;
    Ok(Some(Pseudonym(number.map_err(|_| bad())?.to_be_bytes())))
}

impl Page {
    fn list(&self, core: &Core, now: Timestamp) -> Result<Told<ListFindingsResponse>, Error> {
        let session = Session::open(core, AsOf::default(), now)?;
        let policy = *core.handle.access.load().policy_hash().as_bytes();
        let basis = Arc::new(core.basis(session.positions.clone(), policy));
        let mut response = ListFindingsResponse::default();
        let mut records = Vec::new();
        let mut after = self.after;
        let (mut looked, mut judged) = (0, 0);
        'pages: loop {
            let from = after.map(|after| [&after.0[..], &[0]].concat());
            let range = from.as_deref().map_or(KeyRange::All, KeyRange::From);
            let rows = session.view.range(Table::Head, range, ROWS)?;
            for (key, row) in &rows {
                let record = Pseudonym(key.as_ref().try_into().map_err(|_| FoldError::Row("head"))?);
                if response.findings.len() >= self.limit || looked >= LOOKED_AT || judged >= JUDGED {
                    response.next_page_token = after.map(|after| after.to_hex()).unwrap_or_default();
                    break 'pages;
                }
                after = Some(record);
                looked += 1;
                if Head::decode_versions(row, &self.register)?.is_none() {
                    continue;
                }
                let Some(found) = self.of_record(&session, record, &Head::decode(row)?)? else { continue };
                judged += 1;
                if !found.is_empty() {
                    records.push(record);
                    response.findings.extend(found);
                }
            }
            if rows.len() < ROWS {
                break;
            }
        }
        let bytes = response.encode_to_vec();
        Ok(Told { response, bytes, verdict: Verdict::Answered, records, fields: Vec::new(), basis })
    }

    /// `None` for a record of another agency or commune than is asked for.
    fn of_record(
        &self,
        session: &Session,
        record: Pseudonym,
        head: &Head,
    ) -> Result<Option<Vec<RecordFinding>>, Error> {
        let facts = head.facts();
        let agency = facts.map(|f| f.agency.as_str()).unwrap_or_default();
        let commune = facts.map(|f| session.commune(&f.unit.0, &f.unit.1)).unwrap_or_default();
        let named = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        if !named(&self.agency, agency) || !named(&self.commune, &commune) {
            return Ok(None);
        }
        let mut faults = Looked { session, record, head }.faults(self.criterion)?;
        faults.retain(|fault| self.since.is_none_or(|since| fault.since >= since));
        if faults.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let said = Said::of(session, record, head)?;
        let record_type = facts.map(|f| f.record_type.clone()).unwrap_or_default();
        let tell = |fault: Fault| -> Result<RecordFinding, Error> {
            let other_record = match &fault.other {
                Some(other) if other.register == head.register => self.own_id(session, other.record)?,
                Some(other) => other.record.to_hex(),
                None => String::new(),
            };
            let contracts = said.messages.get(&(fault.field.clone(), fault.rule.clone()));
            let what_to_do = contracts.filter(|_| fault.what_to_do.is_empty()).cloned().unwrap_or(fault.what_to_do);
            Ok(RecordFinding {
                record_id: said.record_id.clone(),
                record: record.to_hex(),
                version: fault.version.row.version,
                record_type: record_type.clone(),
                agency: agency.to_owned(),
                commune: commune.clone(),
                rule_id: fault.rule,
                group: fault.group,
                field_path: fault.field,
                criterion: fault.criterion.name().to_owned(),
                what_to_do,
                other_register: fault.other.map(|other| other.register.as_str().to_owned()).unwrap_or_default(),
                other_record,
                since: Some(wire_time(fault.since)),
                position: position_of(record, fault.version.index, session.partitions()).to_string(),
            })
        };
        faults.into_iter().map(tell).collect::<Result<_, _>>().map(Some)
    }

    fn own_id(&self, session: &Session, record: Pseudonym) -> Result<String, Error> {
        let head = session.head(record)?.ok_or(FoldError::Row("head"))?;
        let Some(version) = head.versions.last() else { return Ok(record.to_hex()) };
        Ok(session.record_id(record, version)?.unwrap_or_else(|| record.to_hex()))
    }
}

/// What only the record's entry says: its id, and the contract's words on each finding, by field and rule.
#[derive(Default)]
struct Said {
    record_id: String,
    messages: BTreeMap<(String, String), String>,
}

impl Said {
    /// A head keeps no texts, so the version is judged once more, by the contract and the clock that it was judged by.
    fn of(session: &Session, record: Pseudonym, head: &Head) -> Result<Self, Error> {
        let linked = head.facts().and_then(|f| head.version(f.version.0, f.version.1));
        let Some(version) = linked.or(head.versions.last()) else { return Ok(Self::default()) };
        let logged = session.entry(record, version)?;
        let Some((recorded_at, body)) = session.open_body(&logged)? else { return Ok(Self::default()) };
        let envelope = Envelope::decode(&body)?;
        let mut said = Self { record_id: envelope.record_id.as_str().to_owned(), messages: BTreeMap::new() };
        let contract = session.control.by_id(version.row.contract);
        if let Some(record_type) = contract.and_then(|contract| contract.record_type(envelope.record_type).ok()) {
            let judged = record_type.judge(envelope.payload, recorded_at.0);
            said.messages = judged.soft.into_iter().map(|v| ((v.field_path, v.rule_id), v.message)).collect();
        }
        Ok(said)
    }
}
