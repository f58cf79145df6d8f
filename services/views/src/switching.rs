//! The serving fold's thread and the views that are prepared beside it: what operators ask, and what the control stream wants.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use projection::basis::{Basis, BasisName};
use record::Digest;
use telemetry::told;

use crate::copying::Given;
use crate::fold::{Fold, FoldError};
use crate::prepared::{Aligned, Beside, Command, PrepareError, Side};
use crate::runtime::{Run, wanted_basis};

/// Share of a thread's time, in percent, of views that are prepared because the control stream wants them.
const SHARE: u8 = 50;

impl Run {
    /// Goes on with what was prepared when the process ended.
    pub(crate) fn resume_beside(&mut self) {
        let Some((folder, name)) = self.generations.prepared() else { return };
        let name = name.to_owned();
        // Its store tells its basis. One that a kill left without is of no use.
        match Beside::open(&folder, self.store(), &self.fold, Basis::default(), SHARE) {
            Ok(beside) if beside.basis().to_string() == name => self.beside = Some(beside),
            Ok(beside) => {
                self.beside = Some(beside);
                if let Err(error) = self.discard(false) {
                    tracing::error!(error = %told(&error), "the prepared views cannot be discarded");
                }
            }
            Err(error) => tracing::error!(error = %told(&error), "the prepared views cannot be opened"),
        }
        self.tell_prepared();
    }

    /// Stops preparing; what is folded is kept.
    pub(crate) fn end_beside(&mut self) {
        let Some(beside) = self.beside.take() else { return };
        if let Err(error) = beside.freeze().and_then(Fold::close) {
            tracing::error!(error = %told(&error), "the prepared views did not end well");
        }
    }

    fn store(&self) -> (view_store::Options, view_store::Expect) {
        (self.options.store.clone(), self.expect)
    }

    /// Does what was asked, and what the control stream wants. True when other views have taken over.
    pub(crate) fn obey(&mut self) -> Result<bool, FoldError> {
        let mut switched = false;
        while let Ok(command) = self.asked.try_recv() {
            switched |= self.command(command)?;
        }
        if let Some(wanted) = wanted_basis(self.fold.control()) {
            switched |= self.follow_order(wanted)?;
        }
        self.tell_prepared();
        Ok(switched)
    }

    fn tell_prepared(&self) {
        self.prepared.send_replace(self.beside.as_ref().map(Beside::status));
    }

    /// Prepares what the control stream wants, and lets it take over once it is level.
    fn follow_order(&mut self, wanted: BasisName) -> Result<bool, FoldError> {
        let ready = match &self.beside {
            Some(beside) if *beside.basis() == wanted => beside.status(),
            _ => {
                if !self.order_failed
                    && let Err(error) = self.prepare_ordered(&wanted)
                {
                    // Asked for again at the next start, or by an operator.
                    self.order_failed = true;
                    tracing::error!(error = %told(&error), basis = %wanted, "the ordered views cannot be prepared");
                }
                return Ok(false);
            }
        };
        if !ready.level {
            return Ok(false);
        }
        match self.take_over(false)? {
            Ok(_) => Ok(true),
            Err(error) => {
                tracing::error!(error = %told(&error), basis = %wanted, "the ordered views cannot take over");
                Ok(false)
            }
        }
    }

    fn prepare_ordered(&mut self, wanted: &BasisName) -> Result<(), PrepareError> {
        self.end_beside();
        self.generations.discard_prepared()?;
        let name = wanted.to_string();
        if self.generations.previous() == Some(name.as_str()) {
            let _basis = self.previous()?;
            return Ok(());
        }
        tracing::info!(basis = %wanted, "views are prepared as the control stream wants them");
        self.prepare(wanted, SHARE)
    }

    fn command(&mut self, command: Command) -> Result<bool, FoldError> {
        self.settle()?;
        let mut switched = false;
        // Whoever is answered must find what is prepared as it was left. An asker who has gone away needs no answer.
        match command {
            Command::Prepare { basis, share, reply } => {
                let result = self.prepare(&basis, share);
                self.tell_prepared();
                let _ = reply.send(result);
            }
            Command::Previous { reply } => {
                let result = self.previous();
                self.tell_prepared();
                let _ = reply.send(result);
            }
            Command::Compare { reply } => {
                let result = self.compare()?;
                self.tell_prepared();
                let _ = reply.send(result);
            }
            Command::Former { reply } => {
                let _ = reply.send(self.generations.former().ok_or(PrepareError::NoPrevious));
            }
            Command::Switch { equal, reply } => {
                let result = self.take_over(equal)?;
                switched = result.is_ok();
                self.tell_prepared();
                let _ = reply.send(result);
            }
            Command::Discard { previous, reply } => {
                let result = self.discard(previous);
                self.tell_prepared();
                let _ = reply.send(result);
            }
            Command::Copy { aside, reply } => {
                let basis = self.fold.control().serving();
                let given = self.fold.outgoing(&aside).map(|outgoing| Given { outgoing, basis });
                let _ = reply.send(given.map_err(PrepareError::from));
            }
        }
        Ok(switched)
    }

    fn prepare(&mut self, name: &BasisName, share: u8) -> Result<(), PrepareError> {
        if let Some(beside) = &self.beside {
            return if beside.basis() == name { Ok(()) } else { Err(PrepareError::Other(beside.basis().clone())) };
        }
        let control = Arc::clone(self.fold.control());
        let basis = control.basis_of(name).ok_or_else(|| PrepareError::Unknown(name.clone()))?;
        let folder = self.generations.prepare(name.to_string())?;
        self.beside = Some(Beside::open(&folder, self.store(), &self.fold, basis, share)?);
        Ok(())
    }

    fn previous(&mut self) -> Result<BasisName, PrepareError> {
        if let Some(beside) = &self.beside {
            return Err(PrepareError::Other(beside.basis().clone()));
        }
        let folder = self.generations.bring_back()?.ok_or(PrepareError::NoPrevious)?;
        let beside = Beside::open(&folder, self.store(), &self.fold, Basis::default(), 100)?;
        let name = beside.basis().clone();
        self.beside = Some(beside);
        Ok(name)
    }

    fn discard(&mut self, previous: bool) -> Result<(), PrepareError> {
        if previous {
            return Ok(self.generations.discard_previous()?);
        }
        self.end_beside();
        Ok(self.generations.discard_prepared()?)
    }

    /// Takes the prepared fold from its thread, when it is level, and brings both to the same positions.
    fn align(&mut self) -> Result<Result<Fold, PrepareError>, FoldError> {
        self.settle()?;
        let Some(beside) = &self.beside else { return Ok(Err(PrepareError::None)) };
        let status = beside.status();
        if let Some(failed) = status.failed {
            return Ok(Err(PrepareError::Failed(failed)));
        }
        if !status.level {
            return Ok(Err(PrepareError::Behind(status.of.saturating_sub(status.entries))));
        }
        let Some(beside) = self.beside.take() else { return Ok(Err(PrepareError::None)) };
        let mut prepared = match beside.freeze() {
            Ok(fold) => fold,
            Err(error) => return Ok(Err(error.into())),
        };
        if let Err(error) = prepared.reach(self.fold.positions()) {
            return Ok(Err(error.into()));
        }
        self.fold.reach(&prepared.positions().clone())?;
        Ok(Ok(prepared))
    }

    /// Gives prepared views back to a thread of their own.
    fn go_on_beside(&mut self, prepared: Fold) {
        match Beside::start(prepared, SHARE) {
            Ok(beside) => self.beside = Some(beside),
            Err(error) => tracing::error!(error = %told(&error), "the prepared views wait for the next start"),
        }
    }

    fn compare(&mut self) -> Result<Result<Aligned, PrepareError>, FoldError> {
        let prepared = match self.align()? {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        let aligned = Aligned {
            serving: Side::of(&self.fold)?,
            prepared: Side::of(&prepared)?,
            positions: self.fold.positions().clone(),
        };
        self.tell_folded();
        Ok(match Beside::start(prepared, SHARE) {
            Ok(beside) => {
                self.beside = Some(beside);
                Ok(aligned)
            }
            Err(error) => Err(error.into()),
        })
    }

    /// Lets the prepared views take over. The digests of both at the same positions.
    fn take_over(&mut self, equal: bool) -> Result<Result<(Digest, Digest), PrepareError>, FoldError> {
        let mut prepared = match self.align()? {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        let digests = (self.fold.digest().digest(), prepared.digest().digest());
        if equal && digests.0 != digests.1 {
            self.tell_folded();
            self.go_on_beside(prepared);
            return Ok(Err(PrepareError::Different));
        }
        let served = self.fold.control().serving();
        if let Err(error) = self.generations.take_over(served.to_string()) {
            self.go_on_beside(prepared);
            return Ok(Err(error.into()));
        }
        {
            let _taking_over = self.taking_over.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            prepared.adopt(self.fold.shared_control());
            self.reader.replace(prepared.reader());
            std::mem::swap(&mut *self.fold, &mut prepared);
            self.takeovers.fetch_add(1, Ordering::Release);
            self.tell_folded();
        }
        self.order_failed = false;
        tracing::info!(from = %served, to = %self.fold.control().serving(), "other views have taken over");
        if let Err(error) = prepared.close() {
            tracing::error!(error = %told(&error), "the views that served did not close well; they are folded again when wanted");
        }
        Ok(Ok(digests))
    }
}
