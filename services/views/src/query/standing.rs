//! Where a register stands with the hub: who may know it, and `GetHeads`.
//!
//! A register's own publisher learns what the hub has of its records; no access entry tells of it, because nothing leaves that it has
//! not brought. Operators and auditors learn it for a case, and an access entry tells of that.

use std::sync::Arc;

use access::{CASE_BYTES_MAX, HubAction, Refusal};
use projection::head::{Head, Linked, last_published};
use prost::Message as _;
use record::{Operation, Pseudonym, RecordId, RegisterName};
use wire::query::{GetHeadsRequest, GetHeadsResponse, HeadState, RecordHead};

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::session::{AsOf, Session};
use super::told::wire_time;
use crate::fold::position_of;

/// Ids of one question.
const IDS_MAX: usize = 1_000;

/// By what right somebody learns where a register stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insight {
    /// The register is the caller's own.
    Own,
    /// The caller operates or audits the hub.
    Case,
}

impl Core {
    /// Lets a register's own publisher pass, and operators and auditors for a case.
    pub(super) fn permit_standing(&self, asked: &Asked, register: &RegisterName) -> Result<Insight, Error> {
        let access = self.handle.access.load_full();
        let Err(refused) = access.publishes_to(&asked.caller, register.as_str()) else { return Ok(Insight::Own) };
        if access.permit_hub(&asked.caller, HubAction::Audit).is_err() {
            return Err(refused.into());
        }
        if asked.case.trim().is_empty() {
            return Err(Refusal::PurposeMissing.into());
        }
        if asked.case.len() > CASE_BYTES_MAX || asked.case.chars().any(char::is_control) {
            return Err(Refusal::CaseMalformed.into());
        }
        Ok(Insight::Case)
    }

    /// Lets an answer go: with an access entry, unless it went to the register's own publisher.
    pub(super) async fn conclude_standing<T>(
        &self,
        asked: Asked,
        result: Result<(Insight, Told<T>), Failure>,
    ) -> Result<T, Error> {
        match result {
            Ok((Insight::Own, told)) => self.of_hub(asked, Ok(told.response)).await,
            Ok((Insight::Case, told)) => self.conclude(asked, Ok(told)).await.map(|(response, _)| response),
            Err(failure) => self.conclude::<T>(asked, Err(failure)).await.map(|(response, _)| response),
        }
    }

    pub(super) async fn get_heads(
        self: &Arc<Self>,
        asked: &Asked,
        request: GetHeadsRequest,
    ) -> Result<(Insight, Told<GetHeadsResponse>), Failure> {
        let register = register_of(&request.register)?;
        let insight = self.permit_standing(asked, &register)?;
        if request.record_ids.is_empty() || request.record_ids.len() > IDS_MAX {
            let description = format!("1 to {IDS_MAX} ids are answered at once");
            return Err(Error::field("record_ids", "field_invalid", description).into());
        }
        let (core, now) = (Arc::clone(self), asked.at);
        let read = move || {
            let session = Session::open(&core, AsOf::default(), now)?;
            let mut records = Vec::with_capacity(request.record_ids.len());
            let mut heads = Vec::with_capacity(request.record_ids.len());
            for (at, id) in request.record_ids.into_iter().enumerate() {
                let checked = RecordId::try_from(id.as_str());
                let malformed =
                    |e: record::IdError| Error::field(format!("record_ids[{at}]"), "field_invalid", e.to_string());
                let record = core.handle.secret.pseudonym(&register, &checked.map_err(malformed)?);
                records.push(record);
                heads.push(session.record_head(id, record)?);
            }
            let policy = *core.handle.access.load().policy_hash().as_bytes();
            let basis = Arc::new(core.basis(session.positions.clone(), policy));
            let response = GetHeadsResponse { heads };
            let bytes = response.encode_to_vec();
            Ok(Told { response, bytes, verdict: Verdict::Answered, records, fields: Vec::new(), basis })
        };
        Ok((insight, self.reads.run(read).await?))
    }
}

/// The register of a question.
pub(super) fn register_of(name: &str) -> Result<RegisterName, Error> {
    RegisterName::try_from(name).map_err(|e| Error::field("register", "field_invalid", e.to_string()))
}

impl Session {
    fn record_head(&self, record_id: String, record: Pseudonym) -> Result<RecordHead, Error> {
        let none = |state: HeadState| RecordHead {
            record_id: record_id.clone(),
            state: state.into(),
            ..RecordHead::default()
        };
        if self.control.erased.contains(&record) {
            return Ok(none(HeadState::Erased));
        }
        let Some(head) = self.head(record)? else { return Ok(none(HeadState::Absent)) };
        let Some(last) = last_published(&head.versions) else { return Ok(none(HeadState::Absent)) };
        let stated = last.row.operation == Operation::Upsert as u8;
        Ok(RecordHead {
            state: if stated { HeadState::Stated } else { HeadState::Retracted }.into(),
            version: last.row.version,
            hash: last.row.statement.to_vec(),
            effective_at: Some(wire_time(last.row.effective_at)),
            published_at: Some(wire_time(last.published_at)),
            position: position_of(record, last.index, self.partitions()).to_string(),
            versions: u32::try_from(head.versions.len()).unwrap_or(u32::MAX),
            parked: is_parked(&head),
            record_id,
        })
    }
}

fn is_parked(head: &Head) -> bool {
    matches!(head.linked, Linked::Waiting { .. })
}
