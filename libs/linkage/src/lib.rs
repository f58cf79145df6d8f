//! Linkage: which mentions are one subject.
//!
//! A mention's identifying fields become a [`FeatureRow`]; rows that share a [`blocking_keys`] key are scored by a frozen
//! [`Model`]; pairs that reach its threshold are edges; the edges of a connected component are clustered in a canonical order
//! against vetoes ([`cluster`]). [`Engine`] keeps the result up to date record by record over any [`LinkState`]; [`batch`] is
//! the same function computed from nothing, and the two must agree.
//!
//! Invariants:
//! - The clusters are a function of the set of live mentions, the reviewers' decisions and the model. Order of arrival, node
//!   numbers, clocks and hash maps never reach a result.
//! - Scores are integers in 1/1024 bit. Nothing stored or compared is a float.
//! - Work per event is bounded by the model's K and by the size of the touched components, never by a node's members.
//!
//! Deliberately absent: storage, survivorship of attributes (which never feeds matching), training of weights, and the entry
//! of reviewers' decisions: a [`Component`] carries them, and the clustering honours them.

mod batch;
mod cluster;
mod compare;
mod component;
mod date;
mod diff;
mod engine;
mod fields;
mod frequency;
mod hash;
mod keys;
mod learn;
mod level;
mod memory;
mod model;
mod name;
mod row;
mod score;
mod state;
mod text;

pub use batch::{Batch, batch};
pub use cluster::{Clustering, ComponentInput, InputNode, cluster};
pub use compare::{names_agree, search_name};
pub use component::{
    CompEdge, CompNode, Component, ComponentNo, Member, NodeDecision, NodeId, NodeNo, Refusal, Verdict, VetoId,
};
pub use date::PartialDate;
pub use diff::{
    ClusterState, ConflictChange, DecisionChange, Edge, EdgeChange, EdgeOutcome, EdgeState, LinkDiff, MentionChange,
    NodeChange, Standing,
};
pub use engine::{Decision, Engine, MentionInput, OldRecord, RecordMentions, Reviewed};
pub use fields::{Cadastral, ParcelFields, PersonFields};
pub use hash::hash64;
pub use keys::{KEYS_MAX, blocking_keys, locality_key, personal_id_key};
pub use learn::{LearnError, Learned, LearnedLevel, ROWS_MIN};
pub use level::{Field, Level};
pub use memory::MemoryState;
pub use model::Model;
pub use row::{
    FLAG_ID_MALFORMED, FLAG_ID_SUSPECT, FLAG_OLD_ID_MALFORMED, FLAG_PARCEL_ID_MALFORMED, FeatureRow, Kind, ROW_BYTES,
    Sex,
};
pub use score::{Conflict, FieldEvidence, Score};
pub use state::{LinkState, NodeMeta, Placement};
pub use text::{FoldedName, fold_name};
