//! How commands end.

use std::process::ExitCode;

use serde_json::json;
pub(crate) use telemetry::told;
use tonic_types::StatusExt as _;

use crate::config::ConfigError;
use crate::connection::root_cause;

/// How a command ended; the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Tried and failed.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Usage = 2,
    /// The hub answered and refused.
    Refused = 3,
    /// The hub did not answer.
    Unreachable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked: what happened, and what the user can do about it.
///
/// Shown as one line `hub: what; what to do`, or as one JSON object with `--json`.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct CommandError {
    /// How the process ends. Never [`Exit::Ok`].
    pub exit: Exit,
    /// What happened, without a final full stop.
    pub what: String,
    /// What to do, without a final full stop.
    pub what_to_do: String,
    /// A stable word for programs, such as `permission_denied`.
    pub reason: &'static str,
}

impl CommandError {
    fn new(exit: Exit, reason: &'static str, what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { exit, what: what.into(), what_to_do: what_to_do.into(), reason }
    }

    /// The command was tried and failed.
    pub fn failed(what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", what, what_to_do)
    }

    /// The command line or the configuration is wrong.
    pub fn usage(what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", what, what_to_do)
    }

    /// The hub refused.
    pub fn refused(what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self::new(Exit::Refused, "refused", what, what_to_do)
    }

    /// The hub did not answer.
    pub fn unreachable(what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, "unreachable", what, what_to_do)
    }

    /// As one line, or as a JSON object in one line.
    pub fn line(&self, json: bool) -> String {
        if json {
            let error = json!({
                "what": self.what,
                "what_to_do": self.what_to_do,
                "reason": self.reason,
                "exit_code": self.exit as u8,
            });
            return json!({ "error": error }).to_string();
        }
        format!("hub: {}; {}", self.what, self.what_to_do).replace('\n', " ")
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let what_to_do = match &error {
            ConfigError::Read { .. } => "name a readable file with --config",
            ConfigError::Fault { .. } => "correct the line; 'hub config explain' shows every key",
        };
        Self::new(Exit::Usage, "configuration", error.to_string(), what_to_do)
    }
}

impl From<tonic::Status> for CommandError {
    /// The hub's messages say what to do themselves; the code decides how the process ends.
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        // The hub's own answers have no cause: this one was made here, because the connection broke or never was.
        if std::error::Error::source(&status).is_some() {
            let what_to_do = "check that the hub runs and that --endpoint and the certificates fit";
            return Self::new(
                Exit::Unreachable,
                "unavailable",
                format!("the connection to the hub broke: {}", root_cause(&status)),
                what_to_do,
            );
        }
        let (exit, reason, what_to_do) = match status.code() {
            Code::Unavailable => (
                Exit::Unreachable,
                "unavailable",
                "check that the hub runs and that --endpoint and the certificates fit",
            ),
            Code::DeadlineExceeded => {
                (Exit::Unreachable, "deadline_exceeded", "try again; 'hub status' shows the load")
            }
            Code::Unauthenticated => {
                (Exit::Refused, "unauthenticated", "use a certificate of the hub's client authority")
            }
            Code::PermissionDenied => {
                (Exit::Refused, "permission_denied", "ask for what the certificate's owner may do")
            }
            Code::InvalidArgument => (Exit::Refused, "invalid_argument", "correct the request"),
            Code::NotFound => (Exit::Refused, "not_found", "check the key"),
            Code::AlreadyExists => (Exit::Refused, "already_exists", "nothing is to be done"),
            Code::FailedPrecondition => (Exit::Refused, "failed_precondition", "resolve what the message names first"),
            Code::OutOfRange => (Exit::Refused, "out_of_range", "correct the request"),
            Code::ResourceExhausted => (Exit::Refused, "resource_exhausted", "send less at once, or try again later"),
            Code::Aborted => (Exit::Failed, "aborted", "try again"),
            Code::Cancelled => (Exit::Failed, "cancelled", "try again"),
            Code::Unimplemented => (Exit::Failed, "unimplemented", "use a client of the hub's version"),
            Code::Internal => (Exit::Failed, "internal", "see the hub's log"),
            Code::DataLoss => (Exit::Failed, "data_loss", "see the hub's log"),
            Code::Unknown | Code::Ok => (Exit::Failed, "unknown", "see the hub's log"),
        };
        let mut what = if status.message().is_empty() {
            format!("the hub answered '{}'", status.code())
        } else {
            status.message().to_owned()
        };
        for violation in status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default() {
            if !what.contains(&violation.description) {
                what = format!("{what} | {}: {}", violation.field, violation.description);
            }
        }
        Self::new(exit, reason, what, what_to_do)
    }
}
