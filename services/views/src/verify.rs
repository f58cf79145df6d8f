//! Live = replayed: the log is folded from scratch beside the live views, and the digests are compared.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::EventLog;
use projection::FOLD_VERSION;
use projection::basis::Basis;
use record::{Digest, LogSecret, Positions, Stream};
use view_store::{Expect, Options, StoreKind, ViewStore};

use crate::fold::{Fed, Feed, FeedOptions, Fold, Totals, covered};
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

/// What is verified: views at one cut.
#[derive(Debug, Clone)]
pub struct Claim {
    /// How far they are folded.
    pub positions: Positions,
    /// Their digest there.
    pub digest: Digest,
    /// What they are folded with.
    pub basis: Basis,
}

/// Folds the log up to the claim's positions into a scratch store under `scratch` and compares. The scratch store is
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
    claim: &Claim,
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
    let mut fold = Fold::resume(view.into_store(), log.clone(), secret.as_ref().clone(), claim.basis.clone())?;
    let total = claim.positions.iter().filter(|(s, _, _)| *s != Stream::Access).map(|(_, _, i)| i.0).sum();
    let options = FeedOptions { entries_max: 4096, bytes_max: 8 << 20, follow: false };
    let feed = Feed::start(&fold, log, options, covered(&claim.positions))?;
    let mut entries = 0;
    while entries < total {
        let batch = match feed.next(Duration::from_secs(1))? {
            Fed::Batch(batch) => batch,
            Fed::Idle => continue,
            Fed::End => break,
        };
        entries += batch.len() as u64;
        fold.fold_prepared(batch)?;
        if !progress(entries, total) {
            drop(fold);
            ViewStore::discard(scratch)?;
            return Ok(None);
        }
    }
    let (replay, totals) = (fold.digest().digest(), fold.totals());
    drop(fold);
    ViewStore::discard(scratch)?;
    Ok(Some(Verification { live: claim.digest, replay, entries, elapsed: begin.elapsed(), totals }))
}
