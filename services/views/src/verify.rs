//! Live = replayed: the log is folded from scratch beside the live views, the digests are compared, and with them the rows that the
//! live store gives back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::EventLog;
use projection::basis::Basis;
use record::{Digest, LogSecret, LtHash, Positions};
use view_store::{StoreKind, View};

use crate::fold::{FoldError, Totals, decode_positions};
use crate::rows::{self, Differs, RowName};
use crate::runtime::{StartError, ViewsHandle};
use crate::{prepared, scratch};

/// What a verification found.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The digest of the live views at the positions that were compared.
    pub live: Digest,
    /// The digest of the fold from scratch at the same positions.
    pub replay: Digest,
    /// The digest of the live rows as they were read again.
    pub rows: Digest,
    /// Rows that differ, when any do; at most [`DIFFERENCES_MAX`].
    pub differences: Vec<(RowName, Differs)>,
    /// Entries folded.
    pub entries: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What the fold from scratch holds.
    pub totals: Totals,
}

impl Verification {
    /// Whether all three are equal.
    pub fn equal(&self) -> bool {
        self.live == self.replay && self.live == self.rows
    }
}

/// Rows that are named.
pub const DIFFERENCES_MAX: usize = 100;

/// What is verified: views at one cut.
pub struct Claim {
    view: View,
    positions: Positions,
    digest: Digest,
    basis: Basis,
}

impl Claim {
    /// The views as they serve.
    ///
    /// # Errors
    /// [`FoldError`] when the store cannot be read.
    pub fn of(handle: &ViewsHandle) -> Result<Self, FoldError> {
        let (view, control) = handle.view()?;
        let committed = view.committed();
        let positions = decode_positions(&committed.positions)?;
        let digest = digest_of(&view)?;
        Ok(Self { view, positions, digest, basis: control.basis().clone() })
    }
}

/// The digest that a view's batch committed.
pub(crate) fn digest_of(view: &View) -> Result<Digest, FoldError> {
    match view.committed().digest.as_slice() {
        [] => Ok(LtHash::default().digest()),
        bytes => Ok(LtHash::from_bytes(bytes)?.digest()),
    }
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
    let folded =
        scratch::fold_up_to((log, secret), claim.basis.clone(), &claim.positions, (scratch, store), &mut progress)?;
    let Some(fold) = folded else { return Ok(None) };
    let total = prepared::entries(&claim.positions);
    let (replay, totals) = (fold.digest().digest(), fold.totals());
    let elapsed = begin.elapsed();
    let sums = rows::sums(&claim.view, |_| progress(total, total))?;
    let Some(live) = sums else {
        drop(fold);
        scratch::discard(scratch)?;
        return Ok(None);
    };
    let mut differences = Vec::new();
    if replay != claim.digest || live.digest() != claim.digest {
        let replayed = fold.reader().view().map_err(FoldError::from)?;
        let theirs = rows::sums(&replayed, |_| true)?.expect("nothing ends it");
        differences = rows::differences((&claim.view, &live), (&replayed, &theirs), DIFFERENCES_MAX)?;
    }
    drop(fold);
    scratch::discard(scratch)?;
    Ok(Some(Verification {
        live: claim.digest,
        replay,
        rows: live.digest(),
        differences,
        entries: total,
        elapsed,
        totals,
    }))
}
