//! The account of every question: its access entry, durable before the answer leaves.

use std::sync::Arc;
use std::time::Instant;

use projection::FOLD_VERSION;
use record::access::{Access, Action, Decision};
use record::{Index, Partition, Position, Positions, Pseudonym, Stream, Timestamp};
use telemetry::{Action as Counted, Decision as Ended};

use super::Core;
use super::error::Error;
use super::told::{hex, wire_time};
use crate::access_log::Basis;

/// Longest procedure code and case number in an entry, in bytes; what is longer was refused and is cut.
const TEXT_BYTES_MAX: usize = 128;

/// A question as its access entry tells it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) action: Action,
    pub(super) counted: Counted,
    pub(super) caller: String,
    pub(super) procedure: String,
    pub(super) case: String,
    pub(super) at: Timestamp,
    pub(super) known_at: Option<Timestamp>,
    pub(super) valid_at: Option<Timestamp>,
    pub(super) begun: Instant,
}

/// What kind of answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Answered,
    NotFound,
    Ambiguous,
}

/// An answer that has not left yet.
pub(super) struct Told<T> {
    pub(super) response: T,
    /// The answer's bytes, basis left out, as they are hashed.
    pub(super) bytes: Vec<u8>,
    pub(super) verdict: Verdict,
    pub(super) records: Vec<Pseudonym>,
    pub(super) fields: Vec<String>,
    pub(super) basis: Arc<Basis>,
}

/// Why there is no answer, and what was read before that was clear.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) records: Vec<Pseudonym>,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), records: Vec::new() }
    }
}

impl Core {
    /// Records the access and lets the answer go.
    pub(super) async fn conclude<T>(
        &self,
        asked: Asked,
        result: Result<Told<T>, Failure>,
    ) -> Result<(T, wire::query::Basis), Error> {
        let (counted, begun) = (asked.counted, asked.begun);
        let (ended, outcome) = match result {
            Ok(told) => {
                let ended = match told.verdict {
                    Verdict::Answered => Ended::Answered,
                    Verdict::NotFound => Ended::NotFound,
                    Verdict::Ambiguous => Ended::Ambiguous,
                };
                (ended, self.answered(asked, told).await)
            }
            Err(failure) if failure.error.is_refusal() => (Ended::Refused, self.refused(asked, failure).await),
            Err(failure) => (Ended::Failed, Err(failure.error)),
        };
        if let Err(error) = &outcome {
            error.log();
        }
        let recorded = !matches!(outcome, Err(Error::NotRecorded(_)));
        self.metrics.request(counted, if recorded { ended } else { Ended::Failed }, begun.elapsed());
        outcome
    }

    async fn answered<T>(&self, asked: Asked, told: Told<T>) -> Result<(T, wire::query::Basis), Error> {
        let decision = match told.verdict {
            Verdict::Answered => {
                let salt = random()?;
                Decision::Answered { salt, answer: self.handle.secret.answer_hash(&salt, &told.bytes) }
            }
            Verdict::NotFound => Decision::NotFound,
            Verdict::Ambiguous => Decision::Ambiguous,
        };
        let recorded = self.record(asked, &told.basis, told.records, told.fields, decision).await?;
        Ok((told.response, self.wire_basis(&told.basis, recorded)))
    }

    async fn refused<T>(&self, asked: Asked, failure: Failure) -> Result<T, Error> {
        let decision = Decision::Refused { code: failure.error.reason().to_owned() };
        let basis = Arc::new(self.basis_now());
        self.record(asked, &basis, failure.records, Vec::new(), decision).await?;
        Err(failure.error)
    }

    async fn record(
        &self,
        asked: Asked,
        basis: &Arc<Basis>,
        records: Vec<Pseudonym>,
        fields: Vec<String>,
        decision: Decision,
    ) -> Result<([u8; 16], Position), Error> {
        let id = random()?;
        let access = Access {
            action: asked.action,
            id,
            caller: asked.caller,
            procedure: cut(asked.procedure),
            case: cut(asked.case),
            records,
            fields,
            at: asked.at,
            known_at: asked.known_at,
            valid_at: asked.valid_at,
            decision,
        };
        let position = self.access_log.record(Arc::clone(basis), access).await.map_err(Error::NotRecorded)?;
        Ok((id, position))
    }

    /// The basis of what is decided without reading the views.
    pub(super) fn basis_now(&self) -> Basis {
        let positions = self.handle.folded.borrow().clone();
        self.basis(positions, *self.handle.access.load().policy_hash().as_bytes())
    }

    pub(super) fn basis(&self, positions: Positions, policy: [u8; 32]) -> Basis {
        let control: Index = positions.get(Stream::Control, Partition(0));
        let model_epoch = self.handle.control.load().model.as_ref().map_or(0, |m| m.model.epoch());
        Basis { positions, control, fold_version: FOLD_VERSION, model_epoch, policy }
    }

    fn wire_basis(&self, basis: &Basis, (id, position): ([u8; 16], Position)) -> wire::query::Basis {
        wire::query::Basis {
            positions: super::told::ends(&basis.positions),
            fold_version: basis.fold_version,
            model_epoch: basis.model_epoch,
            policy: hex(&basis.policy),
            access_id: hex(&id),
            answered_at: Some(wire_time(self.now())),
            access_position: position.to_string(),
        }
    }
}

fn random() -> Result<[u8; 16], Error> {
    let mut out = [0; 16];
    getrandom::fill(&mut out).map_err(|error| {
        tracing::error!(%error, "the system gives no random bytes");
        Error::Internal
    })?;
    Ok(out)
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_cut_at_a_character() {
        assert_eq!(cut("é".repeat(100)).len(), 128);
        assert_eq!(cut(format!("x{}", "é".repeat(100))).len(), 127);
        assert_eq!(cut("H29-2026".into()), "H29-2026");
    }
}
