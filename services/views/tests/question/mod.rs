//! A hub without its door: changes go straight to the log, questions straight to the service.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use contract::Contract;
use event_log::{Append, EventLog, StreamSet};
use identity::{PeerInfo, Principal, TrustDomain};
use projection::units::{Unit, UnitList};
use record::access::{Access, AccessBatch};
use record::control::Order;
use record::{
    AgencyId, BodyCodec, Entry, EntryHeader, EntryKind, Envelope, Operation, Partition, Position, Positions, RecordId,
    RegisterEpoch, RegisterName, Stream, Timestamp,
};
use serde_json::Value as Json;
use telemetry::Metrics;
use tokio::sync::watch;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use view_store::{Options as StoreOptions, StoreKind};
use views::access_log::{AccessLog, AccessLogOptions, AccessLogTask};
use views::query::{Options, Query};
use views::runtime::{Views, ViewsOptions};
use wire::query::get_subject_response::Result as Found;
use wire::query::query_service_server::QueryService as _;
use wire::query::subject_key::Key;
use wire::query::{Attribute, GetSubjectRequest, GetSubjectResponse, Purpose, Subject, SubjectKey, Value};

use crate::support;

pub const NATIONAL: &str = "spiffe://hub.test/portal/national";
pub const COMMUNE: &str = "spiffe://hub.test/portal/commune-00004";
pub const CIVIL: &str = "spiffe://hub.test/register/civil";
pub const AUDITOR: &str = "spiffe://hub.test/auditor/main";
const DAY: i64 = 86_400_000_000;

/// A version of a record.
#[derive(Clone)]
pub struct Record {
    register: &'static str,
    record_type: &'static str,
    id: String,
    version: u64,
    replaces: u64,
    effective: Option<Timestamp>,
    json: Json,
}

impl Record {
    pub fn new(register: &'static str, record_type: &'static str, id: &str) -> Self {
        Self { register, record_type, id: id.into(), version: 1, replaces: 0, effective: None, json: Json::Null }
    }

    pub fn with(self, json: Json) -> Self {
        Self { json, ..self }
    }

    pub fn version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    pub fn replaces(self, replaces: u64) -> Self {
        Self { replaces, ..self }
    }

    pub fn effective(self, effective: Timestamp) -> Self {
        Self { effective: Some(effective), ..self }
    }

    fn entry(&self, contract: &Contract) -> (Partition, Bytes) {
        let register = RegisterName::try_from(self.register).expect("a name");
        let record_id = RecordId::try_from(self.id.as_str()).expect("an id");
        let record = support::secret().pseudonym(&register, &record_id);
        let payload = contract.json_to_body(self.record_type, &self.json).expect("the sample fits its type");
        let effective_at = self.effective.unwrap_or_else(|| Timestamp(now().0 - DAY));
        let header = EntryHeader {
            kind: EntryKind::Upsert,
            codec: BodyCodec::SaltedPlain,
            register: Some(register),
            epoch: RegisterEpoch(0),
            record,
            version: self.version,
            effective_at,
            recorded_at: now(),
            contract: contract.id(),
        };
        let envelope = Envelope {
            record_id,
            record_type: self.record_type,
            operation: Operation::Upsert,
            agency: AgencyId::try_from("test").expect("an agency"),
            replaces: self.replaces,
            effective_at,
            registered_at: now(),
            legal_basis: "",
            reason: "",
            payload: &payload,
            published_at: now(),
            principal: "spiffe://hub.test/register/test",
            trace: None,
        };
        let bytes = Entry::encode_salted(&header, &[2; 16], &envelope.encode()).expect("a change fits");
        (record.partition(support::PARTITIONS), bytes.into())
    }
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(i64::try_from(since.as_micros()).expect("within range"))
}

/// Two lists: 00001 became 00009, 00004 stayed, 00005 was split between the two.
fn unit_lists() -> Vec<UnitList> {
    let unit = |code: &str| Unit { code: code.into(), name: format!("Xã {code}"), province: code[..2].into() };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let old = UnitList {
        version: "old".into(),
        valid_from: "2020-01-01".into(),
        previous: String::new(),
        units: ["00001", "00004", "00005"].map(unit).into(),
        map: vec![],
    };
    let new = UnitList {
        version: "new".into(),
        valid_from: "2025-07-01".into(),
        previous: "old".into(),
        units: ["00004", "00009"].map(unit).into(),
        map: vec![pair("00001", "00009"), pair("00004", "00004"), pair("00005", "00004"), pair("00005", "00009")],
    };
    vec![old, new]
}

fn prefix() -> Vec<Bytes> {
    let lists = unit_lists();
    let commitment = support::secret().commitment();
    let mut orders = vec![Order::LogOpened { commitment, partitions: support::PARTITIONS }];
    orders.extend(contract::builtin().iter().map(|c| Order::Contract {
        register: RegisterName::try_from(c.register).expect("a name"),
        descriptors: c.descriptor_set.to_vec(),
    }));
    orders.push(Order::Policy { document: access::BUILTIN_POLICY.as_bytes().to_vec() });
    orders.push(Order::Procedures { document: access::BUILTIN_PROCEDURES.as_bytes().to_vec() });
    orders.extend(lists.iter().map(|l| Order::Units { document: l.encode() }));
    let unit_lists = lists.iter().map(|l| l.version.clone()).collect();
    orders.push(Order::Model { epoch: 1, model: linkage::Model::epoch_1().to_bytes(), unit_lists });
    let mut entries: Vec<Bytes> = orders.into_iter().map(support::control).collect();
    entries.push(support::late_contract());
    entries
}

pub struct Hub {
    dir: tempfile::TempDir,
    log: EventLog,
    views: Views,
    task: AccessLogTask,
    access_log: AccessLog,
    pub query: Query,
}

impl Hub {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = support::log(&dir.path().join("log"));
        support::append(&log, prefix()).await;
        Self::over(dir, log).await
    }

    async fn over(dir: tempfile::TempDir, log: EventLog) -> Self {
        let views = views(dir.path(), &log);
        let metrics = Metrics::disabled();
        let options = AccessLogOptions {
            store: StoreKind::Fjall,
            cache_bytes: 16 << 20,
            log_id: support::LOG_ID,
            clock: Arc::new(now),
            metrics: Arc::new(metrics.query()),
        };
        let started = AccessLog::start(log.clone(), dir.path().join("accesses"), options).await;
        let (access_log, task) = started.expect("the access log starts");
        let options = Options::new(Arc::new(now), "1.0.0", metrics);
        let query = Query::new(views.handle.clone(), access_log.clone(), options);
        let hub = Self { dir, log, views, task, access_log, query };
        hub.folded().await;
        hub
    }

    pub async fn stop(self) {
        let Self { views, task, .. } = self;
        task.stop().await;
        tokio::task::spawn_blocking(|| views.stop()).await.expect("no panic").expect("the fold goes on to the end");
    }

    /// Everything anew but the log; the access index is gone.
    pub async fn restart_without_index(self) -> Self {
        let Self { dir, log, views, task, access_log, query } = self;
        task.stop().await;
        tokio::task::spawn_blocking(|| views.stop()).await.expect("no panic").expect("the fold goes on to the end");
        drop((query, access_log));
        std::fs::remove_dir_all(dir.path().join("accesses")).expect("the index is there");
        Self::over(dir, log).await
    }

    /// A service that believes the views to be folded as far as `folded` says, and waits for no more than `wait_max`.
    pub fn query_over(&self, folded: watch::Receiver<Positions>, wait_max: Duration) -> Query {
        let options = Options { wait_max, ..Options::new(Arc::new(now), "1.0.0", Metrics::disabled()) };
        let mut handle = self.views.handle.clone();
        handle.folded = folded;
        Query::new(handle, self.access_log.clone(), options)
    }

    /// A service over the same views with other options.
    pub fn query_with(&self, options: impl FnOnce(Options) -> Options) -> Query {
        let options = options(Options::new(Arc::new(now), "1.0.0", Metrics::disabled()));
        Query::new(self.views.handle.clone(), self.access_log.clone(), options)
    }

    /// Appends changes and returns their places.
    pub async fn append(&self, records: &[Record]) -> Vec<Position> {
        let contracts = support::contracts();
        let entries = records.iter().map(|r| {
            let (partition, bytes) = r.entry(&contracts[r.register]);
            Append { stream: Stream::Change, partition, bytes }
        });
        let appended = self.log.append(entries.collect()).await.expect("the log takes entries");
        appended.into_iter().map(|a| a.position).collect()
    }

    /// Appends changes and waits until they are folded.
    pub async fn state(&self, records: &[Record]) {
        self.append(records).await;
        self.folded().await;
    }

    /// Appends entries as they are, and waits until they are folded.
    pub async fn take(&self, entries: Vec<Bytes>) {
        support::append(&self.log, entries).await;
        self.folded().await;
    }

    /// The last batch, for a sample of its counters.
    pub fn view(&self) -> view_store::View {
        self.views.handle.view().expect("readable").0
    }

    async fn folded(&self) {
        let ends: Positions = self.log.ends().iter().filter(|(stream, ..)| *stream != Stream::Access).collect();
        let mut folded = self.views.handle.folded.clone();
        folded.wait_for(|p| p.covers_all(&ends)).await.expect("the fold runs");
        // The status follows the positions.
        let mut status = self.views.handle.status.clone();
        status.wait_for(|s| s.positions.covers_all(&ends)).await.expect("the fold runs");
    }

    pub async fn cut(&self) {
        let ends = self.log.ends().iter().filter(|(stream, ..)| *stream != Stream::Access).collect();
        support::append(&self.log, vec![support::control(Order::Cut { at: now(), ends })]).await;
        self.folded().await;
    }

    /// A time that is over when this returns.
    pub async fn later(&self) -> Timestamp {
        let at = now();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        at
    }

    pub fn days_ago(&self, days: i64) -> Timestamp {
        Timestamp(now().0 - days * DAY)
    }

    pub fn ask<T>(&self, caller: &str, message: T) -> Request<T> {
        let domain = TrustDomain::try_from("hub.test").expect("a trust domain");
        let principal = Principal::parse(caller, &domain).expect("a SPIFFE id");
        let mut request = Request::new(message);
        request.extensions_mut().insert(PeerInfo { principal, remote: None });
        request
    }

    pub async fn get(&self, caller: &str, request: GetSubjectRequest) -> GetSubjectResponse {
        self.query.get_subject(self.ask(caller, request)).await.expect("granted").into_inner()
    }

    /// Every access in the log, in its order.
    pub fn accesses(&self) -> Vec<Access> {
        let access = StreamSet::empty().with(Stream::Access);
        let mut reader = self.log.reader(&Positions::new(), access).expect("a log");
        let batch = reader.next_batch(100_000, 64 << 20).expect("a sound log");
        let decode = |bytes: &Bytes| {
            let entry = Entry::decode(bytes).expect("an entry");
            AccessBatch::decode(entry.plain_body().expect("plain")).expect("an access entry").accesses
        };
        batch.entries.iter().flat_map(|logged| decode(&logged.bytes)).collect()
    }
}

fn views(dir: &Path, log: &EventLog) -> Views {
    let options = ViewsOptions {
        dir: dir.join("views"),
        store: StoreOptions { cache_bytes: 16 << 20, ..StoreOptions::default() },
        batch_entries_max: 4096,
        batch_bytes_max: 8 << 20,
        rebuild: false,
    };
    let secret = Arc::new(support::secret());
    Views::start(log.clone(), support::LOG_ID, secret, options, &Metrics::disabled()).expect("the views start")
}

pub fn purpose(procedure: &str) -> Option<Purpose> {
    Some(Purpose { procedure: procedure.into(), case_number: "H29-2026-000123".into() })
}

pub fn by_personal_id(id: &str, fields: &[&str]) -> GetSubjectRequest {
    GetSubjectRequest {
        kind: "person".into(),
        key: Some(SubjectKey { key: Some(Key::PersonalId(id.into())) }),
        purpose: purpose("1.001193"),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        ..GetSubjectRequest::default()
    }
}

pub fn subject_of(response: GetSubjectResponse) -> Subject {
    match response.result {
        Some(Found::Subject(subject)) => subject,
        other => panic!("no subject: {other:?}"),
    }
}

pub fn attribute(subject: &Subject, name: &str) -> Attribute {
    let found = subject.attributes.iter().find(|a| a.name == name);
    found.unwrap_or_else(|| panic!("no {name}: {subject:?}")).clone()
}

pub fn text(value: &Option<Value>) -> String {
    text_of(value.as_ref().and_then(|v| v.value.as_ref()))
}

pub fn text_of(value: Option<&prost_types::Value>) -> String {
    match value.and_then(|v| v.kind.as_ref()) {
        Some(prost_types::value::Kind::StringValue(text)) => text.clone(),
        other => panic!("no text: {other:?}"),
    }
}

pub fn struct_of(value: &Option<Value>) -> prost_types::Struct {
    match value.as_ref().and_then(|v| v.value.as_ref()).and_then(|v| v.kind.as_ref()) {
        Some(prost_types::value::Kind::StructValue(fields)) => fields.clone(),
        other => panic!("no struct: {other:?}"),
    }
}

pub fn wire_time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.0.div_euclid(1_000_000), nanos: (at.0.rem_euclid(1_000_000) * 1_000) as i32 }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The reason code of a refusal.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
