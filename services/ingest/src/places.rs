//! Places for batches that are not answered yet: the bound on the memory that publishers take, shared so that none starves another.
//!
//! One publisher has at most half of the places, so that another always finds one however much the first sends. A stream waits for a
//! place and is not read meanwhile; a batch that came by a call of its own is in memory already, so that few may wait, of one publisher at
//! most half of those, not for long, and the rest are told when to come again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Longest that a batch of a call of its own waits for a place.
const PATIENCE: Duration = Duration::from_secs(1);
/// Publishers that are known by name before those without a place are forgotten.
const KNOWN_MAX: usize = 256;

/// The places of a door.
pub(crate) struct Places {
    all: Arc<Semaphore>,
    count: usize,
    /// Places of one publisher.
    each: usize,
    /// Of those who have a place or wait for one.
    of: Mutex<BTreeMap<Arc<str>, Weak<Own>>>,
    /// Batches of calls of their own that wait.
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// One publisher's places, and how many of its calls wait for one.
struct Own {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A batch's place, given back when it is dropped.
pub(crate) struct Place {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    /// Knows the publisher as long as it has a place.
    _of: Arc<Own>,
}

/// Counts one that waits, also when its caller gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn one_of(counter: &'a AtomicUsize, max: usize) -> Result<Self, Error> {
        let waiting = Self(counter);
        if counter.fetch_add(1, Ordering::Relaxed) < max { Ok(waiting) } else { Err(Error::Busy) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(count)),
            count,
            each: count.div_ceil(2),
            of: Mutex::default(),
            waiting: AtomicUsize::new(0),
            waiting_max: count.div_ceil(2),
        }
    }

    /// A place for a publisher's batch, as long as that takes.
    ///
    /// # Errors
    /// [`Error::Stopping`].
    pub(crate) async fn wait(&self, principal: &Arc<str>) -> Result<Place, Error> {
        self.wait_as(self.own(principal)).await
    }

    async fn wait_as(&self, of: Arc<Own>) -> Result<Place, Error> {
        let own = Arc::clone(&of.places).acquire_owned().await.or(Err(Error::Stopping))?;
        let all = Arc::clone(&self.all).acquire_owned().await.or(Err(Error::Stopping))?;
        Ok(Place { _all: all, _own: own, _of: of })
    }

    /// A place for a publisher's batch, soon.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Stopping`].
    pub(crate) async fn soon(&self, principal: &Arc<str>) -> Result<Place, Error> {
        let of = self.own(principal);
        // However many wait, whoever finds a place free does not.
        if let Ok(own) = Arc::clone(&of.places).try_acquire_owned()
            && let Ok(all) = Arc::clone(&self.all).try_acquire_owned()
        {
            return Ok(Place { _all: all, _own: own, _of: of });
        }
        let _own = Waiting::one_of(&of.waiting, self.waiting_max.div_ceil(2))?;
        let _all = Waiting::one_of(&self.waiting, self.waiting_max)?;
        tokio::time::timeout(PATIENCE, self.wait_as(Arc::clone(&of))).await.unwrap_or(Err(Error::Busy))
    }

    /// Waits until every place is free, and gives none out any more.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        if let Ok(places) = self.all.acquire_many(all).await {
            places.forget();
        }
        self.all.close();
    }

    fn own(&self, principal: &Arc<str>) -> Arc<Own> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of.get(principal).and_then(Weak::upgrade) {
            return own;
        }
        if of.len() >= KNOWN_MAX {
            of.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Own { places: Arc::new(Semaphore::new(self.each)), waiting: AtomicUsize::new(0) });
        of.insert(Arc::clone(principal), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_publisher_leaves_half_of_the_places_to_others() {
        let places = Places::new(4);
        let (greedy, modest): (Arc<str>, Arc<str>) = (Arc::from("greedy"), Arc::from("modest"));
        let held = [places.wait(&greedy).await.expect("free"), places.wait(&greedy).await.expect("free")];
        assert!(matches!(places.soon(&greedy).await, Err(Error::Busy)));
        let other = [places.soon(&modest).await.expect("kept free"), places.soon(&modest).await.expect("kept free")];
        drop(held);
        // What was given back is there for the first again, also when its name had been forgotten.
        (0..2 * KNOWN_MAX).for_each(|n| drop(places.own(&Arc::from(format!("p{n}")))));
        assert!(places.of.lock().expect("no panic").len() <= KNOWN_MAX + 1);
        places.soon(&greedy).await.expect("free again");
        drop(other);
        places.close().await;
        assert!(matches!(places.wait(&modest).await, Err(Error::Stopping)));
    }

    #[tokio::test]
    async fn few_calls_wait_and_who_gives_up_makes_room() {
        let places = Arc::new(Places::new(8));
        let publishers: Vec<Arc<str>> = ["a", "b", "c", "d"].map(Arc::from).to_vec();
        let mut held = Vec::new();
        for at in [0, 0, 0, 0, 1, 1, 1, 1] {
            held.push(places.wait(&publishers[at]).await.expect("free"));
        }
        let wait = |principal: &Arc<str>| {
            let (places, principal) = (Arc::clone(&places), Arc::clone(principal));
            tokio::spawn(async move { places.soon(&principal).await.map(drop) })
        };
        let are_waiting = async |count| {
            while places.waiting.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        let of_one = [wait(&publishers[2]), wait(&publishers[2])];
        are_waiting(2).await;
        assert!(
            matches!(places.soon(&publishers[2]).await, Err(Error::Busy)),
            "half of those who may wait are its own"
        );
        let of_another = [wait(&publishers[3]), wait(&publishers[3])];
        are_waiting(4).await;
        assert!(matches!(places.soon(&publishers[0]).await, Err(Error::Busy)), "nobody else may wait");
        let [gone, patient] = of_one;
        gone.abort();
        assert!(gone.await.is_err_and(|error| error.is_cancelled()));
        let next = wait(&publishers[2]);
        held.clear();
        for waited in [patient, next].into_iter().chain(of_another) {
            waited.await.expect("no panic").expect("a place");
        }
        assert_eq!(places.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn who_finds_a_place_free_has_it_however_many_calls_of_another_wait() {
        let places = Arc::new(Places::new(4));
        let (greedy, modest): (Arc<str>, Arc<str>) = (Arc::from("greedy"), Arc::from("modest"));
        let held = [places.wait(&greedy).await.expect("free"), places.wait(&greedy).await.expect("free")];
        let waits = (0..8).map(|_| {
            let (places, greedy) = (Arc::clone(&places), Arc::clone(&greedy));
            tokio::spawn(async move { places.soon(&greedy).await.map(drop) })
        });
        let waits: Vec<_> = waits.collect();
        while places.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            drop(places.soon(&modest).await.expect("kept free"));
        }
        drop(held);
        for waited in waits {
            // One of them waited; the others were told to come again.
            let _ = waited.await.expect("no panic");
        }
    }
}
