//! Why a call is refused or fails, as typed values and as `google.rpc` details.

use std::collections::HashMap;
use std::time::Duration;

use event_log::ReadError;
use record::{DecodeError, Position};
use telemetry::told;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const DOMAIN: &str = "hub.audit.v1";
const RETRY: Duration = Duration::from_secs(2);

/// Why a call is refused or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate.
    #[error("the connection names no caller")]
    NoPrincipal,
    /// Not permitted.
    #[error(transparent)]
    Refused(#[from] access::Refusal),
    /// A field of the request.
    #[error("{field}: {description}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong, and what to send instead.
        description: String,
    },
    /// Nothing of that name is in the log.
    #[error("{0}")]
    NotFound(String),
    /// The entry is under no checkpoint yet.
    #[error("no checkpoint covers {0} yet: ask again in two seconds")]
    NotCovered(Position),
    /// The ledger has stopped, and no checkpoint covers what was asked for.
    #[error("the ledger does not follow the log any more ({0}); the operator finds the reason in the hub's log")]
    Stopped(String),
    /// No checkpoint was signed yet.
    #[error("the ledger has no checkpoint yet: ask again in two seconds")]
    NoCheckpoint,
    /// More than one bundle holds.
    #[error("that is more than {0} entries or bytes, the most that one bundle holds: name a version or a position")]
    TooMuch(usize),
    /// The response is not the one that was given.
    #[error("the response is not the one whose hash is in the access entry: send it as it was received")]
    OtherAnswer,
    /// Nothing was answered there.
    #[error("by that access nothing was answered: ask without a response")]
    NothingAnswered,
    /// The receipt contradicts the log.
    #[error(
        "the log has another entry at {0} than the receipt promises: keep the receipt, it is evidence against the hub"
    )]
    Contradicted(Position),
    /// One verification at a time.
    #[error("another verification is running: wait for its end")]
    Busy,
    /// The log cannot be read.
    #[error("the log cannot be read: {}", told(.0))]
    Log(#[source] ReadError),
    /// What cannot be explained to a caller.
    #[error("the hub failed to carry this out: the operator finds the reason in its log")]
    Internal,
    /// The access was not made durable.
    #[error("the access was not written down, so nothing is shown: {0}")]
    NotRecorded(String),
    /// The hub stops.
    #[error("the hub is stopping: repeat the call when it runs again")]
    Stopping,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::BeyondEnd { .. } | ReadError::NotFound { .. } => {
                Self::NotFound("the log has no such entry".into())
            }
            ReadError::Expired { .. } => Self::NotFound("the log's retention has let go of that entry".into()),
            error => Self::Log(error),
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::internal("an entry cannot be read", &error)
    }
}

impl Error {
    /// A field of the request that is wrong.
    pub(crate) fn field(field: &'static str, description: impl Into<String>) -> Self {
        Self::Field { field, description: description.into() }
    }

    /// Logs what happened; the caller learns that something did.
    pub(crate) fn internal(what: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %told(error), "{what}");
        Self::Internal
    }

    /// Stable code of the reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoPrincipal => "no_principal",
            Self::Refused(refusal) => refusal.code(),
            Self::Field { .. } => "field_invalid",
            Self::NotFound(_) => "not_found",
            Self::NotCovered(_) => "not_covered",
            Self::Stopped(_) => "ledger_stopped",
            Self::NoCheckpoint => "no_checkpoint",
            Self::TooMuch(_) => "too_much",
            Self::OtherAnswer => "other_answer",
            Self::NothingAnswered => "nothing_answered",
            Self::Contradicted(_) => "receipt_contradicted",
            Self::Busy => "verification_running",
            Self::Log(_) => "log_unreadable",
            Self::Internal => "internal",
            Self::NotRecorded(_) => "log_down",
            Self::Stopping => "stopping",
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::NoPrincipal => Code::Unauthenticated,
            Self::Refused(_) => Code::PermissionDenied,
            Self::Field { .. } | Self::OtherAnswer | Self::NothingAnswered => Code::InvalidArgument,
            Self::NotFound(_) => Code::NotFound,
            Self::NotCovered(_) | Self::NoCheckpoint | Self::Stopping | Self::NotRecorded(_) => Code::Unavailable,
            Self::Stopped(_) => Code::FailedPrecondition,
            Self::TooMuch(_) | Self::Busy => Code::ResourceExhausted,
            Self::Contradicted(_) => Code::DataLoss,
            Self::Log(_) | Self::Internal => Code::Internal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, HashMap::<String, String>::new());
        match &error {
            Error::Field { field, description } => {
                details.add_bad_request_violation(*field, description);
            }
            Error::NotCovered(_) | Error::NoCheckpoint | Error::Stopping | Error::Busy | Error::NotRecorded(_) => {
                details.set_retry_info(Some(RETRY));
            }
            Error::NoPrincipal
            | Error::Refused(_)
            | Error::NotFound(_)
            | Error::Stopped(_)
            | Error::TooMuch(_)
            | Error::OtherAnswer
            | Error::NothingAnswered
            | Error::Contradicted(_)
            | Error::Log(_)
            | Error::Internal => {}
        }
        Self::with_error_details(error.code(), message, details)
    }
}
