//! Views between processes of one hub: a process that folds and has no views that it can use takes a copy from another one, and folds on from
//! there, instead of folding the whole log.
//!
//! Nothing depends on it: a copy that is refused, broken off or damaged is thrown away, and the log is folded from its beginning.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use event_log::EventLog;
use identity::ClientTls;
use projection::FOLD_VERSION;
use telemetry::Readiness;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use views::copying::{About, GiveError, Part, PartHash, TakeError, Taken, Taker, give};
use views::runtime::{ViewsHandle, ViewsOptions};
use wire::peer::copy_service_client::CopyServiceClient;
use wire::peer::copy_service_server::{CopyService, CopyServiceServer};
use wire::peer::copy_views_response::Part as WirePart;
use wire::peer::{CopiedViews, CopyViewsRequest, CopyViewsResponse};

use super::peers;
use crate::config::Config;
use crate::erasure::COPIED;
use crate::error::{CommandError, told};

/// Largest part: a row is in one part whole.
const PART_BYTES_MAX: usize = 256 << 20;
/// Parts that wait to be sent.
const PARTS_AHEAD: usize = 2;
/// Longest that a taker may let a part wait, and that a giver may be silent: an erasure waits for the giver to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long all processes may refuse before the log is folded instead.
const ASKING: Duration = Duration::from_secs(20);
/// Copies that may be broken off before the log is folded instead.
const BROKEN_MAX: u32 = 3;
/// Between two rounds of asking.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two lines of the log about how far a copy is.
const TELL: Duration = Duration::from_secs(5);
/// What `/readyz` says meanwhile.
const TAKING: &str = "taking views from another process";

/// Whether this process gives its views to others.
pub(super) fn are_given(config: &Config) -> bool {
    config.log.kind == "kafka" && config.mutual_tls() && !config.peers.callers.is_empty()
}

/// Gives them.
pub(super) struct Copies {
    handle: ViewsHandle,
    log_id: [u8; 16],
    callers: Vec<String>,
    bytes_per_s: u64,
    aside: PathBuf,
    turn: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Copies {
    /// The service, for whoever the configuration names. Mount it behind mutual TLS only.
    pub(super) fn service(
        config: &Config,
        log_id: [u8; 16],
        handle: &ViewsHandle,
        stopping: watch::Receiver<bool>,
    ) -> CopyServiceServer<Self> {
        CopyServiceServer::new(Self {
            handle: handle.clone(),
            log_id,
            callers: config.peers.callers.clone(),
            bytes_per_s: config.peers.views_bytes_per_s,
            aside: config.top.data_dir.join("scratch").join("copy"),
            turn: Arc::new(Semaphore::new(1)),
            stopping,
        })
        .max_encoding_message_size(PART_BYTES_MAX)
    }

    fn check(&self, request: &CopyViewsRequest) -> Result<(), Status> {
        if request.log_id != self.log_id {
            let message = "this process folds another log: correct log.kafka or peers.views_from";
            return Err(peers::refused(Code::FailedPrecondition, "other_log", message));
        }
        if request.fold_version != FOLD_VERSION {
            let message = format!(
                "these views are of fold version {FOLD_VERSION}, the other process folds by version {}",
                request.fold_version
            );
            return Err(peers::refused(Code::FailedPrecondition, "other_fold_version", &message));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl CopyService for Copies {
    type CopyViewsStream = ReceiverStream<Result<CopyViewsResponse, Status>>;

    async fn copy_views(&self, request: Request<CopyViewsRequest>) -> Result<Response<Self::CopyViewsStream>, Status> {
        let to = peers::process_of(&request, &self.callers, "a copy of the views")?;
        let request = request.into_inner();
        self.check(&request)?;
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| {
            let message = "another process is given a copy at this moment: ask another one, or again later";
            peers::refused(Code::Unavailable, "copy_under_way", message)
        })?;
        let (parts, taken) = mpsc::channel(PARTS_AHEAD);
        let (handle, aside) = (self.handle.clone(), self.aside.clone());
        let giving = Giving {
            parts,
            runtime: Handle::current(),
            stopping: self.stopping.clone(),
            bytes_per_s: self.bytes_per_s,
            begun: Instant::now(),
            bytes: 0,
        };
        // Joined by nobody: it ends when its stream is dropped, and no later than the hub's stop makes it.
        tokio::task::spawn_blocking(move || {
            giving.give(&handle, &aside, &request.basis, &to);
            drop(turn);
        });
        Ok(Response::new(ReceiverStream::new(taken)))
    }
}

/// A copy that is being given.
struct Giving {
    parts: mpsc::Sender<Result<CopyViewsResponse, Status>>,
    runtime: Handle,
    stopping: watch::Receiver<bool>,
    bytes_per_s: u64,
    begun: Instant,
    bytes: u64,
}

impl Giving {
    fn give(mut self, handle: &ViewsHandle, aside: &std::path::Path, basis: &str, to: &str) {
        tracing::info!(to, "another process takes a copy of the views");
        match give(handle, aside, basis, |part, hash| self.send(part, hash)) {
            Ok(rows) => {
                let (bytes, elapsed_ms) = (self.bytes, self.begun.elapsed().as_millis());
                tracing::info!(to, rows, bytes, elapsed_ms, "another process was given a copy of the views");
            }
            Err(error) => {
                tracing::warn!(to, error = %told(&error), "another process was not given a copy of the views");
                let ends = self.parts.send(Err(status_of(&error)));
                // Whoever has gone away needs no reason.
                let _ = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, ends).await });
            }
        }
    }

    fn send(&mut self, part: Part, hash: PartHash) -> bool {
        self.bytes += match &part {
            Part::About(_) => 0,
            Part::Piece(piece) => piece.len() as u64,
        };
        let part = match part {
            Part::About(About { basis, header }) => WirePart::About(CopiedViews { basis, header }),
            Part::Piece(piece) => WirePart::Piece(piece),
        };
        let answer = CopyViewsResponse { hash: hash.to_vec(), part: Some(part) };
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_s as f64);
        let (parts, stopping, begun) = (&self.parts, &mut self.stopping, self.begun);
        self.runtime.block_on(async {
            let sent = async {
                let taken = tokio::time::timeout(PATIENCE, parts.send(Ok(answer))).await;
                tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
                matches!(taken, Ok(Ok(())))
            };
            tokio::select! {
                sent = sent => sent,
                _ = stopping.wait_for(|stopping| *stopping) => false,
            }
        })
    }
}

fn status_of(error: &GiveError) -> Status {
    let (code, reason) = match error {
        GiveError::OtherBasis(_) => (Code::FailedPrecondition, "other_basis"),
        GiveError::Behind(_) => (Code::Unavailable, "views_behind"),
        GiveError::Purging => (Code::Unavailable, "views_purged"),
        GiveError::Replaced => (Code::Unavailable, "views_replaced"),
        GiveError::NotTaken => (Code::Unavailable, "stopping"),
        GiveError::Fold(_) | GiveError::Store(_) => (Code::Unavailable, "views_unreadable"),
    };
    peers::refused(code, reason, &told(error))
}

/// Why one attempt failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// The other process gives nothing, or no more.
    #[error("{}", .0.message())]
    Asked(Box<Status>),
    /// It is silent.
    #[error("it has sent nothing for {} s", PATIENCE.as_secs())]
    Silent,
    /// What it gives is not taken.
    #[error("{0}")]
    Taken(#[from] TakeError),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Asked(Box::new(status))
    }
}

impl Failed {
    fn is_lasting(&self) -> bool {
        match self {
            Self::Asked(status) => peers::lasting(status),
            Self::Silent => false,
            Self::Taken(error) => error.is_lasting(),
        }
    }
}

/// Says that it is to end when whoever waits has gone away.
struct EndOnDrop(Arc<AtomicBool>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Takes views from the processes that the configuration names, when this one has none that it can use. Without, or when none gives them, it
/// does nothing: the log is folded then.
///
/// # Errors
/// The views' folder, the log or the certificates cannot be used.
pub(super) async fn take(
    config: &Config,
    log: &EventLog,
    log_id: [u8; 16],
    options: &ViewsOptions,
    readiness: &Readiness,
) -> Result<(), CommandError> {
    let from = peers::addresses(config.peers.views_from.as_deref());
    if from.is_empty() {
        return Ok(());
    }
    let tls = peers::tls(config)?;
    let ended = Arc::new(AtomicBool::new(false));
    let _ends = EndOnDrop(Arc::clone(&ended));
    let mark = config.top.data_dir.join(COPIED);
    let (log, options, readiness, runtime) = (log.clone(), options.clone(), readiness.clone(), Handle::current());
    let taking = tokio::task::spawn_blocking(move || {
        let taker = Taker::look(options, &log, log_id).map_err(|error| {
            CommandError::failed(format!("the views cannot be looked at: {}", told(&error)), "mend what is named")
        })?;
        if let Some(taker) = taker {
            readiness.not_ready(TAKING);
            Asking { taker, from, tls, runtime, readiness: readiness.clone(), ended, mark }.ask();
            readiness.not_ready("starting");
        }
        Ok(())
    });
    taking.await.map_err(|panic| CommandError::failed(format!("taking views: {panic}"), "see the hub's log"))?
}

/// Views that are wanted.
struct Asking {
    taker: Taker,
    /// Processes that may give them.
    from: Vec<String>,
    tls: ClientTls,
    runtime: Handle,
    readiness: Readiness,
    ended: Arc<AtomicBool>,
    /// Tells that what was erased is to be purged here too.
    mark: PathBuf,
}

impl Asking {
    /// Asks the processes in turn until one has given its views, or none will.
    fn ask(mut self) {
        tracing::info!(because = self.taker.because(), "views are asked of other processes");
        let (mut asking, mut broken) = (Instant::now(), 0);
        while !self.from.is_empty() && broken < BROKEN_MAX && asking.elapsed() < ASKING {
            for address in std::mem::take(&mut self.from) {
                let begun = Instant::now();
                let failed = match self.copy(&address) {
                    Ok(taken) => return tell(&taken, &address, begun.elapsed()),
                    Err(Tried { failed, .. }) if self.ended.load(Ordering::Acquire) => {
                        tracing::info!(error = %told(&failed), "the hub stops: views are taken at its next start");
                        return;
                    }
                    Err(tried) => tried,
                };
                tracing::warn!(from = address, error = %told(&failed.failed), "views were not taken from this process");
                if failed.bytes > 0 {
                    (asking, broken) = (Instant::now(), broken + 1);
                }
                if !failed.failed.is_lasting() {
                    self.from.push(address);
                }
            }
            std::thread::sleep(AGAIN);
        }
        if let Err(error) = self.taker.discard() {
            tracing::warn!(%error, "what a copy that was broken off has left cannot be removed");
        }
        tracing::warn!("no process gave its views: the log is folded from its beginning");
    }

    fn copy(&mut self, address: &str) -> Result<Taken, Tried> {
        let mut bytes = 0;
        self.try_copy(address, &mut bytes).map_err(|failed| Tried { failed, bytes })
    }

    fn try_copy(&mut self, address: &str, bytes: &mut u64) -> Result<Taken, Failed> {
        let request = CopyViewsRequest {
            log_id: self.taker.log_id().to_vec(),
            fold_version: FOLD_VERSION,
            basis: self.taker.basis(),
        };
        let mut answers = self.runtime.block_on(open(address, &self.tls, request))?;
        let mut taking = self.taker.begin()?;
        let (begun, mut told_at) = (Instant::now(), Instant::now());
        loop {
            let next = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, answers.message()).await });
            let Some(CopyViewsResponse { hash, part }) = next.map_err(|_elapsed| Failed::Silent)?? else { break };
            let part = match part {
                Some(WirePart::About(CopiedViews { basis, header })) => Part::About(About { basis, header }),
                Some(WirePart::Piece(piece)) => Part::Piece(piece),
                None => return Err(TakeError::Malformed("a part is empty").into()),
            };
            if self.ended.load(Ordering::Acquire) {
                return Err(TakeError::Stopped.into());
            }
            taking.take(part, &hash)?;
            *bytes = taking.bytes();
            let progress = progress(*bytes, taking.rows(), begun.elapsed());
            if told_at.elapsed() > TELL {
                tracing::info!(from = address, progress, "views are being taken");
                told_at = Instant::now();
            }
            self.readiness.progress(progress);
        }
        let (rows, ended) = (taking.rows(), Arc::clone(&self.ended));
        tracing::info!(from = address, bytes, rows, "all of the views came; their rows are read and summed");
        self.readiness.progress("its rows are read and summed".to_owned());
        // Before the views serve: the other process may not have purged yet what it has erased.
        std::fs::File::create(&self.mark).and_then(|mark| mark.sync_all()).map_err(TakeError::System)?;
        Ok(taking.finish(|_| !ended.load(Ordering::Acquire))?)
    }
}

/// An attempt that failed, and how much had come.
struct Tried {
    failed: Failed,
    bytes: u64,
}

async fn open(
    address: &str,
    tls: &ClientTls,
    request: CopyViewsRequest,
) -> Result<Streaming<CopyViewsResponse>, Failed> {
    let channel = peers::connect(address, tls, None).await?;
    let mut client = CopyServiceClient::new(channel).max_decoding_message_size(PART_BYTES_MAX);
    let asked = tokio::time::timeout(PATIENCE, client.copy_views(request)).await;
    Ok(asked.map_err(|_elapsed| Failed::Silent)??.into_inner())
}

fn progress(bytes: u64, rows: u64, elapsed: Duration) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB, {rows} rows, {:.1} MiB/s", mib / elapsed.as_secs_f64().max(1e-3))
}

fn tell(taken: &Taken, from: &str, elapsed: Duration) {
    let rate = progress(taken.bytes, taken.rows, elapsed);
    let entries = taken.positions.total();
    tracing::info!(from, rate, entries, digest = %taken.digest, "views were taken from another process");
}
