//! Bounded caches of decisions. Every cached value is a pure function of the policy document, so that neither what
//! is cached nor what was evicted can change an answer.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use cedar_policy::{Entities, EntityUid};

use crate::permit::{RowScope, Scope};
use crate::refusal::Refusal;

/// Callers in one generation; two generations are kept.
const CALLERS_MAX: usize = 2_048;

/// Publish decisions kept per caller; past it a decision is computed each time.
const WRITES_MAX: usize = 256;

type ByRecordType = HashMap<Box<str>, bool>;

type Decided = Result<Arc<Scope>, Refusal>;

/// One caller's grant as policies see it, with what was decided for it.
pub(crate) struct CallerScope {
    pub(crate) name: Box<str>,
    pub(crate) agency: Box<str>,
    pub(crate) uid: EntityUid,
    pub(crate) rows: RowScope,
    pub(crate) entities: Entities,
    pub(crate) writes: Writes,
    scopes: Box<[OnceLock<Decided>]>,
}

impl CallerScope {
    pub(crate) fn new(
        name: &str,
        agency: &str,
        uid: EntityUid,
        rows: RowScope,
        entities: Entities,
        cells: usize,
    ) -> Self {
        let scopes = (0..cells).map(|_| OnceLock::new()).collect();
        let writes = Writes::default();
        Self { name: name.into(), agency: agency.into(), uid, rows, entities, writes, scopes }
    }

    /// The decision of one (action, procedure, kind), numbered by `cell`.
    pub(crate) fn scope(&self, cell: usize, decide: impl FnOnce() -> Decided) -> Decided {
        self.scopes[cell].get_or_init(decide).clone()
    }
}

/// Known callers, in two generations: when the young one is full it becomes the old one.
pub(crate) struct Callers {
    capacity: usize,
    generations: RwLock<[HashMap<Box<str>, Arc<CallerScope>>; 2]>,
}

impl Default for Callers {
    fn default() -> Self {
        Self::with_capacity(CALLERS_MAX)
    }
}

impl Callers {
    fn with_capacity(capacity: usize) -> Self {
        Self { capacity, generations: RwLock::default() }
    }

    pub(crate) fn get(&self, caller: &str) -> Option<Arc<CallerScope>> {
        let [young, old] = &*self.generations.read().unwrap_or_else(PoisonError::into_inner);
        young.get(caller).or_else(|| old.get(caller)).cloned()
    }

    /// Adds a caller unless another thread just did; either way returns the one to use.
    pub(crate) fn insert(&self, caller: &str, scope: CallerScope) -> Arc<CallerScope> {
        let [young, old] = &mut *self.generations.write().unwrap_or_else(PoisonError::into_inner);
        if young.len() >= self.capacity && !young.contains_key(caller) {
            *old = std::mem::take(young);
        }
        young.entry(caller.into()).or_insert_with(|| Arc::new(scope)).clone()
    }
}

/// Publish decisions by register, then record type.
#[derive(Default)]
pub(crate) struct Writes {
    decided: RwLock<HashMap<Box<str>, ByRecordType>>,
}

impl Writes {
    pub(crate) fn get_or_decide(&self, register: &str, record_type: &str, decide: impl FnOnce() -> bool) -> bool {
        {
            let decided = self.decided.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(&known) = decided.get(register).and_then(|types| types.get(record_type)) {
                return known;
            }
        }
        let verdict = decide();
        let mut decided = self.decided.write().unwrap_or_else(PoisonError::into_inner);
        if decided.values().map(HashMap::len).sum::<usize>() < WRITES_MAX {
            decided.entry(register.into()).or_default().insert(record_type.into(), verdict);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::uid;

    fn scope(name: &str) -> CallerScope {
        CallerScope::new(name, "agency", uid("Caller", name), RowScope::All, Entities::empty(), 1)
    }

    fn known(callers: &Callers) -> usize {
        let [young, old] = &*callers.generations.read().expect("no thread panicked");
        young.len() + old.len()
    }

    #[test]
    fn no_number_of_callers_makes_the_cache_grow_past_two_generations() {
        let callers = Callers::with_capacity(4);
        for i in 0..100 {
            let name = format!("caller-{i}");
            assert!(callers.get(&name).is_none());
            callers.insert(&name, scope(&name));
            assert!(known(&callers) <= 8, "{} callers", known(&callers));
            assert_eq!(callers.get(&name).map(|scope| scope.name.clone()), Some(name.into()));
        }
        assert!(callers.get("caller-0").is_none(), "the oldest have gone");
    }

    #[test]
    fn a_caller_that_another_thread_added_first_is_kept() {
        let callers = Callers::default();
        let first = callers.insert("a", scope("a"));
        let second = callers.insert("a", scope("a"));
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_decision_is_made_once_per_cell() {
        let scope = scope("a");
        let first = scope.scope(0, || Err(Refusal::PolicyFailed));
        let again = scope.scope(0, || panic!("it is decided already"));
        assert_eq!(first.err(), again.err());
    }

    #[test]
    fn publish_decisions_past_the_bound_are_right_and_not_kept() {
        let writes = Writes::default();
        for i in 0..WRITES_MAX + 10 {
            assert_eq!(writes.get_or_decide("r", &i.to_string(), || i % 2 == 0), i % 2 == 0);
        }
        assert!(!writes.get_or_decide("r", "1", || panic!("it is kept")));
        assert!(writes.get_or_decide("r", "265", || true), "265 was past the bound: decided again");
        let kept: usize = writes.decided.read().expect("no thread panicked").values().map(HashMap::len).sum();
        assert_eq!(kept, WRITES_MAX);
    }
}
