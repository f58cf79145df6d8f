//! The control stream for a process without views: what it has decided, and who may do what.
//!
//! It is read from its beginning at every start, and then as it grows. Nothing of it is kept on the disk: a process that only takes changes
//! can be replaced by another one anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use access::Access;
use arc_swap::ArcSwap;
use event_log::{EventLog, ReadError, Reader, StreamSet};
use projection::state::{ControlState, Effect};
use record::control::Control;
use record::entry::BodyError;
use record::{DecodeError, Entry, Index, Keyring, Partition, Positions, Stream};
use telemetry::told;
use tokio::sync::watch;
use views::runtime::{AccessError, access_of};

use crate::erasure::destroy_in;

const ENTRIES: usize = 4_096;
const BYTES: usize = 4 << 20;
/// Longest that a stop takes to be seen.
const WAIT: Duration = Duration::from_millis(200);
/// Longest wait for the first entries of a log that another process begins.
const BEGIN_WAIT: Duration = Duration::from_secs(30);

/// Why the control stream cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// The log failed.
    #[error("the control stream cannot be read")]
    Read(#[from] ReadError),
    /// An entry cannot be decoded.
    #[error("a control entry cannot be decoded")]
    Decode(#[from] DecodeError),
    /// An entry's body is not plain.
    #[error("a control entry cannot be decoded")]
    Body(#[from] BodyError),
    /// The policy or the procedures cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no thread.
    #[error("the system gives no thread")]
    Thread(#[source] std::io::Error),
}

/// What the stream says, kept up to date by a thread until this is stopped.
pub(super) struct ControlFollower {
    pub(super) control: Arc<ArcSwap<ControlState>>,
    pub(super) access: Arc<ArcSwap<Access>>,
    /// How far it has been read.
    pub(super) read: watch::Receiver<Index>,
    /// Whether it is read no more, because of an error that the log of the hub tells.
    pub(super) stopped: watch::Receiver<bool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Follow {
    reader: Reader,
    state: ControlState,
    keys: Option<Keyring>,
    control: Arc<ArcSwap<ControlState>>,
    access: Arc<ArcSwap<Access>>,
    read: watch::Sender<Index>,
}

impl ControlFollower {
    /// Reads what the stream holds, then goes on. Keys of erased records are destroyed in `keys`. Blocks on the log.
    ///
    /// # Errors
    /// [`FollowError`].
    pub(super) fn start(log: &EventLog, keys: Option<Keyring>) -> Result<Self, FollowError> {
        let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Control))?;
        let mut state = ControlState::default();
        let end = log.ends().get(Stream::Control, Partition(0));
        let begun = Instant::now();
        let complete = |state: &ControlState| state.policy.is_some() && state.procedures.is_some();
        while state.end < end || !complete(&state) {
            if take(&mut reader, &mut state, keys.as_ref())? == 0 {
                // Another process may be beginning the log at this moment.
                if begun.elapsed() > BEGIN_WAIT {
                    break;
                }
                reader.wait(WAIT);
            }
        }
        let access = Arc::new(ArcSwap::from_pointee(access_of(&state)?));
        let control = Arc::new(ArcSwap::from_pointee(state.clone()));
        let (read, seen) = watch::channel(state.end);
        let (tell, stopped) = watch::channel(false);
        let stop = Arc::new(AtomicBool::new(false));
        let follow = Follow { reader, state, keys, control: control.clone(), access: access.clone(), read };
        let stopping = stop.clone();
        let run = move || {
            if let Err(error) = follow.until(&stopping) {
                tracing::error!(error = %told(&error), "the control stream is followed no more: start the hub again");
                tell.send_replace(true);
            }
        };
        let thread = std::thread::Builder::new().name("control".into()).spawn(run).map_err(FollowError::Thread)?;
        Ok(Self { control, access, read: seen, stopped, stop, thread: Some(thread) })
    }

    /// Ends it. Blocks for a moment.
    pub(super) fn stop(mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("following the control stream ended in a panic");
        }
    }
}

impl Drop for ControlFollower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Follow {
    fn until(mut self, stop: &AtomicBool) -> Result<(), FollowError> {
        while !stop.load(Ordering::Acquire) {
            let documents = documents(&self.state);
            let taken = match take(&mut self.reader, &mut self.state, self.keys.as_ref()) {
                // Brokers that do not answer come back; the log tells of them meanwhile.
                Err(FollowError::Read(ReadError::Unanswered { .. })) => continue,
                taken => taken?,
            };
            if taken == 0 {
                self.reader.wait(WAIT);
                continue;
            }
            if documents != self::documents(&self.state) {
                match access_of(&self.state) {
                    Ok(access) => self.access.store(Arc::new(access)),
                    Err(error) => {
                        tracing::error!(%error, "the new policy cannot be used; the last one stays in force");
                    }
                }
            }
            self.control.store(Arc::new(self.state.clone()));
            self.read.send_replace(self.state.end);
        }
        Ok(())
    }
}

fn documents(state: &ControlState) -> [Option<Index>; 2] {
    [&state.policy, &state.procedures].map(|document| document.as_ref().map(|document| document.index))
}

/// Counts what the reader gives next; how many entries that were.
fn take(reader: &mut Reader, state: &mut ControlState, keys: Option<&Keyring>) -> Result<usize, FollowError> {
    let batch = reader.next_batch(ENTRIES, BYTES)?;
    for logged in &batch.entries {
        let entry = Entry::decode(&logged.bytes)?;
        let control = Control::decode(entry.plain_body()?)?;
        let effect = state.apply(logged.position.index, entry.header.recorded_at, control);
        if let (Effect::Erasure(records), Some(keys)) = (effect, keys) {
            destroy_in(keys, &records);
        }
    }
    Ok(batch.entries.len())
}
