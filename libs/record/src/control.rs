//! Control entries: everything but changes that decides what the hub does. One total order.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{MentionId, Pseudonym, RegisterEpoch, RegisterName, Timestamp};
use crate::position::{Index, Positions};

const CONTROL_VERSION: u8 = 1;

/// A control entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Who ordered it: a SPIFFE id, or `hub` for what the hub writes by itself.
    pub actor: String,
    /// Why; may be empty for what the hub writes by itself.
    pub reason: String,
    /// What it says.
    pub order: Order,
}

/// What a control entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The first entry of a log.
    LogOpened {
        /// [`crate::LogSecret::commitment`]: a process with another secret refuses to start.
        commitment: [u8; 32],
        /// Partitions of the change stream, fixed for ever.
        partitions: u16,
    },
    /// A time and the end of every partition at that time. One that goes backwards, in time or in an end, is void.
    Cut {
        /// The hub's clock.
        at: Timestamp,
        /// The ends.
        ends: Positions,
    },
    /// The kinds and their attributes: a serialised `FileDescriptorSet`.
    Kinds {
        /// The descriptors.
        descriptors: Vec<u8>,
    },
    /// A register's contract: a serialised `FileDescriptorSet`. The newest one is checked against; older ones stay known.
    Contract {
        /// The register.
        register: RegisterName,
        /// The descriptors.
        descriptors: Vec<u8>,
    },
    /// The policy document, whole.
    Policy {
        /// Policies and grants.
        document: Vec<u8>,
    },
    /// The procedure profiles, whole.
    Procedures {
        /// The profiles.
        document: Vec<u8>,
    },
    /// A dated list of administrative units with its map from earlier lists.
    Units {
        /// The list, in the format of `projection::units`.
        document: Vec<u8>,
    },
    /// A frozen linkage model.
    Model {
        /// Its number; the built-in one is 1.
        epoch: u32,
        /// The model, in the format of `linkage`.
        model: Vec<u8>,
        /// The version names of the unit lists that linkage normalises with under this model, in order.
        unit_lists: Vec<String>,
    },
    /// How many objects a register should hold, as its owner publishes it.
    Expected {
        /// The register.
        register: RegisterName,
        /// The record type.
        record_type: String,
        /// The commune's code, or empty for the whole register.
        commune: String,
        /// How many.
        objects: u64,
    },
    /// A step of a register's complete re-statement.
    RegisterEpoch {
        /// The register.
        register: RegisterName,
        /// The epoch.
        epoch: RegisterEpoch,
        /// The step.
        step: EpochStep,
        /// The cut that the step covers.
        cut: Positions,
    },
    /// A reviewer's decision about two mentions.
    Decision {
        /// One mention.
        a: MentionId,
        /// The other.
        b: MentionId,
        /// What was decided.
        verdict: Verdict,
    },
    /// A record is erased: the fold ignores it at every cut, and its key is destroyed.
    Erasure {
        /// The record.
        record: Pseudonym,
    },
    /// Another linkage model serves from here on: one that an earlier entry brought.
    ModelSwitch {
        /// Its number.
        epoch: u32,
    },
    /// An operator let other views of the same log take over from those that served: for the account only, the log decides
    /// what views say.
    ViewsReplaced {
        /// Digest of the views that served.
        before: [u8; 32],
        /// Digest of those that took over, at the same positions.
        after: [u8; 32],
    },
    /// Bodies are encrypted under the keys of this ring, and these are wrapped by this key from now on.
    Keys {
        /// The ring; a log has one.
        ring: [u8; 16],
        /// The wrapping key's id.
        wrapping: [u8; 16],
    },
    /// Records are to be erased, when a second person approves.
    ErasureAsked {
        /// The records.
        records: Vec<Pseudonym>,
    },
    /// What was asked for by an earlier [`Order::ErasureAsked`] is done, or not. Approval by whoever asked is void.
    ErasureDecided {
        /// Index of that entry in the control stream.
        asked: Index,
        /// Whether the records are erased.
        approved: bool,
    },
}

/// A step of a register's re-statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EpochStep {
    /// The new epoch takes records; the old one goes on serving.
    Opened = 1,
    /// The new epoch serves.
    Committed = 2,
    /// The new epoch is gone without a trace.
    Aborted = 3,
}

/// A reviewer's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// One subject.
    Must = 1,
    /// Two subjects.
    Cannot = 2,
    /// Cannot be told.
    Unsure = 3,
    /// An earlier decision on this pair holds no more.
    Undo = 4,
}

impl Verdict {
    /// The verdict of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Must, Self::Cannot, Self::Unsure, Self::Undo].into_iter().find(|verdict| *verdict as u8 == number)
    }

    /// The name, as commands write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Cannot => "cannot",
            Self::Unsure => "unsure",
            Self::Undo => "undo",
        }
    }
}

impl Control {
    /// An entry that the hub writes by itself.
    pub fn by_hub(order: Order) -> Self {
        Self { actor: "hub".into(), reason: String::new(), order }
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        w.u8(CONTROL_VERSION).text(&self.actor).text(&self.reason);
        self.order.encode(&mut w);
        w.finish()
    }

    /// Reads what [`Control::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("control entry", CONTROL_VERSION)?;
        let (actor, reason) = (r.text()?.to_owned(), r.text()?.to_owned());
        let order = Order::decode(&mut r)?;
        r.end("control entry")?;
        Ok(Self { actor, reason, order })
    }
}

impl Order {
    /// The name, as commands write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LogOpened { .. } => "log_opened",
            Self::Cut { .. } => "cut",
            Self::Kinds { .. } => "kinds",
            Self::Contract { .. } => "contract",
            Self::Policy { .. } => "policy",
            Self::Procedures { .. } => "procedures",
            Self::Units { .. } => "units",
            Self::Model { .. } => "model",
            Self::Expected { .. } => "expected",
            Self::RegisterEpoch { .. } => "register_epoch",
            Self::Decision { .. } => "decision",
            Self::Erasure { .. } => "erasure",
            Self::ModelSwitch { .. } => "model_switch",
            Self::ViewsReplaced { .. } => "views_replaced",
            Self::Keys { .. } => "keys",
            Self::ErasureAsked { .. } => "erasure_asked",
            Self::ErasureDecided { .. } => "erasure_decided",
        }
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Self::LogOpened { commitment, partitions } => {
                w.u8(1).raw(commitment).u16(*partitions);
            }
            Self::Cut { at, ends } => {
                w.u8(2).i64(at.0);
                ends.encode(w);
            }
            Self::Kinds { descriptors } => {
                w.u8(3).bytes(descriptors);
            }
            Self::Contract { register, descriptors } => {
                w.u8(4).text(register.as_str()).bytes(descriptors);
            }
            Self::Policy { document } => {
                w.u8(5).bytes(document);
            }
            Self::Procedures { document } => {
                w.u8(6).bytes(document);
            }
            Self::Units { document } => {
                w.u8(7).bytes(document);
            }
            Self::Model { epoch, model, unit_lists } => {
                w.u8(8).u32(*epoch).bytes(model).varint(unit_lists.len() as u64);
                unit_lists.iter().for_each(|l| {
                    w.text(l);
                });
            }
            Self::Expected { register, record_type, commune, objects } => {
                w.u8(9).text(register.as_str()).text(record_type).text(commune).u64(*objects);
            }
            Self::RegisterEpoch { register, epoch, step, cut } => {
                w.u8(10).text(register.as_str()).u32(epoch.0).u8(*step as u8);
                cut.encode(w);
            }
            Self::Decision { a, b, verdict } => {
                w.u8(11).raw(&a.0).raw(&b.0).u8(*verdict as u8);
            }
            Self::Erasure { record } => {
                w.u8(12).raw(&record.0);
            }
            Self::ModelSwitch { epoch } => {
                w.u8(13).u32(*epoch);
            }
            Self::ViewsReplaced { before, after } => {
                w.u8(14).raw(before).raw(after);
            }
            Self::Keys { ring, wrapping } => {
                w.u8(32).raw(ring).raw(wrapping);
            }
            Self::ErasureAsked { records } => {
                w.u8(33).varint(records.len() as u64);
                records.iter().for_each(|record| {
                    w.raw(&record.0);
                });
            }
            Self::ErasureDecided { asked, approved } => {
                w.u8(34).u64(asked.0).u8(u8::from(*approved));
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.at();
        Ok(match r.u8()? {
            1 => Self::LogOpened { commitment: r.array()?, partitions: r.u16()? },
            2 => Self::Cut { at: Timestamp(r.i64()?), ends: Positions::decode(r)? },
            3 => Self::Kinds { descriptors: r.bytes()?.to_vec() },
            4 => Self::Contract { register: r.id()?, descriptors: r.bytes()?.to_vec() },
            5 => Self::Policy { document: r.bytes()?.to_vec() },
            6 => Self::Procedures { document: r.bytes()?.to_vec() },
            7 => Self::Units { document: r.bytes()?.to_vec() },
            8 => Self::Model {
                epoch: r.u32()?,
                model: r.bytes()?.to_vec(),
                unit_lists: (0..r.count(1)?).map(|_| r.text().map(str::to_owned)).collect::<Result<_, _>>()?,
            },
            9 => Self::Expected {
                register: r.id()?,
                record_type: r.text()?.to_owned(),
                commune: r.text()?.to_owned(),
                objects: r.u64()?,
            },
            10 => Self::RegisterEpoch {
                register: r.id()?,
                epoch: RegisterEpoch(r.u32()?),
                step: step(r)?,
                cut: Positions::decode(r)?,
            },
            11 => Self::Decision { a: MentionId(r.array()?), b: MentionId(r.array()?), verdict: verdict(r)? },
            12 => Self::Erasure { record: Pseudonym(r.array()?) },
            13 => Self::ModelSwitch { epoch: r.u32()? },
            14 => Self::ViewsReplaced { before: r.array()?, after: r.array()? },
            32 => Self::Keys { ring: r.array()?, wrapping: r.array()? },
            33 => {
                let records = (0..r.count(16)?).map(|_| r.array().map(Pseudonym));
                Self::ErasureAsked { records: records.collect::<Result<_, _>>()? }
            }
            34 => Self::ErasureDecided { asked: Index(r.u64()?), approved: flag(r)? },
            _ => return Err(DecodeError::Invalid { at, what: "control order" }),
        })
    }
}

fn flag(r: &mut Reader<'_>) -> Result<bool, DecodeError> {
    let at = r.at();
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid { at, what: "flag" }),
    }
}

fn step(r: &mut Reader<'_>) -> Result<EpochStep, DecodeError> {
    let at = r.at();
    match r.u8()? {
        1 => Ok(EpochStep::Opened),
        2 => Ok(EpochStep::Committed),
        3 => Ok(EpochStep::Aborted),
        _ => Err(DecodeError::Invalid { at, what: "epoch step" }),
    }
}

fn verdict(r: &mut Reader<'_>) -> Result<Verdict, DecodeError> {
    let at = r.at();
    Verdict::from_number(r.u8()?).ok_or(DecodeError::Invalid { at, what: "verdict" })
}
