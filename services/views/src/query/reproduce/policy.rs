//! The policy that an answer was given under.

use std::sync::Arc;

use access::Access as Policy;
use record::Index;

use super::super::Core;
use super::super::error::Error;
use super::super::past::unfolded;
use super::Given;
use crate::prepared::control_states;
use crate::runtime::access_of;

/// The policy of then, with the procedures of then; `None` when the log holds none with the hash that the entry names.
///
/// Views of then know the policy of then, unless the past was asked for: who may see what is ruled by the time of asking.
pub(super) fn of(core: &Core, given: &Given) -> Result<Option<Arc<Policy>>, Error> {
    let is_it = |policy: &Policy| *policy.policy_hash().as_bytes() == given.batch.policy;
    let of_views = core.handle.access.load_full();
    if given.access.known_at.is_none() && is_it(&of_views) {
        return Ok(Some(of_views));
    }
    let (mut found, mut in_time) = (None, false);
    let mut seen = (None, None);
    control_states(&core.handle.log, Index(u64::MAX), |state, recorded_at| {
        let documents = (state.policy.as_ref().map(|d| d.index), state.procedures.as_ref().map(|d| d.index));
        if documents == seen {
            return;
        }
        seen = documents;
        // What is no policy was never applied.
        let Some(policy) = access_of(state).ok().filter(is_it) else { return };
        // The last one before the question; without one, the first after it: clocks of two processes differ.
        let before = recorded_at <= given.access.at;
        if before || !in_time && found.is_none() {
            (found, in_time) = (Some(Arc::new(policy)), before);
        }
    })
    .map_err(|error| unfolded(&error))?;
    Ok(found)
}
