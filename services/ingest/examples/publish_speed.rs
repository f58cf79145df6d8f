//! Changes per second through the door, against a handler that does nothing on the same kind of stream: how much of a publish is the hub's own
//! work. Run with `cargo run --release -p ingest --example publish_speed [changes] [batch]`.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Access, Kinds, PolicyDocument, ProcedureSet};
use arc_swap::ArcSwap;
use event_log::{Embedded, EventLog, LogOptions};
use futures::{Stream, StreamExt as _};
use identity::{ConnectionLimits, Incoming, TrustDomain};
use ingest::{
    Bootstrap, Deps, Ingest, Limits, MESSAGE_BYTES_MAX, RESPONSE_BYTES_MAX, bootstrap, system_clock, system_salts,
};
use ledger::SigningKey;
use nation::{Config, Flaw, Nation, Operation};
use projection::state::ControlState;
use record::control::Control;
use record::{Entry, LogSecret, Positions};
use telemetry::Metrics;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use view_store::{Expect, Options, ViewStore};
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::ingest_service_server::{IngestService, IngestServiceServer};
use wire::ingest::*;

type Client = IngestServiceClient<Channel>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Answers each batch with nothing.
struct Empty;

type Responses = Pin<Box<dyn Stream<Item = std::result::Result<PublishResponse, Status>> + Send>>;

#[tonic::async_trait]
impl IngestService for Empty {
    type PublishStream = Responses;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> std::result::Result<Response<Responses>, Status> {
        let answer = |request: std::result::Result<PublishRequest, Status>| {
            let sequence = request?.batch.map_or(0, |batch| batch.sequence);
            Ok(PublishResponse { result: Some(BatchResult { sequence, ..BatchResult::default() }) })
        };
        Ok(Response::new(Box::pin(request.into_inner().map(answer))))
    }

    async fn publish_batch(
        &self,
        _: Request<PublishBatchRequest>,
    ) -> std::result::Result<Response<PublishBatchResponse>, Status> {
        Err(Status::unimplemented("only streams are measured"))
    }

    async fn get_change_status(
        &self,
        _: Request<GetChangeStatusRequest>,
    ) -> std::result::Result<Response<GetChangeStatusResponse>, Status> {
        Err(Status::unimplemented("only streams are measured"))
    }

    async fn list_rejected(
        &self,
        _: Request<ListRejectedRequest>,
    ) -> std::result::Result<Response<ListRejectedResponse>, Status> {
        Err(Status::unimplemented("only streams are measured"))
    }

    async fn redrive(&self, _: Request<RedriveRequest>) -> std::result::Result<Response<RedriveResponse>, Status> {
        Err(Status::unimplemented("only streams are measured"))
    }

    async fn declare_expected(
        &self,
        _: Request<DeclareExpectedRequest>,
    ) -> std::result::Result<Response<DeclareExpectedResponse>, Status> {
        Err(Status::unimplemented("only streams are measured"))
    }

    async fn get_keys(&self, _: Request<GetKeysRequest>) -> std::result::Result<Response<GetKeysResponse>, Status> {
        Err(Status::unimplemented("only streams are measured"))
    }
}

async fn serve<T: IngestService>(service: IngestServiceServer<T>) -> Result<Client> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("http://{}", listener.local_addr()?);
    let principal = TrustDomain::try_from("hub.test")?.principal("register/civil")?;
    let incoming = Incoming::plaintext(listener, principal, ConnectionLimits::default())?.into_stream();
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let channel = Endpoint::from_shared(uri)?.connect().await?;
    Ok(IngestServiceClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX))
}

/// Sends all batches and returns the time to the last answer, and the changes accepted.
async fn measure(mut client: Client, batches: Vec<PublishRequest>) -> Result<(Duration, usize)> {
    let begun = Instant::now();
    let mut answers = client.publish(futures::stream::iter(batches)).await?.into_inner();
    let mut accepted = 0;
    while let Some(answer) = answers.message().await? {
        let outcomes = answer.result.unwrap_or_default().outcomes;
        accepted += outcomes.iter().filter(|o| matches!(o.outcome, Some(outcome::Outcome::Accepted(_)))).count();
    }
    Ok((begun.elapsed(), accepted))
}

fn batches(changes: usize, per_batch: usize) -> Result<Vec<PublishRequest>> {
    let nation = Nation::new(Config { persons: 20_000, ..Config::default() })?;
    let sound = nation.changes("civil").filter(|c| c.flaw == Flaw::None && c.operation == Operation::Upsert);
    let samples: Vec<_> = sound.take(5_000).collect();
    let time = |micros: i64| Some(prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos: 0 });
    let change = |n: usize| {
        let sample = &samples[n % samples.len()];
        Change {
            record_id: format!("{n}"),
            version: 1,
            operation: 1,
            record_type: sample.record_type.into(),
            effective_at: time(sample.effective_at),
            registered_at: time(sample.registered_at),
            agency: sample.agency.clone(),
            payload: sample.payload.clone().into(),
            ..Change::default()
        }
    };
    let batch = |first: usize| Batch {
        sequence: first as u64,
        register: "civil".into(),
        changes: (first..changes.min(first + per_batch)).map(change).collect(),
        ..Batch::default()
    };
    Ok((0..changes).step_by(per_batch).map(|first| PublishRequest { batch: Some(batch(first)) }).collect())
}

fn control_of(log: &EventLog) -> Result<ControlState> {
    let mut state = ControlState::default();
    let mut reader = log.reader(&Positions::new(), event_log::StreamSet::ALL_BUT_ACCESS)?;
    for logged in reader.next_batch(1_000, 64 << 20)?.entries {
        let entry = Entry::decode(&logged.bytes)?;
        state.apply(logged.position.index, entry.header.recorded_at, Control::decode(entry.plain_body()?)?);
    }
    Ok(state)
}

fn policy() -> Result<Access> {
    let attributes = contract::kinds().attributes().iter();
    let rows: Vec<_> = attributes
        .filter_map(|a| Some((a.kind.name(), a.name.as_str(), access::Sensitivity::from_name(a.sensitivity.name())?)))
        .collect();
    let document = PolicyDocument::parse(access::BUILTIN_POLICY.as_bytes())?;
    Ok(Access::new(document, ProcedureSet::builtin(), Kinds::from_rows(rows)?)?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let changes = arguments.next().transpose()?.unwrap_or(100_000);
    let per_batch = arguments.next().transpose()?.unwrap_or(1_000);
    let dir = tempfile::tempdir()?;
    let log: EventLog = Embedded::create(&dir.path().join("log"), &LogOptions::default(), [7; 16])?.into();
    let secret = Arc::new(LogSecret::new(&[3; 32]));
    let first = Bootstrap { kinds: Vec::new(), unit_lists: Vec::new(), clock: system_clock(), salts: system_salts() };
    bootstrap(&log, &secret, &first).await?;
    let expect = Expect { fold_version: 1, log_id: [7; 16] };
    let store = ViewStore::open(&dir.path().join("views"), Options::default(), expect)?.into_store();
    let (_folded, seen) = watch::channel(Positions::new());
    let ingest = Ingest::new(Deps {
        control: Arc::new(ArcSwap::from_pointee(control_of(&log)?)),
        log,
        secret,
        key: Arc::new(SigningKey::new("hub.test/log", &[1; 32])?),
        origin: "hub.test/log".into(),
        access: Arc::new(ArcSwap::from_pointee(policy()?)),
        heads: store.reader(),
        folded: seen,
        limits: Limits::default(),
        clock: system_clock(),
        salts: system_salts(),
        metrics: Metrics::disabled(),
    });
    let batches = batches(changes, per_batch)?;
    let bytes: usize = batches.iter().map(prost::Message::encoded_len).sum();
    let empty = serve(IngestServiceServer::new(Empty).max_decoding_message_size(MESSAGE_BYTES_MAX)).await?;
    let door = serve(ingest.service()).await?;
    let (nothing, _) = measure(empty, batches.clone()).await?;
    let (all, accepted) = measure(door, batches).await?;
    let rate = |took: Duration| changes as f64 / took.as_secs_f64();
    println!("{changes} changes of {} bytes in batches of {per_batch}, {accepted} accepted", bytes / changes);
    println!("empty handler {:.0}/s, door {:.0}/s, ratio {:.2}", rate(nothing), rate(all), rate(all) / rate(nothing));
    ingest.shutdown().await;
    Ok(())
}
