//! Reading the views from other threads than the fold's.

use std::fs::File;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::meta::Committed;
use crate::error::Error;
use crate::store::{Row, Snapshot, Store};
use crate::table::{KeyRange, Table};
use crate::value::Value;

/// A handle for queries; cheap to clone, and to be shared by any number of threads.
///
/// Queries read tables only. Dense files and postings belong to the fold's thread: their rows change in place and
/// would not match a [`View`]; what a query needs of a node stands in the tables.
#[derive(Clone)]
pub struct Reader {
    store: Arc<Store>,
    /// The directory stays in use while anything reads from it.
    lock: Arc<File>,
}

impl Reader {
    pub(super) const fn new(store: Arc<Store>, lock: Arc<File>) -> Self {
        Self { store, lock }
    }

    /// A view of the last committed batch. Take one for each query, and drop it with the query.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be read.
    pub fn view(&self) -> Result<View, Error> {
        let snapshot = self.store.snapshot();
        let committed = Committed::read_at(&snapshot)?;
        Ok(View { snapshot, committed, _lock: Arc::clone(&self.lock) })
    }
}

/// Whichever store serves: a handle that stays when one store takes over from another, or is opened again. Cheap to clone; all clones
/// are one.
#[derive(Clone)]
pub struct Serving(Arc<ArcSwapOption<Reader>>);

impl Serving {
    /// Of one store.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee(reader)))
    }

    /// A view of the last committed batch of the store that serves.
    ///
    /// # Errors
    ///
    /// As [`Reader::view`]; [`Error::Closed`] while none serves.
    pub fn view(&self) -> Result<View, Error> {
        self.0.load().as_ref().ok_or(Error::Closed)?.view()
    }

    /// Lets go of the store, so that its directory can be opened again once the last view of it is dropped.
    pub fn close(&self) {
        self.0.store(None);
    }

    /// Lets another store serve. Views of the one before stay whole until they are dropped.
    pub fn replace(&self, reader: Reader) {
        self.0.store(Some(Arc::new(reader)));
    }
}

/// All tables as one committed batch left them.
pub struct View {
    snapshot: Snapshot,
    committed: Committed,
    _lock: Arc<File>,
}

impl View {
    /// The batch that this view shows.
    #[must_use]
    pub const fn committed(&self) -> &Committed {
        &self.committed
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be read; [`Error::SnapshotExpired`] when the view is too old (sled
    /// only, when 64 MiB of rows have been overwritten since).
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, Error> {
        self.snapshot.get(table, key)
    }

    /// The values of several keys, in the order asked. Sort the keys: neighbours share blocks.
    ///
    /// # Errors
    ///
    /// As [`View::get`].
    pub fn multi_get<K: AsRef<[u8]>>(&self, table: Table, keys: &[K]) -> Result<Vec<Option<Value>>, Error> {
        self.snapshot.multi_get(table, keys)
    }

    /// At most `limit` rows of a range, in key order.
    ///
    /// # Errors
    ///
    /// As [`View::get`].
    pub fn range(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Row>, Error> {
        self.snapshot.range(table, range, limit)
    }
}
