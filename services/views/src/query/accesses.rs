//! `ListAccesses`: who looked at a subject's records, when, why and at what.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::{CASE_BYTES_MAX, Listing, Refusal};
use prost::Message as _;
use record::access::Decision;
use record::{Kind, Pseudonym, Timestamp};
use wire::query::{AccessRecord, ListAccessesRequest, ListAccessesResponse};

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::key::{Key, Resolved};
use super::session::{AsOf, Session};
use super::told::{hex, wire_time};
use crate::access_log::{Accessed, Mark};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// What is listed.
struct Page {
    kind: Kind,
    key: Key,
    mark: Option<Mark>,
    limit: usize,
    policy: [u8; 32],
    now: Timestamp,
}

impl Core {
    /// The kind that is asked for and the hash of the policy that lets it: for an auditor anything, for a desk that has
    /// authenticated a person that person. It serves the person or an audit, not a procedure: its case says why.
    pub(super) fn permit_audit(&self, asked: &Asked, kind: &str) -> Result<(Kind, [u8; 32]), Error> {
        let access = self.handle.access.load_full();
        if asked.case.trim().is_empty() {
            return Err(Refusal::PurposeMissing.into());
        }
        if asked.case.len() > CASE_BYTES_MAX || asked.case.chars().any(char::is_control) {
            return Err(Refusal::CaseMalformed.into());
        }
        let any = access.permit_listing(&asked.caller, Listing::Any);
        let permit = any.or_else(|_| access.permit_listing(&asked.caller, Listing::Own))?;
        let kind = Kind::from_name(kind)
            .ok_or_else(|| Error::field("kind", "kind_unknown", "the kinds are person and parcel"))?;
        if permit.listing() == Listing::Own && kind != Kind::Person {
            let description = "only an auditor asks this of what is not a person";
            return Err(Error::field("kind", "kind_not_granted", description));
        }
        Ok((kind, *permit.policy_hash().as_bytes()))
    }

    /// An auditor lists anybody's; a desk that has authenticated a person lists that person's, hence persons only.
    pub(super) async fn list_accesses(
        self: &Arc<Self>,
        asked: &Asked,
        request: ListAccessesRequest,
    ) -> Result<Told<ListAccessesResponse>, Failure> {
        let (kind, policy) = self.permit_audit(asked, &request.kind)?;
        let mark = match request.page_token.as_str() {
            "" => None,
            token => {
                let bad =
                    |e: crate::access_log::MarkError| Error::field("page_token", "page_token_malformed", e.to_string());
                Some(Mark::from_text(token).map_err(bad)?)
            }
        };
        let limit = match request.limit as usize {
            0 => LIMIT_DEFAULT,
            limit => limit.min(LIMIT_MAX),
        };
        let key = Key::read(request.key.as_ref(), kind, "key")?;
        let page = Page { kind, key, mark, limit, policy, now: asked.at };
        let core = Arc::clone(self);
        self.reads.run(move || Ok(list(&core, &page))).await?
    }
}

fn list(core: &Core, page: &Page) -> Result<Told<ListAccessesResponse>, Failure> {
    let session = Session::open(core, AsOf::default(), page.now)?;
    let basis = Arc::new(core.basis(session.positions.clone(), page.policy));
    let records = session.records_of_key(page.kind, &page.key)?;
    let told = |response: ListAccessesResponse, verdict| Told {
        bytes: response.encode_to_vec(),
        response,
        verdict,
        records: records.iter().copied().collect(),
        fields: Vec::new(),
        basis: Arc::clone(&basis),
    };
    if records.is_empty() {
        return Ok(told(ListAccessesResponse::default(), Verdict::NotFound));
    }
    let all: Vec<Pseudonym> = records.iter().copied().collect();
    let (found, more) = core.access_log.list(&all, page.mark, page.limit).map_err(Error::Accesses)?;
    let next = found.last().filter(|_| more).map(|last| last.mark.to_text());
    let response = ListAccessesResponse {
        accesses: found.into_iter().map(access_record).collect(),
        next_page_token: next.unwrap_or_default(),
        basis: None,
    };
    Ok(told(response, Verdict::Answered))
}

impl Session {
    /// All records of whom a key names, those that left the links included.
    fn records_of_key(&self, kind: Kind, key: &Key) -> Result<BTreeSet<Pseudonym>, Error> {
        let mut records = self.former_records(kind, key)?;
        match self.resolve(kind, key)? {
            Resolved::Nobody => {}
            Resolved::One { id, .. } => records.extend(self.records(id)?.into_keys()),
            Resolved::Several(_) => {
                let description = "the key names several subjects: ask again with a subject id";
                return Err(Error::field("key", "key_ambiguous", description));
            }
        }
        Ok(records)
    }
}

fn access_record(found: Accessed) -> AccessRecord {
    let Accessed { position, access, .. } = found;
    let (decision, reason) = match access.decision {
        Decision::Answered { .. } => ("answered", String::new()),
        Decision::Refused { code } => ("refused", code),
        Decision::NotFound => ("not_found", String::new()),
        Decision::Ambiguous => ("ambiguous", String::new()),
    };
    AccessRecord {
        access_id: hex(&access.id),
        at: Some(wire_time(access.at)),
        caller: access.caller,
        action: access.action.name().to_owned(),
        procedure: access.procedure,
        case_number: access.case,
        fields: access.fields,
        decision: decision.to_owned(),
        reason,
        position: position.to_string(),
    }
}
