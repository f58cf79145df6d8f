//! What fails a whole call, and the codes it fails with.

use std::collections::HashMap;
use std::time::Duration;

use access::Refusal;
use event_log::AppendError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::limits::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX};

/// `google.rpc.ErrorInfo.domain` of the hub's errors.
const DOMAIN: &str = "hub";
/// When the hub is busy or starting.
const RETRY_SOON: Duration = Duration::from_millis(500);
/// When somebody must act first.
const RETRY_LATER: Duration = Duration::from_secs(30);

/// Why a whole call failed. What is wrong with one change is an outcome, never one of these.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The connection has no principal.
    #[error("the connection carries no identity: connect with a client certificate that holds a SPIFFE id")]
    NoPrincipal,
    /// The policy does not let the caller do this.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A field of the request is not usable.
    #[error("{field}: {description}")]
    Field {
        /// Path of the field.
        field: &'static str,
        /// What to send.
        description: String,
    },
    /// More changes than a batch may hold.
    #[error("the batch has {found} changes, at most {BATCH_CHANGES_MAX} are taken: send smaller batches")]
    TooManyChanges {
        /// Changes received.
        found: usize,
    },
    /// More bytes than a batch may hold.
    #[error("the batch has {found} bytes, at most {BATCH_BYTES_MAX} are taken: send smaller batches")]
    TooManyBytes {
        /// Bytes received.
        found: usize,
    },
    /// With what the hub adds to each change the batch is more than one append takes.
    #[error("the batch takes {found} bytes in the log, at most {max} are taken at once: send smaller batches")]
    AppendTooLarge {
        /// Bytes that it would take.
        found: usize,
        /// The log's bound, inclusive.
        max: usize,
    },
    /// The log has no space.
    #[error("the log has no space: nothing of the batch was written; the operator must free some")]
    Full,
    /// The log takes nothing more.
    #[error("the log takes nothing at present: retry when the hub has been restarted, repeating is safe")]
    LogDown,
    /// The log's brokers did not answer in time.
    #[error("the log does not answer at present, and the changes may be in it or not: retry, repeating is safe")]
    LogSilent,
    /// A batch with the same change failed while this one waited for it.
    #[error("a change of this batch was on its way in another batch, which failed: retry, repeating is safe")]
    Overtaken,
    /// More batches wait than the hub keeps in memory.
    #[error(
        "too many batches wait already, and nothing of this one was taken: send it again in a moment, or publish by a stream"
    )]
    Busy,
    /// The hub is stopping.
    #[error("the hub is stopping: retry, repeating is safe")]
    Stopping,
    /// This process has not the role of taking changes.
    #[error("this process takes no changes: publish to one that has the role ingest")]
    NoDoor,
    /// This process takes changes of other registers.
    #[error("this process takes changes of {taken} only: publish to the ingest of your register")]
    OtherRegister {
        /// The registers that it takes.
        taken: String,
    },
    /// This process has no views.
    #[error("this process keeps no views: ask one that has the role views what became of changes")]
    NoViews,
    /// The list of refused changes is being read from the log.
    #[error("the refused changes are being read from the log: retry in a moment")]
    Starting,
    /// The views cannot be read.
    #[error("the views cannot be read: the operator finds the reason in the hub's log")]
    Views,
    /// Something that is the hub's own fault.
    #[error("the hub failed to carry this out: the operator finds the reason in its log")]
    Internal,
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full { .. } => Self::Full,
            AppendError::Poisoned { .. }
            | AppendError::Segment { .. }
            | AppendError::Closed
            | AppendError::Refused { .. }
            | AppendError::Lost { .. } => Self::LogDown,
            AppendError::Unanswered { .. } | AppendError::NoRoom { .. } => Self::LogSilent,
            AppendError::TooLarge { .. } | AppendError::BatchTooLarge { .. } | AppendError::NoSuchPartition { .. } => {
                Self::Internal
            }
        }
    }
}

impl Error {
    /// The stable reason, as `google.rpc.ErrorInfo` carries it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoPrincipal => "no_principal",
            Self::Refused(refusal) => refusal.code(),
            Self::Field { .. } => "field_invalid",
            Self::TooManyChanges { .. } => "batch_changes",
            Self::TooManyBytes { .. } => "batch_bytes",
            Self::AppendTooLarge { .. } => "append_bytes",
            Self::Full => "log_full",
            Self::LogDown => "log_down",
            Self::LogSilent => "log_silent",
            Self::Overtaken => "overtaken",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
            Self::NoDoor => "not_ingest",
            Self::OtherRegister { .. } => "register_elsewhere",
            Self::NoViews => "no_views",
            Self::Starting => "starting",
            Self::Views => "views_unreadable",
            Self::Internal => "internal",
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::NoPrincipal => Code::Unauthenticated,
            Self::Refused(_) => Code::PermissionDenied,
            Self::Field { .. }
            | Self::TooManyChanges { .. }
            | Self::TooManyBytes { .. }
            | Self::AppendTooLarge { .. } => Code::InvalidArgument,
            Self::Full | Self::Busy => Code::ResourceExhausted,
            Self::NoDoor | Self::OtherRegister { .. } | Self::NoViews => Code::FailedPrecondition,
            Self::LogDown | Self::LogSilent | Self::Overtaken | Self::Stopping | Self::Starting | Self::Views => {
                Code::Unavailable
            }
            Self::Internal => Code::Internal,
        }
    }

    fn retry(&self) -> Option<Duration> {
        match self {
            Self::Full | Self::LogDown | Self::Views => Some(RETRY_LATER),
            Self::LogSilent | Self::Overtaken | Self::Busy | Self::Stopping | Self::Starting => Some(RETRY_SOON),
            Self::NoPrincipal
            | Self::Refused(_)
            | Self::Field { .. }
            | Self::TooManyChanges { .. }
            | Self::TooManyBytes { .. }
            | Self::AppendTooLarge { .. }
            | Self::NoDoor
            | Self::OtherRegister { .. }
            | Self::NoViews
            | Self::Internal => None,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Field { field, .. } => Some(field),
            Self::TooManyChanges { .. } | Self::TooManyBytes { .. } | Self::AppendTooLarge { .. } => {
                Some("batch.changes")
            }
            Self::NoPrincipal
            | Self::Refused(_)
            | Self::Full
            | Self::LogDown
            | Self::LogSilent
            | Self::Overtaken
            | Self::Busy
            | Self::Stopping
            | Self::NoDoor
            | Self::OtherRegister { .. }
            | Self::NoViews
            | Self::Starting
            | Self::Views
            | Self::Internal => None,
        }
    }
}

/// A refusal that the transport made before any handler saw the message, with the details that the hub's own refusals have, so that
/// whoever sends what is no message learns what to do. What has details already, and what is no fault of a message, stays as it is.
pub fn refusal_of_transport(status: &Status) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    let (code, reason, message) = match status.code() {
        // The transport's word for what does not decode; the hub's own faults carry details.
        Code::Internal => {
            let message = format!("the message cannot be read ({}): send what the .proto file says", status.message());
            (Code::InvalidArgument, "message_malformed", message)
        }
        Code::OutOfRange => (Code::OutOfRange, "message_bytes", format!("{}: send smaller messages", status.message())),
        Code::Unimplemented => {
            let message = "the hub has no such method: ask its reflection for those that it has".to_owned();
            (Code::Unimplemented, "method_unknown", message)
        }
        _ => return None,
    };
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::<String, String>::new());
    Some(Status::with_error_details(code, message, details))
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, HashMap::<String, String>::new());
        if let Some(field) = error.field() {
            details.add_bad_request_violation(field, message.clone());
        }
        if let Some(delay) = error.retry() {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(error.code(), message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_transport_refuses_gets_a_reason_and_what_the_hub_refuses_keeps_its_own() {
        let of = |status: Status| {
            refusal_of_transport(&status).map(|typed| {
                let reason = typed.get_error_details().error_info().expect("a reason").reason.clone();
                (typed.code(), reason)
            })
        };
        let malformed = Some((Code::InvalidArgument, "message_malformed".to_owned()));
        assert_eq!(of(Status::internal("failed to decode Protobuf message")), malformed);
        assert_eq!(of(Status::out_of_range("too large")), Some((Code::OutOfRange, "message_bytes".to_owned())));
        assert_eq!(of(Status::unimplemented("")), Some((Code::Unimplemented, "method_unknown".to_owned())));
        assert_eq!(of(Status::cancelled("gone")), None);
        assert_eq!(of(Error::Internal.into()), None);
    }
}
