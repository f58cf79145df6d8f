//! Cuts: what the hub knew at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use event_log::{AppendError, EventLog};
use projection::state::ControlState;
use record::control::{Control, Order};
use record::{Index, Partition, Positions, Stream, Timestamp};
use telemetry::told;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::control::{ControlError, append_control};
use crate::source::{Clock, Salts};

/// Between two looks: a cut is due at least once a second, and an append takes its time.
const LOOK: Duration = Duration::from_millis(500);
/// Between two cuts when nothing but accesses moved: a hub that is only asked writes one cut a second, not two.
const ACCESS_LOOK: Duration = Duration::from_millis(900);

/// The task that writes a cut at least once a second while anything but cuts moves, and none while nothing does. Cuts cover every
/// stream, accesses too: what was answered is under the ledger's ticks like what was stated.
#[derive(Debug)]
pub struct Cutter {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Cutter {
    /// Starts it. `control` tells the last cut of earlier runs: a new one never goes behind it.
    pub fn start(log: EventLog, control: Arc<ArcSwap<ControlState>>, clock: Clock, salts: Salts) -> Self {
        let (stop, stopped) = watch::channel(false);
        let last = Last::default();
        let task = tokio::spawn(Cutting { log, control, clock, salts, last }.run(stopped));
        Self { stop, task }
    }

    /// Writes a last cut when one is due, and ends.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the cutter ended in a panic");
        }
    }
}

struct Cutting {
    log: EventLog,
    control: Arc<ArcSwap<ControlState>>,
    clock: Clock,
    salts: Salts,
    last: Last,
}

/// The last cut.
#[derive(Default)]
struct Last {
    at: Option<Timestamp>,
    /// The ends right after it: nothing moved while they stand.
    rest: Positions,
    /// When it was written, by a clock that only goes forwards.
    written: Option<Instant>,
}

impl Cutting {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = tokio::select! {
                _ = looks.tick() => false,
                _ = stopped.wait_for(|stop| *stop) => true,
            };
            match self.cut(stopping).await {
                Ok(()) => {}
                Err(ControlError::Append(AppendError::Closed)) => return,
                // A full disk may get room again; a poisoned log is told by every append, and by readiness.
                Err(error) => tracing::warn!(error = %told(&error), "no cut was written"),
            }
            if stopping {
                return;
            }
        }
    }

    async fn cut(&mut self, stopping: bool) -> Result<(), ControlError> {
        let ends = self.log.ends();
        let waits = !stopping && self.only_accesses_moved(&ends);
        if waits || ends == self.last.rest || ends.total() == 0 || self.known_from_before(&ends) {
            return Ok(());
        }
        let at = self.time();
        let order = Order::Cut { at, ends: ends.clone() };
        let position = append_control(&self.log, &Control::by_hub(order), &self.clock, &self.salts).await?;
        self.last.rest = ends;
        // When another control entry came between, the next look finds that something moved.
        let control = (Stream::Control, Partition(0));
        if self.last.rest.get(control.0, control.1) == position.index {
            self.last.rest.set(control.0, control.1, position.index.next());
        }
        self.last.at = Some(at);
        self.last.written = Some(Instant::now());
        Ok(())
    }

    /// Whether the last cut is young, and covers everything but accesses.
    fn only_accesses_moved(&self, ends: &Positions) -> bool {
        let young = self.last.written.is_some_and(|written| written.elapsed() < ACCESS_LOOK);
        young && without_access(ends) == without_access(&self.last.rest)
    }

    /// Never behind the last cut, whoever wrote it, even when the clock went back.
    fn time(&self) -> Timestamp {
        let earlier = self.control.load().cut.as_ref().map(|(at, _)| *at);
        [Some((self.clock)()), earlier, self.last.at].into_iter().flatten().max().expect("the clock tells a time")
    }

    /// Whether an earlier run ended with a cut of these very ends.
    fn known_from_before(&self, ends: &Positions) -> bool {
        let state = self.control.load();
        let Some((_, cut)) = &state.cut else { return false };
        let mut rest = cut.clone();
        let end = rest.get(Stream::Control, Partition(0));
        rest.set(Stream::Control, Partition(0), Index(end.0 + 1));
        rest == *ends
    }
}

fn without_access(ends: &Positions) -> Positions {
    ends.iter().filter(|(stream, ..)| *stream != Stream::Access).collect()
}
