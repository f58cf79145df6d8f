//! Cuts: what the hub knew at a time, and which of several processes writes them.
//!
//! A log of several processes elects one by entries of its control stream ([`Order::Writer`]): of those that claim a term, the first in
//! the stream has it, and all read the same stream. A process claims the next term when a cut was due for a while and none
//! came. It measures that while by its own clock, so that clocks need not agree, and only when it has read the control stream to its end, so that one
//! which lags behind does not take over from one that works.
//!
//! The election saves work; nothing that is true depends on it. A writer that stood still and goes on, not knowing that it was replaced,
//! writes cuts that go backwards, which are void for every reader, or cuts that are as true as any: a cut says where the log
//! ended, which does not depend on who says it. The ledger's checkpoints follow from the cuts alone, so that every process that keeps a ledger
//! signs the same ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use event_log::{AppendError, EventLog};
use projection::state::ControlState;
use projection::state::CutWriter;
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

/// A process among several that may write cuts.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Drawn at its start; not zeros.
    pub process: [u8; 16],
    /// How long a due cut may be missing before this process takes over.
    pub patience: Duration,
}

/// The task that writes a cut at least once a second while anything but cuts moves, and none while nothing does. Cuts cover every
/// stream, accesses too: what was answered is under the ledger's ticks like what was stated.
#[derive(Debug)]
pub struct Cutter {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    writes: watch::Receiver<bool>,
}

impl Cutter {
    /// Starts it. `control` tells the last cut of earlier runs: a new one never goes behind it. With a candidate it writes only when that was
    /// elected; without, this is the log's only process.
    pub fn start(
        log: EventLog,
        control: Arc<ArcSwap<ControlState>>,
        candidate: Option<Candidate>,
        clock: Clock,
        salts: Salts,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (tell, writes) = watch::channel(candidate.is_none());
        let last = Last::default();
        let election =
            candidate.map(|candidate| Election { candidate, tell, seen: None, claimed: Index(0), end: Index(0) });
        let task = tokio::spawn(Cutting { log, control, clock, salts, last, election }.run(stopped));
        Self { stop, task, writes }
    }

    /// Whether this process writes cuts at present.
    pub fn writes(&self) -> watch::Receiver<bool> {
        self.writes.clone()
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
    election: Option<Election>,
}

/// What a candidate has seen.
struct Election {
    candidate: Candidate,
    tell: watch::Sender<bool>,
    /// The last sign of life of whoever writes, and when this process saw it first.
    seen: Option<(Life, Instant)>,
    /// Control entries below this one hold this process's last claim.
    claimed: Index,
    /// The control stream's end at the last look.
    end: Index,
}

/// Term and time of the last cut: another value means that somebody works.
type Life = (u64, Option<Timestamp>);

/// What a candidate does at a look.
#[derive(Debug, PartialEq, Eq)]
enum Stand {
    Write,
    Wait,
    Claim(u64),
}

impl Election {
    /// `due`: something moved that no cut covers. `end`: of the control stream.
    fn stand(&mut self, state: &ControlState, due: bool, end: Index, now: Instant) -> Stand {
        let before = std::mem::replace(&mut self.end, end);
        let Some(CutWriter { term, process, .. }) = state.writer else {
            return if state.end >= self.claimed { Stand::Claim(1) } else { Stand::Wait };
        };
        self.tell.send_if_modified(|writes| {
            let own = process == Some(self.candidate.process);
            std::mem::replace(writes, own) != own
        });
        if process == Some(self.candidate.process) {
            return Stand::Write;
        }
        let life = (term, state.cut.as_ref().map(|(at, _)| *at));
        // Who has not read to the end does not know who works.
        let idle = due && state.end >= before && self.seen.as_ref().is_some_and(|(seen, _)| *seen == life);
        if !idle {
            self.seen = Some((life, now));
        }
        let waited = self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| now.duration_since(*since));
        let free = process.is_none() || waited >= self.candidate.patience;
        if free && state.end >= self.claimed { Stand::Claim(term + 1) } else { Stand::Wait }
    }
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
            let done = match self.stand(stopping).await {
                Ok(true) => self.cut(stopping).await,
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => {}
                Err(ControlError::Append(AppendError::Closed)) => return,
                // A full disk may get room again; a poisoned log is told by every append, and by readiness.
                Err(error) => tracing::warn!(error = %told(&error), "no cut was written"),
            }
            if stopping {
                return self.resign().await;
            }
        }
    }

    /// Whether this process writes; claims the next term when it is free.
    async fn stand(&mut self, stopping: bool) -> Result<bool, ControlError> {
        let (ends, state) = (self.log.ends(), self.control.load_full());
        let due = ends.total() > 0 && !covers_to(&state, &ends);
        let Some(election) = &mut self.election else { return Ok(true) };
        let end = ends.get(Stream::Control, Partition(0));
        match election.stand(&state, due, end, Instant::now()) {
            Stand::Write => Ok(true),
            Stand::Claim(term) if !stopping => {
                let order = Order::Writer { term, process: election.candidate.process };
                let at = append_control(&self.log, &Control::by_hub(order), &self.clock, &self.salts).await?;
                tracing::info!(term, index = at.index.0, "this process claims to write cuts");
                election.claimed = at.index.next();
                Ok(false)
            }
            Stand::Claim(_) | Stand::Wait => Ok(false),
        }
    }

    /// Lets another process take over at once.
    async fn resign(self) {
        let Some(election) = &self.election else { return };
        let Some(writer) = self.control.load().writer else { return };
        if writer.process != Some(election.candidate.process) {
            return;
        }
        let order = Order::Writer { term: writer.term + 1, process: [0; 16] };
        if let Err(error) = append_control(&self.log, &Control::by_hub(order), &self.clock, &self.salts).await {
            tracing::warn!(error = %told(&error), "another process takes over writing cuts only after a while");
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

    /// Later than the last cut, whoever wrote it, even when the clock went back: the ledger's ticks are in the order of their times,
    /// and stood still until the clock has caught up if two cuts had one time.
    fn time(&self) -> Timestamp {
        let earlier = self.control.load().cut.as_ref().map(|(at, _)| *at);
        let after = |at: Timestamp| Timestamp(at.0.saturating_add(1));
        let least = [earlier, self.last.at].into_iter().flatten().map(after);
        least.chain([(self.clock)()]).max().expect("the clock tells a time")
    }

    /// Whether an earlier run ended with a cut of these very ends.
    fn known_from_before(&self, ends: &Positions) -> bool {
        covers_to(&self.control.load(), ends)
    }
}

/// Whether the last cut is of these very ends, but for itself.
fn covers_to(state: &ControlState, ends: &Positions) -> bool {
    let Some((_, cut)) = &state.cut else { return false };
    let mut rest = cut.clone();
    let end = rest.get(Stream::Control, Partition(0));
    rest.set(Stream::Control, Partition(0), Index(end.0 + 1));
    rest == *ends
}

fn without_access(ends: &Positions) -> Positions {
    ends.iter().filter(|(stream, ..)| *stream != Stream::Access).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn election() -> Election {
        let candidate = Candidate { process: [1; 16], patience: PATIENCE };
        Election { candidate, tell: watch::channel(false).0, seen: None, claimed: Index(0), end: Index(0) }
    }

    fn state(entries: impl IntoIterator<Item = Order>) -> ControlState {
        let mut state = ControlState::default();
        for (at, order) in entries.into_iter().enumerate() {
            state.apply(Index(at as u64), Timestamp(0), Control::by_hub(order));
        }
        state
    }

    fn writer(term: u64, process: u8) -> Order {
        Order::Writer { term, process: [process; 16] }
    }

    fn cut(at: i64) -> Order {
        Order::Cut { at: Timestamp(at), ends: Positions::new() }
    }

    #[test]
    fn of_two_that_claim_a_term_the_first_in_the_stream_has_it() {
        let state = state([writer(1, 1), writer(1, 2)]);
        assert_eq!(state.writer.expect("one").process, Some([1; 16]));
        assert_eq!(state.void.len(), 1);
        assert_eq!(election().stand(&state, true, Index(2), Instant::now()), Stand::Write);
    }

    #[test]
    fn who_works_is_not_replaced_and_who_does_not_is_after_a_while() {
        let (mut election, begin) = (election(), Instant::now());
        let mut stand = |state: &ControlState, due, end: u64, after: u32| {
            election.stand(state, due, Index(end), begin + PATIENCE * after / 4)
        };
        assert_eq!(stand(&state([]), true, 0, 0), Stand::Claim(1), "nobody writes yet");
        let one = state([writer(1, 2), cut(1)]);
        assert_eq!(stand(&one, true, 2, 0), Stand::Wait);
        let two = state([writer(1, 2), cut(1), cut(2)]);
        assert_eq!(stand(&two, true, 3, 3), Stand::Wait, "a cut came");
        assert_eq!(stand(&two, false, 3, 6), Stand::Wait, "none is due");
        assert_eq!(stand(&two, true, 3, 7), Stand::Wait);
        assert_eq!(stand(&two, true, 9, 9), Stand::Wait, "the stream is longer than what was read");
        assert_eq!(stand(&two, true, 9, 20), Stand::Wait, "still behind");
        let read = state([writer(1, 2), cut(1), cut(2)].into_iter().chain((4..10).map(|_| writer(9, 9))));
        assert_eq!(stand(&read, true, 9, 21), Stand::Wait);
        assert_eq!(stand(&read, true, 9, 26), Stand::Claim(2));
    }

    #[test]
    fn a_claim_is_made_once_and_a_writer_that_stops_is_followed_at_once() {
        let mut election = election();
        election.claimed = Index(5);
        let resigned = state([writer(1, 2), writer(2, 0)]);
        assert_eq!(
            election.stand(&resigned, false, Index(2), Instant::now()),
            Stand::Wait,
            "its claim is not read yet"
        );
        election.claimed = Index(2);
        assert_eq!(election.stand(&resigned, false, Index(2), Instant::now()), Stand::Claim(3));
    }
}
