//! Why a command of the administration is refused, as typed values and as `google.rpc` details.

use std::collections::HashMap;
use std::time::Duration;

use contract::{Breaking, ContractError};
use ingest::ControlError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use views::runtime::AccessError;

use crate::error::told;

const DOMAIN: &str = "hub.admin.v1";
/// Most breaks in an error's details, which travel as a header and must stay within what clients take.
const BREAKS_TOLD_MAX: usize = 16;
const RETRY: Duration = Duration::from_secs(5);

/// Why a command is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the connection names no caller")]
    NoPrincipal,
    #[error(transparent)]
    Refused(#[from] access::Refusal),
    #[error("a command needs a reason of 1 to 1024 bytes without control characters: say why")]
    Reason,
    #[error("the descriptor set is no contract: {}", told(.0))]
    Contract(#[source] Box<ContractError>),
    #[error("'{0}' is no name of a register: use lower-case letters, digits and '-'")]
    RegisterName(String),
    #[error("the contract breaks what the one in force promises, in {} places; the first is {}; 'hub contracts check' lists all", .0.len(), first(.0))]
    Incompatible(Vec<Breaking>),
    #[error("register '{0}' has no contract: 'hub contracts list' shows those that have")]
    UnknownRegister(String),
    #[error(transparent)]
    Units(#[from] projection::units::UnitListError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("store must be 'fjall' or 'sled'")]
    Store,
    #[error("another verification is running: wait for its end")]
    Busy,
    #[error("the verification failed: {0}")]
    Verification(String),
    #[error("the order is in the log, but without effect: {reason}")]
    Void { reason: String },
    #[error("the order was not written: {}", told(.0))]
    Control(#[source] ControlError),
    #[error("the fold has stopped: the operator finds the reason in the hub's log")]
    FoldStopped,
    #[error("the views are still being folded: 'hub status' shows how far they are; repeating the command is safe")]
    CatchingUp,
    #[error("the hub is stopping: repeat the command when it runs again")]
    Stopping,
    #[error("the log's entry of this contract cannot be read: the operator finds the reason in the hub's log")]
    Log,
    #[error("the hub failed to carry this out: the operator finds the reason in its log")]
    Internal,
}

fn first(breaks: &[Breaking]) -> String {
    breaks.first().map(|first| format!("{}: {} ({})", first.path, first.message, first.rule)).unwrap_or_default()
}

impl From<ControlError> for Error {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}

impl Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoPrincipal => "no_principal",
            Self::Refused(refusal) => refusal.code(),
            Self::Reason => "reason_missing",
            Self::Contract(_) => "contract_invalid",
            Self::RegisterName(_) => "register_name",
            Self::Incompatible(_) => "contract_incompatible",
            Self::UnknownRegister(_) => "register_unknown",
            Self::Units(_) => "units_invalid",
            Self::Access(_) => "document_invalid",
            Self::Store => "store_unknown",
            Self::Busy => "verification_running",
            Self::Verification(_) => "verification_failed",
            Self::Void { .. } => "order_void",
            Self::Control(_) => "log_down",
            Self::FoldStopped => "fold_stopped",
            Self::CatchingUp => "catching_up",
            Self::Stopping => "stopping",
            Self::Log => "log_unreadable",
            Self::Internal => "internal",
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::NoPrincipal => Code::Unauthenticated,
            Self::Refused(_) => Code::PermissionDenied,
            Self::Reason
            | Self::Contract(_)
            | Self::RegisterName(_)
            | Self::Units(_)
            | Self::Access(_)
            | Self::Store => Code::InvalidArgument,
            Self::Incompatible(_) | Self::Void { .. } => Code::FailedPrecondition,
            Self::UnknownRegister(_) => Code::NotFound,
            Self::Busy => Code::ResourceExhausted,
            Self::Control(_) | Self::FoldStopped | Self::CatchingUp | Self::Stopping => Code::Unavailable,
            Self::Verification(_) | Self::Log | Self::Internal => Code::Internal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, HashMap::<String, String>::new());
        match &error {
            Error::Incompatible(breaks) => {
                for broken in breaks.iter().take(BREAKS_TOLD_MAX) {
                    details.add_bad_request_violation(&broken.path, format!("{} ({})", broken.message, broken.rule));
                }
            }
            Error::Reason => {
                details.add_bad_request_violation("reason", &message);
            }
            Error::Contract(_) => {
                details.add_bad_request_violation("descriptors", &message);
            }
            Error::Units(_) | Error::Access(_) => {
                details.add_bad_request_violation("document", &message);
            }
            Error::Control(_) | Error::CatchingUp | Error::Stopping | Error::Busy => {
                details.set_retry_info(Some(RETRY));
            }
            Error::NoPrincipal
            | Error::Refused(_)
            | Error::RegisterName(_)
            | Error::UnknownRegister(_)
            | Error::Store
            | Error::Verification(_)
            | Error::Void { .. }
            | Error::FoldStopped
            | Error::Log
            | Error::Internal => {}
        }
        Self::with_error_details(error.code(), message, details)
    }
}
