//! What a verifier says: what is proven, what is not, and what is wrong where.

use std::fmt;

use ledger::policy::Cosigned;
use ledger::{Checkpoint, ProofError, Untrusted};
use record::access::Action;
use record::{DecodeError, EntryHash, EntryKind, Partition, Position, Positions, Stream, Timestamp};

/// A bundle that holds: what it proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The checkpoint, signed by the log.
    pub checkpoint: Checkpoint,
    /// The known witnesses that cosigned it; the policy's quorum is met.
    pub cosigned: Vec<Cosigned>,
    /// Older checkpoints that it continues.
    pub continues: Vec<Checkpoint>,
    /// States of the log that are leaves of the super-log: number and time of the cut.
    pub ticks: Vec<(u64, Timestamp)>,
    /// Partitions' sizes at those ticks.
    pub heads: Vec<HeadShown>,
    /// Partitions that only grew between two ticks.
    pub grown: Vec<Grown>,
    /// The entries.
    pub entries: Vec<EntryShown>,
    /// The answers.
    pub answers: Vec<AnswerShown>,
    /// What the bundle does not prove.
    pub unproven: Vec<Unproven>,
}

/// A partition's size at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadShown {
    /// The tick.
    pub tick: u64,
    /// The stream.
    pub stream: Stream,
    /// The partition.
    pub partition: Partition,
    /// How many entries.
    pub size: u64,
}

/// A partition that only grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grown {
    /// The stream.
    pub stream: Stream,
    /// The partition.
    pub partition: Partition,
    /// The earlier tick.
    pub from: u64,
    /// The later tick.
    pub to: u64,
}

/// How well an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the log at its position, under the checkpoint.
    Included,
    /// Promised by a receipt of the hub, and not yet under the checkpoint.
    Promised,
}

/// An entry that is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryShown {
    /// Its place.
    pub position: Position,
    /// What the ledger commits to.
    pub hash: EntryHash,
    /// How well it stands.
    pub standing: Standing,
    /// What is read of it, when it is disclosed.
    pub disclosed: Option<Disclosed>,
    /// What its encrypted body holds, when the bundle opens it: a change's envelope.
    pub body: Option<crate::section::Blob>,
}

/// The readable part of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosed {
    /// What the entry does.
    pub kind: EntryKind,
    /// Its register, if any.
    pub register: Option<String>,
    /// Its record's pseudonym.
    pub record: record::Pseudonym,
    /// The record's version; 0 where there is no record.
    pub version: u64,
    /// The contract that its body is read by.
    pub contract: record::ContractId,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// When the hub took it.
    pub recorded_at: Timestamp,
    /// Whether the body is encrypted.
    pub encrypted: bool,
}

/// An answer that is proven to be the hub's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerShown {
    /// The access's id.
    pub access: [u8; 16],
    /// Its entry.
    pub position: Position,
    /// What was asked for.
    pub action: Action,
    /// Who asked.
    pub caller: String,
    /// For which procedure.
    pub procedure: String,
    /// In which case.
    pub case: String,
    /// When, by the hub's clock.
    pub at: Timestamp,
    /// How far the views had folded: what the hub knew.
    pub basis: Positions,
    /// What became of it.
    pub outcome: Outcome,
    /// The records read: how many entries of each are in the bundle, within the basis.
    pub records: Vec<(record::Pseudonym, usize)>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These bytes were the answer.
    Answered {
        /// How many bytes.
        bytes: usize,
    },
    /// It was answered, and the bundle does not disclose with what.
    Undisclosed,
    /// It was refused, by this code.
    Refused(String),
    /// Nothing was found.
    NotFound,
    /// Several subjects were found.
    Ambiguous,
}

/// What a bundle that holds still leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unproven {
    /// No witness: the log could have shown others another history.
    Unwitnessed,
    /// Beyond the checkpoint: only the hub's receipt stands for it.
    Uncovered(Position),
    /// A record that an answer was based on has no entry in the bundle.
    RecordWithoutEntry(record::Pseudonym),
    /// What an entry's body says: it is encrypted, and the bundle does not open it.
    Sealed(Position),
    /// That a record has no other entries than those shown.
    Completeness,
    /// That an answer's values follow from its entries: a replay shows that.
    Derivation,
    /// Times are the hub's word, but for those that witnesses cosigned.
    Times,
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwitnessed => {
                f.write_str("that everybody is shown this history: no witness cosigned the checkpoint")
            }
            Self::Uncovered(at) => {
                write!(f, "that {at} is in the log: the checkpoint ends before it, the hub's receipt promises it")
            }
            Self::Sealed(at) => {
                write!(
                    f,
                    "what {at} says: its body is encrypted, and the bundle does not open it ('hub audit prove --reveal')"
                )
            }
            Self::RecordWithoutEntry(record) => write!(f, "what record {record} said: no entry of it is in the bundle"),
            Self::Completeness => {
                f.write_str("that a record has no other entries than these: reading its whole partition shows that")
            }
            Self::Derivation => {
                f.write_str("that the answer's values follow from the entries: a replay up to the basis shows that")
            }
            Self::Times => f.write_str("that times are right: they are the hub's word, but for the witnesses' own"),
        }
    }
}

/// A bundle that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(failures))]
pub struct Rejected {
    /// What is wrong, in the order of the file; at least one.
    pub failures: Vec<Failure>,
}

impl Rejected {
    /// Whether the file was only cut short: what there is of it is as it was written.
    pub fn is_torn(&self) -> bool {
        self.failures.iter().all(|f| matches!(f.problem, Problem::Torn { .. }))
    }
}

fn list(failures: &[Failure]) -> String {
    failures.iter().map(Failure::to_string).collect::<Vec<_>>().join("; ")
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub at: Place,
    /// What.
    pub problem: Problem,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.problem)
    }
}

/// A place in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line of the file, from 1.
    pub line: usize,
    /// The section, such as `entry change/3/17`.
    pub section: String,
    /// The field of the section, or `line` for the whole.
    pub field: &'static str,
}

impl Place {
    pub(crate) fn manifest() -> Self {
        Self { line: 1, section: "manifest".into(), field: "line" }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}, {}", self.line, self.section, self.field)
    }
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The first line is no manifest of this format.
    #[error(
        "not a manifest of format hub.proof/v1, or of hub.proof/v2 where bodies are opened, in its canonical spelling"
    )]
    Manifest,
    /// The file ends before everything that the manifest names.
    #[error("the file was cut short after {present} sections: get it again")]
    Torn {
        /// Whole sections.
        present: usize,
        /// Sections that the manifest names, when it can be read.
        named: Option<usize>,
    },
    /// The line's hash is not the manifest's.
    #[error("the line, or its SHA-256 in the manifest, was changed")]
    Digest,
    /// The manifest does not name the line.
    #[error("the manifest does not name this line")]
    Unnamed,
    /// The line is no section.
    #[error("not a section of this format in its canonical spelling")]
    Section,
    /// Sections are not in order, or one stands twice.
    #[error("sections must stand in the order of the format, each once")]
    Order,
    /// The checkpoint does not meet the policy.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The checkpoint is of another log than the one known before.
    #[error("the checkpoint is of another log than the one that is known")]
    OtherLog,
    /// The checkpoint is older than the one known before.
    #[error(
        "the checkpoint has size {found}, one of size {known} is known: the log was rolled back, or the bundle is old"
    )]
    Older {
        /// The known one's size.
        known: u64,
        /// The bundle's.
        found: u64,
    },
    /// Two different checkpoints of one size.
    #[error("another checkpoint of size {size} is known: the log was forked; keep both as evidence")]
    Forked {
        /// The size.
        size: u64,
    },
    /// Nothing leads from the known checkpoint to this one.
    #[error(
        "nothing proves that the checkpoint continues the known one of size {known}: ask for a bundle with that proof"
    )]
    Unconnected {
        /// The known one's size.
        known: u64,
    },
    /// A Merkle proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A text of the ledger is not good.
    #[error(transparent)]
    Tick(#[from] ledger::tick::TickError),
    /// The partition is not one of the tick's.
    #[error("the tick has no such partition")]
    NoSlot,
    /// Something else in the bundle is named and not there.
    #[error("the bundle has no {0}")]
    Missing(String),
    /// A field has another form.
    #[error("expected {0}")]
    Form(&'static str),
    /// An entry has neither proof nor receipt.
    #[error("the entry has neither an inclusion nor a receipt")]
    Unsupported,
    /// An entry cannot be read.
    #[error("the entry cannot be read: {0}")]
    Entry(DecodeError),
    /// An entry's body is not what its header says.
    #[error("the stored body has another hash than the header says")]
    Body,
    /// The secret does not open the entry's body.
    #[error("the secret does not open the entry's body: {0}")]
    Secret(record::entry::BodyError),
    /// The entry is of another stream than its position.
    #[error("the entry is of another stream than its position")]
    Stream,
    /// The receipt does not hold.
    #[error("{0}")]
    Receipt(String),
    /// The entry is no access entry, or does not hold the access.
    #[error("the access entry does not hold this access")]
    NoAccess,
    /// The answer's bytes or key are not those that were hashed.
    #[error("the bytes and key do not open the answer's hash in the access entry")]
    Answer,
}
