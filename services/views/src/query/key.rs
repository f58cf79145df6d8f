//! Keys of subjects: reading them from a request, and finding who they name.

use std::collections::BTreeSet;

use contract::Ident;
use projection::head::HeadFinding;
use projection::mention::{LookupKey, contradicts_its_number};
use projection::units::Units;
use record::{Kind, MentionId, Pseudonym, RegisterName};
use view_store::{KeyRange, Table};
use wire::query::SubjectKey;
use wire::query::subject_key::Key as WireKey;

use super::error::Error;
use super::session::Session;
use super::units::AskedUnit;
use crate::fold::FoldError;

/// Most mentions that one key is looked up among.
const CANDIDATES_MAX: usize = 4096;
/// Most versions of a record in which a mention's key is looked for.
const VERSIONS_MAX: usize = 32;
/// Most subjects that an ambiguous answer names.
pub(super) const AMBIGUOUS_MAX: usize = 20;

/// A row under a key has another form than the fold writes.
const LOOKUP_ROW: FoldError = FoldError::Row("look-up");

/// A well-formed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Subject(MentionId),
    PersonalId(String),
    OldId(String),
    InsuranceNo(String),
    ParcelId(String),
    Cadastral { commune: String, list_version: String, sheet: String, number: String },
}

/// Whom a key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    Nobody,
    One {
        id: MentionId,
        /// Whether the key was an id under which the subject is not shown any more.
        moved: bool,
        /// Registers in which records of somebody else bear the key against their own date of birth or sex.
        elsewhere: BTreeSet<RegisterName>,
    },
    Several(Vec<MentionId>),
}

/// Whether a mention bears a key.
type Bears<'k> = Box<dyn Fn(&Ident<'_>) -> bool + 'k>;

impl Resolved {
    fn one(id: MentionId, moved: bool) -> Self {
        Self::One { id, moved, elsewhere: BTreeSet::new() }
    }
}

impl Key {
    /// Reads a key for a subject of that kind. `field` is its path in the request.
    pub(super) fn read(key: Option<&SubjectKey>, kind: Kind, field: &str) -> Result<Self, Error> {
        let missing = || Error::field(field, "key_missing", "name the subject by exactly one key");
        let key = key.and_then(|k| k.key.as_ref()).ok_or_else(missing)?;
        let read = Self::of_wire(key).map_err(|what| Error::field(field, "key_malformed", what))?;
        let of = match &read {
            Self::Subject(_) => kind,
            Self::PersonalId(_) | Self::OldId(_) | Self::InsuranceNo(_) => Kind::Person,
            Self::ParcelId(_) | Self::Cadastral { .. } => Kind::Parcel,
        };
        if of == kind {
            return Ok(read);
        }
        Err(Error::field(field, "key_of_other_kind", format!("this key does not name a {}", kind.name())))
    }

    fn of_wire(key: &WireKey) -> Result<Self, &'static str> {
        let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        match key {
            WireKey::Subject(id) => {
                MentionId::from_hex(id).map(Self::Subject).ok_or("a subject id is 32 hexadecimal digits")
            }
            WireKey::PersonalId(id) if digits(id, 12) => Ok(Self::PersonalId(id.clone())),
            WireKey::PersonalId(_) => Err("a personal id is 12 digits"),
            WireKey::OldId(id) if digits(id, 9) => Ok(Self::OldId(id.clone())),
            WireKey::OldId(_) => Err("an old card number is 9 digits"),
            WireKey::InsuranceNo(no) => Self::insurance(no),
            WireKey::ParcelId(id) if id.len() == 12 && id.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                Ok(Self::ParcelId(id.clone()))
            }
            WireKey::ParcelId(_) => Err("a parcel id is 12 letters and digits"),
            WireKey::Cadastral(key) => {
                let fits = |text: &str| (1..=32).contains(&text.len()) && !text.chars().any(char::is_control);
                if !fits(&key.commune_code) || !fits(&key.sheet) || !fits(&key.number) || key.list_version.len() > 32 {
                    return Err("a cadastral key has a commune code, a sheet and a number of 1 to 32 characters");
                }
                Ok(Self::Cadastral {
                    commune: key.commune_code.clone(),
                    list_version: key.list_version.clone(),
                    sheet: key.sheet.clone(),
                    number: key.number.clone(),
                })
            }
        }
    }

    /// A card of 15 characters ends in the social insurance number; a number of 12 digits is a personal id.
    fn insurance(no: &str) -> Result<Self, &'static str> {
        let tail = if no.len() == 15 && no.is_ascii() { &no[5..] } else { no };
        let digits = tail.bytes().all(|b| b.is_ascii_digit());
        match tail.len() {
            10 if digits => Ok(Self::InsuranceNo(tail.to_owned())),
            12 if digits => Ok(Self::PersonalId(tail.to_owned())),
            _ => Err("an insurance number is 10 digits, or a card number of 15 characters that ends in them"),
        }
    }
}

/// The findings that records of somebody else bear the key; `field` names the key in the question.
pub(super) fn borne_elsewhere(registers: BTreeSet<RegisterName>, field: &str) -> Vec<(String, HeadFinding)> {
    let finding = || HeadFinding {
        rule: "hub.number_of_another".to_owned(),
        field: field.to_owned(),
        group: contract::ErrorGroup::Contradiction.name().to_owned(),
    };
    registers.into_iter().map(|register| (register.as_str().to_owned(), finding())).collect()
}

/// What a mention must say for a look-up to count: hashes may collide.
pub(super) type Test<'t> = &'t dyn Fn(&Ident<'_>) -> bool;

/// The subjects that a look-up found, and whether there may be more.
pub(super) struct Found {
    pub(super) subjects: BTreeSet<MentionId>,
    pub(super) more: bool,
}

impl Session {
    /// Whom a key names, of one kind.
    pub(super) fn resolve(&self, kind: Kind, key: &Key) -> Result<Resolved, Error> {
        if let Key::Subject(id) = key {
            if self.kind_of(*id)? != Some(kind) {
                return Ok(Resolved::Nobody);
            }
            let subject = self.subject_of(*id)?;
            return Ok(subject.map_or(Resolved::Nobody, |now| Resolved::one(now, now != *id)));
        }
        let found = self.by_key(kind, key)?;
        let mut subjects = found.subjects.into_iter();
        Ok(match (subjects.next(), subjects.len()) {
            (None, _) => Resolved::Nobody,
            (Some(id), 0) => Resolved::one(id, false),
            (Some(first), _) => match self.weigh(kind, key)? {
                Some(one) => one,
                None => Resolved::Several(std::iter::once(first).chain(subjects).collect()),
            },
        })
    }

    /// Whom a personal number names that stands on records of several subjects.
    ///
    /// A number holds its bearer's sex and year of birth. A record whose own sex or year differs mostly shows somebody else's
    /// number, such as a parent's on a child's record. The number names the one subject that bears it in a record which it does
    /// not contradict; `None` when several do, or none. A cancelled number was stated as such, so it is never doubted.
    fn weigh(&self, kind: Kind, key: &Key) -> Result<Option<Resolved>, Error> {
        let (Key::PersonalId(number), Some(known)) = (key, &self.control.model) else { return Ok(None) };
        let (lookups, bears) = self.lookups(key);
        let doubted = |i: &Ident<'_>| i.personal_id == Some(number.as_str()) && contradicts_its_number(&known.model, i);
        let found = self.look_up(kind, &lookups, &|i| bears(i) && !doubted(i), 1)?;
        let Some(id) = found.subjects.first().copied().filter(|_| !found.more) else { return Ok(None) };
        let mut elsewhere = BTreeSet::new();
        for (mention, record) in self.candidates(&lookups)? {
            let other = self.subject_of(mention)?.is_some_and(|subject| subject != id);
            if other && self.bears(kind, record, mention, &doubted)? {
                elsewhere.extend(self.head(record)?.map(|head| head.register));
            }
        }
        Ok(Some(Resolved::One { id, moved: false, elsewhere }))
    }

    /// The mentions that are found under one of the keys, with their records.
    fn candidates(&self, lookups: &[LookupKey]) -> Result<Vec<(MentionId, Pseudonym)>, Error> {
        let mut out = Vec::new();
        for lookup in lookups {
            for (row, value) in self.view.range(Table::Lookup, KeyRange::Prefix(&lookup.0), CANDIDATES_MAX)? {
                out.push(found_under(&row, &value)?);
            }
        }
        Ok(out)
    }

    fn by_key(&self, kind: Kind, key: &Key) -> Result<Found, Error> {
        let (lookups, test) = self.lookups(key);
        self.look_up(kind, &lookups, test.as_ref(), AMBIGUOUS_MAX)
    }

    /// The look-ups that find a key, and what a mention must say to bear it.
    fn lookups<'k>(&'k self, key: &'k Key) -> (Vec<LookupKey>, Bears<'k>) {
        match key {
            Key::Subject(_) => (Vec::new(), Box::new(|_: &Ident<'_>| false)),
            Key::PersonalId(id) => {
                let bears = move |i: &Ident<'_>| {
                    i.personal_id == Some(id.as_str()) || i.retired_personal_ids.contains(&id.as_str())
                };
                (vec![LookupKey::personal_id(id)], Box::new(bears))
            }
            Key::OldId(id) => {
                (vec![LookupKey::old_id(id)], Box::new(move |i: &Ident<'_>| i.old_id == Some(id.as_str())))
            }
            Key::InsuranceNo(no) => {
                let bears = move |i: &Ident<'_>| i.insurance_no == Some(no.as_str());
                (vec![LookupKey::insurance_no(no)], Box::new(bears))
            }
            Key::ParcelId(id) => {
                (vec![LookupKey::parcel_id(id)], Box::new(move |i: &Ident<'_>| i.parcel_id == Some(id.as_str())))
            }
            Key::Cadastral { commune, list_version, sheet, number } => {
                let linkage = self.linkage_units();
                let Some(unit) = AskedUnit::new(commune, list_version, &self.units, &linkage) else {
                    return (Vec::new(), Box::new(|_: &Ident<'_>| false));
                };
                let lookups = cadastral_lookups(&unit, |unit| LookupKey::cadastral(unit, sheet, number));
                let test = move |i: &Ident<'_>| {
                    let same = i.cadastral().filter(|c| c.sheet == sheet && c.number == number);
                    same.is_some_and(|c| unit.matches(c.unit, &self.units))
                };
                (lookups, Box::new(test))
            }
        }
    }

    /// The subjects with a mention that is found under one of the keys and passes the test; at most `max`.
    pub(super) fn look_up(
        &self,
        kind: Kind,
        lookups: &[LookupKey],
        test: Test<'_>,
        max: usize,
    ) -> Result<Found, Error> {
        let mut found = Found { subjects: BTreeSet::new(), more: false };
        let mut left = CANDIDATES_MAX;
        for lookup in lookups {
            let rows = self.view.range(Table::Lookup, KeyRange::Prefix(&lookup.0), left)?;
            left -= rows.len();
            found.more |= left == 0;
            for (row, value) in rows {
                let (mention, record) = found_under(&row, &value)?;
                let Some(subject) = self.subject_of(mention)? else { continue };
                if found.subjects.contains(&subject) || !self.bears(kind, record, mention, test)? {
                    continue;
                }
                if found.subjects.len() == max {
                    found.more = true;
                    return Ok(found);
                }
                found.subjects.insert(subject);
            }
        }
        Ok(found)
    }

    /// Whether some known version of the record says of the mention what the test asks for.
    fn bears(&self, kind: Kind, record: Pseudonym, mention: MentionId, test: Test<'_>) -> Result<bool, Error> {
        let Some(head) = self.head(record)? else { return Ok(false) };
        for version in self.versions(record, &head, VERSIONS_MAX) {
            let says = self.with_facts(record, &version, |facts, ids| {
                let mut mentions = facts.mentions.iter().zip(ids);
                mentions.any(|(m, id)| *id == mention && m.kind == kind && test(&m.ident))
            })?;
            if says == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The live mention that a key names, and its subject: the mention itself for a mention's id, else one that bears the
    /// key.
    pub(super) fn mention_of(
        &self,
        kind: Kind,
        key: &Key,
        field: &str,
    ) -> Result<Option<(MentionId, MentionId)>, Error> {
        let subject = match self.resolve(kind, key)? {
            Resolved::Nobody => return Ok(None),
            Resolved::One { id, .. } => id,
            Resolved::Several(_) => {
                let description = "the key names several subjects: ask again with a subject id";
                return Err(Error::field(field, "key_ambiguous", description));
            }
        };
        if let Key::Subject(mention) = key {
            return Ok(Some((*mention, subject)));
        }
        let (lookups, test) = self.lookups(key);
        for (mention, record) in self.candidates(&lookups)? {
            if self.subject_of(mention)? == Some(subject) && self.bears(kind, record, mention, test.as_ref())? {
                return Ok(Some((mention, subject)));
            }
        }
        Ok(Some((subject, subject)))
    }

    /// Records that bear the key and are in the links no more: who looked at them is told with the subject's own.
    pub(super) fn former_records(&self, kind: Kind, key: &Key) -> Result<BTreeSet<Pseudonym>, Error> {
        let (lookups, test) = self.lookups(key);
        let mut records = BTreeSet::new();
        for (mention, record) in self.candidates(&lookups)? {
            if self.mention(mention)?.is_none() && self.bears(kind, record, mention, test.as_ref())? {
                records.insert(record);
            }
        }
        Ok(records)
    }
}

/// The mention and its record that a row of [`Table::Lookup`] names, behind the 9 bytes of its key.
fn found_under(row: &[u8], value: &[u8]) -> Result<(MentionId, Pseudonym), Error> {
    let mention = row.get(9..).and_then(|m| m.try_into().ok()).ok_or(LOOKUP_ROW)?;
    Ok((MentionId(mention), Pseudonym(value.try_into().or(Err(LOOKUP_ROW))?)))
}

/// Look-ups by a commune: as printed, and as the unit is called in the lists that linkage knows.
pub(super) fn cadastral_lookups(unit: &AskedUnit, key: impl Fn((&str, &str)) -> LookupKey) -> Vec<LookupKey> {
    let printed = std::iter::once(key((unit.printed.0.as_str(), unit.printed.1.as_str())));
    printed.chain(unit.found_under.iter().map(|code| key((code.as_str(), "")))).collect()
}

/// A unit that a request names, or what is wrong with it.
pub(super) fn asked_unit(
    code: &str,
    list_version: &str,
    session: &Session,
    linkage: &Units,
    field: &str,
) -> Result<AskedUnit, Error> {
    let unknown =
        || Error::field(field, "unit_unknown", "no list of administrative units has this code in that version");
    AskedUnit::new(code, list_version, &session.units, linkage).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: WireKey, kind: Kind) -> Result<Key, &'static str> {
        Key::read(Some(&SubjectKey { key: Some(key) }), kind, "key").map_err(|e| e.reason())
    }

    #[test]
    fn keys_are_checked_before_anything_is_read() {
        assert_eq!(
            read(WireKey::PersonalId("099190000025".into()), Kind::Person),
            Ok(Key::PersonalId("099190000025".into()))
        );
        assert_eq!(read(WireKey::PersonalId("09919".into()), Kind::Person), Err("key_malformed"));
        assert_eq!(read(WireKey::OldId("12345678x".into()), Kind::Person), Err("key_malformed"));
        assert_eq!(read(WireKey::Subject("zz".into()), Kind::Person), Err("key_malformed"));
        assert_eq!(read(WireKey::ParcelId("w7er8u0evss2".into()), Kind::Person), Err("key_of_other_kind"));
        assert_eq!(read(WireKey::PersonalId("099190000025".into()), Kind::Parcel), Err("key_of_other_kind"));
        assert_eq!(Key::read(None, Kind::Person, "key").map_err(|e| e.reason()), Err("key_missing"));
    }

    #[test]
    fn an_insurance_card_names_its_number() {
        let number = Ok(Key::InsuranceNo("0123456789".into()));
        assert_eq!(read(WireKey::InsuranceNo("DN4010123456789".into()), Kind::Person), number);
        assert_eq!(read(WireKey::InsuranceNo("0123456789".into()), Kind::Person), number);
        assert_eq!(read(WireKey::InsuranceNo("é123456789".into()), Kind::Person), Err("key_malformed"));
    }
}
