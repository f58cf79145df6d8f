//! Places for reading: blocking work with a bound on what runs and on what waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::error::Error;

/// Places of one sort of question.
pub(super) struct Lane {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// Counts one that waits, also when it gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    pub(super) fn new(places: usize, waiting_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places.max(1))), waiting: AtomicUsize::new(0), waiting_max }
    }

    /// Runs blocking work in one of the places. The work ends in its place even when nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = {
            let before = self.waiting.fetch_add(1, Ordering::Relaxed);
            let _waiting = Waiting(&self.waiting);
            if before >= self.waiting_max {
                return Err(Error::Busy);
            }
            Arc::clone(&self.places).acquire_owned().await.or(Err(Error::Internal))?
        };
        let span = tracing::Span::current();
        let work = move || {
            let _place = place;
            span.in_scope(work)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a question ended in a panic");
            Err(Error::Internal)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let lane = Arc::new(Lane::new(1, 1));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.run(move || Ok(wait.recv().is_ok())).await }
        });
        while lane.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.run(|| Ok(true)).await }
        });
        while lane.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(lane.run(|| Ok(true)).await, Err(Error::Busy)));
        go.send(()).expect("the first waits");
        assert!(first.await.expect("ran").expect("answered"));
        assert!(second.await.expect("ran").expect("answered"));
    }
}
