//! Rows of the digest that edges make.

use linkage::{EdgeChange, EdgeOutcome};
use record::Row;
use record::digest::EdgeState;

/// The row of an edge in a state; `None` when it does not stand.
pub(crate) fn edge_row(edge: &EdgeChange, state: Option<linkage::EdgeState>) -> Option<Vec<u8>> {
    let state = state?;
    let (verdict, reason) = match state.outcome {
        EdgeOutcome::Tree | EdgeOutcome::Inside => (EdgeState::Accepted, 0),
        EdgeOutcome::RefusedByReviewer(..) => (EdgeState::Refused, 1),
        EdgeOutcome::RefusedByIds(..) => (EdgeState::Refused, 2),
        EdgeOutcome::RefusedBySameRecord(..) => (EdgeState::Refused, 3),
        EdgeOutcome::RefusedByBound => (EdgeState::Refused, 4),
    };
    Some(Row::Edge { a: edge.a.0, b: edge.b.0, bits: state.bits, state: verdict, reason }.encode())
}
