//! `Search`, made again.
//!
//! What was searched for is not in the entry, and does not show in the answer but by the hits. Those stand in the order of their ids,
//! and the entry has their records in that order, so it can be told where one ends and the next begins.

use std::collections::BTreeMap;
use std::ops::Bound;

use access::SEARCH_HITS_MAX;
use record::{MentionId, Pseudonym};

use super::super::error::Error;
use super::super::key::Found;
use super::super::search::{masked, session_of};
use super::super::subject::kind_of;
use super::Then;
use super::attempts::{Answer, Attempts, Made, Test};
use super::candidates::subjects;

/// Most steps on the way through the records.
const STEPS_MAX: usize = 1_000_000;

pub(super) fn again(then: &Then<'_>, test: Test<'_>) -> Result<Option<Made>, Error> {
    let access = then.access;
    let permit = then.policy.permit_search(&access.caller, &access.procedure, &access.case, then.kind());
    let Some(permit) = then.permitted(permit)? else { return Ok(None) };
    let kind = kind_of(&permit)?;
    let session = session_of(then.core, access.at)?;
    let subjects = subjects(&session, kind, &then.records)?;
    let mut attempts = Attempts::new(test, &then.records);
    let mut put = |hits: &[MentionId]| {
        for more in [false, true] {
            let found = Found { subjects: hits.iter().copied().collect(), more };
            attempts.put(masked(then.core, &session, &permit, kind, found))?;
        }
        Ok(attempts.go_on())
    };
    Walk { subjects: &subjects, steps: STEPS_MAX, hits: Vec::new() }.through(&then.records, &mut put)?;
    Ok(attempts.finish(Answer::Search))
}

/// A way through the records, hit by hit.
struct Walk<'a> {
    subjects: &'a BTreeMap<MentionId, Vec<Pseudonym>>,
    steps: usize,
    hits: Vec<MentionId>,
}

impl Walk<'_> {
    /// Calls `put` with every sequence of hits that has these records, as long as it returns `true`; tells whether to go on.
    fn through(
        &mut self,
        records: &[Pseudonym],
        put: &mut dyn FnMut(&[MentionId]) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        if records.is_empty() {
            return put(&self.hits);
        }
        if self.hits.len() == SEARCH_HITS_MAX {
            return Ok(true);
        }
        let subjects = self.subjects;
        let after = self.hits.last().map_or(Bound::Unbounded, |last| Bound::Excluded(*last));
        for (id, spoken) in subjects.range((after, Bound::Unbounded)) {
            self.steps = self.steps.saturating_sub(1);
            if self.steps == 0 {
                return Ok(false);
            }
            let Some(rest) = records.strip_prefix(spoken.as_slice()) else { continue };
            self.hits.push(*id);
            let go_on = self.through(rest, put)?;
            self.hits.pop();
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(subjects: &[(u8, &[u8])], records: &[u8], enough: usize) -> Vec<Vec<u8>> {
        let of = |ids: &[u8]| ids.iter().map(|id| Pseudonym([*id; 16])).collect::<Vec<_>>();
        let subjects = subjects.iter().map(|(id, read)| (MentionId([*id; 16]), of(read))).collect();
        let mut found = Vec::new();
        let mut put = |hits: &[MentionId]| {
            found.push(hits.iter().map(|id| id.0[0]).collect());
            Ok(found.len() < enough)
        };
        let mut walk = Walk { subjects: &subjects, steps: STEPS_MAX, hits: Vec::new() };
        walk.through(&of(records), &mut put).expect("no question is asked");
        found
    }

    #[test]
    fn the_records_of_a_search_are_cut_into_hits_in_the_order_of_their_ids() {
        let subjects: [(u8, &[u8]); 4] = [(1, &[7]), (2, &[7, 8]), (3, &[8]), (4, &[7])];
        assert_eq!(walked(&subjects, &[7, 8], 9), [vec![1, 3], vec![2]]);
        assert_eq!(walked(&subjects, &[7, 8], 1), [vec![1, 3]], "no further than wanted");
        assert_eq!(walked(&subjects, &[8, 7], 9), [vec![3, 4]]);
        assert_eq!(walked(&subjects, &[9], 9), Vec::<Vec<u8>>::new());
        assert_eq!(walked(&subjects, &[], 9), [Vec::<u8>::new()]);
    }
}
