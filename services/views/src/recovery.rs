//! What becomes of a fold whose store has failed.
//!
//! Queries go on with what is folded. When the disk is at fault (full, unplugged, slow to death) the store is opened again as soon as there is
//! room, from what is on the disk, and the fold goes on where that stands; a store that lost batches or is damaged is folded anew from the log, as
//! at a start. Only while the store is opened are questions told to come again. What cannot pass (an entry of the log that does not decode, a
//! store that is damaged again although it was folded anew) stops the fold until somebody has looked.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use record::Positions;
use telemetry::told;
use view_store::{OpenError, ViewStore};

use crate::fold::{Fold, FoldError};
use crate::runtime::{FoldStatus, Run, StartError, open, resume};

/// First wait before the store is opened again; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Free bytes without which the store is not opened again: what a checkpoint, a journal and a step of a dense file's growth take.
const ROOM_BYTES: u64 = 32 << 20;
/// How long views that are being read may keep the store from being opened again.
const READERS_MAX: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);

/// The serving fold. Absent only while its store is opened again.
pub(crate) struct Held(Option<Fold>);

impl Held {
    pub(crate) const fn new(fold: Fold) -> Self {
        Self(Some(fold))
    }

    pub(crate) fn take(&mut self) -> Fold {
        self.0.take().expect("the fold is there but while its store is opened again")
    }
}

impl Deref for Held {
    type Target = Fold;

    fn deref(&self) -> &Fold {
        self.0.as_ref().expect("the fold is there but while its store is opened again")
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Fold {
        self.0.as_mut().expect("the fold is there but while its store is opened again")
    }
}

/// What a failure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Open the store again.
    Open,
    /// Fold it anew.
    Anew,
    /// Somebody must look.
    None,
}

fn remedy(error: &FoldError) -> Remedy {
    match error {
        FoldError::Store(error) if error.may_pass() => Remedy::Open,
        FoldError::Store(_)
        | FoldError::Row(_)
        | FoldError::Decode(_)
        | FoldError::Kept(_)
        | FoldError::Full(_)
        | FoldError::Order(_)
        | FoldError::InBulk
        | FoldError::Positions => Remedy::Anew,
        FoldError::Log(_)
        | FoldError::Entry { .. }
        | FoldError::Body { .. }
        | FoldError::Hash { .. }
        | FoldError::Register { .. }
        | FoldError::QuarantineFull { .. }
        | FoldError::NoModel { .. }
        | FoldError::Thread(_) => Remedy::None,
    }
}

/// Whether a failure at a start shows that what is kept is at fault, so that folding it anew mends it.
pub(crate) fn is_damage(error: &FoldError) -> bool {
    remedy(error) == Remedy::Anew || matches!(error, FoldError::Store(view_store::Error::Store { .. }))
}

/// What earlier failures came to.
#[derive(Default)]
pub(crate) struct Failures {
    /// Where the fold stood when the store was last opened again.
    reopened_at: Option<Positions>,
    folded_anew: bool,
}

impl Run {
    /// Brings the fold back, as long as that takes.
    ///
    /// # Errors
    /// The failure, when it cannot pass or the hub stops first.
    pub(crate) fn recover(&mut self, error: FoldError, stop: &AtomicBool) -> Result<(), FoldError> {
        let mut remedy = remedy(&error);
        // What was on its way is in the store now, and told, or lost: it is folded again, whatever this says.
        let _ = self.settle();
        let stores_own = matches!(&error, FoldError::Store(view_store::Error::Store { .. }));
        if stores_own && self.failures.reopened_at.as_ref() == Some(&self.announcer.told().positions) {
            // It was opened again and has not folded one batch since, and the disk says nothing: what is kept is at fault.
            remedy = Remedy::Anew;
        }
        self.tell_stopped(&error);
        if remedy == Remedy::None || (remedy == Remedy::Anew && self.failures.folded_anew) || !self.options.rebuild {
            tracing::error!(error = %told(&error), "the fold has stopped; queries go on with what is folded");
            return Err(error);
        }
        tracing::error!(error = %told(&error), "the fold waits; queries go on with what is folded, and its store is opened again");
        let mut pause = PAUSE;
        loop {
            if !waited(pause, stop) {
                return Err(error);
            }
            if !has_room(&self.options.dir) {
                continue;
            }
            match self.open_again(remedy == Remedy::Anew) {
                Ok(()) => break,
                Err(again) => {
                    tracing::error!(error = %told(&again), "the view store cannot be opened again yet");
                    if matches!(&again, StartError::Fold(error) if is_damage(error)) {
                        remedy = Remedy::Anew;
                    }
                }
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.failures.reopened_at = Some(self.fold.positions().clone());
        self.failures.folded_anew |= self.rebuilding_because.is_some();
        tracing::info!("the view store was opened again; the fold goes on");
        Ok(())
    }

    fn tell_stopped(&self, error: &FoldError) {
        let stopped = Some(told(error));
        self.announcer.tell_status(FoldStatus { stopped, ..self.announcer.told().as_ref().clone() });
    }

    fn open_again(&mut self, anew: bool) -> Result<(), StartError> {
        if let Some(fold) = self.fold.0.take() {
            self.before = Some((fold.shared_control(), fold.secret().clone()));
            self.reader.close();
            drop(fold);
        }
        let (shared, secret) = self.before.clone().expect("set when the fold was let go of");
        let store = free(|| {
            if anew {
                ViewStore::discard(&self.generations.serving())?;
            }
            open(&self.options, &mut self.generations, self.expect)
        });
        let (store, because) = store?;
        let mut fold = resume(store, &self.log, &secret)?;
        let because = if anew { Some("a part of it was damaged".to_owned()) } else { because };
        let _taking_over = self.taking_over.write().unwrap_or_else(PoisonError::into_inner);
        fold.adopt(shared);
        self.reader.replace(fold.reader());
        self.fold.0 = Some(fold);
        self.rebuilding_because = because;
        self.takeovers.fetch_add(1, Ordering::Release);
        self.tell_folded();
        Ok(())
    }
}

/// Opens what others may still read: whoever looks at one state of the views has it open until they have read it.
fn free<T>(mut open: impl FnMut() -> Result<T, StartError>) -> Result<T, StartError> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(StartError::Open(OpenError::Locked { .. })) if begun.elapsed() < READERS_MAX => {
                std::thread::sleep(STEP);
            }
            opened => return opened,
        }
    }
}

/// Waits, and tells whether to go on.
fn waited(pause: Duration, stop: &AtomicBool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < pause && !stop.load(Ordering::Acquire) {
        std::thread::sleep(STEP);
    }
    !stop.load(Ordering::Acquire)
}

/// Whether the disk has room and takes what is written. One that does not tell its room is tried.
fn has_room(dir: &Path) -> bool {
    let free = rustix::fs::statvfs(dir).map_or(u64::MAX, |told| told.f_bavail.saturating_mul(told.f_frsize));
    let probe = dir.join("room.new");
    let written = std::fs::write(&probe, [0; 1 << 16]).and_then(|()| std::fs::File::open(&probe)?.sync_all());
    // What cannot be removed is in nobody's way, and is written over.
    let _ = std::fs::remove_file(&probe);
    free >= ROOM_BYTES && written.is_ok()
}
