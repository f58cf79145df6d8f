//! Whom the question may have been about: subjects that stand in the records that were read.

use std::collections::{BTreeMap, BTreeSet};

use record::{Kind, MentionId, Pseudonym, RegisterName};

use super::super::error::Error;
use super::super::key::{Key, Resolved};
use super::super::session::Session;
use super::super::subject::Reading;

/// Numbers of one subject that are looked at.
const NUMBERS_MAX: usize = 64;

/// The subjects of a kind of which nothing but these records speaks, each with its records in the order of a reading.
pub(super) fn subjects(
    session: &Session,
    kind: Kind,
    records: &[Pseudonym],
) -> Result<BTreeMap<MentionId, Vec<Pseudonym>>, Error> {
    let mut ids = BTreeSet::new();
    for record in records {
        let head = session.head(*record)?;
        let mentions = head.as_ref().and_then(|head| head.facts()).into_iter().flat_map(|facts| &facts.mentions);
        for mention in mentions.filter(|mention| mention.kind == kind) {
            ids.extend(session.subject_of(mention.id)?);
        }
    }
    let mut out = BTreeMap::new();
    for id in ids {
        let subject = session.subject(id, kind)?;
        let read = Reading::new(session, &subject)?.records();
        if !read.is_empty() && read.iter().all(|record| records.contains(record)) {
            out.insert(id, read);
        }
    }
    Ok(out)
}

/// The registers in which somebody else's records may bear the key that a subject was named by, for every such key: none for most.
pub(super) fn elsewhere(
    session: &Session,
    kind: Kind,
    id: MentionId,
) -> Result<BTreeSet<BTreeSet<RegisterName>>, Error> {
    let subject = session.subject(id, kind)?;
    let reading = Reading::new(session, &subject)?;
    let mut numbers = BTreeSet::new();
    for spoken in &reading.spoken {
        for at in &spoken.own {
            let ident = &spoken.facts.mentions[*at].ident;
            let borne = ident.personal_id.into_iter().chain(ident.retired_personal_ids.iter().copied());
            numbers.extend(borne.map(str::to_owned));
        }
    }
    let mut out = BTreeSet::from([BTreeSet::new()]);
    for number in numbers.into_iter().take(NUMBERS_MAX) {
        match session.resolve(kind, &Key::PersonalId(number))? {
            Resolved::One { id: named, elsewhere, .. } if named == id => {
                out.insert(elsewhere);
            }
            Resolved::Nobody | Resolved::One { .. } | Resolved::Several(_) => {}
        }
    }
    Ok(out)
}
