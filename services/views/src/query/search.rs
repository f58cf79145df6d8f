//! `Search`: at most 20 masked hits.

use std::sync::Arc;

use access::{Permit, SEARCH_HITS_MAX, mask};
use contract::{Ident, PartialDate, kinds};
use linkage::search_name;
use projection::mention::LookupKey;
use projection::subject::attributes;
use record::{Kind, Timestamp};
use wire::query::search_request::Query as WireQuery;
use wire::query::{Hit, SearchRequest, SearchResponse};
use wire::search_bytes;

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::key::{Found, Key, asked_unit, cadastral_lookups};
use super::session::{AsOf, Session};
use super::subject::{Reading, covers, kind_of};

/// Records of one hit that are read.
const RECORDS_MAX: usize = 64;
/// Subjects that are looked at for hits within the caller's rows.
const SUBJECTS_MAX: usize = 200;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 256;

impl Core {
    pub(super) async fn search(
        self: &Arc<Self>,
        asked: &Asked,
        request: SearchRequest,
    ) -> Result<Told<SearchResponse>, Failure> {
        let access = self.handle.access.load_full();
        let permit = access.permit_search(&asked.caller, &asked.procedure, &asked.case, &request.kind)?;
        let kind = kind_of(&permit)?;
        let query = request.query.ok_or_else(|| Error::field("query", "query_missing", "say what to search for"))?;
        let (core, now) = (Arc::clone(self), asked.at);
        self.searches.run(move || Ok(hits(&core, &permit, kind, &query, now))).await?
    }
}

fn hits(
    core: &Core,
    permit: &Permit,
    kind: Kind,
    query: &WireQuery,
    now: Timestamp,
) -> Result<Told<SearchResponse>, Failure> {
    let session = session_of(core, now)?;
    let found = session.find(kind, query)?;
    masked(core, &session, permit, kind, found)
}

/// What a search reads.
pub(super) fn session_of(core: &Core, now: Timestamp) -> Result<Session, Error> {
    Ok(Session::open(core, AsOf::default(), now)?.with_records_max(RECORDS_MAX))
}

/// Shows those of the subjects that lie in the caller's rows.
pub(super) fn masked(
    core: &Core,
    session: &Session,
    permit: &Permit,
    kind: Kind,
    found: Found,
) -> Result<Told<SearchResponse>, Failure> {
    let basis = Arc::new(core.basis(session.positions.clone(), *permit.policy_hash().as_bytes()));
    let (mut response, mut records) = (SearchResponse { more: found.more, ..SearchResponse::default() }, Vec::new());
    for id in found.subjects {
        let subject = session.subject(id, kind)?;
        let reading = Reading::new(session, &subject)?;
        if reading.spoken.is_empty() || !covers(permit.rows(), session, &reading) {
            continue;
        }
        if response.hits.len() == SEARCH_HITS_MAX {
            response.more = true;
            break;
        }
        response.hits.push(hit(permit, session, &reading));
        records.extend(reading.records());
    }
    let verdict = if response.hits.is_empty() { Verdict::NotFound } else { Verdict::Answered };
    let fields = permit.fields().map(str::to_owned).collect();
    Ok(Told { bytes: search_bytes(&response), response, verdict, records, fields, basis })
}

fn hit(permit: &Permit, session: &Session, reading: &Reading<'_>) -> Hit {
    let testimonies = reading.testimonies(permit);
    let views = attributes(&testimonies, kinds(), &session.units);
    let shown = views.iter().filter_map(|view| {
        let known = kinds().attribute(view.attribute)?;
        let text = mask(&known.full_name, &view.first().value.to_json());
        permit.releases(&known.full_name).then(|| (known.name.clone(), text))
    });
    Hit {
        subject: reading.subject.id.to_hex(),
        masked: shown.collect(),
        records: u32::try_from(reading.spoken.len()).unwrap_or(u32::MAX),
    }
}

impl Session {
    fn find(&self, kind: Kind, query: &WireQuery) -> Result<Found, Error> {
        let of_kind = |wanted: Kind, field: &str| {
            let other =
                || Error::field(field, "query_of_other_kind", format!("this is no search for a {}", kind.name()));
            if kind == wanted { Ok(()) } else { Err(other()) }
        };
        match query {
            WireQuery::NameBirth(q) => {
                of_kind(Kind::Person, "name_birth")?;
                let name = name(&q.full_name, "name_birth.full_name")?;
                let birth = birth(&q.birth_date)?;
                let test = |i: &Ident<'_>| bears_name(i, &name) && i.birth.is_some_and(|b| may_be(b, birth));
                self.look_up(kind, &[LookupKey::name_year(&q.full_name, birth.year())], &test, SUBJECTS_MAX)
            }
            WireQuery::NameCommune(q) => {
                of_kind(Kind::Person, "name_commune")?;
                let name = name(&q.full_name, "name_commune.full_name")?;
                let linkage = self.linkage_units();
                let unit = asked_unit(&q.commune_code, &q.list_version, self, &linkage, "name_commune.commune_code")?;
                let codes = unit.found_under.iter();
                let lookups: Vec<_> = codes.map(|c| LookupKey::name_unit(&q.full_name, (c, ""))).collect();
                let test = |i: &Ident<'_>| bears_name(i, &name) && i.unit.is_some_and(|u| unit.matches(u, &self.units));
                self.look_up(kind, &lookups, &test, SUBJECTS_MAX)
            }
            WireQuery::OldId(id) => {
                of_kind(Kind::Person, "old_id")?;
                let key = wire::query::subject_key::Key::OldId(id.clone());
                let key = wire::query::SubjectKey { key: Some(key) };
                Key::read(Some(&key), kind, "old_id")?;
                let test = |i: &Ident<'_>| i.old_id == Some(id.as_str());
                self.look_up(kind, &[LookupKey::old_id(id)], &test, SUBJECTS_MAX)
            }
            WireQuery::ParcelSheet(q) => {
                of_kind(Kind::Parcel, "parcel_sheet")?;
                if !(1..=32).contains(&q.sheet.len()) {
                    return Err(Error::field("parcel_sheet.sheet", "query_malformed", "a sheet is 1 to 32 characters"));
                }
                let linkage = self.linkage_units();
                let unit = asked_unit(&q.commune_code, &q.list_version, self, &linkage, "parcel_sheet.commune_code")?;
                let lookups = cadastral_lookups(&unit, |unit| LookupKey::sheet(unit, &q.sheet));
                let test = |i: &Ident<'_>| {
                    i.cadastral().is_some_and(|c| c.sheet == q.sheet && unit.matches(c.unit, &self.units))
                };
                self.look_up(kind, &lookups, &test, SUBJECTS_MAX)
            }
        }
    }
}

fn bears_name(ident: &Ident<'_>, name: &[u8]) -> bool {
    ident.full_name.as_deref().is_some_and(|full| search_name(full) == name)
}

/// Whether two dates agree as far as both are known.
fn may_be(a: PartialDate, b: PartialDate) -> bool {
    let same = |x: u8, y: u8| x == 0 || y == 0 || x == y;
    a.year() == b.year() && same(a.month(), b.month()) && same(a.day(), b.day())
}

/// A name as a search key.
fn name(text: &str, field: &str) -> Result<Vec<u8>, Error> {
    let key = if text.len() <= NAME_BYTES_MAX { search_name(text) } else { Vec::new() };
    if key.is_empty() {
        let description = format!("a name has letters, and at most {NAME_BYTES_MAX} bytes");
        return Err(Error::field(field, "query_malformed", description));
    }
    Ok(key)
}

fn birth(text: &str) -> Result<PartialDate, Error> {
    let part = |range: std::ops::Range<usize>| -> Option<u16> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let small = |n: u16| u8::try_from(n).ok();
    let date = match text.len() {
        4 => part(0..4).and_then(|year| PartialDate::new(year, 0, 0)),
        10 if text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-' => {
            (|| PartialDate::new(part(0..4)?, small(part(5..7)?)?, small(part(8..10)?)?))()
        }
        _ => None,
    };
    let malformed =
        || Error::field("name_birth.birth_date", "query_malformed", "a date of birth is YYYY-MM-DD or YYYY");
    date.ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_date_is_a_day_or_a_year() {
        let parts = |text| birth(text).map(|d| (d.year(), d.month(), d.day())).map_err(|e| e.reason());
        assert_eq!(parts("1990-08-07"), Ok((1990, 8, 7)));
        assert_eq!(parts("1990"), Ok((1990, 0, 0)));
        for text in ["", "1990-8-7", "07/08/1990", "1990-02-30", "199é-01-0", "19900807xx"] {
            assert_eq!(parts(text), Err("query_malformed"), "{text}");
        }
    }

    #[test]
    fn a_name_without_letters_is_not_searched_for() {
        assert!(name("Nguyễn Văn An", "f").is_ok());
        assert!(name("  ", "f").is_err());
        assert!(name(&"a".repeat(300), "f").is_err());
    }

    #[test]
    fn the_hash_of_hits_does_not_depend_on_the_order_of_a_map() {
        let hit = |names: &[&str]| Hit {
            subject: "s".into(),
            masked: names.iter().map(|n| ((*n).to_owned(), "x".to_owned())).collect(),
            records: 1,
        };
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let of = |hit| search_bytes(&SearchResponse { hits: vec![hit], more: false, basis: None });
        let first = of(hit(&names));
        assert!((0..20).all(|_| of(hit(&names)) == first));
        assert_ne!(of(hit(&names[1..])), first);
    }
}
