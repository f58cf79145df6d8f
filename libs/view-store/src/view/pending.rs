//! The last batch on its way into the store, on a thread of its own, while the next one is built.
//!
//! Whoever builds the next one reads through it: what it writes is as good as stored. Only [`super::Reader`]s do not see it yet.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Batch, Durability};
use crate::error::Error;
use crate::row_cache::RowCache;
use crate::store::Store;
use crate::table::Table;
use crate::value::Value;
use crate::work::Work;

/// At most one batch that is written.
#[derive(Default)]
pub(super) struct Pending {
    batch: Option<(Arc<Batch>, Work)>,
    /// A batch that is written; the next thread empties it, which costs as much as a tenth of writing it.
    spent: Option<Arc<Batch>>,
    /// Batches that were emptied: their memory serves the next ones, so that no table grows from nothing for every batch.
    empty: Arc<Mutex<Vec<Batch>>>,
}

impl Pending {
    /// The batch that is written, if there is one.
    pub(super) fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref().map(|(batch, _)| &**batch)
    }

    /// A batch without writes.
    pub(super) fn empty_batch(&self) -> Batch {
        self.empty.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Begins to write a batch; `stored` is called once readers see it. The one before must be settled.
    pub(super) fn begin(
        &mut self,
        batch: Batch,
        (store, rows): (&Arc<Store>, &Arc<RowCache>),
        durability: Durability,
        at: &Path,
        stored: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        assert!(self.batch.is_none(), "one batch at a time");
        let batch = Arc::new(batch);
        let (written, spent) = (Arc::clone(&batch), self.spent.take());
        let empty = Arc::clone(&self.empty);
        let (store, rows) = (Arc::clone(store), Arc::clone(rows));
        let work = Work::begin("view-commit", at, move |_| {
            if let Some(mut spent) = spent.and_then(Arc::into_inner) {
                spent.clear();
                empty.lock().unwrap_or_else(PoisonError::into_inner).push(spent);
            }
            let writes = written.writes();
            store.apply(&writes, durability)?;
            stored();
            for (key, write) in writes.into_iter().filter(|(key, _)| key.is_of(Table::is_read_again)) {
                rows.insert(key.clone(), write.clone().map(Value::from));
            }
            Ok(())
        })?;
        self.batch = Some((batch, work));
        Ok(())
    }

    /// Waits until it is written and readers see it.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let Some((batch, work)) = self.batch.take() else { return Ok(()) };
        work.join()?;
        self.spent = Some(batch);
        Ok(())
    }
}
