//! Proofs that a stranger can check without the hub: bundles, their verifier, and the auditor of a whole log.
//!
//! A [bundle](bundle) leads from an answer to the entries that it was based on, from each entry to its partition's head, from
//! the heads to the super-log's last leaf, and from there to a checkpoint that the log signed and witnesses cosigned.
//! [`check`] needs the bundle and a trust policy, and nothing else: no network, no hub, no secret. `docs/proofs.md` says
//! byte for byte what is in a bundle; `tests/verify_bundle.py` is a second verifier.
//!
//! An [`audit`] reads the entries of a whole log against a checkpoint, and tells tampering from a torn tail and from what no
//! checkpoint covers yet.
//!
//! Invariants: a bundle has one spelling; what the verifier says it proved follows from signatures of the policy's keys
//! alone; everything else is named as unproven. A failure names the section, the entry and the field.
//!
//! Deliberately absent: I/O, clocks, and every crate of the server; `ledger` and `record` hold what is needed. Whether an
//! answer's values follow from its entries is for a replay to show.

pub mod audit;
pub mod bundle;
pub mod check;
pub mod compose;
pub mod report;
pub mod section;

pub use audit::{Cause, LogState, PartitionAudit, Verdict};
pub use bundle::Bundle;
pub use check::{Trust, check};
pub use compose::{ComposeError, Draft};
pub use report::{Failure, Place, Problem, Rejected, Report, Unproven};
pub use section::{Blob, Hash32, Section};
