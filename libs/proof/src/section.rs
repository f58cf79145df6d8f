//! The sections of a bundle: one JSON object on one line each.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger::Hash;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One section. Sections come in the order of these variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Section {
    /// The checkpoint of the super-log that everything leads to. The first section, and the only one of its type.
    Checkpoint {
        /// The signed note with its cosignatures.
        note: String,
    },
    /// The checkpoint continues an older one.
    Consistency {
        /// The older checkpoint's signed note.
        note: String,
        /// RFC 6962 §2.1.2, from the older one to the checkpoint.
        proof: Vec<Hash32>,
    },
    /// A leaf of the super-log.
    Tick {
        /// Its number.
        index: u64,
        /// Its entry.
        text: String,
        /// Audit path in the checkpoint's tree.
        path: Vec<Hash32>,
    },
    /// A partition's head at a tick.
    Head {
        /// Number of the tick.
        tick: u64,
        /// The head's text.
        text: String,
        /// Audit path in the tick's tree over heads, at the partition's slot.
        path: Vec<Hash32>,
    },
    /// A partition only grew between two ticks.
    Growth {
        /// `<stream>/<partition>`.
        partition: String,
        /// Number of the earlier tick.
        from: u64,
        /// Number of the later tick.
        to: u64,
        /// RFC 6962 §2.1.2, between the partition's heads at the two.
        proof: Vec<Hash32>,
    },
    /// An entry of the log, whole or by its hash alone, with a path to a head or the hub's receipt, or both.
    Entry {
        /// `<stream>/<partition>/<index>`.
        position: String,
        /// The stored bytes, header and body.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<Blob>,
        /// BLAKE3 of the stored bytes, when they are not disclosed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<Hash32>,
        /// Where the entry is included.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inclusion: Option<Inclusion>,
        /// The hub's receipt, as `ledger::receipt` encodes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Blob>,
    },
    /// The secret that opens the encrypted body of an entry of this bundle, and no other body.
    Body {
        /// Position of the entry.
        position: String,
        /// The body's secret.
        secret: Hash32,
    },
    /// What the hub answered, by an access entry of this bundle.
    Answer {
        /// Position of the access entry.
        position: String,
        /// The access's id, 32 lower-case hexadecimal digits.
        access: String,
        /// The key that opens the answer's hash. Absent with `bytes` where nothing was answered, or nothing is disclosed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Hash32>,
        /// The answer as it was hashed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<Blob>,
    },
}

/// The way from an entry to its partition's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inclusion {
    /// Number of the tick whose head it is.
    pub tick: u64,
    /// Audit path in the partition's tree.
    pub path: Vec<Hash32>,
}

impl Section {
    /// The name of its type, and what tells it from others of its type.
    pub fn name(&self) -> String {
        match self {
            Self::Checkpoint { .. } => "checkpoint".into(),
            Self::Consistency { note, .. } => {
                format!("consistency from size {}", note.split('\n').nth(1).unwrap_or_default())
            }
            Self::Tick { index, .. } => format!("tick {index}"),
            Self::Head { tick, text, .. } => {
                format!("head {} at tick {tick}", text.split('\n').next().unwrap_or_default())
            }
            Self::Growth { partition, from, to, .. } => format!("growth {partition} from tick {from} to {to}"),
            Self::Entry { position, .. } => format!("entry {position}"),
            Self::Body { position, .. } => format!("body {position}"),
            Self::Answer { access, .. } => format!("answer {access}"),
        }
    }

    /// Its type's place in the order of a bundle.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Checkpoint { .. } => 0,
            Self::Consistency { .. } => 1,
            Self::Tick { .. } => 2,
            Self::Head { .. } => 3,
            Self::Growth { .. } => 4,
            Self::Entry { .. } => 5,
            Self::Body { .. } => 6,
            Self::Answer { .. } => 7,
        }
    }

    /// The line of the section, without a newline.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a section has string keys and no maps")
    }
}

/// 32 bytes, as base64. The debug form does not show them: they may be a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash32(pub Hash);

/// Bytes, as base64. The debug form does not show them: they may be personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl std::fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash32(..)")
    }
}

/// The hashes of a path.
pub fn hashes(path: &[Hash32]) -> Vec<Hash> {
    path.iter().map(|h| h.0).collect()
}

/// A path of a section.
pub fn path(hashes: Vec<Hash>) -> Vec<Hash32> {
    hashes.into_iter().map(Hash32).collect()
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(|_| de::Error::custom("not standard base64"))
    }
}

impl Serialize for Hash32 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let hash = Blob::deserialize(from)?.0.try_into();
        hash.map(Self).map_err(|_| de::Error::custom("not base64 of 32 bytes"))
    }
}
