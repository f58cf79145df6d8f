//! What is known of the partitions: their ends and beginnings, whether brokers answer, and whether the log is still the one it was.
//!
//! Ends move by acknowledgements, by what readers are given, and by asking the brokers at intervals. They never go back: brokers that say
//! less, for longer than a change of leader lasts, have lost entries, and from then on the log takes and gives nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use record::{Index, Partition, Position, Positions, Stream};
use tokio::sync::Notify;

use super::layout::Layout;
use crate::error::{AppendError, ReadError};
use crate::types::{Stall, StreamSet};

/// Brokers that say less than before are believed after this long: a new leader may need a moment to know its end.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Acknowledged entries are gone.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    pub(super) place: String,
    pub(super) known: Index,
    pub(super) found: Option<Index>,
}

impl From<Lost> for ReadError {
    fn from(Lost { place, known, found }: Lost) -> Self {
        Self::Lost { place, known, found }
    }
}

impl From<Lost> for AppendError {
    fn from(Lost { place, known, found }: Lost) -> Self {
        Self::Lost { place, known, found }
    }
}

/// Wakes one reader.
#[derive(Debug, Default)]
pub(super) struct Signal {
    set: AtomicBool,
    lock: Mutex<()>,
    raised: Condvar,
}

impl Signal {
    pub(super) fn raise(&self) {
        if !self.set.swap(true, Ordering::AcqRel) {
            let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.raised.notify_all();
        }
    }

    /// Waits until it is raised, at most `timeout`; takes it back.
    pub(super) fn wait(&self, timeout: Duration) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.raised.wait_timeout_while(guard, timeout, |()| !self.set.load(Ordering::Acquire));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.set.store(false, Ordering::Release);
    }
}

/// The answer of the brokers about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is there, and this is its end or beginning.
    Index(u64),
    /// There is no such partition.
    Gone,
    /// They have not answered within the time.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Ends {
    layout: Layout,
    state: Mutex<State>,
    changed: Notify,
    closed: AtomicBool,
    stall_after: Duration,
}

#[derive(Debug)]
struct State {
    next: Vec<u64>,
    first: Vec<u64>,
    /// Since when brokers say less than `next`.
    lower: Vec<Option<Instant>>,
    lost: Option<Lost>,
    answered: Instant,
    detail: String,
    signals: Vec<Weak<Signal>>,
    /// Readers that wait for an entry that is known to be there, with a number of their own.
    waiting: Vec<(u64, Instant, Position)>,
}

impl Ends {
    pub(super) fn new(layout: Layout, stall_after: Duration) -> Self {
        let slots = layout.len();
        let state = State {
            next: vec![0; slots],
            first: vec![0; slots],
            lower: vec![None; slots],
            lost: None,
            answered: Instant::now(),
            detail: String::new(),
            signals: Vec::new(),
            waiting: Vec::new(),
        };
        Self { layout, state: Mutex::new(state), changed: Notify::new(), closed: AtomicBool::new(false), stall_after }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next(&self) -> Vec<u64> {
        self.lock().next.clone()
    }

    pub(super) fn copy_next(&self, into: &mut Vec<u64>) {
        into.clone_from(&self.lock().next);
    }

    pub(super) fn end(&self, slot: usize) -> u64 {
        self.lock().next[slot]
    }

    pub(super) fn first_of(&self, slot: usize) -> u64 {
        self.lock().first[slot]
    }

    pub(super) fn ends(&self) -> Positions {
        self.layout.positions(&self.lock().next)
    }

    pub(super) fn first(&self) -> Positions {
        self.layout.positions(&self.lock().first)
    }

    pub(super) fn lost(&self) -> Option<Lost> {
        self.lock().lost.clone()
    }

    pub(super) fn register(&self, signal: &Arc<Signal>) {
        let mut state = self.lock();
        state.signals.retain(|s| s.strong_count() > 0);
        state.signals.push(Arc::downgrade(signal));
    }

    /// An entry before `end` was acknowledged, or came to a reader.
    pub(super) fn advance(&self, slot: usize, end: u64) {
        let mut state = self.lock();
        if state.next[slot] >= end {
            return;
        }
        state.next[slot] = end;
        self.wake(state);
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        for signal in &state.signals {
            if let Some(signal) = signal.upgrade() {
                signal.raise();
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// This producer was given an index twice: what was there before is gone.
    pub(super) fn given_again(&self, slot: usize, index: u64) {
        let mut state = self.lock();
        let known = state.next[slot];
        self.lose(&mut state, slot, known, Some(index));
        self.wake(state);
    }

    fn lose(&self, state: &mut State, slot: usize, known: u64, found: Option<u64>) {
        if state.lost.is_some() {
            return;
        }
        let (stream, partition) = self.layout.place(slot);
        let place = format!("{}/{}", self.layout.topic(stream), partition.0);
        tracing::error!(%place, known, found, "acknowledged entries are gone from Kafka; the log takes and gives nothing more");
        state.lost = Some(Lost { place, known: Index(known), found: found.map(Index) });
    }

    /// Takes in what the brokers say of the ends, asked when they were `before`.
    pub(super) fn take_ends(&self, before: &[u64], told: &[Told]) {
        let now = Instant::now();
        let mut state = self.lock();
        let mut moved = false;
        for (slot, told) in told.iter().enumerate() {
            let found = match told {
                Told::Nothing => continue,
                Told::Index(end) => Some(*end),
                Told::Gone => None,
            };
            self.answered(&mut state, now);
            if found.is_some_and(|end| end >= before[slot]) {
                let end = found.unwrap_or_default();
                state.lower[slot] = None;
                if end > state.next[slot] {
                    state.next[slot] = end;
                    moved = true;
                }
            } else if state.lower[slot].get_or_insert(now).elapsed() >= LOST_AFTER {
                self.lose(&mut state, slot, before[slot], found);
                moved = true;
            }
        }
        if moved {
            self.wake(state);
        }
    }

    pub(super) fn take_first(&self, told: &[Told]) {
        let mut state = self.lock();
        for (slot, told) in told.iter().enumerate() {
            if let Told::Index(first) = told {
                state.first[slot] = state.first[slot].max(*first);
            }
        }
    }

    fn answered(&self, state: &mut State, now: Instant) {
        let silent = now.duration_since(state.answered);
        if silent > self.stall_after {
            tracing::info!(silent_ms = silent.as_millis(), "Kafka answers again");
        }
        state.answered = now;
    }

    /// No broker answered. Says so once it has lasted.
    pub(super) fn unanswered(&self, detail: String, interval: Duration) {
        let mut state = self.lock();
        let silent = state.answered.elapsed();
        // Once: at the first failure after the bound, not at each.
        if silent >= self.stall_after && silent < self.stall_after + interval {
            tracing::warn!(silent_ms = silent.as_millis(), %detail, "Kafka does not answer; appends and reads wait");
        }
        state.detail = detail;
    }

    /// A reader waits for an entry that is known to be there; `None` when it waits no more.
    pub(super) fn reader_waits(&self, reader: u64, entry: Option<(Instant, Position)>) {
        let mut state = self.lock();
        state.waiting.retain(|(number, ..)| *number != reader);
        if let Some((since, position)) = entry {
            state.waiting.push((reader, since, position));
        }
    }

    /// What does not go on, if anything.
    pub(super) fn stalled(&self) -> Option<Stall> {
        let state = self.lock();
        if let Some(lost) = &state.lost {
            return Some(Stall {
                what: AppendError::from(lost.clone()).to_string(),
                lasting: state.answered.elapsed(),
            });
        }
        let silent = state.answered.elapsed();
        if silent >= self.stall_after {
            return Some(Stall { what: format!("Kafka does not answer ({})", state.detail), lasting: silent });
        }
        let longest = state.waiting.iter().max_by_key(|(_, since, _)| since.elapsed())?;
        let lasting = longest.1.elapsed();
        (lasting >= self.stall_after)
            .then(|| Stall { what: format!("a reader waits for entry {}, which is in the log", longest.2), lasting })
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// See [`crate::EventLog::wait_beyond`].
    pub(super) async fn wait_beyond(&self, seen: &Positions, streams: StreamSet) -> bool {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.is_beyond(seen, streams) {
                return true;
            }
            if self.is_closed() {
                return false;
            }
            changed.await;
        }
    }

    fn is_beyond(&self, seen: &Positions, streams: StreamSet) -> bool {
        let state = self.lock();
        state.next.iter().enumerate().any(|(slot, end)| {
            let (stream, partition): (Stream, Partition) = self.layout.place(slot);
            streams.contains(stream) && *end > seen.get(stream, partition).0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PartitionCounts;

    fn ends() -> Ends {
        let counts = PartitionCounts { change: 2, rejected: 1, access: 1 };
        Ends::new(Layout::new("p", counts), Duration::from_secs(5))
    }

    #[test]
    fn ends_never_go_back() {
        let ends = ends();
        ends.advance(1, 7);
        ends.advance(1, 3);
        let before = ends.next();
        ends.take_ends(&before, &[Told::Nothing, Told::Index(5), Told::Index(2), Told::Gone, Told::Nothing]);
        assert_eq!(ends.next(), [0, 7, 2, 0, 0]);
        assert!(ends.lost().is_none(), "one answer that says less may be a leader that is new");
    }

    #[test]
    fn an_answer_that_was_asked_for_before_an_acknowledgement_is_no_loss() {
        let ends = ends();
        let before = ends.next();
        ends.advance(1, 7);
        for _ in 0..2 {
            ends.take_ends(&before, &[Told::Index(0); 5]);
            ends.lock().lower.iter().for_each(|lower| assert!(lower.is_none()));
        }
    }

    #[test]
    fn an_index_that_is_given_twice_stops_the_log() {
        let ends = ends();
        ends.advance(1, 7);
        ends.given_again(1, 3);
        let lost = ends.lost().expect("noticed");
        assert_eq!((lost.place.as_str(), lost.known, lost.found), ("p.change/0", Index(7), Some(Index(3))));
        assert!(ends.stalled().is_some());
    }
}
