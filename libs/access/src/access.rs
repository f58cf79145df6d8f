//! Decisions: who may do what, for which purpose, and see which fields.

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, RestrictedExpression};

use std::sync::Arc;

use crate::action::{Action, HubAction, Query};
use crate::cache::{CallerScope, Callers};
use crate::grants::Publish;
use crate::kinds::{FieldMask, KindFields, Kinds};
use crate::permit::{CheckPermit, CheckedKind, HubPermit, ListPermit, Listing, Permit, PolicyHash, Scope};
use crate::policy::{
    FORBID_REASONS, PolicyDocument, PolicyError, base_entities, caller_entity, entities_error, record_type_entities,
    record_type_uid, uid,
};
use crate::procedure::{Procedure, ProcedureSet};
use crate::refusal::{Refusal, ShownName};

/// Bytes of a case number.
pub const CASE_BYTES_MAX: usize = 128;

/// Bytes of a register's or record type's name; what is longer is nobody's.
const TYPE_BYTES_MAX: usize = 256;

/// A request to read subjects of one kind for one purpose.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is asked.
    pub query: Query,
    /// The SPIFFE id of the caller's certificate.
    pub caller: &'a str,
    /// The procedure's code; empty means that none was given.
    pub procedure: &'a str,
    /// The case number, opaque to the hub; empty means that none was given.
    pub case: &'a str,
    /// The kind of subject.
    pub kind: &'a str,
    /// Dotted attribute names.
    pub fields: &'a [&'a str],
}

/// One policy document over one set of procedures and kinds: immutable, shared by all readers, replaced whole when
/// a control entry brings a new one.
pub struct Access {
    document: PolicyDocument,
    procedures: ProcedureSet,
    kinds: Kinds,
    entities: Entities,
    authorizer: Authorizer,
    callers: Callers,
}

/// What Cedar said of one question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allowed,
    /// The index in [`FORBID_REASONS`] of the first reason that applies.
    Forbidden(usize),
    /// No policy permits it.
    NotPermitted,
    /// A policy failed to evaluate. A forbid that fails would otherwise be skipped: refused instead.
    Failed,
}

impl Access {
    /// Joins a policy document with the procedures and kinds that it decides on.
    ///
    /// # Errors
    /// [`PolicyError::Entities`] when they do not fit the policy schema.
    pub fn new(document: PolicyDocument, procedures: ProcedureSet, kinds: Kinds) -> Result<Self, PolicyError> {
        let entities = base_entities(&document, &procedures, &kinds)?;
        Ok(Self { document, procedures, kinds, entities, authorizer: Authorizer::new(), callers: Callers::default() })
    }

    /// The hash of the policy document, for access entries.
    pub fn policy_hash(&self) -> &PolicyHash {
        self.document.hash()
    }

    /// The procedures that purposes may name.
    pub fn procedures(&self) -> &ProcedureSet {
        &self.procedures
    }

    /// The kinds that requests may name.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Decides a read. Either every field asked for is released, or the refusal names those that are not.
    ///
    /// # Errors
    /// A [`Refusal`] per reason, in the order: purpose, caller, procedure, kind, fields.
    pub fn permit(&self, request: &Request<'_>) -> Result<Permit, Refusal> {
        check_purpose(request.procedure, request.case)?;
        let caller = self.caller(request.caller)?;
        let procedure = self.procedure(request.procedure)?;
        let kind = self.kind(request.kind)?;
        let asked = asked_mask(kind, request.fields)?;
        let scope = self.scope(&caller, request.query, procedure, kind)?;
        release(scope, request.case, asked)
    }

    /// Decides a check of a procedure: a permit per kind, for all attributes that the procedure's items name.
    ///
    /// # Errors
    /// As [`permit`](Self::permit).
    pub fn permit_check(&self, caller: &str, procedure: &str, case: &str) -> Result<CheckPermit, Refusal> {
        check_purpose(procedure, case)?;
        let caller = self.caller(caller)?;
        let procedure = self.procedure(procedure)?;
        let mut kinds = Vec::new();
        for kind in self.kinds.iter().filter(|kind| procedure.has_kind(kind.kind())) {
            let scope = self.scope(&caller, Query::CheckProcedure, procedure, kind)?;
            let needed = procedure.item_fields().filter_map(|field| kind.index_of(field));
            let needed = needed.fold(FieldMask::default(), FieldMask::with);
            let readable = match self.scope(&caller, Query::GetSubject, procedure, kind) {
                Ok(scope) => scope.allowed,
                Err(Refusal::PolicyFailed) => return Err(Refusal::PolicyFailed),
                Err(_not_granted) => FieldMask::default(),
            };
            kinds.push(CheckedKind { permit: release(scope, case, needed)?, values: needed.and(readable) });
        }
        Ok(CheckPermit { kinds })
    }

    /// Decides a search: its hits show, masked, what the policy document lists for searches, as far as the procedure
    /// and the caller's classes allow. At most [`SEARCH_HITS_MAX`](crate::SEARCH_HITS_MAX) hits.
    ///
    /// # Errors
    /// As [`permit`](Self::permit); [`Refusal::ActionNotGranted`] also when nothing would be left to show.
    pub fn permit_search(&self, caller: &str, procedure: &str, case: &str, kind: &str) -> Result<Permit, Refusal> {
        check_purpose(procedure, case)?;
        let caller = self.caller(caller)?;
        let procedure = self.procedure(procedure)?;
        let kind = self.kind(kind)?;
        let scope = self.scope(&caller, Query::Search, procedure, kind)?;
        let shown = self.document.search_shows.iter().filter(|field| field.contains('.'));
        let shown = shown.filter_map(|field| kind.index_of(field)).fold(FieldMask::default(), FieldMask::with);
        let shown = shown.and(scope.allowed);
        if shown.is_empty() {
            return Err(Refusal::ActionNotGranted { action: Query::Search.action() });
        }
        release(scope, case, shown)
    }

    /// Decides whose access records a caller may list.
    ///
    /// # Errors
    /// [`Refusal::CallerUnknown`], [`Refusal::ActionNotGranted`].
    pub fn permit_listing(&self, caller: &str, listing: Listing) -> Result<ListPermit, Refusal> {
        let scope = self.caller(caller)?;
        let action = Action::ListAccesses;
        let resource = match listing {
            Listing::Own => uid("Listing", "own"),
            Listing::Any => uid("Listing", "any"),
        };
        let verdict = self.decide(&scope.entities, &scope.uid, action, resource, Context::empty());
        require(verdict, Refusal::ActionNotGranted { action })?;
        Ok(ListPermit { caller: caller.into(), listing, policy_hash: *self.policy_hash() })
    }

    /// Decides an action on the hub as a whole.
    ///
    /// # Errors
    /// [`Refusal::CallerUnknown`], [`Refusal::ActionNotGranted`].
    pub fn permit_hub(&self, caller: &str, action: HubAction) -> Result<HubPermit, Refusal> {
        let scope = self.caller(caller)?;
        let action = action.action();
        let verdict = self.decide(&scope.entities, &scope.uid, action, uid("Hub", "hub"), Context::empty());
        require(verdict, Refusal::ActionNotGranted { action })?;
        Ok(HubPermit { caller: caller.into(), action, policy_hash: *self.policy_hash() })
    }

    /// Whether the caller may publish that record type to that register. Decided once per caller, register and
    /// type, then a look-up.
    ///
    /// # Errors
    /// [`Refusal::CallerUnknown`], [`Refusal::PublishNotGranted`].
    pub fn may_write(&self, caller: &str, register: &str, record_type: &str) -> Result<(), Refusal> {
        let refused = || Refusal::PublishNotGranted {
            register: ShownName::new(register),
            record_type: ShownName::new(record_type),
        };
        let scope = self.caller(caller)?;
        let well_formed = !register.contains('/') && register.len().max(record_type.len()) <= TYPE_BYTES_MAX;
        if !well_formed {
            return Err(refused());
        }
        let verdict = scope.writes.get_or_decide(register, record_type, || {
            self.decide_write(&scope, register, record_type) == Verdict::Allowed
        });
        if verdict { Ok(()) } else { Err(refused()) }
    }

    /// Whether the caller may publish anything to that register: who may, may also list its refused changes.
    ///
    /// # Errors
    /// [`Refusal::CallerUnknown`], [`Refusal::PublishNotGranted`].
    pub fn publishes_to(&self, caller: &str, register: &str) -> Result<(), Refusal> {
        let bound = self.document.grants.bind(caller).ok_or(Refusal::CallerUnknown)?;
        let entries = bound.grant.publish.iter().filter(|publish| publish.register == register);
        // A grant of the whole register covers every type, hence also the nameless one.
        let whole = |publish: &Publish| publish.record_types.clone().unwrap_or_else(|| vec![String::new()]);
        let mut types = entries.flat_map(whole);
        let writes = |record_type: String| self.may_write(caller, register, &record_type).is_ok();
        if types.any(writes) {
            return Ok(());
        }
        Err(Refusal::PublishNotGranted { register: ShownName::new(register), record_type: ShownName::new("anything") })
    }

    fn decide_write(&self, scope: &CallerScope, register: &str, record_type: &str) -> Verdict {
        let added = record_type_entities(register, record_type);
        let Ok(entities) = scope.entities.clone().upsert_entities(added, Some(&self.document.schema)) else {
            return Verdict::Failed;
        };
        let resource = record_type_uid(register, record_type);
        self.decide(&entities, &scope.uid, Action::Publish, resource, Context::empty())
    }

    fn procedure(&self, code: &str) -> Result<&Procedure, Refusal> {
        let unknown = || Refusal::ProcedureUnknown { procedure: ShownName::new(code) };
        self.procedures.get(code).ok_or_else(unknown)
    }

    fn kind(&self, kind: &str) -> Result<&Arc<KindFields>, Refusal> {
        self.kinds.get(kind).ok_or_else(|| Refusal::KindUnknown { kind: ShownName::new(kind) })
    }

    /// The caller with its entities, from the cache or bound now.
    fn caller(&self, caller: &str) -> Result<Arc<CallerScope>, Refusal> {
        if let Some(scope) = self.callers.get(caller) {
            return Ok(scope);
        }
        let bound = self.document.grants.bind(caller).ok_or(Refusal::CallerUnknown)?;
        let entities = caller_entity(caller, bound.grant, &self.procedures)
            .and_then(|entity| {
                let all = self.entities.clone();
                all.add_entities([entity], Some(&self.document.schema)).map_err(entities_error)
            })
            .or(Err(Refusal::PolicyFailed))?;
        let cells = self.procedures.len() * self.kinds.iter().count() * Query::COUNT;
        let agency = bound.grant.agency.as_str();
        let scope = CallerScope::new(caller, agency, uid("Caller", caller), bound.rows, entities, cells);
        Ok(self.callers.insert(caller, scope))
    }

    /// The mask of (caller, action, procedure, kind), computed once. The case plays no part.
    fn scope(
        &self,
        caller: &CallerScope,
        query: Query,
        procedure: &Procedure,
        kind: &Arc<KindFields>,
    ) -> Result<Arc<Scope>, Refusal> {
        let kinds = self.kinds.iter().count();
        let kind_index = self.kinds.iter().position(|known| Arc::ptr_eq(known, kind)).unwrap_or(0);
        let cell = (procedure.index() * kinds + kind_index) * Query::COUNT + query.index();
        caller.scope(cell, || self.decide_scope(caller, query, procedure, kind))
    }

    fn decide_scope(
        &self,
        caller: &CallerScope,
        query: Query,
        procedure: &Procedure,
        kind: &Arc<KindFields>,
    ) -> Result<Arc<Scope>, Refusal> {
        let served = RestrictedExpression::new_entity_uid(uid("Procedure", procedure.code()));
        let context = Context::from_pairs([("procedure".to_owned(), served)]).or(Err(Refusal::PolicyFailed))?;
        let ask = |resource| self.decide(&caller.entities, &caller.uid, query.action(), resource, context.clone());
        let not_granted = || Refusal::ActionNotGranted { action: query.action() };
        match ask(uid("Procedure", procedure.code())) {
            Verdict::Forbidden(_) => {
                return Err(Refusal::ProcedureNotGranted { procedure: ShownName::new(procedure.code()) });
            }
            other => require(other, not_granted())?,
        }
        match ask(uid("Kind", kind.kind())) {
            Verdict::Forbidden(_) => {
                return Err(Refusal::KindNotGranted { kind: ShownName::new(kind.kind()) });
            }
            other => require(other, not_granted())?,
        }
        let (mut allowed, mut unneeded) = (FieldMask::default(), FieldMask::default());
        for (index, (field, _)) in kind.fields().enumerate() {
            match ask(uid("Field", field)) {
                Verdict::Allowed => allowed = allowed.with(index),
                Verdict::Forbidden(reason) if FORBID_REASONS[reason] == "field_not_in_procedure" => {
                    unneeded = unneeded.with(index);
                }
                Verdict::Forbidden(_) | Verdict::NotPermitted => {}
                Verdict::Failed => return Err(Refusal::PolicyFailed),
            }
        }
        Ok(Arc::new(Scope {
            caller: caller.name.clone(),
            agency: caller.agency.clone(),
            procedure: procedure.code().into(),
            kind: kind.clone(),
            query,
            rows: caller.rows.clone(),
            policy_hash: *self.policy_hash(),
            allowed,
            unneeded,
        }))
    }

    fn decide(
        &self,
        entities: &Entities,
        caller: &EntityUid,
        action: Action,
        resource: EntityUid,
        context: Context,
    ) -> Verdict {
        let action = uid("Action", action.name());
        // The request is built here from the schema's own types; validating it again would double the time.
        let Ok(request) = cedar_policy::Request::new(caller.clone(), action, resource, context, None) else {
            return Verdict::Failed;
        };
        let response = self.authorizer.is_authorized(&request, &self.document.policies, entities);
        if let Some(error) = response.diagnostics().errors().next() {
            tracing::error!(%error, "a rule of the policy cannot be evaluated; what it was asked for is refused");
            return Verdict::Failed;
        }
        if response.decision() == Decision::Allow {
            return Verdict::Allowed;
        }
        // Cedar's set of reasons has no order: the first in our own order speaks.
        let reasons = response.diagnostics().reason();
        let named = reasons.map(|id| self.document.policies.annotation(id, "reason"));
        let rank = |reason: &str| FORBID_REASONS.iter().position(|known| *known == reason);
        named.map(|reason| reason.and_then(rank)).min().flatten().map_or(Verdict::NotPermitted, Verdict::Forbidden)
    }
}

fn require(verdict: Verdict, refusal: Refusal) -> Result<(), Refusal> {
    match verdict {
        Verdict::Allowed => Ok(()),
        Verdict::Failed => Err(Refusal::PolicyFailed),
        Verdict::Forbidden(_) | Verdict::NotPermitted => Err(refusal),
    }
}

fn check_purpose(procedure: &str, case: &str) -> Result<(), Refusal> {
    if procedure.is_empty() || case.trim().is_empty() {
        return Err(Refusal::PurposeMissing);
    }
    if case.len() > CASE_BYTES_MAX || case.chars().any(char::is_control) {
        return Err(Refusal::CaseMalformed);
    }
    Ok(())
}

fn asked_mask(kind: &KindFields, fields: &[&str]) -> Result<FieldMask, Refusal> {
    if fields.is_empty() {
        return Err(Refusal::FieldsMissing);
    }
    let (mut mask, mut unknown) = (FieldMask::default(), Vec::new());
    for field in fields {
        match kind.index_of(field) {
            Some(index) => mask = mask.with(index),
            None => unknown.push(ShownName::new(field)),
        }
    }
    if unknown.is_empty() { Ok(mask) } else { Err(Refusal::FieldsUnknown { fields: unknown }) }
}

fn release(scope: Arc<Scope>, case: &str, asked: FieldMask) -> Result<Permit, Refusal> {
    if asked.is_within(scope.allowed) {
        return Ok(Permit::new(scope, case, asked));
    }
    let named = |among: &dyn Fn(usize) -> bool| -> Vec<ShownName> {
        let refused = asked.indices().filter(|&i| !scope.allowed.contains(i) && among(i));
        refused.filter_map(|i| scope.kind.name_at(i)).map(ShownName::new).collect()
    };
    let fields = named(&|i| scope.unneeded.contains(i));
    if !fields.is_empty() {
        return Err(Refusal::FieldsNotInProcedure { fields });
    }
    Err(Refusal::SensitivityNotGranted { fields: named(&|_| true) })
}
