//! The digest: one sum over every row of the views, whatever the order in which they came.
//!
//! LtHash (Bellare & Micciancio 1997; Lewi et al., "Securing Update Propagation with Homomorphic Hashing", 2019) with
//! BLAKE3 as the extendable-output function: a row is expanded to 1,024 lanes of 16 bits, and lanes are added modulo 2¹⁶.
//! Adding and removing rows commute, so the digest of a live view equals that of a replay when, and only when, the rows
//! are equal.

use std::fmt;

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{ContractId, Kind, MentionId, Pseudonym, RegisterEpoch, RegisterName, Timestamp};

const LANES: usize = 1024;

/// The sum of rows.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash(Box<[u16; LANES]>);

impl Default for LtHash {
    fn default() -> Self {
        Self(Box::new([0; LANES]))
    }
}

impl LtHash {
    /// Bytes of an encoded sum.
    pub const BYTES: usize = 2 * LANES;

    /// Adds a row.
    pub fn add(&mut self, row: &[u8]) {
        let lanes = Self::expand(row);
        for (sum, lane) in self.0.iter_mut().zip(lanes.as_chunks::<2>().0) {
            *sum = sum.wrapping_add(u16::from_le_bytes(*lane));
        }
    }

    /// Takes a row away that was added before.
    pub fn remove(&mut self, row: &[u8]) {
        let lanes = Self::expand(row);
        for (sum, lane) in self.0.iter_mut().zip(lanes.as_chunks::<2>().0) {
            *sum = sum.wrapping_sub(u16::from_le_bytes(*lane));
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        for (sum, lane) in self.0.iter_mut().zip(other.0.iter()) {
            *sum = sum.wrapping_add(*lane);
        }
    }

    fn expand(row: &[u8]) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        blake3::Hasher::new().update(row).finalize_xof().fill(&mut out);
        out
    }

    /// The sum as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|l| l.to_le_bytes()).collect()
    }

    /// Reads what [`LtHash::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::Trailing`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let mut out = Self::default();
        for lane in out.0.iter_mut() {
            *lane = r.u16()?;
        }
        r.end("digest sum")?;
        Ok(out)
    }

    /// The 32 bytes that people compare.
    pub fn digest(&self) -> Digest {
        Digest(*blake3::hash(&self.to_bytes()).as_bytes())
    }
}

impl fmt::Debug for LtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LtHash({})", self.digest())
    }
}

/// BLAKE3 of an [`LtHash`] sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// Why an edge stands as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EdgeState {
    /// Its two nodes are one subject by this edge.
    Accepted = 1,
    /// It would have broken a constraint; the reason's number is in the row.
    Refused = 2,
}

/// One version in a head row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadVersion {
    /// The register epoch.
    pub epoch: RegisterEpoch,
    /// The version.
    pub version: u64,
    /// The earlier version that it corrects; 0 for none.
    pub replaces: u64,
    /// [`crate::Operation`] as its number.
    pub operation: u8,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// The contract that it was checked against.
    pub contract: ContractId,
    /// The hash of what the publisher stated.
    pub statement: [u8; 32],
    /// How many later entries of the same identity stated something else.
    pub conflicts: u32,
}

/// A row of the views, canonical: no positions, no internal numbers, no arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row<'a> {
    /// A record with its versions in order.
    Head {
        /// The register.
        register: &'a RegisterName,
        /// The record.
        record: Pseudonym,
        /// Every version that counts, ascending by (epoch, version).
        versions: &'a [HeadVersion],
    },
    /// A mention and the subject that holds it.
    Mention {
        /// The kind of subject.
        kind: Kind,
        /// The mention.
        mention: MentionId,
        /// The subject's id: its anchor mention.
        subject: MentionId,
    },
    /// An accepted or refused edge between two nodes.
    Edge {
        /// Smaller node id.
        a: [u8; 16],
        /// Larger node id.
        b: [u8; 16],
        /// Match weight in 1/1024 bit.
        bits: i32,
        /// Accepted or refused.
        state: EdgeState,
        /// Why refused; 0 when accepted.
        reason: u8,
    },
    /// What a reviewer's decision came to.
    Decision {
        /// Index of the decision in the control stream.
        control_index: u64,
        /// 1 stands, 2 void by an earlier decision, 3 undone, 4 a mention of it is not there.
        effect: u8,
    },
    /// A relation between two mentions.
    Relation {
        /// The relation's name.
        relation: &'a str,
        /// From.
        from: MentionId,
        /// To.
        to: MentionId,
    },
    /// A finding on a record.
    Finding {
        /// The record.
        record: Pseudonym,
        /// The rule.
        rule: &'a str,
        /// The field, as a path; empty for the whole record.
        field: &'a str,
        /// The other record, where two disagree.
        other: Option<Pseudonym>,
    },
}

impl Row<'_> {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(96);
        match self {
            Self::Head { register, record, versions } => {
                w.u8(1).text(register.as_str()).raw(&record.0).varint(versions.len() as u64);
                versions.iter().for_each(|v| v.encode(&mut w));
            }
            Self::Mention { kind, mention, subject } => {
                w.u8(2).u8(*kind as u8).raw(&mention.0).raw(&subject.0);
            }
            Self::Edge { a, b, bits, state, reason } => {
                w.u8(3).raw(a).raw(b).u32(*bits as u32).u8(*state as u8).u8(*reason);
            }
            Self::Decision { control_index, effect } => {
                w.u8(4).u64(*control_index).u8(*effect);
            }
            Self::Relation { relation, from, to } => {
                w.u8(5).text(relation).raw(&from.0).raw(&to.0);
            }
            Self::Finding { record, rule, field, other } => {
                w.u8(6).raw(&record.0).text(rule).text(field);
                match other {
                    None => w.u8(0),
                    Some(o) => w.u8(1).raw(&o.0),
                };
            }
        }
        w.finish()
    }
}

impl HeadVersion {
    /// What orders versions: the greatest one that holds is in force.
    pub fn precedence(&self) -> (Timestamp, u64, RegisterEpoch) {
        (self.effective_at, self.version, self.epoch)
    }

    fn encode(&self, w: &mut Writer) {
        w.u32(self.epoch.0).varint(self.version).varint(self.replaces).u8(self.operation);
        w.i64(self.effective_at.0).raw(&self.contract.0).raw(&self.statement).u32(self.conflicts);
    }
}
