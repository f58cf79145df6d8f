//! More than the hub can take: what is still taken, what questions take meanwhile, and whether one caller, or a rebuild, starves another.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use ingest::RESPONSE_BYTES_MAX;
use nation::REGISTERS;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{DiscardViewsRequest, PrepareViewsRequest};
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{Batch, PublishBatchRequest};
use wire::query::query_service_client::QueryServiceClient;
use wire::query::search_request::Query;
use wire::query::{NameBirth, SearchRequest};

use super::figure::{Budget, Figure, Limit};
use super::load::{Load, p99_ms, question};

/// How many times the maximum is offered.
const TIMES: f64 = 3.0;
/// Batches on their way at most, so that the clients' own memory is bounded: what is due beyond it waits with them.
const IN_FLIGHT_MAX: usize = 2_000;
/// Questions on their way while the hub is flooded.
const ASKED_BESIDE: usize = 4;
/// Calls of the publisher who sends all that it can.
const FLOODERS: usize = 200;
/// Searches on their way while persons are asked for.
const SEARCHES: usize = 16;
/// Longest that a batch is waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// What came of a flood.
pub(super) struct Flood {
    /// Changes a second that were accepted.
    pub(super) goodput: f64,
    refused: usize,
    /// Of the refusals, those that said when to come again.
    told: usize,
    /// How long questions took meanwhile.
    asked: Vec<Duration>,
}

/// Offers batches at three times the rate `per_s` until all are accepted, and asks for persons meanwhile. What is refused is offered again,
/// sooner than it was told to.
pub(super) async fn flood(
    publishers: &[Channel],
    portal: &Channel,
    ids: &[&str],
    load: Load,
    per_s: f64,
) -> Result<Flood, Status> {
    let over = AtomicBool::new(false);
    let beside = join_all((0..ASKED_BESIDE).map(|at| ask_until(portal, ids, at, &over)));
    let flooded = async {
        let result = offer(publishers, load, per_s * TIMES).await;
        over.store(true, Ordering::Release);
        result
    };
    let (flooded, asked) = tokio::join!(flooded, beside);
    let asked: Result<Vec<_>, Status> = asked.into_iter().collect();
    Ok(Flood { asked: asked?.concat(), ..flooded? })
}

async fn offer(publishers: &[Channel], load: Load, per_s: f64) -> Result<Flood, Status> {
    let changes = load.changes;
    let mut due: VecDeque<Batch> = load.in_turn().collect();
    let mut underway: JoinSet<(Batch, Result<(), Status>)> = JoinSet::new();
    let (mut refused, mut told) = (0, 0);
    let begun = Instant::now();
    let mut offered = 0;
    while !due.is_empty() || !underway.is_empty() {
        let at = begun + Duration::from_secs_f64(offered as f64 / per_s);
        tokio::select! {
            () = tokio::time::sleep_until(at.into()), if !due.is_empty() && underway.len() < IN_FLIGHT_MAX => {
                let batch = due.pop_front().expect("it is not empty");
                offered += batch.changes.len();
                let register = REGISTERS.iter().position(|register| *register == batch.register);
                let channel = publishers[register.expect("a batch of these registers")].clone();
                underway.spawn(publish_one(channel, batch));
            }
            Some(done) = underway.join_next() => {
                let (batch, result) = done.map_err(|error| Status::internal(error.to_string()))?;
                if let Err(status) = result {
                    let busy = matches!(status.code(), Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded);
                    if !busy {
                        return Err(status);
                    }
                    refused += 1;
                    told += usize::from(status.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
                    due.push_back(batch);
                }
            }
        }
    }
    let goodput = changes as f64 / begun.elapsed().as_secs_f64().max(1e-3);
    Ok(Flood { goodput, refused, told, asked: Vec::new() })
}

async fn publish_one(channel: Channel, batch: Batch) -> (Batch, Result<(), Status>) {
    let mut client = IngestServiceClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    let mut request = tonic::Request::new(PublishBatchRequest { batch: Some(batch.clone()) });
    request.set_timeout(DEADLINE);
    let result = client.publish_batch(request).await.map(drop);
    (batch, result)
}

/// Asks for one person after the other until it is over.
async fn ask_until(portal: &Channel, ids: &[&str], at: usize, over: &AtomicBool) -> Result<Vec<Duration>, Status> {
    let mut client = QueryServiceClient::new(portal.clone());
    let mut times = Vec::new();
    for id in ids.iter().cycle().skip(at * ids.len() / ASKED_BESIDE) {
        if over.load(Ordering::Acquire) {
            break;
        }
        let begun = Instant::now();
        client.get_subject(question(id)).await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// The figures of a flood, beside the maximum of the same run.
pub(super) fn figures(flood: Flood, maximum: f64) -> [Figure; 3] {
    let told = if flood.refused == 0 { 100.0 } else { 100.0 * flood.told as f64 / flood.refused as f64 };
    let limit = Some(Limit { what: "the burst of the same run", value: maximum });
    [
        Figure {
            name: "overload_goodput",
            value: flood.goodput,
            unit: "changes/s",
            limit,
            budget: Budget::AtLeast(f64::INFINITY, Some(0.8)),
        },
        Figure {
            name: "overload_query_p99",
            value: p99_ms(flood.asked),
            unit: "ms",
            limit: None,
            budget: Budget::AtMost(50.0),
        },
        Figure {
            name: "overload_told",
            value: told,
            unit: "% of refusals",
            limit: None,
            budget: Budget::AtLeast(100.0, None),
        },
    ]
}

/// How long a publisher's batches take, one at a time, while another one sends all that it can, beside what they take alone.
pub(super) async fn beside_publisher(publishers: &[Channel], load: Load) -> Result<Figure, Status> {
    let mut registers = load.into_registers();
    let (flood, mut own) = (registers.swap_remove(0), registers.swap_remove(0));
    let beside = own.split_off(own.len() / 2);
    let (greedy, modest) = (&publishers[0], &publishers[REGISTERS.len() - 1]);
    let alone = one_by_one(modest, own).await?;
    let over = AtomicBool::new(false);
    let flooding = join_all((0..FLOODERS).map(|at| send_until(greedy, &flood, at, &over)));
    let modestly = async {
        let times = one_by_one(modest, beside).await;
        over.store(true, Ordering::Release);
        times
    };
    let (_, times) = tokio::join!(flooding, modestly);
    let limit = Some(Limit { what: "the same without the other publisher", value: p99_ms(alone) });
    Ok(Figure { name: "beside_publisher_p99", value: p99_ms(times?), unit: "ms", limit, budget: Budget::None })
}

/// Sends the same batches again and again: all but the first time they are duplicates, which cost the door as much. What is refused is
/// what this is about.
async fn send_until(channel: &Channel, batches: &[Batch], at: usize, over: &AtomicBool) {
    for batch in batches.iter().cycle().skip(at) {
        if over.load(Ordering::Acquire) {
            break;
        }
        let _ = publish_one(channel.clone(), batch.clone()).await;
    }
}

async fn one_by_one(channel: &Channel, batches: Vec<Batch>) -> Result<Vec<Duration>, Status> {
    let mut times = Vec::with_capacity(batches.len());
    for batch in batches {
        let begun = Instant::now();
        publish_one(channel.clone(), batch).await.1?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// How long persons take to be found while searches for a common name run, beside what they take alone.
pub(super) async fn beside_search(
    portal: &Channel,
    ids: &[&str],
    common: &NameBirth,
    each: Duration,
) -> Result<Figure, Status> {
    let alone = ask_for(portal, ids, each).await?;
    let over = AtomicBool::new(false);
    let searching = join_all((0..SEARCHES).map(|_| search_until(portal, common, &over)));
    let asking = async {
        let times = ask_for(portal, ids, each).await;
        over.store(true, Ordering::Release);
        times
    };
    let (searched, times) = tokio::join!(searching, asking);
    searched.into_iter().collect::<Result<(), Status>>()?;
    let limit = Some(Limit { what: "the same without searches", value: p99_ms(alone) });
    Ok(Figure { name: "beside_search_p99", value: p99_ms(times?), unit: "ms", limit, budget: Budget::None })
}

/// How long persons take to be found while the views are folded again beside those that serve, beside what they take alone.
pub(super) async fn beside_rebuild(
    portal: &Channel,
    operator: Channel,
    ids: &[&str],
    each: Duration,
) -> Result<Figure, Status> {
    let alone = ask_for(portal, ids, each).await?;
    let mut operator = AdminServiceClient::new(operator);
    let mut progress = operator.prepare_views(PrepareViewsRequest::default()).await?.into_inner();
    let over = AtomicBool::new(false);
    let rebuilding = async {
        let level = async {
            while progress.message().await?.is_some() {}
            Ok::<_, Status>(())
        };
        let ended = tokio::time::timeout(each, level).await;
        over.store(true, Ordering::Release);
        ended.unwrap_or(Ok(()))
    };
    let (rebuilt, times) = tokio::join!(rebuilding, ask_until(portal, ids, 0, &over));
    rebuilt?;
    operator.discard_views(DiscardViewsRequest::default()).await?;
    let limit = Some(Limit { what: "the same without a rebuild", value: p99_ms(alone) });
    Ok(Figure { name: "beside_rebuild_p99", value: p99_ms(times?), unit: "ms", limit, budget: Budget::Grows(2.0) })
}

/// Asks for one person after the other until the time ends.
async fn ask_for(portal: &Channel, ids: &[&str], each: Duration) -> Result<Vec<Duration>, Status> {
    let over = AtomicBool::new(false);
    let ending = async {
        tokio::time::sleep(each).await;
        over.store(true, Ordering::Release);
    };
    tokio::join!(ending, ask_until(portal, ids, 0, &over)).1
}

async fn search_until(portal: &Channel, common: &NameBirth, over: &AtomicBool) -> Result<(), Status> {
    let mut client = QueryServiceClient::new(portal.clone());
    while !over.load(Ordering::Acquire) {
        let request = SearchRequest {
            kind: "person".to_owned(),
            purpose: question("").purpose,
            query: Some(Query::NameBirth(common.clone())),
        };
        client.search(request).await?;
    }
    Ok(())
}
