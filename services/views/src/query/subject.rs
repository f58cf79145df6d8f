//! `GetSubject`: one subject's attributes, each with its sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::{Permit, Query as Question, Refusal, Request, RowFacts, RowLimit};
use contract::{AttrValue, kinds};
use projection::head::{HeadFinding, relation_name};
use projection::subject::{AttributeView, Claim, Testimony, attributes};
use prost::Message as _;
use record::{Kind, MentionId, Pseudonym};
use wire::query::{
    Ambiguous, Attribute, Finding, GetSubjectRequest, GetSubjectResponse, NotFound, Relation, Subject as WireSubject,
    Value, get_subject_response,
};

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::key::{Key, Resolved, borne_elsewhere};
use super::session::{AsOf, Session, Spoken, Subject};
use super::told::{provenance, value};
use super::units::{resolved, wire_unit};
use super::wait::Patience;
use crate::access_log::Basis;

/// The attribute that places a subject in a commune, by kind.
fn place_attribute(kind: Kind) -> &'static str {
    match kind {
        Kind::Person => "person.residence_unit",
        Kind::Parcel => "parcel.unit",
    }
}

/// A subject's records, read.
pub(super) struct Reading<'a> {
    pub(super) subject: &'a Subject,
    pub(super) spoken: Vec<Spoken<'a>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(session: &Session, subject: &'a Subject) -> Result<Self, Error> {
        let mut spoken = Vec::with_capacity(subject.loaded.len());
        for loaded in &subject.loaded {
            // A version that does not mention the subject does not speak of it.
            spoken.extend(session.speak(loaded)?.filter(|s| !s.own.is_empty()));
        }
        Ok(Self { subject, spoken })
    }

    /// The records that speak of the subject.
    pub(super) fn records(&self) -> Vec<Pseudonym> {
        self.spoken.iter().map(|s| s.loaded.source.record).collect()
    }

    /// What each mention asserts. Only of the permit's kind, and only for a permit.
    pub(super) fn testimonies(&self, permit: &Permit) -> Vec<Testimony<'_>> {
        debug_assert_eq!(permit.kind().kind(), self.subject.kind.name());
        self.all_testimonies()
    }

    /// What each attribute says, as a hash, and whether it is disputed: to compare two views of a subject where no value is told.
    pub(super) fn said(&self, session: &Session) -> BTreeMap<String, ([u8; 32], bool)> {
        let testimonies = self.all_testimonies();
        let views = attributes(&testimonies, kinds(), &session.units);
        let said = views.iter().filter_map(|view| {
            let known = kinds().attribute(view.attribute)?;
            let value = view.first().value.to_json().to_string();
            Some((known.full_name.clone(), (*blake3::hash(value.as_bytes()).as_bytes(), view.disputed())))
        });
        said.collect()
    }

    fn all_testimonies(&self) -> Vec<Testimony<'_>> {
        let mut out = Vec::new();
        for spoken in &self.spoken {
            for at in &spoken.own {
                out.push(Testimony {
                    mention: spoken.ids[*at],
                    source: &spoken.loaded.source,
                    asserts: spoken.facts.mentions[*at].asserts.clone(),
                });
            }
        }
        out
    }

    /// The communes that the subject belongs to, resolved to the newest list.
    pub(super) fn communes(&self, session: &Session) -> Vec<String> {
        let testimonies = self.all_testimonies();
        let views = attributes(&testimonies, kinds(), &session.units);
        let place = kinds().by_name(place_attribute(self.subject.kind)).map(|a| a.id);
        let standing = views.iter().filter(|v| Some(v.attribute) == place).flat_map(|v| &v.claims[v.standing()]);
        let unit = |claim: &Claim<'_>| match claim.value {
            AttrValue::Unit(unit) => resolved(unit, &session.units).map(|(unit, _)| unit.code.clone()),
            _ => None,
        };
        standing.filter_map(unit).collect()
    }
}

impl Core {
    pub(super) async fn get_subject(
        self: &Arc<Self>,
        asked: &Asked,
        request: GetSubjectRequest,
        patience: Patience,
    ) -> Result<Told<GetSubjectResponse>, Failure> {
        let access = self.handle.access.load_full();
        let fields: Vec<&str> = request.fields.iter().map(String::as_str).collect();
        let permit = access.permit(&Request {
            query: Question::GetSubject,
            caller: &asked.caller,
            procedure: &asked.procedure,
            case: &asked.case,
            kind: &request.kind,
            fields: &fields,
        })?;
        let kind = kind_of(&permit)?;
        let key = Key::read(request.key.as_ref(), kind, "key")?;
        self.folded(&request.min_positions, patience).await?;
        let (views, as_of) = self.as_of(asked, patience).await?;
        let (today, now) = (Arc::clone(self), asked.at);
        let read = move || Ok(tell((views.core(), &today), &permit, kind, &key, as_of, now));
        self.reads.run(read).await?
    }
}

/// The record kind behind a permit's kind.
pub(super) fn kind_of(permit: &Permit) -> Result<Kind, Error> {
    Kind::from_name(permit.kind().kind()).ok_or(Error::Internal)
}

/// Answers from the views of one core; rows are judged by the views of another, today's.
pub(super) fn tell(
    (core, today): (&Core, &Core),
    permit: &Permit,
    kind: Kind,
    key: &Key,
    as_of: AsOf,
    now: record::Timestamp,
) -> Result<Told<GetSubjectResponse>, Failure> {
    let session = Session::open(core, as_of, now)?;
    let named = session.resolve(kind, key)?;
    tell_of((core, today), &session, permit, (kind, named), as_of)
}

/// Answers of whom a key names.
pub(super) fn tell_of(
    (core, today): (&Core, &Core),
    session: &Session,
    permit: &Permit,
    (kind, named): (Kind, Resolved),
    as_of: AsOf,
) -> Result<Told<GetSubjectResponse>, Failure> {
    let basis = Arc::new(core.basis(session.positions.clone(), *permit.policy_hash().as_bytes()));
    let (id, moved, elsewhere) = match named {
        Resolved::One { id, moved, elsewhere } => (id, moved, borne_elsewhere(elsewhere, "key")),
        Resolved::Nobody => return Ok(not_found(basis)),
        Resolved::Several(subjects) => return ambiguous(core, permit, kind, &subjects, basis, session.now),
    };
    let subject = session.subject(id, kind)?;
    let reading = Reading::new(session, &subject)?;
    if reading.spoken.is_empty() {
        return Ok(not_found(basis));
    }
    within_rows((core, today), permit, session, &reading, as_of)?;
    let result = get_subject_response::Result::Subject(WireSubject {
        id: id.to_hex(),
        kind: kind.name().to_owned(),
        moved,
        attributes: released(permit, session, &reading),
        relations: relations(session, &reading)?,
        findings: findings(subject.findings.iter().chain(&elsewhere)),
        records: u32::try_from(reading.spoken.len()).unwrap_or(u32::MAX),
    });
    let response = GetSubjectResponse { result: Some(result), basis: None };
    Ok(Told {
        bytes: response.encode_to_vec(),
        response,
        verdict: Verdict::Answered,
        records: reading.records(),
        fields: permit.fields().map(str::to_owned).collect(),
        basis,
    })
}

fn not_found(basis: Arc<Basis>) -> Told<GetSubjectResponse> {
    let message = "no subject has this key, or none of its records held at that time".to_owned();
    let result = get_subject_response::Result::NotFound(NotFound { message });
    let response = GetSubjectResponse { result: Some(result), basis: None };
    let bytes = response.encode_to_vec();
    Told { response, bytes, verdict: Verdict::NotFound, records: Vec::new(), fields: Vec::new(), basis }
}

/// Names the subjects that the caller may see; that others exist is not told.
fn ambiguous(
    core: &Core,
    permit: &Permit,
    kind: Kind,
    subjects: &[MentionId],
    basis: Arc<Basis>,
    now: record::Timestamp,
) -> Result<Told<GetSubjectResponse>, Failure> {
    let session = Session::open(core, AsOf::default(), now)?;
    let (mut shown, mut records) = (Vec::new(), Vec::new());
    for id in subjects {
        let subject = session.subject(*id, kind)?;
        let reading = Reading::new(&session, &subject)?;
        if covers(permit.rows(), &session, &reading) {
            shown.push(id.to_hex());
            records.extend(reading.records());
        }
    }
    if shown.is_empty() {
        return Err(Failure { error: Refusal::RowOutsideScope.into(), records });
    }
    let result = get_subject_response::Result::Ambiguous(Ambiguous { subjects: shown });
    let response = GetSubjectResponse { result: Some(result), basis: None };
    let bytes = response.encode_to_vec();
    Ok(Told { response, bytes, verdict: Verdict::Ambiguous, records, fields: Vec::new(), basis })
}

/// Whether the subject lies in the caller's rows.
pub(super) fn covers(rows: &RowLimit, session: &Session, reading: &Reading<'_>) -> bool {
    if *rows == RowLimit::None {
        return true;
    }
    let communes = reading.communes(session);
    let communes: Vec<&str> = communes.iter().map(String::as_str).collect();
    rows.covers(RowFacts { communes: &communes, cases: &[] })
}

/// Refuses a subject outside the caller's rows. Rows are judged as things are now, also when the past is asked for.
pub(super) fn within_rows(
    (core, today): (&Core, &Core),
    permit: &Permit,
    session: &Session,
    reading: &Reading<'_>,
    as_of: AsOf,
) -> Result<(), Failure> {
    if *permit.rows() == RowLimit::None {
        return Ok(());
    }
    let of_today = std::ptr::eq(core, today);
    let inside = if of_today && as_of.known_at.is_none() && as_of.valid_at.is_none() {
        covers(permit.rows(), session, reading)
    } else {
        let today = Session::open(today, AsOf::default(), session.now)?;
        // It may have another id by now.
        let id = today.subject_of(reading.subject.id)?.unwrap_or(reading.subject.id);
        let subject = today.subject(id, reading.subject.kind)?;
        covers(permit.rows(), &today, &Reading::new(&today, &subject)?)
    };
    if inside {
        return Ok(());
    }
    Err(Failure { error: Refusal::RowOutsideScope.into(), records: reading.records() })
}

/// The released attributes, in the order of their numbers.
fn released(permit: &Permit, session: &Session, reading: &Reading<'_>) -> Vec<Attribute> {
    let testimonies = reading.testimonies(permit);
    let views = attributes(&testimonies, kinds(), &session.units);
    views.iter().filter_map(|view| attribute(permit, session, view)).collect()
}

fn attribute(permit: &Permit, session: &Session, view: &AttributeView<'_>) -> Option<Attribute> {
    let known = kinds().attribute(view.attribute)?;
    if !permit.releases(&known.full_name) {
        return None;
    }
    let told = |claim: &Claim<'_>| Value {
        value: Some(value(&claim.value.to_json())),
        source: Some(provenance(claim.source, session.now)),
    };
    let resolved_unit = match view.first().value {
        AttrValue::Unit(unit) => wire_unit(unit, &session.units),
        _ => None,
    };
    Some(Attribute {
        name: known.name.clone(),
        value: Some(told(view.first())),
        competing: view.claims[1..].iter().map(told).collect(),
        disputed: view.disputed(),
        disputed_by: view.disputed_by.iter().map(|r| r.as_str().to_owned()).collect(),
        resolved_unit,
    })
}

/// The relations that the subject's records state of it, each with the other subject's id of today.
fn relations(session: &Session, reading: &Reading<'_>) -> Result<Vec<Relation>, Error> {
    let mut out = Vec::new();
    for spoken in &reading.spoken {
        for fact in &spoken.facts.relations {
            let (from, to) = (usize::from(fact.from), usize::from(fact.to));
            for (own, other, direction) in [(from, to, "from"), (to, from, "to")] {
                if !spoken.own.contains(&own) {
                    continue;
                }
                if let Some(subject) = session.subject_of(spoken.ids[other])? {
                    out.push(Relation {
                        relation: relation_name(fact.relation as u8).to_owned(),
                        direction: direction.to_owned(),
                        subject: subject.to_hex(),
                        source: Some(provenance(&spoken.loaded.source, session.now)),
                    });
                }
            }
        }
    }
    Ok(out)
}

/// Findings as the API tells them, each with its register.
pub(super) fn findings<'a>(found: impl Iterator<Item = &'a (String, HeadFinding)>) -> Vec<Finding> {
    let told = found.map(|(register, f)| Finding {
        rule_id: f.rule.clone(),
        group: f.group.clone(),
        field_path: f.field.clone(),
        register: register.clone(),
    });
    told.collect()
}
