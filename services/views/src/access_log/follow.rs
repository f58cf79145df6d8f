//! The index of accesses on a log that several processes share: a thread reads the stream on and indexes what comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use event_log::{EventLog, ReadError, StreamSet};
use record::{Positions, Stream};
use telemetry::told;
use tokio::sync::watch;

use super::index::AccessIndex;
use super::{AccessLogError, StartError};

/// Longest that a stop takes to be seen.
const WAIT: Duration = Duration::from_millis(200);
/// Longest that a list waits for what the stream holds.
const LIST_WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// How far the stream is indexed.
#[derive(Debug, Clone, Default)]
pub(super) struct Followed {
    positions: Positions,
    stopped: bool,
}

pub(super) struct Follower {
    followed: watch::Receiver<Followed>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Goes on where the index stands.
    pub(super) fn start(log: EventLog, index: Arc<AccessIndex>) -> Result<Self, StartError> {
        let mut positions = index.positions()?;
        for (stream, partition, first) in log.first().of(Stream::Access).iter() {
            // What retention has let go of is not indexed any more.
            if positions.get(stream, partition) < first {
                positions.set(stream, partition, first);
            }
        }
        let (tell, followed) = watch::channel(Followed { positions, stopped: false });
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let run = move || {
            if let Err(error) = follow(&log, &index, &tell, &stopping) {
                tracing::error!(error = %told(&error), "accesses are not indexed any more: lists of them fail until the next start");
                tell.send_modify(|followed| followed.stopped = true);
            }
        };
        let thread = std::thread::Builder::new().name("access-index".into()).spawn(run);
        let thread = thread.map_err(StartError::Thread)?;
        Ok(Self { followed, stop, thread: Some(thread) })
    }

    pub(super) fn followed(&self) -> watch::Receiver<Followed> {
        self.followed.clone()
    }

    /// Ends it. Blocks for a moment.
    pub(super) fn stop(mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("following the accesses ended in a panic");
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn follow(
    log: &EventLog,
    index: &AccessIndex,
    tell: &watch::Sender<Followed>,
    stop: &AtomicBool,
) -> Result<(), AccessLogError> {
    let mut reader = log.reader(&tell.borrow().positions.clone(), StreamSet::empty().with(Stream::Access))?;
    while !stop.load(Ordering::Acquire) {
        match index.take(&mut reader) {
            // Brokers that do not answer come back; the log tells of them meanwhile.
            Err(AccessLogError::Read(error)) if matches!(*error, ReadError::Unanswered { .. }) => {}
            Err(error) => return Err(error),
            Ok(0) => {
                reader.wait(WAIT);
            }
            Ok(_) => {
                tell.send_modify(|followed| followed.positions = reader.positions().clone());
            }
        }
    }
    Ok(())
}

/// Waits until the index holds what the stream does. Blocks.
pub(super) fn wait(followed: &watch::Receiver<Followed>, ends: &Positions) -> Result<(), AccessLogError> {
    let until = Instant::now() + LIST_WAIT;
    loop {
        let now = followed.borrow().clone();
        if now.positions.covers_all(ends) {
            return Ok(());
        }
        if now.stopped || Instant::now() > until {
            return Err(AccessLogError::Behind);
        }
        std::thread::sleep(LOOK);
    }
}
