//! Reading ahead: a thread takes entries from the log and prepares them while the fold applies the batch before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use event_log::{EventLog, Logged, ReadError, StreamSet};
use projection::state::ControlState;
use record::{LogSecret, Positions};

use super::prepare::Prepared;
use super::{Fold, FoldError};

/// How long the thread waits for the log to grow before it looks whether it must stop.
const IDLE_WAIT: Duration = Duration::from_millis(200);
/// Batches that are ready while one is folded: with the one that is read and the one that is folded, three are in memory.
const AHEAD: usize = 1;

/// What is read of the log, and in batches of which size.
#[derive(Debug, Clone, Copy)]
pub struct FeedOptions {
    /// A batch closes at this many entries.
    pub entries_max: usize,
    /// A batch closes at this many bytes.
    pub bytes_max: usize,
    /// Whether to go on when the log ends, as a follower does.
    pub follow: bool,
}

/// The thread that reads ahead. It ends when this is dropped.
pub struct Feed {
    batches: Option<Receiver<Result<Prepared, FoldError>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the feed has to give.
pub enum Fed {
    /// The next batch.
    Batch(Prepared),
    /// Nothing came within the time.
    Idle,
    /// The log has ended, and the feed does not follow it.
    End,
}

impl Feed {
    /// Starts reading where `fold` stands, leaving out what `keep` does not want.
    ///
    /// # Errors
    /// The log does not reach back so far, or the thread cannot be started.
    pub fn start(
        fold: &Fold,
        log: &EventLog,
        options: FeedOptions,
        keep: impl Fn(&Logged) -> bool + Send + 'static,
    ) -> Result<Self, FoldError> {
        let reader = log.reader(fold.positions(), StreamSet::ALL_BUT_ACCESS)?;
        let (send, batches) = sync_channel(AHEAD);
        let stop = Arc::new(AtomicBool::new(false));
        let ahead = Ahead {
            reader,
            control: fold.shared_control(),
            secret: fold.secret.clone(),
            options,
            keep,
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new().name("fold-feed".into()).spawn(move || ahead.run(&send));
        let thread = thread.map_err(FoldError::Thread)?;
        Ok(Self { batches: Some(batches), stop, thread: Some(thread) })
    }

    /// The next batch, or what there is instead after `timeout`.
    ///
    /// # Errors
    /// The log cannot be read, or an entry is not what its hash says.
    pub fn next(&self, timeout: Duration) -> Result<Fed, FoldError> {
        let batches = self.batches.as_ref().expect("there until the feed is dropped");
        match batches.recv_timeout(timeout) {
            Ok(batch) => batch.map(Fed::Batch),
            Err(RecvTimeoutError::Timeout) => Ok(Fed::Idle),
            Err(RecvTimeoutError::Disconnected) => Ok(Fed::End),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A thread that waits to hand over a batch sees that nobody takes it.
        self.batches = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

struct Ahead<K> {
    reader: event_log::Reader,
    control: Arc<ArcSwap<ControlState>>,
    secret: LogSecret,
    options: FeedOptions,
    keep: K,
    stop: Arc<AtomicBool>,
}

impl<K: Fn(&Logged) -> bool> Ahead<K> {
    fn run(mut self, send: &SyncSender<Result<Prepared, FoldError>>) {
        while !self.stop.load(Ordering::Acquire) {
            let batch = self.batch();
            let last = batch.is_err();
            match batch {
                Ok(None) if self.options.follow => {
                    self.reader.wait(IDLE_WAIT);
                }
                Ok(None) => return,
                Ok(Some(batch)) if batch.is_empty() => {}
                batch => {
                    let Some(batch) = batch.transpose() else { return };
                    if send.send(batch).is_err() || last {
                        return;
                    }
                }
            }
        }
    }

    /// The next batch; `None` at the end of the log.
    fn batch(&mut self) -> Result<Option<Prepared>, FoldError> {
        let mut batch = match self.reader.next_batch(self.options.entries_max, self.options.bytes_max) {
            // Brokers that do not answer come back; the log tells of them meanwhile.
            Err(ReadError::Unanswered { .. }) if self.options.follow => return Ok(None),
            batch => batch?,
        };
        if batch.entries.is_empty() {
            return Ok(None);
        }
        batch.entries.retain(&self.keep);
        Prepared::new(batch.entries, &self.control.load(), &self.secret).map(Some)
    }
}

/// What lies within `positions`.
pub(crate) fn covered(positions: &Positions) -> impl Fn(&Logged) -> bool + Send + 'static {
    let positions = positions.clone();
    move |logged| positions.covers(logged.position)
}
