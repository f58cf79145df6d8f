//! The first entries of a log, and the check that a process holds its secret.

use event_log::{EventLog, ReadError, StreamSet};
use linkage::Model;
use projection::units::UnitList;
use record::control::{Control, Order};
use record::entry::BodyError;
use record::{DecodeError, Entry, IdError, Index, LogSecret, Partition, Position, Positions, RegisterName, Stream};

use crate::control::{ControlError, encode_control};
use crate::source::{Clock, Salts};

const FIRST: Position = Position { stream: Stream::Control, partition: Partition(0), index: Index(0) };

/// What the first start of a log brings besides what is built in.
pub struct Bootstrap {
    /// The kinds and their attributes, a serialised `FileDescriptorSet`.
    pub kinds: Vec<u8>,
    /// Dated unit lists, each after the one that it replaces. The first linkage model normalises with these.
    pub unit_lists: Vec<UnitList>,
    /// The policy document, checked; the built-in one when absent.
    pub policy: Option<Vec<u8>>,
    /// [`Order::Keys`], when bodies are encrypted.
    pub keys: Option<Order>,
    /// The time.
    pub clock: Clock,
    /// Salts.
    pub salts: Salts,
}

/// What [`bootstrap`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bootstrapped {
    /// The log was empty: the control prefix was written, so many entries.
    Written(usize),
    /// The log was begun before, with this secret.
    Verified,
}

/// Why a log is not opened for service.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The log commits to another secret.
    #[error("this log was begun with another secret: give the secret file that belongs to it")]
    OtherSecret,
    /// The log's partitions are not those that its first entry fixed.
    #[error("the log has {found} change partitions, its first entry says {fixed}: restore its files from one copy")]
    Partitions {
        /// As the log says now.
        found: u16,
        /// As the first entry fixed.
        fixed: u16,
    },
    /// The log has entries but does not begin as a log of the hub.
    #[error("the log does not begin with a log_opened entry: it is not a log of this hub")]
    NotAHubLog,
    /// The first entry cannot be read.
    #[error("the log's first entry cannot be read")]
    Read(#[from] ReadError),
    /// The first entry cannot be decoded.
    #[error("the log's first entry cannot be decoded")]
    Decode(#[from] DecodeError),
    /// The first entry's body is not plain.
    #[error("the log's first entry cannot be decoded")]
    Body(#[from] BodyError),
    /// A built-in register has a name that is none.
    #[error("a built-in contract names no register")]
    Register(#[from] IdError),
    /// An entry was not written.
    #[error("the log's first entries were not written")]
    Control(#[from] ControlError),
}

/// Begins an empty log with one append, or checks that a begun one belongs to this secret and was begun wholly. Reads the disk; meant for the start of a process.
///
/// # Errors
/// [`BootstrapError`]; nothing was written, except after a failed append, of which the log says what is known.
pub async fn bootstrap(log: &EventLog, secret: &LogSecret, first: &Bootstrap) -> Result<Bootstrapped, BootstrapError> {
    let ends = log.ends();
    let begun = ends.get(FIRST.stream, FIRST.partition);
    if begun > FIRST.index {
        verify(log, secret)?;
        if is_complete(log)? {
            return Ok(Bootstrapped::Verified);
        }
    } else if ends.total() > 0 {
        return Err(BootstrapError::NotAHubLog);
    }
    let controls = prefix(log, secret, first)?;
    // On Kafka an append that was broken off may have left some of them, in order.
    let missing = controls.get(usize::try_from(begun.0).unwrap_or(usize::MAX)..).ok_or(BootstrapError::NotAHubLog)?;
    let entries = missing.iter().map(|control| encode_control(control, &first.clock, &first.salts));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let written = log.append(entries).await.map_err(ControlError::Append)?;
    // Another process may have begun the same log at the same time: the first entry is of one of them.
    verify(log, secret)?;
    Ok(Bootstrapped::Written(written.len()))
}

/// Whether the first entries hold the linkage model, which is the last that a log is begun with.
fn is_complete(log: &EventLog) -> Result<bool, BootstrapError> {
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Control))?;
    loop {
        let batch = reader.next_batch(64, 16 << 20)?;
        for logged in &batch.entries {
            let entry = Entry::decode(&logged.bytes)?;
            if matches!(Control::decode(entry.plain_body()?)?.order, Order::Model { .. }) {
                return Ok(true);
            }
        }
        if batch.entries.is_empty() {
            return Ok(false);
        }
    }
}

fn prefix(log: &EventLog, secret: &LogSecret, first: &Bootstrap) -> Result<Vec<Control>, BootstrapError> {
    let mut orders = vec![
        Order::LogOpened { commitment: secret.commitment(), partitions: log.partitions().change },
        Order::Kinds { descriptors: first.kinds.clone() },
    ];
    orders.extend(first.keys.clone());
    for built_in in contract::builtin() {
        let register = RegisterName::try_from(built_in.register)?;
        orders.push(Order::Contract { register, descriptors: built_in.descriptor_set.to_vec() });
    }
    let document = first.policy.clone().unwrap_or_else(|| access::BUILTIN_POLICY.as_bytes().to_vec());
    orders.push(Order::Policy { document });
    orders.push(Order::Procedures { document: access::BUILTIN_PROCEDURES.as_bytes().to_vec() });
    orders.extend(first.unit_lists.iter().map(|list| Order::Units { document: list.encode() }));
    let model = Model::epoch_1();
    orders.push(Order::Model {
        epoch: model.epoch(),
        model: model.to_bytes(),
        unit_lists: first.unit_lists.iter().map(|list| list.version.clone()).collect(),
    });
    Ok(orders.into_iter().map(Control::by_hub).collect())
}

/// Whether the log says that its bodies are encrypted, under the keys of which ring. Reads the whole control stream.
///
/// # Errors
/// [`BootstrapError`]: the control stream cannot be read.
pub fn ring_of(log: &EventLog) -> Result<Option<[u8; 16]>, BootstrapError> {
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Control))?;
    loop {
        let batch = reader.next_batch(4_096, 4 << 20)?;
        if batch.entries.is_empty() {
            return Ok(None);
        }
        for logged in &batch.entries {
            if let Order::Keys { ring, .. } = Control::decode(Entry::decode(&logged.bytes)?.plain_body()?)?.order {
                return Ok(Some(ring));
            }
        }
    }
}

/// What the log's first entry says of its secret; `None` while the log is empty. Reads the log, which may block.
///
/// # Errors
/// [`BootstrapError`]: the first entry cannot be read, or is none of a hub.
pub fn commitment_of(log: &EventLog) -> Result<Option<[u8; 32]>, BootstrapError> {
    if log.ends().get(FIRST.stream, FIRST.partition) <= FIRST.index {
        return Ok(None);
    }
    opened(log).map(|(commitment, _)| Some(commitment))
}

/// Commitment and partitions, as the first entry says.
fn opened(log: &EventLog) -> Result<([u8; 32], u16), BootstrapError> {
    let first = log.read_position(FIRST)?;
    let control = Control::decode(Entry::decode(&first.bytes)?.plain_body()?)?;
    match control.order {
        Order::LogOpened { commitment, partitions } => Ok((commitment, partitions)),
        _ => Err(BootstrapError::NotAHubLog),
    }
}

fn verify(log: &EventLog, secret: &LogSecret) -> Result<(), BootstrapError> {
    let (commitment, partitions) = opened(log)?;
    if commitment != secret.commitment() {
        return Err(BootstrapError::OtherSecret);
    }
    let found = log.partitions().change;
    if found == partitions { Ok(()) } else { Err(BootstrapError::Partitions { found, fixed: partitions }) }
}
