//! Views of a part of the log in a store of their own, which nobody serves from for long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use event_log::EventLog;
use projection::FOLD_VERSION;
use projection::basis::Basis;
use record::{LogSecret, Positions};
use view_store::{Expect, Options, StoreKind, ViewStore};

use crate::fold::{BulkOptions, BulkProgress, Fed, Feed, FeedOptions, Fold, FoldError, covered, remove_order};
use crate::prepared::entries;
use crate::runtime::StartError;

/// A scratch store belongs to no log: it is discarded, never opened again.
const LOG_ID: [u8; 16] = *b"a scratch store ";
const FEED: FeedOptions = FeedOptions { entries_max: 4096, bytes_max: 8 << 20, follow: false };

/// Folds the log up to `ends` into a new store under `dir`; what was there is discarded. `wanted` gets the entries done and all of
/// them, and ends the fold by returning `false`: `None` then, and nothing is left under `dir`.
///
/// # Errors
/// [`StartError`].
pub(crate) fn fold_up_to(
    (log, secret): (&EventLog, &LogSecret),
    basis: Basis,
    ends: &Positions,
    (dir, store): (&Path, StoreKind),
    mut wanted: impl FnMut(u64, u64) -> bool,
) -> Result<Option<Fold>, StartError> {
    discard(dir)?;
    let options = Options { store, ..Options::default() };
    let store = ViewStore::open(dir, options, Expect { fold_version: FOLD_VERSION, log_id: LOG_ID })?.into_store();
    let mut fold = Fold::resume(store, log.clone(), secret.clone(), basis)?;
    let total = entries(ends);
    let sort = sort_of(dir);
    let bulk =
        fold.fold_bulk(&sort, ends, BulkOptions::ALONE, |BulkProgress { folded, .. }, _| wanted(folded, total))?;
    if !bulk {
        drop(fold);
        discard(dir)?;
        return Ok(None);
    }
    let mut done = entries(fold.positions());
    let feed = Feed::start(&fold, log, FEED, covered(ends))?;
    while done < total {
        match feed.next(Duration::from_secs(1))? {
            Fed::Batch(batch) => {
                done += batch.len() as u64;
                fold.fold_ahead(batch, || ())?;
            }
            Fed::Idle => {}
            Fed::End => break,
        }
        if !wanted(done, total) {
            drop(fold);
            discard(dir)?;
            return Ok(None);
        }
    }
    fold.settle()?;
    Ok(Some(fold))
}

/// Where the order of changes stands while the store in `dir` is folded in bulk.
pub(crate) fn sort_of(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".sort");
    dir.with_file_name(name)
}

/// Removes a store that nobody serves from, and what a bulk fold left beside it.
pub(crate) fn discard(dir: &Path) -> Result<(), StartError> {
    if dir.exists() {
        ViewStore::discard(dir)?;
    }
    remove_order(&sort_of(dir)).map_err(FoldError::Order)?;
    Ok(())
}
