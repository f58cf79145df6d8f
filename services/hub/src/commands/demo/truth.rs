//! Precision and recall of linkage against the generator's truth, over pairs of mentions.

use std::collections::HashMap;
use std::sync::Arc;

use contract::Contract;
use nation::{Flaw, Nation, Operation, REGISTERS, TrueSubject};
use projection::mention::mention_id;
use record::{MentionId, RecordId, RegisterName};

use super::Demo;
use crate::error::{CommandError, told};

/// What was measured.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Links {
    /// Pairs that are linked and true.
    pub(super) right: u64,
    /// Pairs that are linked.
    pub(super) linked: u64,
    /// Pairs that are true.
    pub(super) real: u64,
}

impl Links {
    pub(super) fn precision(&self) -> f64 {
        self.right as f64 / self.linked.max(1) as f64
    }

    pub(super) fn recall(&self) -> f64 {
        self.right as f64 / self.real.max(1) as f64
    }
}

/// Compares the live views with the truth.
pub(super) fn measure(demo: &Demo, nation: &Nation) -> Result<Links, CommandError> {
    let truth = truth(demo, nation)?;
    let failed = |e: &dyn std::error::Error| CommandError::failed(told(e), "see the hub's log");
    let view = demo.server.handle.reader.view().map_err(|e| failed(&e))?;
    let mut together: HashMap<(MentionId, TrueSubject), u64> = HashMap::new();
    let mut by_subject: HashMap<MentionId, u64> = HashMap::new();
    let mut by_truth: HashMap<TrueSubject, u64> = HashMap::new();
    views::mentions::each_subject(&view, |mention, subject| {
        if let Some(real) = truth.get(&mention) {
            *together.entry((subject, *real)).or_default() += 1;
            *by_subject.entry(subject).or_default() += 1;
            *by_truth.entry(*real).or_default() += 1;
        }
    })
    .map_err(|e| failed(&e))?;
    // Sums of integers: the order of a map does not reach the result.
    let pairs = |n: u64| n * (n - 1) / 2;
    Ok(Links {
        right: together.into_values().map(pairs).sum(),
        linked: by_subject.into_values().map(pairs).sum(),
        real: by_truth.into_values().map(pairs).sum(),
    })
}

fn truth(demo: &Demo, nation: &Nation) -> Result<HashMap<MentionId, TrueSubject>, CommandError> {
    let control = demo.server.handle.control.load();
    let secret = &demo.server.handle.secret;
    let broken = |what: String| CommandError::failed(what, "this is a fault of the demo: report it");
    let mut out = HashMap::new();
    for name in REGISTERS {
        let register = RegisterName::try_from(name).map_err(|e| broken(told(&e)))?;
        let known = control.current(&register).ok_or_else(|| broken(format!("register {name} has no contract")))?;
        let contract: Arc<Contract> = Arc::clone(&known.contract);
        let live =
            |c: &nation::PublishedChange| c.live && c.flaw == Flaw::None && matches!(c.operation, Operation::Upsert);
        for change in nation.changes(name).filter(live) {
            let id = RecordId::try_from(change.record_id.as_str()).map_err(|e| broken(told(&e)))?;
            let record = secret.pseudonym(&register, &id);
            let facts = contract.facts(change.record_type, &change.payload).map_err(|e| broken(told(&e)))?;
            for (mention, meant) in facts.mentions.iter().zip(&change.truth) {
                out.insert(mention_id(secret, record, mention), meant.subject);
            }
        }
    }
    Ok(out)
}
