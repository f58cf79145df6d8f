//! Live = replayed: the log is folded from scratch beside the live views, and the digests are compared.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::{EventLog, StreamSet};
use projection::FOLD_VERSION;
use record::{Digest, LogSecret, Positions, Stream};
use view_store::{Expect, Options, StoreKind, ViewStore};

use crate::fold::{Fold, Totals};
use crate::runtime::StartError;

/// What a verification found.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The digest of the live views at the positions that were compared.
    pub live: Digest,
    /// The digest of the fold from scratch at the same positions.
    pub replay: Digest,
    /// Entries folded.
    pub entries: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What the fold from scratch holds.
    pub totals: Totals,
}

impl Verification {
    /// Whether the two are equal.
    pub fn equal(&self) -> bool {
        self.live == self.replay
    }
}

/// Folds the log up to `positions` into a scratch store under `scratch` and compares with `live`. The scratch store is
/// removed afterwards.
///
/// `progress` gets the entries folded so far and all of them; it stops the verification by returning `false`, and `None` is
/// returned then.
///
/// # Errors
/// [`StartError`].
pub fn verify(
    log: &EventLog,
    secret: &Arc<LogSecret>,
    (positions, live): (&Positions, Digest),
    scratch: &Path,
    store: StoreKind,
    mut progress: impl FnMut(u64, u64) -> bool,
) -> Result<Option<Verification>, StartError> {
    let begin = Instant::now();
    if scratch.exists() {
        ViewStore::discard(scratch)?;
    }
    let options = Options { store, ..Options::default() };
    let view = ViewStore::open(scratch, options, Expect { fold_version: FOLD_VERSION, log_id: *b"scratch of verif" })?;
    let mut fold = Fold::resume(view.into_store(), log.clone(), secret.as_ref().clone())?;
    let total = positions.iter().filter(|(s, _, _)| *s != Stream::Access).map(|(_, _, i)| i.0).sum();
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL_BUT_ACCESS)?;
    let mut entries = 0;
    while entries < total {
        let mut batch = reader.next_batch(4096, 8 << 20)?;
        if batch.entries.is_empty() {
            break;
        }
        batch.entries.retain(|e| positions.covers(e.position));
        entries += batch.entries.len() as u64;
        fold.fold(&batch.entries)?;
        if !progress(entries, total) {
            drop(fold);
            ViewStore::discard(scratch)?;
            return Ok(None);
        }
    }
    let (replay, totals) = (fold.digest().digest(), fold.totals());
    drop(fold);
    ViewStore::discard(scratch)?;
    Ok(Some(Verification { live, replay, entries, elapsed: begin.elapsed(), totals }))
}
