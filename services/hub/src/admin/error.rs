//! Why a command of the administration is refused, as typed values and as `google.rpc` details.

use std::collections::HashMap;
use std::time::Duration;

use contract::{Breaking, ContractError};
use ingest::ControlError;
use projection::basis::BasisName;
use record::MentionId;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use views::decisions::Link;
use views::fold::FoldError;
use views::prepared::PrepareError;
use views::runtime::AccessError;

use crate::erasure::EraseError;
use crate::error::{CommandError, told};

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
    #[error("{0} must be the id of a mention or a subject: 32 hexadecimal digits, as 'hub review list' shows them")]
    Mention(&'static str),
    #[error("verdict must be must, cannot, unsure or undo")]
    Verdict,
    #[error("left and right are one mention: name two")]
    OneMention,
    #[error("no live record has the mention {}: 'hub review list' shows those of the queue", .0.to_hex())]
    UnknownMention(MentionId),
    #[error("a person and a parcel are never one subject: name two of one kind")]
    OtherKind,
    #[error("no decision on this pair is in force: 'hub review decisions' lists them")]
    NothingToUndo,
    #[error("decisions in force contradict this one: {}; undo one of them first", chain(.0))]
    Contradicted(Vec<Link>),
    #[error("name 1 to {0} records")]
    RecordCount(usize),
    #[error("the views hold no such record as number {} of those that were named: look at its register and id", .0 + 1)]
    UnknownRecord(usize),
    #[error("record number {} of those that were named is erased already", .0 + 1)]
    ErasedAlready(usize),
    #[error("record number {} of those that were named shares its key with another one, which would be erased with it: name both", .0 + 1)]
    SharedKey(usize),
    #[error("no erasure waits under number {0}: 'hub audit erasures' lists those that do")]
    NothingAsked(u64),
    #[error(
        "no order waits under number {0}: 'hub orders' lists those that do; an erasure is approved by 'hub audit approve'"
    )]
    NoOrder(u64),
    #[error("the order is in the log and waits for a second person: hub orders approve {0} --reason …")]
    Waits(u64),
    #[error("whoever gave an order cannot approve it: another person must")]
    OwnApproval,
    #[error("the order stands, and is finished at the next start of the hub at the latest: {}", told(.0))]
    Erase(#[from] EraseError),
    #[error("the signing key's files cannot be used: {}", .0.line(false))]
    Signing(#[from] CommandError),
    #[error("the views cannot be read: the operator finds the reason in the hub's log")]
    Views(#[from] FoldError),
    #[error("store must be 'fjall' or 'sled'")]
    Store,
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(
        "no change that cannot be applied is parked under this record and position: 'hub quarantine list' tells those that are"
    )]
    NotParked,
    #[error("no page token of this list: send the one that the last answer gave")]
    PageToken,
    #[error(
        "no difference with that digest was told by this process: run 'hub views diff --previous', read it, and give the digest after 'this program'"
    )]
    NotRead,
    #[error("share must be 1 to 100 percent, or 0 for the default")]
    Share,
    #[error("register '{0}' is not being restated: open that first")]
    NotRestated(String),
    #[error("views on {0} are not prepared: prepare them first")]
    NotPrepared(BasisName),
    #[error("the prepared views are on {0}: they take over when a model is switched or a register's redo is committed")]
    OtherBasis(BasisName),
    #[error(
        "{removed} of {before} records would go, more than {allowed}%: read the difference, then confirm or raise the share"
    )]
    MuchGoes { removed: u64, before: u64, allowed: u64 },
    #[error("nothing can be learned: {0}")]
    Learn(linkage::LearnError),
    #[error("no linkage model was ever switched: there is none to go back to")]
    NeverSwitched,
    #[error("the linkage model cannot be used: {0}")]
    Model(String),
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

fn chain(links: &[Link]) -> String {
    let told = links.iter().map(|link| {
        let verdict = if link.must { "must" } else { "cannot" };
        format!("{} {verdict} {} (decision {})", link.from.to_hex(), link.to.to_hex(), link.index.0)
    });
    told.collect::<Vec<_>>().join(", ")
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
            Self::Mention(_) => "mention_malformed",
            Self::Verdict => "verdict_missing",
            Self::OneMention => "one_mention",
            Self::UnknownMention(_) => "mention_unknown",
            Self::OtherKind => "other_kind",
            Self::NothingToUndo => "nothing_to_undo",
            Self::Contradicted(_) => "decision_contradicted",
            Self::RecordCount(_) => "record_count",
            Self::UnknownRecord(_) => "record_unknown",
            Self::ErasedAlready(_) => "record_erased",
            Self::SharedKey(_) => "key_shared",
            Self::NothingAsked(_) => "erasure_unknown",
            Self::NoOrder(_) => "order_unknown",
            Self::Waits(_) => "waits_for_approval",
            Self::NotParked => "not_parked",
            Self::PageToken => "page_token",
            Self::OwnApproval => "second_person_needed",
            Self::Erase(EraseError::NoKeys) => "no_keys",
            Self::Erase(EraseError::NotKept) => "keys_elsewhere",
            Self::Erase(_) => "keys_unwritable",
            Self::Signing(_) => "signing_key_files",
            Self::Views(_) => "views_unreadable",
            Self::Store => "store_unknown",
            Self::Prepare(PrepareError::None) => "nothing_prepared",
            Self::Prepare(PrepareError::Other(_)) => "prepared_already",
            Self::Prepare(PrepareError::Behind(_)) => "not_level",
            Self::Prepare(PrepareError::Different) => "views_differ",
            Self::Prepare(PrepareError::NoPrevious) => "nothing_kept",
            Self::Prepare(PrepareError::Unknown(_)) => "basis_unknown",
            Self::Prepare(PrepareError::Failed(_)) => "prepare_failed",
            Self::Prepare(PrepareError::Stopped) => "fold_stopped",
            Self::NotRead => "difference_not_read",
            Self::Share => "share_range",
            Self::NotRestated(_) => "redo_not_open",
            Self::NotPrepared(_) => "not_prepared",
            Self::OtherBasis(_) => "other_basis",
            Self::MuchGoes { .. } => "much_removed",
            Self::Learn(_) => "nothing_to_learn",
            Self::NeverSwitched => "never_switched",
            Self::Model(_) => "model_invalid",
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
            | Self::Mention(_)
            | Self::Verdict
            | Self::OneMention
            | Self::OtherKind
            | Self::Share
            | Self::Model(_)
            | Self::RecordCount(_)
            | Self::PageToken
            | Self::Store => Code::InvalidArgument,
            Self::Prepare(PrepareError::Stopped | PrepareError::Behind(_)) => Code::Unavailable,
            Self::Prepare(PrepareError::Failed(_)) => Code::Internal,
            Self::OwnApproval => Code::PermissionDenied,
            Self::Incompatible(_)
            | Self::Waits(_)
            | Self::Void { .. }
            | Self::NothingToUndo
            | Self::Contradicted(_)
            | Self::Prepare(_)
            | Self::NotRestated(_)
            | Self::NotPrepared(_)
            | Self::OtherBasis(_)
            | Self::NeverSwitched
            | Self::NotRead
            | Self::Learn(_)
            | Self::MuchGoes { .. }
            | Self::ErasedAlready(_)
            | Self::SharedKey(_)
            | Self::Erase(EraseError::NoKeys | EraseError::NotKept) => Code::FailedPrecondition,
            Self::UnknownRegister(_)
            | Self::UnknownMention(_)
            | Self::UnknownRecord(_)
            | Self::NotParked
            | Self::NoOrder(_)
            | Self::NothingAsked(_) => Code::NotFound,
            Self::Busy => Code::ResourceExhausted,
            Self::Control(_) | Self::FoldStopped | Self::CatchingUp | Self::Stopping => Code::Unavailable,
            Self::Erase(_) | Self::Signing(_) | Self::Verification(_) | Self::Log | Self::Views(_) | Self::Internal => {
                Code::Internal
            }
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
            Error::Mention(field) => {
                details.add_bad_request_violation(*field, &message);
            }
            Error::Verdict => {
                details.add_bad_request_violation("verdict", &message);
            }
            Error::Contradicted(links) => {
                for link in links.iter().take(BREAKS_TOLD_MAX) {
                    details.add_bad_request_violation(format!("decision[{}]", link.index.0), chain(&[*link]));
                }
            }
            Error::Contract(_) => {
                details.add_bad_request_violation("descriptors", &message);
            }
            Error::Units(_) | Error::Access(_) => {
                details.add_bad_request_violation("document", &message);
            }
            Error::Prepare(PrepareError::Stopped | PrepareError::Behind(_)) => {
                details.set_retry_info(Some(RETRY));
            }
            Error::Model(_) => {
                details.add_bad_request_violation("model", &message);
            }
            Error::Share => {
                details.add_bad_request_violation("share", &message);
            }
            Error::PageToken => {
                details.add_bad_request_violation("page_token", &message);
            }
            Error::Control(_) | Error::CatchingUp | Error::Stopping | Error::Busy => {
                details.set_retry_info(Some(RETRY));
            }
            Error::NoPrincipal
            | Error::Refused(_)
            | Error::RegisterName(_)
            | Error::UnknownRegister(_)
            | Error::Store
            | Error::OneMention
            | Error::UnknownMention(_)
            | Error::OtherKind
            | Error::NothingToUndo
            | Error::RecordCount(_)
            | Error::UnknownRecord(_)
            | Error::ErasedAlready(_)
            | Error::SharedKey(_)
            | Error::NothingAsked(_)
            | Error::NoOrder(_)
            | Error::Waits(_)
            | Error::NotParked
            | Error::OwnApproval
            | Error::Erase(_)
            | Error::Signing(_)
            | Error::Views(_)
            | Error::Prepare(_)
            | Error::NotRestated(_)
            | Error::NotPrepared(_)
            | Error::OtherBasis(_)
            | Error::NeverSwitched
            | Error::NotRead
            | Error::Learn(_)
            | Error::MuchGoes { .. }
            | Error::Verification(_)
            | Error::Void { .. }
            | Error::FoldStopped
            | Error::Log
            | Error::Internal => {}
        }
        Self::with_error_details(error.code(), message, details)
    }
}
