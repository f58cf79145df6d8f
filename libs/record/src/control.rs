//! Control entries: everything but changes that decides what the hub does. One total order.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{MentionId, Pseudonym, RegisterEpoch, RegisterName, Timestamp};
use crate::position::{Index, Partition, Positions};

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
    /// Records are erased: the fold ignores them at every cut, and their keys are destroyed.
    Erasure {
        /// The records.
        records: Vec<Pseudonym>,
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
    /// An operator read what another version of the fold says otherwise of the same log, and approved it: for the account only,
    /// the program decides what it folds.
    FoldApproved {
        /// Number of the version that is approved.
        fold_version: u32,
        /// Digest of the views that the former version left.
        before: [u8; 32],
        /// Digest of what this version folds, at the same positions.
        after: [u8; 32],
    },
    /// Bodies are encrypted under the keys of this ring, and these are wrapped by this key from now on.
    Keys {
        /// The ring; a log has one.
        ring: [u8; 16],
        /// The wrapping key's id.
        wrapping: [u8; 16],
    },
    /// Another key signs receipts and checkpoints from here on, or will.
    SigningKey {
        /// The verifier key that signs until then.
        former: String,
        /// The other one's.
        next: String,
        /// Whether it signs from here on; otherwise it is announced, and replaces one that was announced before.
        serves: bool,
    },
    /// An order that counts when a second person approves it.
    Asked {
        /// The order. One that asks, decides or is the hub's own is void.
        order: Box<Order>,
    },
    /// What an earlier [`Order::Asked`] holds counts from here on, or never. Approval by whoever asked is void.
    Decided {
        /// Index of that entry in the control stream.
        asked: Index,
        /// Whether it counts.
        approved: bool,
    },
    /// A process writes cuts from here on, in place of the one before; void unless its term is the next one. It saves work
    /// only: cuts are safe whoever writes them, because one that goes backwards is void.
    Writer {
        /// From 1, one more each time.
        term: u64,
        /// The process, by the number that it drew at its start; zeros: the one before has stopped, and nobody follows it yet.
        process: [u8; 16],
    },
    /// What becomes of a change that the fold cannot apply, and with it of what its record said later.
    Quarantine {
        /// The record; where the entry's header cannot be read, the name that the quarantine gave it.
        record: Pseudonym,
        /// Partition of the change stream.
        partition: Partition,
        /// Index of the entry there.
        index: Index,
        /// What becomes of it.
        step: QuarantineStep,
    },
}

/// What becomes of a change that the fold cannot apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum QuarantineStep {
    /// It is tried once more, after what was wrong around it was mended.
    Retry = 1,
    /// It is without effect for good, and what its record said later counts.
    Drop = 2,
}

impl QuarantineStep {
    /// The name, as commands write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Drop => "drop",
        }
    }
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

    /// What it orders, also when a second person has yet to approve it.
    pub fn subject(&self) -> &Order {
        match &self.order {
            Order::Asked { order } => order,
            order => order,
        }
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
            Self::FoldApproved { .. } => "fold_approved",
            Self::Keys { .. } => "keys",
            Self::SigningKey { .. } => "signing_key",
            Self::Asked { .. } => "asked",
            Self::Decided { .. } => "decided",
            Self::Writer { .. } => "writer",
            Self::Quarantine { .. } => "quarantine",
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
            Self::Erasure { records } => match records.as_slice() {
                [record] => {
                    w.u8(12).raw(&record.0);
                }
                records => {
                    w.u8(15);
                    pseudonyms(records, w);
                }
            },
            Self::ModelSwitch { epoch } => {
                w.u8(13).u32(*epoch);
            }
            Self::ViewsReplaced { before, after } => {
                w.u8(14).raw(before).raw(after);
            }
            Self::FoldApproved { fold_version, before, after } => {
                w.u8(17).u32(*fold_version).raw(before).raw(after);
            }
            Self::Keys { ring, wrapping } => {
                w.u8(32).raw(ring).raw(wrapping);
            }
            Self::SigningKey { former, next, serves } => {
                w.u8(35).text(former).text(next).u8(u8::from(*serves));
            }
            // Erasures could be asked for before other orders could, and keep their form.
            Self::Asked { order } => match order.as_ref() {
                Self::Erasure { records } => {
                    w.u8(33);
                    pseudonyms(records, w);
                }
                order => {
                    w.u8(16);
                    order.encode(w);
                }
            },
            Self::Decided { asked, approved } => {
                w.u8(34).u64(asked.0).u8(u8::from(*approved));
            }
            Self::Writer { term, process } => {
                w.u8(48).u64(*term).raw(process);
            }
            Self::Quarantine { record, partition, index, step } => {
                w.u8(49).raw(&record.0).u16(partition.0).u64(index.0).u8(*step as u8);
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.at();
        Ok(match r.u8()? {
            16 => {
                let inner = r.at();
                match Self::decode_plain(r)? {
                    Self::Asked { .. } => {
                        return Err(DecodeError::Invalid { at: inner, what: "order that is asked for" });
                    }
                    order => Self::Asked { order: Box::new(order) },
                }
            }
            number => Self::decode_numbered(number, at, r)?,
        })
    }

    /// An order that is not asked for in general: nothing nests deeper.
    fn decode_plain(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = r.at();
        let number = r.u8()?;
        Self::decode_numbered(number, at, r)
    }

    fn decode_numbered(number: u8, at: usize, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match number {
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
            12 => Self::Erasure { records: vec![Pseudonym(r.array()?)] },
            13 => Self::ModelSwitch { epoch: r.u32()? },
            14 => Self::ViewsReplaced { before: r.array()?, after: r.array()? },
            15 => Self::Erasure { records: read_pseudonyms(r)? },
            17 => Self::FoldApproved { fold_version: r.u32()?, before: r.array()?, after: r.array()? },
            32 => Self::Keys { ring: r.array()?, wrapping: r.array()? },
            33 => Self::Asked { order: Box::new(Self::Erasure { records: read_pseudonyms(r)? }) },
            34 => Self::Decided { asked: Index(r.u64()?), approved: flag(r)? },
            35 => Self::SigningKey { former: r.text()?.to_owned(), next: r.text()?.to_owned(), serves: flag(r)? },
            48 => Self::Writer { term: r.u64()?, process: r.array()? },
            49 => Self::Quarantine {
                record: Pseudonym(r.array()?),
                partition: Partition(r.u16()?),
                index: Index(r.u64()?),
                step: quarantine_step(r)?,
            },
            _ => return Err(DecodeError::Invalid { at, what: "control order" }),
        })
    }
}

fn pseudonyms(records: &[Pseudonym], w: &mut Writer) {
    w.varint(records.len() as u64);
    records.iter().for_each(|record| {
        w.raw(&record.0);
    });
}

fn read_pseudonyms(r: &mut Reader<'_>) -> Result<Vec<Pseudonym>, DecodeError> {
    (0..r.count(16)?).map(|_| r.array().map(Pseudonym)).collect()
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

fn quarantine_step(r: &mut Reader<'_>) -> Result<QuarantineStep, DecodeError> {
    let at = r.at();
    match r.u8()? {
        1 => Ok(QuarantineStep::Retry),
        2 => Ok(QuarantineStep::Drop),
        _ => Err(DecodeError::Invalid { at, what: "quarantine step" }),
    }
}

fn verdict(r: &mut Reader<'_>) -> Result<Verdict, DecodeError> {
    let at = r.at();
    Verdict::from_number(r.u8()?).ok_or(DecodeError::Invalid { at, what: "verdict" })
}
