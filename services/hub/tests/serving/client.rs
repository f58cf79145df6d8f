//! Callers of a hub over gRPC, with development certificates, and changes as they go over the wire.

use std::collections::HashSet;
use std::net::SocketAddr;

use contract::Contract;
use identity::{CertPaths, ClientTls};
use ingest::RESPONSE_BYTES_MAX;
use nation::{Flaw, Nation};
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{Batch, BatchResult, Change, Operation, Outcome, PublishBatchRequest, outcome};
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{GetSubjectRequest, Purpose, SubjectKey, subject_key};

use crate::hub::Hub;

pub type Ingest = IngestServiceClient<Channel>;
pub type Query = QueryServiceClient<Channel>;

impl Hub {
    /// A connection with the development certificate of this SPIFFE path.
    pub async fn channel(&self, caller: &str) -> Channel {
        let address = self.address().parse().expect("an address");
        self.channel_at(address, caller).await.expect("let in")
    }

    /// The same over another address that leads to the hub.
    pub async fn channel_at(&self, address: SocketAddr, caller: &str) -> Result<Channel, tonic::transport::Error> {
        let paths = CertPaths::dev_client(&self.dir.join("d/dev-certs"), caller);
        let tls = ClientTls::load(&paths).expect("client files");
        let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("a URI");
        endpoint.tls_config(tls.tonic()).expect("usable").connect().await
    }

    pub async fn ingest(&self, caller: &str) -> Ingest {
        let client = IngestServiceClient::new(self.channel(caller).await);
        client.max_decoding_message_size(RESPONSE_BYTES_MAX).max_encoding_message_size(64 << 20)
    }

    pub async fn query(&self, caller: &str) -> Query {
        QueryServiceClient::new(self.channel(caller).await)
    }

    pub async fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel("operator/ops").await).max_encoding_message_size(64 << 20)
    }
}

/// A change of `contract` from a line as `hub publish` takes it.
pub fn change_of(contract: &Contract, line: &Value) -> Change {
    let text = |key: &str| line[key].as_str().expect("a text").to_owned();
    let time = |key: &str| {
        let time: jiff::Timestamp = text(key).parse().expect("a time");
        Some(prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() })
    };
    let payload = contract.json_to_body(&text("record_type"), &line["record"]).expect("a record of its type");
    Change {
        record_id: text("record_id"),
        version: line["version"].as_u64().expect("a number"),
        operation: Operation::Upsert.into(),
        record_type: text("record_type"),
        effective_at: time("effective_at"),
        registered_at: time("registered_at"),
        agency: text("agency"),
        payload: payload.into(),
        ..Change::default()
    }
}

/// Sound changes of a register, one per record.
pub fn changes(register: &'static str, count: usize) -> Vec<Change> {
    // About half of its persons have a civil record.
    let persons = u32::try_from(3 * count).expect("a small number").max(6_000);
    let nation = Nation::new(nation::Config { persons, seed: 1 }).expect("within bounds");
    let time = |micros: i64| Some(wire::timestamp(micros));
    let mut seen = HashSet::new();
    let sound = nation.changes(register).filter(|c| c.flaw == Flaw::None && c.operation == nation::Operation::Upsert);
    let changes: Vec<Change> = sound
        .filter(|change| seen.insert(change.record_id.clone()))
        .take(count)
        .map(|change| Change {
            record_id: change.record_id,
            version: change.version,
            operation: Operation::Upsert.into(),
            record_type: change.record_type.into(),
            effective_at: time(change.effective_at),
            registered_at: time(change.registered_at),
            agency: change.agency,
            payload: change.payload.into(),
            ..Change::default()
        })
        .collect();
    assert_eq!(changes.len(), count, "the nation has that many");
    changes
}

pub fn batch(register: &str, changes: Vec<Change>) -> Batch {
    Batch { sequence: 1, register: register.into(), published_at: None, changes, register_epoch: 0 }
}

pub async fn publish(client: &mut Ingest, batch: Batch) -> Result<BatchResult, Status> {
    let answer = client.publish_batch(PublishBatchRequest { batch: Some(batch) }).await?;
    Ok(answer.into_inner().result.expect("a result"))
}

/// One letter per outcome: accepted, duplicate, conflict, rejected, unauthorised.
pub fn letters(result: &BatchResult) -> String {
    let letter = |outcome: &Outcome| match outcome.outcome.as_ref().expect("an outcome") {
        outcome::Outcome::Accepted(_) => 'a',
        outcome::Outcome::Duplicate(_) => 'd',
        outcome::Outcome::Conflict(_) => 'c',
        outcome::Outcome::Rejected(_) => 'r',
        outcome::Outcome::Unauthorised(_) => 'u',
    };
    result.outcomes.iter().map(letter).collect()
}

/// Who is asked for, for the registration of a birth.
pub fn ask(key: subject_key::Key, fields: &[&str]) -> GetSubjectRequest {
    GetSubjectRequest {
        kind: "person".into(),
        key: Some(SubjectKey { key: Some(key) }),
        purpose: Some(Purpose { procedure: "1.001193".into(), case_number: "HS-1".into() }),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        ..GetSubjectRequest::default()
    }
}

/// Code, reason and fields of a refusal, as a program reads them.
pub fn refusal(status: &Status) -> (Code, String, Vec<String>) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    assert!(reason.is_empty() || !hub::errors::find(&reason).is_empty(), "docs/errors.md does not know '{reason}'");
    let fields = details.bad_request().map(|bad| bad.field_violations.iter().map(|v| v.field.clone()).collect());
    (status.code(), reason, fields.unwrap_or_default())
}

/// Entries of a stream, as the status tells the ends of its partitions.
pub fn entries(status: &Value, stream: &str) -> u64 {
    let ends = status["log_ends"].as_object().expect("the ends of every partition");
    ends.iter().filter(|(name, _)| name.starts_with(stream)).filter_map(|(_, end)| end.as_u64()).sum()
}
