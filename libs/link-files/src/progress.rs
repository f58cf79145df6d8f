//! Where a run tells how far it is.

/// Told how far a run is. Calls come from one thread at a time.
pub trait Progress: Sync {
    /// A stage begins; `total` is its size in whatever the stage counts, 0 when unknown.
    fn begin(&self, stage: &'static str, total: u64);
    /// So much of the stage is done.
    fn at(&self, done: u64);
    /// The stage is done.
    fn end(&self);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &'static str, _: u64) {}
    fn at(&self, _: u64) {}
    fn end(&self) {}
}
