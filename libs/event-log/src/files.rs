//! Open segment files, so that a read by locator costs no `open`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Open files by segment number, at most so many; the one not used for longest goes first.
#[derive(Debug)]
pub(crate) struct FileCache {
    max: usize,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    uses: u64,
    open: HashMap<u32, Open>,
}

#[derive(Debug)]
struct Open {
    last_use: u64,
    file: Arc<File>,
}

impl FileCache {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(2), files: Mutex::default() }
    }

    /// The file of a segment; `open` is called without a lock held.
    pub(crate) fn get(&self, number: u32, open: impl FnOnce() -> io::Result<File>) -> io::Result<Arc<File>> {
        if let Some(file) = self.files.lock().unwrap_or_else(PoisonError::into_inner).touch(number) {
            return Ok(file);
        }
        let file = Arc::new(open()?);
        self.put(number, file.clone());
        Ok(file)
    }

    pub(crate) fn put(&self, number: u32, file: Arc<File>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.open.len() >= self.max
            && let Some(oldest) = files.open.iter().min_by_key(|(_, open)| open.last_use).map(|(n, _)| *n)
        {
            files.open.remove(&oldest);
        }
        files.uses += 1;
        let last_use = files.uses;
        files.open.insert(number, Open { last_use, file });
    }

    pub(crate) fn remove(&self, number: u32) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&number);
    }
}

impl Files {
    fn touch(&mut self, number: u32) -> Option<Arc<File>> {
        self.uses += 1;
        let open = self.open.get_mut(&number)?;
        open.last_use = self.uses;
        Some(open.file.clone())
    }
}
