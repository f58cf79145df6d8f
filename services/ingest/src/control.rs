//! Appending control entries.

use std::io;

use bytes::Bytes;
use event_log::{Append, AppendError, EventLog};
use record::control::Control;
use record::entry::TooLarge;
use record::{Entry, EntryHeader, EntryKind, Partition, Position, Stream};

use crate::source::{Clock, Salts, draw};

/// Why a control entry was not appended.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The entry is larger than the log takes.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// No random bytes for the salt.
    #[error("the system gives no random bytes")]
    Salt(#[source] io::Error),
    /// The log did not take it.
    #[error("the control entry was not appended")]
    Append(#[from] AppendError),
}

/// Appends a control entry and returns its place when it is durable.
///
/// # Errors
/// [`ControlError`].
pub async fn append_control(
    log: &EventLog,
    control: &Control,
    clock: &Clock,
    salts: &Salts,
) -> Result<Position, ControlError> {
    let appended = log.append(vec![encode_control(control, clock, salts)?]).await?;
    Ok(appended.first().expect("one result per entry").position)
}

/// A control entry as it is appended, for callers that append several at once.
///
/// # Errors
/// [`ControlError::TooLarge`], [`ControlError::Salt`].
pub(crate) fn encode_control(control: &Control, clock: &Clock, salts: &Salts) -> Result<Append, ControlError> {
    let salt = draw(salts, 1).map_err(ControlError::Salt)?[0];
    let header = EntryHeader::of_hub(EntryKind::Control, clock());
    let bytes = Entry::encode_salted(&header, &salt, &control.encode())?;
    Ok(Append { stream: Stream::Control, partition: Partition(0), bytes: Bytes::from(bytes) })
}
