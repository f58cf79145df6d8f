//! What a person would want to see: one view, one procedure, one refusal, and what was written down of all three.

use event_log::StreamSet;
use nation::{Nation, ShownPerson};
use record::access::{Access, AccessBatch, Decision};
use record::{Entry, Position, Positions, Stream};
use tonic::transport::Channel;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::subject_key::Key;
use wire::query::{
    CheckProcedureRequest, CheckProcedureResponse, GetQualityRequest, GetQualityResponse, GetSubjectRequest,
    GetSubjectResponse, Purpose, SubjectKey,
};

use super::Demo;
use crate::error::{CommandError, told};

const MARRIAGE: &str = "1.000894";
const BIRTH: &str = "1.001193";
const FIELDS: [&str; 5] = ["full_name", "birth_date", "sex", "personal_id", "marital_status"];
/// An attribute that no marriage registration needs, and that is sensitive.
const REFUSED_FIELD: &str = "ethnicity";

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) personal_id: Option<String>,
    /// Mother and father of the case.
    pub(super) parents: Option<(String, String)>,
    pub(super) subject: Option<GetSubjectResponse>,
    pub(super) disputed: Option<GetSubjectResponse>,
    pub(super) procedure: Option<CheckProcedureResponse>,
    pub(super) refused: Vec<String>,
    pub(super) accesses: Vec<AccessLine>,
    pub(super) quality: GetQualityResponse,
}

/// An access entry, as a person reads it.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct AccessLine {
    pub(super) position: String,
    pub(super) action: &'static str,
    pub(super) caller: String,
    pub(super) procedure: String,
    pub(super) case: String,
    pub(super) records: usize,
    pub(super) fields: Vec<String>,
    pub(super) decision: String,
}

/// Asks as the national portal.
pub(super) async fn show(demo: &Demo, nation: &Nation) -> Result<Shown, CommandError> {
    let mut portal = QueryServiceClient::new(demo.connect("portal/national").await?);
    let mut operator = QueryServiceClient::new(demo.connect("operator/ops").await?);
    let showcase = nation.showcase();
    let mut shown = Shown::default();
    if let Some(person) = &showcase.person {
        shown.personal_id = Some(person.personal_id.clone());
        shown.subject = Some(get(&mut portal, person, &FIELDS).await?);
        shown.refused.push(refused(&mut portal, person).await?);
    }
    if let Some(disputed) = &showcase.disputed {
        shown.disputed = Some(get(&mut portal, &disputed.person, &["full_name", "birth_date"]).await?);
    }
    if let Some(birth) = &showcase.birth {
        shown.parents = Some((birth.mother.personal_id.clone(), birth.father.personal_id.clone()));
        let roles = [("mother", &birth.mother), ("father", &birth.father)];
        let request = CheckProcedureRequest {
            purpose: Some(Purpose { procedure: BIRTH.to_owned(), case_number: "DEMO-2".to_owned() }),
            roles: roles.into_iter().map(|(role, person)| (role.to_owned(), key(person))).collect(),
            ..Default::default()
        };
        shown.procedure = Some(portal.check_procedure(request).await?.into_inner());
    }
    let request = GetQualityRequest { register: String::new(), by: "register".to_owned(), trend_hours: 0 };
    shown.quality = operator.get_quality(request).await?.into_inner();
    shown.accesses = accesses(demo)?;
    Ok(shown)
}

fn key(person: &ShownPerson) -> SubjectKey {
    SubjectKey { key: Some(Key::PersonalId(person.personal_id.clone())) }
}

fn request(person: &ShownPerson, fields: &[&str]) -> GetSubjectRequest {
    GetSubjectRequest {
        kind: "person".to_owned(),
        key: Some(key(person)),
        purpose: Some(Purpose { procedure: MARRIAGE.to_owned(), case_number: "DEMO-1".to_owned() }),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        ..Default::default()
    }
}

async fn get(
    portal: &mut QueryServiceClient<Channel>,
    person: &ShownPerson,
    fields: &[&str],
) -> Result<GetSubjectResponse, CommandError> {
    Ok(portal.get_subject(request(person, fields)).await?.into_inner())
}

async fn refused(portal: &mut QueryServiceClient<Channel>, person: &ShownPerson) -> Result<String, CommandError> {
    match portal.get_subject(request(person, &[REFUSED_FIELD])).await {
        Err(status) if status.code() == tonic::Code::PermissionDenied => Ok(status.message().to_owned()),
        Err(status) => Err(status.into()),
        Ok(_) => Err(CommandError::failed(
            format!("the hub released {REFUSED_FIELD}, which procedure {MARRIAGE} must not see"),
            "this is a fault of the hub: report it",
        )),
    }
}

/// Everything that the access stream holds, in the order of time: who asked, why, for what, and what was decided.
fn accesses(demo: &Demo) -> Result<Vec<AccessLine>, CommandError> {
    let failed = |e: &dyn std::error::Error| CommandError::failed(told(e), "see the hub's log");
    let log = &demo.server.handle.log;
    let streams = StreamSet::empty().with(Stream::Access);
    let mut reader = log.reader(&Positions::new(), streams).map_err(|e| failed(&e))?;
    let mut lines = Vec::new();
    loop {
        let batch = reader.next_batch(256, 1 << 20).map_err(|e| failed(&e))?;
        if batch.entries.is_empty() {
            lines.sort_by_key(|(at, _)| *at);
            return Ok(lines.into_iter().map(|(_, line)| line).collect());
        }
        for logged in batch.entries {
            let entry = Entry::decode(&logged.bytes).map_err(|e| failed(&e))?;
            let body = entry.plain_body().map_err(|e| failed(&e))?;
            let accesses = AccessBatch::decode(body).map_err(|e| failed(&e))?.accesses;
            lines.extend(accesses.into_iter().map(|access| (access.at, line(&logged.position, access))));
        }
    }
}

fn line(position: &Position, access: Access) -> AccessLine {
    AccessLine {
        position: position.to_string(),
        action: access.action.name(),
        caller: access.caller,
        procedure: access.procedure,
        case: access.case,
        records: access.records.len(),
        fields: access.fields,
        decision: match access.decision {
            Decision::Answered { .. } => "answered".to_owned(),
            Decision::Refused { code } => format!("refused: {code}"),
            Decision::NotFound => "not found".to_owned(),
            Decision::Ambiguous => "ambiguous".to_owned(),
        },
    }
}
