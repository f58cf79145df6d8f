//! Views that served before, as another program left them, beside those that this one folds to the same positions.
//!
//! A program of another fold version cannot go on with them, so they are compared where they ended. Their rows must be readable: a
//! version of the fold mostly says something else in rows of the same form.

use std::path::Path;
use std::sync::Arc;

use record::{Index, Partition, Stream};
use view_store::{Expect, OpenError, Options, ViewStore, inspect};

use crate::fold::{Fold, FoldError, Totals, decode_positions};
use crate::prepared::{Aligned, Side, basis_at};
use crate::runtime::{StartError, ViewsHandle};
use crate::scratch;
use crate::verify::digest_of;

/// The stores behind views that are compared: open as long as these are.
pub struct Stores {
    _former: ViewStore,
    _scratch: Fold,
}

/// Opens the views in `former`, and folds the log up to where they ended in a new store under `scratch`. The former views
/// are told as those that serve, this program's as those that are prepared. `wanted` as in [`crate::verify::verify`].
///
/// # Errors
/// [`StartError`].
pub fn align(
    handle: &ViewsHandle,
    former: &Path,
    scratch: &Path,
    wanted: impl FnMut(u64, u64) -> bool,
) -> Result<Option<(Aligned, Stores)>, StartError> {
    let nothing = || OpenError::NotAStore { dir: former.to_owned() };
    let found = inspect(former)?.ok_or_else(nothing)?;
    let options = Options { store: found.store, ..Options::default() };
    let expect = Expect { fold_version: found.fold_version, log_id: found.log_id };
    let store = ViewStore::open(former, options, expect)?.into_store();
    let view = store.reader().view().map_err(FoldError::from)?;
    let positions = decode_positions(&view.committed().positions)?;
    let control: Index = positions.get(Stream::Control, Partition(0));
    let basis = basis_at(&handle.log, control, None)?;
    let secret = handle.secret.as_ref();
    let folded = scratch::fold_up_to((&handle.log, secret), basis, &positions, (scratch, handle.store), wanted)?;
    let Some(fold) = folded else { return Ok(None) };
    let prepared = Side::of(&fold)?;
    let serving = Side {
        digest: digest_of(&view)?,
        view,
        totals: Totals::default(),
        basis: prepared.basis.clone(),
        fold_version: found.fold_version,
        control: Arc::clone(&prepared.control),
    };
    Ok(Some((Aligned { serving, prepared, positions }, Stores { _former: store, _scratch: fold })))
}
