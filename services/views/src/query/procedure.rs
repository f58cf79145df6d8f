//! `CheckProcedure`: every item of a public service with its state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use access::{
    Access, AttributeFact, CheckPermit, Facts, ItemResult, ItemState, Permit, Procedure, RecordFact, RelationFact,
    RoleFacts, Source as FactSource, Stated, SubjectFacts, What,
};
use contract::kinds;
use projection::head::relation_name;
use projection::subject::{Source, attributes};
use prost::Message as _;
use record::{Kind, MentionId, Pseudonym, Timestamp};
use wire::query::{CheckProcedureRequest, CheckProcedureResponse, Item, ItemState as WireState};

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::key::{Key, Resolved, borne_elsewhere};
use super::session::{AsOf, Session, Subject};
use super::subject::{Reading, findings, within_rows};
use super::told::{provenance, value};
use super::wait::Patience;

/// The language of texts for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Vietnamese,
    English,
}

impl Language {
    /// From the call's `accept-language`; English unless Vietnamese comes first.
    pub(super) fn of(metadata: &tonic::metadata::MetadataMap) -> Self {
        let asked = metadata.get("accept-language").and_then(|v| v.to_str().ok());
        if asked.is_some_and(|l| l.trim_start().starts_with("vi")) { Self::Vietnamese } else { Self::English }
    }

    fn of_text(self, text: &access::Text) -> String {
        match self {
            Self::Vietnamese => text.vi.clone(),
            Self::English => text.en.clone(),
        }
    }
}

/// What a check works on.
pub(super) struct Case {
    pub(super) access: Arc<Access>,
    pub(super) permit: CheckPermit,
    pub(super) procedure: String,
    pub(super) as_of: AsOf,
    pub(super) now: Timestamp,
    pub(super) language: Language,
}

/// Whom a role's key names: the role's name, its kind, and the subject.
pub(super) type NamedRole = (String, Kind, Resolved);

impl Core {
    pub(super) async fn check_procedure(
        self: &Arc<Self>,
        asked: &Asked,
        request: CheckProcedureRequest,
        patience: Patience,
        language: Language,
    ) -> Result<Told<CheckProcedureResponse>, Failure> {
        let access = self.handle.access.load_full();
        let permit = access.permit_check(&asked.caller, &asked.procedure, &asked.case)?;
        let procedure = access.procedures().get(&asked.procedure).ok_or(Error::Internal)?;
        let roles = roles(procedure, &request)?;
        self.folded(&request.min_positions, patience).await?;
        let (views, as_of) = self.as_of(asked, patience).await?;
        let case = Case { permit, procedure: asked.procedure.clone(), as_of, now: asked.at, language, access };
        let today = Arc::clone(self);
        let read = move || {
            let session = Session::open(views.core(), case.as_of, case.now)?;
            let named = roles.into_iter().map(|(role, kind, key)| Ok((role, kind, session.resolve(kind, &key)?)));
            let named = named.collect::<Result<Vec<NamedRole>, Error>>()?;
            Ok(check((views.core(), &today), &session, &case, &named))
        };
        self.reads.run(read).await?
    }
}

fn roles(procedure: &Procedure, request: &CheckProcedureRequest) -> Result<Vec<(String, Kind, Key)>, Error> {
    let mut named: Vec<_> = request.roles.iter().collect();
    named.sort_by_key(|(name, _)| name.as_str());
    let mut out = Vec::with_capacity(named.len());
    for (name, key) in named {
        let Some(role) = procedure.role(name) else {
            let known: Vec<&str> = procedure.roles().iter().map(access::Role::name).collect();
            let description = format!("the procedure has no such role; its roles are {}", known.join(", "));
            return Err(Error::field("roles", "role_unknown", description));
        };
        let kind = Kind::from_name(role.kind()).ok_or(Error::Internal)?;
        // The profile's own name: what the caller sent equals it.
        let key = Key::read(Some(key), kind, &format!("roles[{}]", role.name()))?;
        out.push((role.name().to_owned(), kind, key));
    }
    Ok(out)
}

/// A role's subject with its records.
struct Party {
    role: String,
    subject: Subject,
}

/// Judges the items for those whom the roles' keys name, in the order of the roles' names.
pub(super) fn check(
    (core, today): (&Core, &Core),
    session: &Session,
    case: &Case,
    roles: &[NamedRole],
) -> Result<Told<CheckProcedureResponse>, Failure> {
    let policy = *case.access.policy_hash().as_bytes();
    let basis = Arc::new(core.basis(session.positions.clone(), policy));
    let procedure = case.access.procedures().get(&case.procedure).ok_or(Error::Internal)?;
    let mut facts = Facts {
        now_us: case.now.0,
        connected: session.control.registers().map(|(name, _)| name.as_str().to_owned()).collect(),
        ..Facts::default()
    };
    let (mut parties, mut noticed) = (Vec::new(), Vec::new());
    for (role, kind, named) in roles {
        match named {
            Resolved::Nobody => {
                facts.roles.insert(role.clone(), RoleFacts::NotFound);
            }
            Resolved::Several(subjects) => {
                let matches = u32::try_from(subjects.len()).unwrap_or(u32::MAX);
                facts.roles.insert(role.clone(), RoleFacts::Ambiguous { matches });
            }
            Resolved::One { id, elsewhere, .. } => {
                noticed.extend(borne_elsewhere(elsewhere.clone(), &format!("roles[{role}]")));
                parties.push(Party { role: role.clone(), subject: session.subject(*id, *kind)? });
            }
        }
    }
    let mut records = BTreeSet::new();
    let mut sources = HashMap::new();
    for party in &parties {
        let reading = Reading::new(session, &party.subject)?;
        records.extend(reading.records());
        let found = party_facts((core, today), case, procedure, session, party, &reading).map_err(|mut failure| {
            failure.records = records.iter().copied().collect();
            failure
        })?;
        facts.roles.insert(party.role.clone(), found);
        relate(session, &parties, party, &reading, &mut facts.relations)?;
        let read = party.subject.loaded.iter().map(|l| ((l.source.record, l.source.version), l.source.clone()));
        sources.extend(read);
    }
    let results = access::check(procedure, &facts);
    let response = CheckProcedureResponse {
        procedure: procedure.code().to_owned(),
        title: case.language.of_text(procedure.title()),
        items: results.iter().map(|r| item(r, case, &sources)).collect(),
        complete: access::is_complete(&results),
        findings: findings(noticed.iter()),
        basis: None,
    };
    Ok(Told {
        bytes: response.encode_to_vec(),
        response,
        verdict: Verdict::Answered,
        records: records.into_iter().collect(),
        fields: told_fields(&results),
        basis,
    })
}

/// The attributes of which the answer says something.
fn told_fields(results: &[ItemResult<'_>]) -> Vec<String> {
    let needed = results.iter().filter(|r| r.state != ItemState::NotNeeded);
    let named = needed.filter_map(|r| match r.item.what() {
        What::Attribute(attribute) => Some(attribute.to_string()),
        What::Relation { .. } | What::Record(_) | What::Rule { .. } => None,
    });
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

fn party_facts(
    cores: (&Core, &Core),
    case: &Case,
    procedure: &Procedure,
    session: &Session,
    party: &Party,
    reading: &Reading<'_>,
) -> Result<RoleFacts, Failure> {
    if reading.spoken.is_empty() {
        return Ok(RoleFacts::NotFound);
    }
    let checked = case.permit.for_kind(party.subject.kind.name()).ok_or(Error::Internal)?;
    within_rows(cores, checked.permit(), session, reading, case.as_of)?;
    let role = procedure.role(&party.role).ok_or(Error::Internal)?;
    let of_role: BTreeSet<&str> = role.fields().collect();
    let records = reading.spoken.iter().map(|s| RecordFact { source: fact_source(&s.loaded.source) }).collect();
    Ok(RoleFacts::Resolved(SubjectFacts { attributes: stated(checked.permit(), session, reading, &of_role), records }))
}

fn stated(
    permit: &Permit,
    session: &Session,
    reading: &Reading<'_>,
    of_role: &BTreeSet<&str>,
) -> BTreeMap<String, AttributeFact> {
    let testimonies = reading.testimonies(permit);
    let mut out = BTreeMap::new();
    for view in attributes(&testimonies, kinds(), &session.units) {
        let Some(known) = kinds().attribute(view.attribute) else { continue };
        let needed = of_role.contains(known.full_name.as_str()) && permit.releases(&known.full_name);
        if needed {
            let values = view.claims.iter().map(|claim| Stated {
                value: claim.value.to_json(),
                source: fact_source(claim.source),
                on_paper: false,
            });
            let fact = AttributeFact { values: values.collect(), disputed: view.disputed() };
            out.insert(known.full_name.clone(), fact);
        }
    }
    out
}

fn fact_source(source: &Source) -> FactSource {
    FactSource {
        register: source.register.as_str().to_owned(),
        record_type: source.record_type.clone(),
        record: source.record.to_hex(),
        version: source.version,
        position: source.position.to_string(),
        effective_at_us: source.effective_at.0,
        published_at_us: source.published_at.0,
    }
}

/// The relations that the party's records state of it, with the other end's roles.
fn relate(
    session: &Session,
    parties: &[Party],
    party: &Party,
    reading: &Reading<'_>,
    out: &mut Vec<RelationFact>,
) -> Result<(), Error> {
    let roles_of = |id: Option<MentionId>| -> Vec<Option<String>> {
        let roles: Vec<_> = parties.iter().filter(|p| Some(p.subject.id) == id).map(|p| Some(p.role.clone())).collect();
        if roles.is_empty() { vec![None] } else { roles }
    };
    for spoken in &reading.spoken {
        for fact in &spoken.facts.relations {
            let (from, to) = (usize::from(fact.from), usize::from(fact.to));
            let source = fact_source(&spoken.loaded.source);
            let relation = |from: Option<String>, to: Option<String>| RelationFact {
                name: relation_name(fact.relation as u8).to_owned(),
                from,
                to,
                source: source.clone(),
                disputed: false,
            };
            let own = Some(party.role.clone());
            if spoken.own.contains(&from) {
                let others = roles_of(session.subject_of(spoken.ids[to])?);
                out.extend(others.into_iter().map(|other| relation(own.clone(), other)));
            }
            if spoken.own.contains(&to) {
                let others = roles_of(session.subject_of(spoken.ids[from])?);
                out.extend(others.into_iter().map(|other| relation(other, own.clone())));
            }
        }
    }
    Ok(())
}

fn item(result: &ItemResult<'_>, case: &Case, sources: &HashMap<(Pseudonym, u64), Source>) -> Item {
    let source = result.source.and_then(|s| sources.get(&(Pseudonym::from_hex(&s.record)?, s.version)));
    let register = source.map(|s| s.register.as_str()).or_else(|| result.item.registers().next());
    Item {
        item: result.item.id().to_owned(),
        role: result.item.role().to_owned(),
        state: wire_state(result.state).into(),
        owner: result.item.owner().to_owned(),
        what_to_do: case.language.of_text(&result.what_to_do),
        register: register.unwrap_or_default().to_owned(),
        source: source.map(|s| provenance(s, case.now)),
        value: result.value(&case.permit).map(value),
    }
}

fn wire_state(state: ItemState) -> WireState {
    match state {
        ItemState::Available => WireState::Available,
        ItemState::Missing => WireState::Missing,
        ItemState::Stale => WireState::Stale,
        ItemState::Disputed => WireState::Disputed,
        ItemState::OnPaperOnly => WireState::OnPaperOnly,
        ItemState::NotConnected => WireState::NotConnected,
        ItemState::Ambiguous => WireState::Ambiguous,
        ItemState::NotNeeded => WireState::NotNeeded,
    }
}
