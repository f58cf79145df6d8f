//! `CheckProcedure`, made again.
//!
//! Which key was given for which role, and in which language the texts were, is not in the entry. A role was left out, or its key
//! named nobody, several, or a subject of these records; all subjects together must lead to the very records.

use std::collections::BTreeSet;
use std::sync::Arc;

use record::{Kind, Pseudonym};

use super::super::error::Error;
use super::super::key::Resolved;
use super::super::procedure::{Case, Language, NamedRole, check};
use super::super::session::Session;
use super::Then;
use super::attempts::{Answer, Attempts, Made, Test};
use super::candidates::{elsewhere, subjects};

/// Most ways to have asked that are looked at.
const WAYS_MAX: u64 = 4_000_000;

/// One way to have given a role: left out, or whom its key named, with the records that were read for it.
struct Way {
    named: Option<Resolved>,
    records: Vec<Pseudonym>,
}

pub(super) fn again(then: &Then<'_>, test: Test<'_>) -> Result<Option<Made>, Error> {
    let access = then.access;
    let permit = then.policy.permit_check(&access.caller, &access.procedure, &access.case);
    let Some(permit) = then.permitted(permit)? else { return Ok(None) };
    let session = Session::open(then.core, then.as_of, access.at)?;
    let roles = roles(then, &session)?;
    let mut case = Case {
        access: Arc::clone(&then.policy),
        permit,
        procedure: access.procedure.clone(),
        as_of: then.as_of,
        now: access.at,
        language: Language::English,
    };
    let records: BTreeSet<Pseudonym> = then.records.iter().copied().collect();
    let mut attempts = Attempts::new(test, &then.records);
    for number in 0..ways(&roles) {
        let chosen = chosen(&roles, number);
        let read: BTreeSet<Pseudonym> = chosen.clone().flat_map(|(.., way)| &way.records).copied().collect();
        if read != records {
            continue;
        }
        if !attempts.go_on() {
            break;
        }
        let named = chosen.filter_map(|(role, kind, way)| Some((role.to_owned(), kind, way.named.clone()?)));
        let named: Vec<NamedRole> = named.collect();
        for language in [Language::English, Language::Vietnamese] {
            case.language = language;
            attempts.put(check((then.core, then.core), &session, &case, &named))?;
        }
    }
    Ok(attempts.finish(Answer::Procedure))
}

type Role = (String, Kind, Vec<Way>);

/// The roles in the order of their names, each with the ways to have given it, the likely ones first.
fn roles(then: &Then<'_>, session: &Session) -> Result<Vec<Role>, Error> {
    let procedure = then.policy.procedures().get(&then.access.procedure).ok_or(Error::Internal)?;
    let mut out: Vec<Role> = Vec::with_capacity(procedure.roles().len());
    for role in procedure.roles() {
        let kind = Kind::from_name(role.kind()).ok_or(Error::Internal)?;
        let mut ways = Vec::new();
        for (id, records) in subjects(session, kind, &then.records)? {
            for elsewhere in elsewhere(session, kind, id)? {
                let named = Some(Resolved::One { id, moved: false, elsewhere });
                ways.push(Way { named, records: records.clone() });
            }
        }
        // Of several, how many they are is not told.
        for named in [None, Some(Resolved::Nobody), Some(Resolved::Several(Vec::new()))] {
            ways.push(Way { named, records: Vec::new() });
        }
        out.push((role.name().to_owned(), kind, ways));
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(out)
}

fn ways(roles: &[Role]) -> u64 {
    let all = roles.iter().try_fold(1_u64, |all, (.., ways)| all.checked_mul(ways.len() as u64));
    all.unwrap_or(WAYS_MAX).min(WAYS_MAX)
}

/// The way of every role in the combination of that number, the first role's changing fastest.
fn chosen(roles: &[Role], number: u64) -> impl Iterator<Item = (&str, Kind, &Way)> + Clone {
    let mut left = number;
    roles.iter().map(move |(role, kind, ways)| {
        let all = ways.len() as u64;
        let way = &ways[usize::try_from(left % all).expect("below a length")];
        left /= all;
        (role.as_str(), *kind, way)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_ways_comes_once() {
        let way = |byte| Way { named: None, records: vec![Pseudonym([byte; 16])] };
        let role = |name: &str, ways: u8| (name.to_owned(), Kind::Person, (0..ways).map(way).collect());
        let roles: Vec<Role> = vec![role("a", 3), role("b", 2), role("c", 4)];
        let of = |number| chosen(&roles, number).map(|(.., way)| way.records[0].0[0]).collect::<Vec<_>>();
        let all: BTreeSet<_> = (0..ways(&roles)).map(of).collect();
        assert_eq!((ways(&roles), all.len()), (24, 24));
        assert_eq!(of(0), [0, 0, 0], "the likely ones first");
    }
}
