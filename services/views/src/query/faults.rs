//! What is wrong with one record: what its head keeps, what came too late, what is there twice, and what another register states
//! otherwise.
//!
//! The same facts as the counters behind the four measures, one by one; tests hold the two against each other.

use linkage::Field;
use projection::head::{Facts, Head, RULE_CONFLICT, RULE_UNREADABLE, StoredVersion};
use record::{MentionId, Pseudonym, RegisterName, Timestamp};
use view_store::Table;

use super::error::Error;
use super::session::Session;
use crate::fold::{FoldError, agrees, decode_counted};

/// A second record where a subject has but one.
const RULE_SURPLUS: &str = "hub.surplus";
/// The register that has the say states something else.
const RULE_DISPUTED: &str = "hub.disputed";
/// Published later than its contract promises.
const RULE_LATE: &str = "hub.late";

/// The measure that a fault counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Criterion {
    Correct,
    Sufficient,
    Clean,
    Alive,
}

impl Criterion {
    const ALL: [Self; 4] = [Self::Correct, Self::Sufficient, Self::Clean, Self::Alive];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Sufficient => "sufficient",
            Self::Clean => "clean",
            Self::Alive => "alive",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|criterion| criterion.name() == name)
    }

    /// What a finding of the contract counts against, by its group.
    fn of_group(group: &str) -> Self {
        match group {
            "missing" => Self::Sufficient,
            "stale" => Self::Alive,
            _ => Self::Clean,
        }
    }
}

/// The other side of a disagreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) register: RegisterName,
    pub(super) record: Pseudonym,
}

/// Something that is wrong with a record.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) rule: String,
    pub(super) group: String,
    pub(super) field: String,
    pub(super) criterion: Criterion,
    /// What is wrong and what to do; empty where the contract says it.
    pub(super) what_to_do: String,
    pub(super) other: Option<Other>,
    pub(super) version: StoredVersion,
    pub(super) since: Timestamp,
}

impl Fault {
    fn of(
        version: &StoredVersion,
        rule: &str,
        group: &str,
        criterion: Criterion,
        what_to_do: impl Into<String>,
    ) -> Self {
        Self {
            rule: rule.to_owned(),
            group: group.to_owned(),
            field: String::new(),
            criterion,
            what_to_do: what_to_do.into(),
            other: None,
            version: *version,
            since: version.published_at,
        }
    }
}

/// A record that is looked at.
pub(super) struct Looked<'a> {
    pub(super) session: &'a Session,
    pub(super) record: Pseudonym,
    pub(super) head: &'a Head,
}

impl Looked<'_> {
    /// Everything that is wrong with it and counts against `criterion`, or against any.
    pub(super) fn faults(&self, criterion: Option<Criterion>) -> Result<Vec<Fault>, Error> {
        let wants = |of: Criterion| criterion.is_none_or(|criterion| criterion == of);
        let mut out = self.of_head();
        if let Some((facts, version)) = self.linked() {
            if wants(Criterion::Alive) {
                out.extend(self.late(facts));
            }
            if wants(Criterion::Clean) {
                out.extend(self.surplus(facts, version)?);
            }
            if wants(Criterion::Correct) {
                self.disputed(facts, version, &mut out)?;
            }
        }
        out.retain(|fault| wants(fault.criterion));
        Ok(out)
    }

    fn linked(&self) -> Option<(&Facts, &StoredVersion)> {
        let facts = self.head.facts()?;
        Some((facts, self.head.version(facts.version.0, facts.version.1)?))
    }

    fn of_head(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        for version in self.head.versions.iter().filter(|version| version.row.conflicts > 0) {
            let what = "another statement was published under this version and is without effect: publish what holds under a higher version";
            out.push(Fault::of(version, RULE_CONFLICT, "contradiction", Criterion::Clean, what));
        }
        if let projection::head::Linked::Unreadable { version } = &self.head.linked
            && let Some(version) = self.head.version(version.0, version.1)
        {
            let what = "the version in force cannot be read by its contract: publish it again";
            out.push(Fault::of(version, RULE_UNREADABLE, "bad_format", Criterion::Clean, what));
        }
        if let Some((facts, version)) = self.linked() {
            out.extend(facts.findings.iter().map(|finding| Fault {
                field: finding.field.clone(),
                ..Fault::of(version, &finding.rule, &finding.group, Criterion::of_group(&finding.group), "")
            }));
        }
        out
    }

    fn late<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = Fault> + 'a {
        let promise_micros = i64::try_from(facts.promise_seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let promised = self.head.versions.iter().filter(|v| v.row.effective_at >= facts.promise_from);
        promised.filter_map(move |version| {
            let took = version.published_at.0.saturating_sub(version.row.effective_at.0);
            let hours = |micros: i64| micros / 3_600_000_000;
            (took > promise_micros).then(|| {
                let what = format!(
                    "was published {} hours after it took effect, and its contract promises {}: publish changes as they happen",
                    hours(took),
                    hours(promise_micros)
                );
                Fault::of(version, RULE_LATE, "stale", Criterion::Alive, what)
            })
        })
    }

    /// Another record of this register that was there first, where a subject has but one of its type.
    fn surplus(&self, facts: &Facts, version: &StoredVersion) -> Result<Option<Fault>, Error> {
        for mention in facts.mentions.iter().filter(|mention| mention.once) {
            let Some(row) = self.session.mention(mention.id)? else { continue };
            let (meta, counted) = self.counted(row.placement.node.0)?;
            if meta.component.is_none() && counted.once_max <= 1 {
                continue;
            }
            let mut first: Option<(StoredVersion, Pseudonym)> = None;
            for (record, mentions) in self.session.records(meta.subject)? {
                if record == self.record {
                    continue;
                }
                let Some(other) = self.session.head(record)?.filter(|head| head.register == self.head.register) else {
                    continue;
                };
                let Some(of_other) = other.facts() else { continue };
                let same =
                    |m: &&projection::head::HeadMention| m.once && m.role == mention.role && mentions.contains(&m.id);
                if of_other.record_type != facts.record_type || !of_other.mentions.iter().any(|m| same(&m)) {
                    continue;
                }
                let stands = other.version(of_other.version.0, of_other.version.1).copied();
                let order = |(version, record): &(StoredVersion, Pseudonym)| (version.row.effective_at, *record);
                if let Some(found) = stands.map(|version| (version, record))
                    && first.as_ref().is_none_or(|first| order(&found) < order(first))
                {
                    first = Some(found);
                }
            }
            if let Some((stands, record)) = first
                && (stands.row.effective_at, record) < (version.row.effective_at, self.record)
            {
                let role = self.role_name(facts, version, mention.role);
                let what = "another record of this register states the same of the same subject, which has but one: retract one of the two";
                let other = Some(Other { register: self.head.register.clone(), record });
                let since = version.published_at.max(stands.published_at);
                let fault = Fault::of(version, RULE_SURPLUS, "duplicate", Criterion::Clean, what);
                return Ok(Some(Fault { field: role, other, since, ..fault }));
            }
        }
        Ok(None)
    }

    /// What the register that has the say on a subject states otherwise.
    fn disputed(&self, facts: &Facts, version: &StoredVersion, out: &mut Vec<Fault>) -> Result<(), Error> {
        for mention in &facts.mentions {
            let Some(row) = self.session.mention(mention.id)? else { continue };
            let (meta, counted) = self.counted(row.placement.node.0)?;
            let Some((register, false)) = counted.compared else { continue };
            if register == self.head.register.as_str() {
                continue;
            }
            let Some(anchor) = self.session.mention(meta.subject)? else { continue };
            let role = self.role_name(facts, version, mention.role);
            let other = Other {
                register: RegisterName::try_from(register).map_err(|_| FoldError::Row("tally"))?,
                record: anchor.record,
            };
            let of_anchor = self.session.head(anchor.record)?;
            let stands =
                of_anchor.as_ref().and_then(|head| head.facts().and_then(|f| head.version(f.version.0, f.version.1)));
            let since = stands.map_or(version.published_at, |stands| stands.published_at.max(version.published_at));
            for field in self.fields_apart(mention.id, meta.subject)? {
                let what = format!(
                    "{register} has the say and states otherwise: check both, and correct the one that is wrong at its source"
                );
                let fault = Fault::of(version, RULE_DISPUTED, "mismatch", Criterion::Correct, what);
                let field =
                    [role.as_str(), field].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
                out.push(Fault { field, other: Some(other.clone()), since, ..fault });
            }
        }
        Ok(())
    }

    /// The attributes in which a mention is not as the anchor of its subject; one without a name where that cannot be read.
    fn fields_apart(&self, mention: MentionId, anchor: MentionId) -> Result<Vec<&'static str>, Error> {
        let model = self.session.control.model.as_ref().ok_or(FoldError::Row("model"))?.model.clone();
        let (ours, theirs) = (self.session.features(mention)?, self.session.features(anchor)?);
        let (Some((ours, _)), Some((theirs, _))) = (ours, theirs) else { return Ok(vec![""]) };
        let score = model.score(&ours, &theirs);
        let apart: Vec<_> =
            score.levels().iter().filter(|level| !agrees(**level)).map(|level| attribute(level.field())).collect();
        Ok(if apart.is_empty() { vec![""] } else { apart })
    }

    fn counted(&self, node: u32) -> Result<(linkage::NodeMeta, crate::fold::Counted), Error> {
        let row = self.session.view.get(Table::NodeMeta, &node.to_be_bytes())?.ok_or(FoldError::Row("node"))?;
        Ok(decode_counted(&row)?)
    }

    fn role_name(&self, facts: &Facts, version: &StoredVersion, role: u8) -> String {
        let contract = self.session.control.by_id(version.row.contract);
        let record_type = contract.and_then(|contract| contract.record_type(&facts.record_type).ok());
        record_type.and_then(|record_type| record_type.role(role)).map(|role| role.name.clone()).unwrap_or_default()
    }
}

/// The attribute that linkage compares as this field.
fn attribute(field: Field) -> &'static str {
    match field {
        Field::Name => "full_name",
        Field::Birth => "birth_date",
        Field::Sex => "sex",
        _ => "",
    }
}
