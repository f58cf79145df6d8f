//! What the control stream has decided, up to one of its indices. A process that follows the stream holds one of these, so
//! that two replicas cannot differ and an old answer can be reproduced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::Contract;
use linkage::Model;
use record::control::{Control, EpochStep, Order, QuarantineStep, Verdict};
use record::{ContractId, Index, MentionId, Partition, Positions, Pseudonym, RegisterEpoch, RegisterName, Timestamp};

use crate::basis::{Basis, BasisName, KnownModel, RegisterBasis};
use crate::units::{UnitList, Units};

/// A contract that is known.
#[derive(Debug, Clone)]
pub struct KnownContract {
    /// The compiled contract.
    pub contract: Arc<Contract>,
    /// Index of its control entry.
    pub index: Index,
    /// Who registered it.
    pub actor: String,
    /// When.
    pub recorded_at: Timestamp,
}

/// A document that a control entry holds.
#[derive(Debug, Clone)]
pub struct Document {
    /// Index of its control entry.
    pub index: Index,
    /// The document.
    pub bytes: Arc<[u8]>,
}

/// A key that receipts and checkpoints are signed with, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningPeriod {
    /// The verifier key, as a signed note names it.
    pub verifier: String,
    /// Since when; `None` for one that is announced, or where the log does not say when it was begun.
    pub from: Option<Timestamp>,
    /// Until when; `None` for the one that signs.
    pub until: Option<Timestamp>,
}

/// What of a register was restated.
#[derive(Debug, Clone, Default)]
struct Restated {
    /// The epoch that serves; `None` for the first.
    serving: Option<RegisterBasis>,
    /// The epoch that takes records while the other serves.
    open: Option<RegisterBasis>,
    /// The last epoch that was opened.
    last: RegisterEpoch,
}

/// A control entry that has no effect, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Void {
    /// Its index.
    pub index: Index,
    /// Why.
    pub reason: String,
}

/// An order that waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who asked.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub recorded_at: Timestamp,
    /// What counts once it is approved.
    pub order: Order,
}

/// The process that writes cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutWriter {
    /// How many there were, this one included.
    pub term: u64,
    /// The number that the process drew at its start; `None` when it has stopped and nobody follows it yet.
    pub process: Option<[u8; 16]>,
    /// Index of the entry that says so.
    pub index: Index,
}

/// What a control entry changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that the fold must act on.
    None,
    /// A contract came: records that wait for it can be read.
    Contract(ContractId),
    /// The first linkage model.
    Model,
    /// The control stream wants views on another basis.
    Basis,
    /// A reviewer's decision on a pair of mentions, `a < b`.
    Decision {
        /// Index of the entry that holds it.
        index: Index,
        /// One mention.
        a: MentionId,
        /// The other.
        b: MentionId,
        /// What was decided.
        verdict: Verdict,
    },
    /// Records are erased, whatever of them came or comes.
    Erasure(Vec<Pseudonym>),
    /// What the quarantine holds of this record is tried again from its first entry on.
    Quarantine(Pseudonym),
    /// A cut.
    Cut,
    /// The entry is without effect.
    Void(String),
}

/// The state.
#[derive(Debug, Clone, Default)]
pub struct ControlState {
    /// Entries below this index count.
    pub end: Index,
    /// Counts the entries but cuts, decisions, erasures and those about the quarantine: as long as it is the same, every change is read alike.
    pub revision: u64,
    /// End of the last entry that was no cut: what the control stream has decided is the same as long as it is.
    pub decided: Index,
    /// Commitment to the log's secret and the partitions of the change stream.
    pub log: Option<([u8; 32], u16)>,
    contracts: BTreeMap<ContractId, KnownContract>,
    current: BTreeMap<RegisterName, ContractId>,
    /// The unit lists.
    pub units: Units,
    /// What these views are folded with.
    basis: Basis,
    /// The linkage model that these views are linked with.
    pub model: Option<KnownModel>,
    /// Every linkage model that came, by epoch.
    models: BTreeMap<u32, KnownModel>,
    /// The epoch of the model that the control stream wants; `None` for the first.
    ordered_model: Option<u32>,
    /// The model that was wanted before it.
    replaced_model: Option<u32>,
    restated: BTreeMap<RegisterName, Restated>,
    /// The policy document.
    pub policy: Option<Document>,
    /// The procedure profiles.
    pub procedures: Option<Document>,
    /// Expected objects by register, record type and commune (empty: the whole register).
    pub expected: BTreeMap<(RegisterName, String, String), u64>,
    /// The ring of keys that bodies are encrypted under, and the wrapping key, by their ids.
    pub keys: Option<([u8; 16], [u8; 16])>,
    /// When the log was begun.
    pub opened_at: Option<Timestamp>,
    /// The keys that receipts and checkpoints are signed with, in their order; empty as long as there was but one.
    pub signing: Vec<SigningPeriod>,
    /// Erased records. Shared, because there may be many.
    pub erased: Arc<BTreeSet<Pseudonym>>,
    /// Orders that wait for a second person, by the index of their entries.
    pub asked: BTreeMap<Index, Asked>,
    /// The last cut.
    pub cut: Option<(Timestamp, Positions)>,
    /// Which of several processes writes cuts; `None` where there is only one.
    pub writer: Option<CutWriter>,
    /// Changes that are without effect where the fold cannot apply them, by their places in the change stream.
    pub dropped: Arc<BTreeSet<(Partition, Index)>>,
    /// Entries without effect.
    pub void: Vec<Void>,
}

/// Whether a second person's approval may be demanded of an order: of those that operators and reviewers give.
pub fn may_be_asked(order: &Order) -> bool {
    match order {
        Order::Contract { .. }
        | Order::Policy { .. }
        | Order::Procedures { .. }
        | Order::Units { .. }
        | Order::Model { .. }
        | Order::ModelSwitch { .. }
        | Order::RegisterEpoch { .. }
        | Order::Decision { .. }
        | Order::Quarantine { .. }
        | Order::FoldApproved { .. }
        | Order::Erasure { .. } => true,
        Order::LogOpened { .. }
        | Order::Cut { .. }
        | Order::Kinds { .. }
        | Order::Expected { .. }
        | Order::ViewsReplaced { .. }
        | Order::Keys { .. }
        | Order::SigningKey { .. }
        | Order::Writer { .. }
        | Order::Asked { .. }
        | Order::Decided { .. } => false,
    }
}

/// Whether changes may be read otherwise after it.
fn reads_otherwise(effect: &Effect) -> bool {
    !matches!(effect, Effect::Cut | Effect::Decision { .. } | Effect::Erasure(_) | Effect::Quarantine(_))
}

const VOID_MAX: usize = 10_000;
/// Most orders that wait for a second person at the same time; a further one is void.
pub const ASKED_MAX: usize = 1_000;

impl ControlState {
    /// The state before the first entry, for views on that basis.
    pub fn on(basis: Basis) -> Self {
        Self { model: basis.model.clone(), basis, ..Self::default() }
    }

    /// Counts the entry at `index`.
    pub fn apply(&mut self, index: Index, recorded_at: Timestamp, control: Control) -> Effect {
        debug_assert!(index >= self.end, "a control entry counts once");
        self.end = index.next();
        let effect = self.order(index, recorded_at, control);
        if effect != Effect::Cut {
            self.decided = self.end;
        }
        self.revision += u64::from(reads_otherwise(&effect));
        if let Effect::Void(reason) = &effect
            && self.void.len() < VOID_MAX
        {
            self.void.push(Void { index, reason: reason.clone() });
        }
        effect
    }

    fn order(&mut self, index: Index, recorded_at: Timestamp, control: Control) -> Effect {
        match control.order {
            Order::LogOpened { commitment, partitions } => {
                if self.log.is_some() {
                    return Effect::Void("the log is open already".into());
                }
                self.log = Some((commitment, partitions));
                self.opened_at = Some(recorded_at);
                Effect::None
            }
            Order::Cut { at, ends } => self.cut(at, ends),
            Order::Kinds { .. } => Effect::None,
            Order::Contract { register, descriptors } => {
                self.contract(index, recorded_at, control.actor, register, &descriptors)
            }
            Order::Policy { document } => {
                self.policy = Some(Document { index, bytes: document.into() });
                Effect::None
            }
            Order::Procedures { document } => {
                self.procedures = Some(Document { index, bytes: document.into() });
                Effect::None
            }
            Order::Units { document } => {
                let added = UnitList::decode(&document).and_then(|list| self.units.add(index, list));
                added.map_or_else(|e| Effect::Void(e.to_string()), |()| Effect::None)
            }
            Order::Model { epoch, model, unit_lists } => self.model(index, epoch, &model, &unit_lists),
            Order::Expected { register, record_type, commune, objects } => {
                self.expected.insert((register, record_type, commune), objects);
                Effect::None
            }
            Order::RegisterEpoch { register, epoch, step, cut } => self.restate(register, epoch, step, cut),
            Order::ModelSwitch { epoch } => self.switch_model(epoch),
            Order::ViewsReplaced { .. } | Order::FoldApproved { .. } => Effect::None,
            Order::Decision { a, b, .. } if a == b => Effect::Void("a decision about one mention and itself".into()),
            Order::Decision { a, b, verdict } => Effect::Decision { index, a: a.min(b), b: a.max(b), verdict },
            Order::Erasure { records } => self.erase(records),
            Order::Keys { ring, wrapping } => self.keys(ring, wrapping),
            Order::SigningKey { former, next, serves } => self.signing_key(recorded_at, former, next, serves),
            Order::Asked { order } => {
                let Control { actor, reason, .. } = control;
                self.ask(index, Asked { actor, reason, recorded_at, order: *order })
            }
            Order::Decided { asked, approved } => self.decide(asked, approved, &control.actor),
            Order::Writer { term, process } => self.write_cuts(index, term, process),
            Order::Quarantine { record, partition, index, step } => {
                if step == QuarantineStep::Drop {
                    Arc::make_mut(&mut self.dropped).insert((partition, index));
                }
                Effect::Quarantine(record)
            }
        }
    }

    fn erase(&mut self, records: Vec<Pseudonym>) -> Effect {
        Arc::make_mut(&mut self.erased).extend(&records);
        Effect::Erasure(records)
    }

    fn keys(&mut self, ring: [u8; 16], wrapping: [u8; 16]) -> Effect {
        if self.keys.is_some_and(|(known, _)| known != ring) {
            return Effect::Void("the log's bodies are encrypted under other keys".into());
        }
        self.keys = Some((ring, wrapping));
        Effect::None
    }

    fn signing_key(&mut self, at: Timestamp, former: String, next: String, serves: bool) -> Effect {
        if self.signing.is_empty() {
            self.signing.push(SigningPeriod { verifier: former.clone(), from: self.opened_at, until: None });
        }
        let signs = |period: &SigningPeriod| period.from.is_some() && period.until.is_none();
        if self.signing.iter().any(|period| signs(period) && period.verifier != former) {
            return Effect::Void("another key than the entry says signed until here".into());
        }
        if self.signing.iter().any(|period| period.from.is_some() && period.verifier == next) {
            return Effect::Void("the key signs or has signed already".into());
        }
        self.signing.retain(|period| period.from.is_some());
        if serves {
            self.signing.iter_mut().filter(|period| signs(period)).for_each(|period| period.until = Some(at));
        }
        self.signing.push(SigningPeriod { verifier: next, from: serves.then_some(at), until: None });
        Effect::None
    }

    fn ask(&mut self, at: Index, asked: Asked) -> Effect {
        if !may_be_asked(&asked.order) {
            return Effect::Void(format!("a second person does not approve an order '{}'", asked.order.name()));
        }
        if self.asked.len() >= ASKED_MAX {
            return Effect::Void(format!("{ASKED_MAX} orders wait for a second person already"));
        }
        // What would be without effect now is not asked for. Whether it has one when it is approved is decided then.
        let control = Control { actor: asked.actor.clone(), reason: asked.reason.clone(), order: asked.order.clone() };
        if let void @ Effect::Void(_) = self.clone().order(at, asked.recorded_at, control) {
            return void;
        }
        self.asked.insert(at, asked);
        Effect::None
    }

    /// An approved order counts as if it came now, under the index of the entry that holds it and of whoever asked.
    fn decide(&mut self, asked: Index, approved: bool, actor: &str) -> Effect {
        match self.asked.get(&asked) {
            None => Effect::Void("no order waits under this number".into()),
            Some(found) if approved && found.actor == actor => {
                Effect::Void("whoever gave an order cannot approve it".into())
            }
            Some(_) => {
                let Asked { actor, reason, recorded_at, order } = self.asked.remove(&asked).expect("it was just found");
                if !approved {
                    return Effect::None;
                }
                self.order(asked, recorded_at, Control { actor, reason, order })
            }
        }
    }

    /// Of several processes that claim a term, the first in the stream has it.
    fn write_cuts(&mut self, index: Index, term: u64, process: [u8; 16]) -> Effect {
        let next = self.writer.map_or(1, |writer| writer.term + 1);
        if term != next {
            return Effect::Void(format!("the next term of who writes cuts is {next}"));
        }
        let process = (process != [0; 16]).then_some(process);
        self.writer = Some(CutWriter { term, process, index });
        Effect::None
    }

    fn cut(&mut self, at: Timestamp, ends: Positions) -> Effect {
        if let Some((last, last_ends)) = &self.cut
            && (at < *last || !ends.covers_all(last_ends))
        {
            return Effect::Void("the cut goes backwards".into());
        }
        self.cut = Some((at, ends));
        Effect::Cut
    }

    fn contract(
        &mut self,
        index: Index,
        recorded_at: Timestamp,
        actor: String,
        register: RegisterName,
        descriptors: &[u8],
    ) -> Effect {
        let contract = match Contract::compile(descriptors) {
            Ok(contract) => contract,
            Err(e) => return Effect::Void(format!("the contract of register {register} does not compile: {e}")),
        };
        let id = contract.id();
        if contract.register() != register.as_str() {
            return Effect::Void(format!("the contract is not of register {register}"));
        }
        let known = KnownContract { contract: Arc::new(contract), index, actor, recorded_at };
        self.contracts.entry(id).or_insert(known);
        self.current.insert(register, id);
        Effect::Contract(id)
    }

    fn model(&mut self, index: Index, epoch: u32, model: &[u8], unit_lists: &[String]) -> Effect {
        if let Some(last) = self.models.keys().next_back()
            && epoch != last + 1
        {
            return Effect::Void(format!("the next linkage model is epoch {}", last + 1));
        }
        match Model::from_bytes(model) {
            Ok(model) if model.epoch() == epoch => {
                let known = KnownModel { model: Arc::new(model), units: self.units.only(unit_lists), index };
                let first = self.models.is_empty();
                if first && self.model.is_none() {
                    self.model = Some(known.clone());
                }
                self.models.insert(epoch, known);
                if first { Effect::Model } else { Effect::None }
            }
            Ok(_) => Effect::Void("the model is of another epoch than its entry says".into()),
            Err(e) => Effect::Void(format!("the linkage model cannot be read: {e}")),
        }
    }

    fn switch_model(&mut self, epoch: u32) -> Effect {
        if !self.models.contains_key(&epoch) {
            return Effect::Void(format!("there is no linkage model of epoch {epoch}"));
        }
        let before = self.ordered().model;
        if before == epoch {
            return Effect::Void(format!("linkage model {epoch} serves already"));
        }
        self.replaced_model = Some(before);
        self.ordered_model = Some(epoch);
        Effect::Basis
    }

    fn restate(&mut self, register: RegisterName, epoch: RegisterEpoch, step: EpochStep, cut: Positions) -> Effect {
        if !self.current.contains_key(&register) {
            return Effect::Void(format!("register {register} has no contract"));
        }
        let restated = self.restated.entry(register).or_default();
        if step == EpochStep::Opened {
            if let Some(open) = &restated.open {
                return Effect::Void(format!("epoch {} of the register is open already", open.epoch.0));
            }
            if epoch.0 != restated.last.0 + 1 {
                return Effect::Void(format!("the register's next epoch is {}", restated.last.0 + 1));
            }
            let earlier = match &restated.serving {
                None => vec![RegisterEpoch::default()],
                Some(serving) => serving.earlier.iter().copied().chain([serving.epoch]).collect(),
            };
            restated.last = epoch;
            restated.open = Some(RegisterBasis { epoch, since: cut, earlier });
            return Effect::None;
        }
        match restated.open.take() {
            Some(open) if open.epoch == epoch && step == EpochStep::Committed => {
                restated.serving = Some(open);
                Effect::Basis
            }
            Some(open) if open.epoch == epoch => Effect::None,
            open => {
                restated.open = open;
                Effect::Void(format!("epoch {} of the register is not open", epoch.0))
            }
        }
    }

    /// What these views are folded with.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The name of what these views are folded with.
    pub fn serving(&self) -> BasisName {
        let registers = self.basis.registers.iter().map(|(register, basis)| (register.clone(), basis.epoch)).collect();
        BasisName { model: self.model.as_ref().map_or(0, |known| known.model.epoch()), registers }
    }

    /// The name of what the control stream wants views to be folded with.
    pub fn ordered(&self) -> BasisName {
        let first = || self.models.keys().next().copied().unwrap_or_default();
        let serving = |(register, restated): (&RegisterName, &Restated)| {
            restated.serving.as_ref().map(|basis| (register.clone(), basis.epoch))
        };
        BasisName {
            model: self.ordered_model.unwrap_or_else(first),
            registers: self.restated.iter().filter_map(serving).collect(),
        }
    }

    /// The basis of that name, of epochs that serve or are open; `None` when the control stream has brought no such model or
    /// epoch.
    pub fn basis_of(&self, name: &BasisName) -> Option<Basis> {
        let model = Some(self.models.get(&name.model)?.clone());
        let registers = name.registers.iter().map(|(register, epoch)| {
            let restated = self.restated.get(register)?;
            let found = [&restated.serving, &restated.open].into_iter().flatten().find(|basis| basis.epoch == *epoch);
            found.map(|basis| (register.clone(), basis.clone()))
        });
        Some(Basis { model, registers: registers.collect::<Option<_>>()? })
    }

    /// Every linkage model that came, by epoch.
    pub fn models(&self) -> impl Iterator<Item = (u32, &KnownModel)> {
        self.models.iter().map(|(epoch, known)| (*epoch, known))
    }

    /// The model that was wanted before the last switch.
    pub fn replaced_model(&self) -> Option<u32> {
        self.replaced_model
    }

    /// Whether a change counts in these views.
    pub fn counts(&self, register: &RegisterName, stamp: RegisterEpoch, partition: Partition, index: Index) -> bool {
        self.basis.counts(register, stamp, partition, index)
    }

    /// The contract that changes of the register are checked against.
    pub fn current(&self, register: &RegisterName) -> Option<&KnownContract> {
        self.contracts.get(self.current.get(register)?)
    }

    /// Every register with the contract in force.
    pub fn registers(&self) -> impl Iterator<Item = (&RegisterName, &KnownContract)> {
        self.current.iter().filter_map(|(r, id)| Some((r, self.contracts.get(id)?)))
    }

    /// A contract by its id.
    pub fn by_id(&self, id: ContractId) -> Option<&Arc<Contract>> {
        self.contracts.get(&id).map(|k| &k.contract)
    }

    /// The epoch of the register that serves, as the control stream has it: ordinary changes are stamped with it.
    pub fn register_epoch(&self, register: &RegisterName) -> RegisterEpoch {
        let serving = self.restated.get(register).and_then(|restated| restated.serving.as_ref());
        serving.map_or_else(RegisterEpoch::default, |basis| basis.epoch)
    }

    /// Whether the epoch served before the one that serves now.
    pub fn served(&self, register: &RegisterName, epoch: RegisterEpoch) -> bool {
        let serving = self.restated.get(register).and_then(|restated| restated.serving.as_ref());
        serving.is_some_and(|basis| basis.earlier.contains(&epoch))
    }

    /// The epoch of the register that is being restated, with its cut.
    pub fn open_epoch(&self, register: &RegisterName) -> Option<&RegisterBasis> {
        self.restated.get(register)?.open.as_ref()
    }

    /// The epoch that a restatement of the register would open next.
    pub fn next_epoch(&self, register: &RegisterName) -> RegisterEpoch {
        RegisterEpoch(self.restated.get(register).map_or(0, |restated| restated.last.0) + 1)
    }

    /// The number of expected objects of a register: of one commune, or of the whole register, which is the sum over its
    /// communes when the register published none for itself. Sums over record types.
    pub fn expected_objects(&self, register: &RegisterName, commune: Option<&str>) -> Option<u64> {
        let of = |wanted: &dyn Fn(&str) -> bool| {
            let rows = self.expected.iter().filter(|((r, _, c), _)| r == register && wanted(c)).map(|(_, n)| *n);
            rows.fold(None, |sum: Option<u64>, n| Some(sum.unwrap_or(0).saturating_add(n)))
        };
        match commune {
            Some(commune) => of(&|c| c == commune),
            None => of(&str::is_empty).or_else(|| of(&|c| !c.is_empty())),
        }
    }
}
