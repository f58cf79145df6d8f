//! Why a question gets no answer, and the status that says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use access::Refusal;
use event_log::ReadError;
use record::DecodeError;
use record::entry::BodyError;
use telemetry::told;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::access_log::AccessLogError;
use crate::fold::FoldError;

/// `google.rpc.ErrorInfo.domain` of the hub's errors.
const DOMAIN: &str = "hub";
const RETRY_SOON: Duration = Duration::from_millis(500);
const RETRY_LATER: Duration = Duration::from_secs(30);

/// Why there is no answer. No variant holds a key, a value or a case number.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The views of then are being folded.
    #[error("the views of then are being folded, {done} of {of} entries: ask again in a while")]
    Folding {
        /// Entries that are folded.
        done: u64,
        /// All of them.
        of: u64,
    },
    /// The connection has no principal.
    #[error("the connection carries no identity: connect with a client certificate that holds a SPIFFE id")]
    NoPrincipal,
    /// The policy does not let the caller do this, or the request names no purpose or fields.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A part of the request is not usable.
    #[error("{field}: {description}")]
    Field {
        /// Path of the field.
        field: String,
        /// Stable reason.
        code: &'static str,
        /// What to send.
        description: String,
    },
    /// The views have not folded far enough in time.
    #[error("the views have not folded this far yet: {missing}; ask again, or with a later deadline")]
    Behind {
        /// The first position that is missing, and where the views are.
        missing: String,
        /// Whether the caller's own deadline ended the wait.
        deadline: bool,
    },
    /// The fold has stopped before the position that was asked for.
    #[error("the views take nothing in at present: the operator finds the reason in the hub's log")]
    FoldStopped,
    /// Too many questions wait.
    #[error("too many questions wait already: ask again in a moment")]
    Busy,
    /// The access entry is not durable, hence nothing is answered.
    #[error("the access could not be recorded, so nothing is answered: ask again, or tell the hub's operator")]
    NotRecorded(#[source] AccessLogError),
    /// The access list cannot be read.
    #[error("the access records cannot be read: the operator finds the reason in the hub's log")]
    Accesses(#[source] AccessLogError),
    /// The views cannot be read.
    #[error("the views cannot be read: the operator finds the reason in the hub's log")]
    Views(#[source] Arc<FoldError>),
    /// The log cannot be read.
    #[error("the log cannot be read: the operator finds the reason in the hub's log")]
    Log(#[source] Arc<ReadError>),
    /// An entry of the log is not what the views say.
    #[error("an entry of the log cannot be read: the operator finds the reason in the hub's log")]
    Entry(#[source] DecodeError),
    /// An entry's body is encrypted or short.
    #[error("an entry of the log cannot be read: the operator finds the reason in the hub's log")]
    Body(#[source] BodyError),
    /// The scratch folder cannot be used.
    #[error("the hub cannot sort the records, because its scratch folder cannot be used: tell the hub's operator")]
    Scratch(#[source] Arc<std::io::Error>),
    /// The samples of quality cannot be read.
    #[error("the samples of earlier quality cannot be read: tell the hub's operator, or ask without a trend")]
    History(#[source] Arc<std::io::Error>),
    /// An erasure goes before a comparison.
    #[error("records are being erased at present: compare again in a moment")]
    Interrupted,
    /// The hub is stopping.
    #[error("the hub is stopping: go on from the last cursor when it runs again")]
    Stopping,
    /// Something that is the hub's own fault.
    #[error("the hub failed to carry this out: the operator finds the reason in its log")]
    Internal,
}

impl From<FoldError> for Error {
    fn from(error: FoldError) -> Self {
        Self::Views(Arc::new(error))
    }
}

impl From<view_store::Error> for Error {
    fn from(error: view_store::Error) -> Self {
        Self::from(FoldError::from(error))
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Log(Arc::new(error))
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Entry(error)
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl Error {
    pub(super) fn field(field: impl Into<String>, code: &'static str, description: impl Into<String>) -> Self {
        Self::Field { field: field.into(), code, description: description.into() }
    }

    /// The stable reason, as `google.rpc.ErrorInfo` and the access entry carry it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoPrincipal => "no_principal",
            Self::Refused(refusal) => refusal.code(),
            Self::Field { code, .. } => code,
            Self::Behind { .. } => "views_behind",
            Self::FoldStopped => "fold_stopped",
            Self::Busy => "busy",
            Self::NotRecorded(_) => "access_not_recorded",
            Self::Accesses(_) => "accesses_unreadable",
            Self::Views(_) => "views_unreadable",
            Self::Log(_) | Self::Entry(_) | Self::Body(_) => "log_unreadable",
            Self::Scratch(_) => "scratch_unusable",
            Self::History(_) => "history_unreadable",
            Self::Interrupted => "interrupted",
            Self::Stopping => "stopping",
            Self::Folding { .. } => "past_being_folded",
            Self::Internal => "internal",
        }
    }

    /// Whether it is a decision about the request, which an access entry tells.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Field { .. })
    }

    fn code(&self) -> Code {
        match self {
            Self::NoPrincipal => Code::Unauthenticated,
            Self::Refused(refusal) => code_of(refusal),
            Self::Field { .. } => Code::InvalidArgument,
            Self::Behind { deadline: true, .. } => Code::DeadlineExceeded,
            Self::Busy => Code::ResourceExhausted,
            Self::Behind { deadline: false, .. }
            | Self::FoldStopped
            | Self::Folding { .. }
            | Self::Stopping
            | Self::Scratch(_)
            | Self::History(_)
            | Self::Interrupted
            | Self::NotRecorded(_)
            | Self::Accesses(_)
            | Self::Views(_)
            | Self::Log(_) => Code::Unavailable,
            Self::Entry(_) | Self::Body(_) => Code::DataLoss,
            Self::Internal => Code::Internal,
        }
    }

    fn retry(&self) -> Option<Duration> {
        match self {
            Self::Behind { .. } | Self::Busy | Self::Stopping | Self::Interrupted => Some(RETRY_SOON),
            Self::Folding { .. }
            | Self::Scratch(_)
            | Self::History(_)
            | Self::FoldStopped
            | Self::NotRecorded(_)
            | Self::Accesses(_)
            | Self::Views(_)
            | Self::Log(_) => Some(RETRY_LATER),
            Self::NoPrincipal
            | Self::Refused(_)
            | Self::Field { .. }
            | Self::Entry(_)
            | Self::Body(_)
            | Self::Internal => None,
        }
    }

    /// The paths of the request's fields that are at fault.
    fn fields(&self) -> Vec<String> {
        match self {
            Self::Refused(refusal) => refused_fields(refusal),
            Self::Field { field, .. } => vec![field.clone()],
            Self::Behind { .. } => vec!["min_positions".into()],
            Self::NoPrincipal
            | Self::FoldStopped
            | Self::Folding { .. }
            | Self::Stopping
            | Self::Scratch(_)
            | Self::History(_)
            | Self::Interrupted
            | Self::Busy
            | Self::NotRecorded(_)
            | Self::Accesses(_)
            | Self::Views(_)
            | Self::Log(_)
            | Self::Entry(_)
            | Self::Body(_)
            | Self::Internal => Vec::new(),
        }
    }

    /// Logs what is the hub's own fault, once, with its cause.
    pub(super) fn log(&self) {
        match self {
            Self::NotRecorded(e) | Self::Accesses(e) => tracing::error!(error = %told(e), "accesses failed"),
            Self::Views(e) => tracing::error!(error = %told(e.as_ref()), "the views cannot be read"),
            Self::Log(e) => tracing::error!(error = %told(e.as_ref()), "the log cannot be read"),
            Self::Entry(e) => tracing::error!(error = %told(e), "an entry of the log cannot be read"),
            Self::Body(e) => tracing::error!(error = %told(e), "an entry of the log cannot be read"),
            Self::NoPrincipal
            | Self::Refused(_)
            | Self::Field { .. }
            | Self::Behind { .. }
            | Self::Folding { .. }
            | Self::FoldStopped
            | Self::Stopping
            | Self::Interrupted
            | Self::Busy
            | Self::Internal => {}
            Self::History(e) => tracing::error!(error = %told(e.as_ref()), "the samples of quality cannot be read"),
            Self::Scratch(e) => tracing::error!(error = %told(e.as_ref()), "the scratch folder cannot be used"),
        }
    }
}

fn code_of(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::PurposeMissing
        | Refusal::CaseMalformed
        | Refusal::FieldsMissing
        | Refusal::ProcedureUnknown { .. }
        | Refusal::KindUnknown { .. }
        | Refusal::FieldsUnknown { .. } => Code::InvalidArgument,
        Refusal::CallerUnknown
        | Refusal::ActionNotGranted { .. }
        | Refusal::ProcedureNotGranted { .. }
        | Refusal::KindNotGranted { .. }
        | Refusal::FieldsNotInProcedure { .. }
        | Refusal::SensitivityNotGranted { .. }
        | Refusal::RowOutsideScope
        | Refusal::PublishNotGranted { .. }
        | Refusal::PolicyFailed => Code::PermissionDenied,
    }
}

fn refused_fields(refusal: &Refusal) -> Vec<String> {
    let one = |field: &str| vec![field.to_owned()];
    match refusal {
        Refusal::PurposeMissing => one("purpose"),
        Refusal::CaseMalformed => one("purpose.case_number"),
        Refusal::ProcedureUnknown { .. } => one("purpose.procedure"),
        Refusal::KindUnknown { .. } => one("kind"),
        Refusal::FieldsMissing => one("fields"),
        Refusal::FieldsUnknown { .. }
        | Refusal::FieldsNotInProcedure { .. }
        | Refusal::SensitivityNotGranted { .. } => one("fields"),
        Refusal::CallerUnknown
        | Refusal::ActionNotGranted { .. }
        | Refusal::ProcedureNotGranted { .. }
        | Refusal::KindNotGranted { .. }
        | Refusal::RowOutsideScope
        | Refusal::PublishNotGranted { .. }
        | Refusal::PolicyFailed => Vec::new(),
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let mut metadata = HashMap::new();
        if let Error::Refused(refusal) = &error
            && !refusal.fields().is_empty()
        {
            let names: Vec<&str> = refusal.fields().iter().take(16).map(access::ShownName::as_str).collect();
            metadata.insert("fields".to_owned(), names.join(","));
        }
        let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, metadata);
        for field in error.fields() {
            details.add_bad_request_violation(field, message.clone());
        }
        if let Some(delay) = error.retry() {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(error.code(), message, details)
    }
}
