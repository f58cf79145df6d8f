//! `GetSubject`, made again.

use access::{Query as Question, Request};

use super::super::error::Error;
use super::super::key::Resolved;
use super::super::session::Session;
use super::super::subject::{kind_of, tell_of};
use super::Then;
use super::attempts::{Answer, Attempts, Made, Test};
use super::candidates::{elsewhere, subjects};

/// A key counts by whom it names, whether that was by an id of before, and where else it stands.
pub(super) fn again(then: &Then<'_>, test: Test<'_>) -> Result<Option<Made>, Error> {
    let access = then.access;
    let fields: Vec<&str> = access.fields.iter().map(String::as_str).collect();
    let permit = then.policy.permit(&Request {
        query: Question::GetSubject,
        caller: &access.caller,
        procedure: &access.procedure,
        case: &access.case,
        kind: then.kind(),
        fields: &fields,
    });
    let Some(permit) = then.permitted(permit)? else { return Ok(None) };
    let kind = kind_of(&permit)?;
    let session = Session::open(then.core, then.as_of, access.at)?;
    let mut attempts = Attempts::new(test, &then.records);
    for (id, records) in subjects(&session, kind, &then.records)? {
        if records != then.records {
            continue;
        }
        for elsewhere in elsewhere(&session, kind, id)? {
            for moved in [false, true] {
                if attempts.go_on() {
                    let named = Resolved::One { id, moved, elsewhere: elsewhere.clone() };
                    attempts.put(tell_of((then.core, then.core), &session, &permit, (kind, named), then.as_of))?;
                }
            }
        }
    }
    Ok(attempts.finish(Answer::Subject))
}
