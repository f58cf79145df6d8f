//! What is on its way or in the log and not folded: the identities that the heads do not show yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use hashbrown::HashMap;
use record::{Position, Positions, Pseudonym, RegisterEpoch, StatementHash};
use tokio::sync::watch;

/// An identity: pseudonym of (register, record id), register epoch, version.
pub(crate) type Identity = (Pseudonym, RegisterEpoch, u64);

/// How far the append of one batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Landed,
    Lost,
}

/// One batch on its way to the log.
#[derive(Debug, Clone)]
pub(crate) struct Flight(Arc<watch::Sender<Fate>>);

impl Flight {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Fate::Open)))
    }

    /// Waits until the batch is in the log (`true`) or has failed.
    pub(crate) async fn landed(&self) -> bool {
        let mut fate = self.0.subscribe();
        let fate = fate.wait_for(|fate| *fate != Fate::Open).await;
        fate.is_ok_and(|fate| *fate == Fate::Landed)
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Where the statement of an identity is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In the log.
    Log(Position),
    /// In a batch that may still fail.
    Flight(Flight),
}

#[derive(Debug)]
struct Known {
    statement: StatementHash,
    place: Place,
}

/// The index. Bounded: what is in the log and past the bound is forgotten, oldest first; what is in flight is bounded by the batches in
/// flight.
#[derive(Debug)]
pub(crate) struct Unfolded {
    inner: Mutex<Inner>,
    max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<Identity, Known>,
    /// What is in the log, in the order of the log.
    landed: VecDeque<(Identity, Position)>,
}

impl Inner {
    /// Forgets the oldest past the bound.
    fn shrink(&mut self, max: usize) {
        while self.landed.len() > max {
            if let Some((oldest, _)) = self.landed.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// What a claim found.
#[derive(Debug, Clone)]
pub(crate) enum Claim {
    /// Nobody has stated this identity: it is the claimer's now.
    New,
    /// Stated before.
    Known {
        /// Whether it was the same statement.
        equal: bool,
        /// Where it is.
        place: Place,
    },
}

/// The identities that one batch has claimed; given back when dropped, unless they landed.
#[derive(Debug)]
pub(crate) struct Claims {
    unfolded: Arc<Unfolded>,
    flight: Flight,
    open: bool,
    identities: Vec<Identity>,
}

impl Unfolded {
    pub(crate) fn new(max: usize) -> Self {
        Self { inner: Mutex::default(), max }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic happens while the index is held")
    }

    /// Claims identities for one batch, in order: an identity that stands twice is found the second time.
    pub(crate) fn claim(
        self: &Arc<Self>,
        wanted: impl Iterator<Item = (Identity, StatementHash)>,
    ) -> (Claims, Vec<Claim>) {
        let flight = Flight::new();
        let mut identities = Vec::new();
        let mut found = Vec::new();
        let mut inner = self.lock();
        for (identity, statement) in wanted {
            if let Some(known) = inner.known.get(&identity) {
                found.push(Claim::Known { equal: known.statement == statement, place: known.place.clone() });
                continue;
            }
            inner.known.insert(identity, Known { statement, place: Place::Flight(flight.clone()) });
            identities.push(identity);
            found.push(Claim::New);
        }
        drop(inner);
        (Claims { unfolded: self.clone(), flight, open: true, identities }, found)
    }

    /// The statement and place of an identity, without claiming it.
    pub(crate) fn find(&self, identity: &Identity) -> Option<(StatementHash, Place)> {
        self.lock().known.get(identity).map(|known| (known.statement, known.place.clone()))
    }

    /// Where an identity is in the log, when that is remembered.
    pub(crate) fn position(&self, identity: &Identity) -> Option<Position> {
        match self.find(identity)?.1 {
            Place::Log(position) => Some(position),
            Place::Flight(_) => None,
        }
    }

    /// The bound.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Takes in what is in the log already, in its order. The first statement of an identity counts.
    pub(crate) fn remember(&self, found: Vec<(Identity, StatementHash, Position)>) {
        let mut inner = self.lock();
        for (identity, statement, position) in found {
            if inner.known.contains_key(&identity) {
                continue;
            }
            inner.known.insert(identity, Known { statement, place: Place::Log(position) });
            inner.landed.push_back((identity, position));
        }
        inner.shrink(self.max);
    }

    /// Forgets what the fold has passed.
    pub(crate) fn forget(&self, folded: &Positions) {
        let mut inner = self.lock();
        while let Some((identity, position)) = inner.landed.front().copied() {
            if !folded.covers(position) {
                return;
            }
            inner.landed.pop_front();
            inner.known.remove(&identity);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().known.len()
    }
}

impl Claims {
    /// The identities that are claimed, in the order of the batch.
    pub(crate) fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Gives back those identities that turned out to be known.
    pub(crate) fn give_back(&mut self, known: impl Fn(&Identity) -> bool) {
        let mut inner = self.unfolded.lock();
        self.identities.retain(|identity| {
            let gone = known(identity);
            if gone {
                inner.known.remove(identity);
            }
            !gone
        });
    }

    /// The claimed identities are in the log, at these positions.
    pub(crate) fn land(mut self, positions: impl Iterator<Item = Position>) {
        let mut inner = self.unfolded.lock();
        for (identity, position) in self.identities.drain(..).zip(positions) {
            if let Some(known) = inner.known.get_mut(&identity) {
                known.place = Place::Log(position);
            }
            inner.landed.push_back((identity, position));
        }
        inner.shrink(self.unfolded.max);
        drop(inner);
        self.open = false;
        self.flight.0.send_replace(Fate::Landed);
    }

    /// Whether this is the batch's own flight.
    pub(crate) fn is_own(&self, flight: &Flight) -> bool {
        self.flight.same(flight)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let mut inner = self.unfolded.lock();
        for identity in &self.identities {
            inner.known.remove(identity);
        }
        drop(inner);
        self.flight.0.send_replace(Fate::Lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Index, Partition, Stream};

    fn identity(n: u8) -> Identity {
        (Pseudonym([n; 16]), RegisterEpoch(0), 1)
    }

    fn statement(n: u8) -> StatementHash {
        StatementHash([n; 32])
    }

    fn position(n: u64) -> Position {
        Position { stream: Stream::Change, partition: Partition(0), index: Index(n) }
    }

    fn claim(unfolded: &Arc<Unfolded>, numbers: &[u8]) -> (Claims, Vec<Claim>) {
        unfolded.claim(numbers.iter().map(|n| (identity(*n), statement(*n))))
    }

    #[test]
    fn a_dropped_claim_leaves_the_identity_free() {
        let unfolded = Arc::new(Unfolded::new(10));
        let (claims, found) = claim(&unfolded, &[1, 1]);
        assert!(
            matches!(&found[..], [Claim::New, Claim::Known { equal: true, place: Place::Flight(f) }] if claims.is_own(f))
        );
        drop(claims);
        assert_eq!(unfolded.len(), 0);
    }

    #[test]
    fn what_landed_is_found_until_the_fold_has_passed_it() {
        let unfolded = Arc::new(Unfolded::new(10));
        let (claims, _) = claim(&unfolded, &[1, 2]);
        claims.land([position(0), position(1)].into_iter());
        assert_eq!(unfolded.position(&identity(2)), Some(position(1)));
        let folded = [(Stream::Change, Partition(0), Index(1))].into_iter().collect();
        unfolded.forget(&folded);
        assert_eq!((unfolded.position(&identity(1)), unfolded.position(&identity(2))), (None, Some(position(1))));
    }

    #[test]
    fn the_oldest_is_forgotten_past_the_bound() {
        let unfolded = Arc::new(Unfolded::new(2));
        let (claims, _) = claim(&unfolded, &[1, 2, 3]);
        claims.land((0..3).map(position));
        assert_eq!((unfolded.len(), unfolded.position(&identity(1))), (2, None));
    }

    #[tokio::test]
    async fn who_waits_for_a_flight_learns_its_fate() {
        let unfolded = Arc::new(Unfolded::new(10));
        let (first, _) = claim(&unfolded, &[1]);
        let (_, found) = claim(&unfolded, &[1]);
        let Claim::Known { place: Place::Flight(flight), .. } = &found[0] else { panic!("it is in flight") };
        first.land([position(0)].into_iter());
        assert!(flight.landed().await);
    }
}
