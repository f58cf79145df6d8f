//! Answers that are tried, and the one that is kept.

use std::sync::Arc;

use record::{LogSecret, Pseudonym};
use wire::query::{CheckProcedureResponse, GetSubjectResponse, ReproducedAnswer, SearchResponse};

use super::super::account::{Failure, Told, Verdict};
use super::super::error::Error;
use crate::access_log::Basis;

/// Most answers that are made for one access.
const ATTEMPTS_MAX: usize = 20_000;

/// What tells the answer that was given.
#[derive(Clone, Copy)]
pub(super) struct Test<'a> {
    pub(super) secret: &'a LogSecret,
    pub(super) salt: &'a [u8; 16],
    pub(super) hash: &'a [u8; 32],
    /// Whether somebody still waits.
    pub(super) wanted: &'a dyn Fn() -> bool,
}

/// An answer of the action that was asked for.
pub(super) enum Answer {
    Subject(GetSubjectResponse),
    Procedure(CheckProcedureResponse),
    Search(SearchResponse),
}

impl Answer {
    pub(super) fn put(self, response: &mut ReproducedAnswer) {
        match self {
            Self::Subject(answer) => response.answer = Some(answer),
            Self::Procedure(answer) => response.checked = Some(answer),
            Self::Search(answer) => response.found = Some(answer),
        }
    }
}

/// What came out.
pub(super) struct Made {
    pub(super) answer: Answer,
    /// Whether it has the hash of the answer that was given.
    pub(super) exact: bool,
    pub(super) records: Vec<Pseudonym>,
    pub(super) fields: Vec<String>,
    pub(super) basis: Arc<Basis>,
}

/// Keeps the answer with the right hash, or else the first from the very records.
pub(super) struct Attempts<'a, T> {
    test: Test<'a>,
    records: &'a [Pseudonym],
    left: usize,
    kept: Option<Told<T>>,
    exact: bool,
}

impl<'a, T> Attempts<'a, T> {
    pub(super) fn new(test: Test<'a>, records: &'a [Pseudonym]) -> Self {
        Self { test, records, left: ATTEMPTS_MAX, kept: None, exact: false }
    }

    /// Whether the next one is to be tried.
    pub(super) fn go_on(&self) -> bool {
        !self.exact && self.left > 0 && (self.test.wanted)()
    }

    /// Takes an answer. One that is refused was not given.
    pub(super) fn put(&mut self, told: Result<Told<T>, Failure>) -> Result<(), Error> {
        self.left = self.left.saturating_sub(1);
        let told = match told {
            Ok(told) => told,
            Err(failure) if failure.error.is_refusal() => return Ok(()),
            Err(failure) => return Err(failure.error),
        };
        if self.exact || told.verdict != Verdict::Answered || told.records != self.records {
            return Ok(());
        }
        self.exact = self.test.secret.is_answer(self.test.salt, &told.bytes, self.test.hash);
        if self.exact || self.kept.is_none() {
            self.kept = Some(told);
        }
        Ok(())
    }

    pub(super) fn finish(self, answer: impl FnOnce(T) -> Answer) -> Option<Made> {
        let Told { response, records, fields, basis, .. } = self.kept?;
        Some(Made { answer: answer(response), exact: self.exact, records, fields, basis })
    }
}
