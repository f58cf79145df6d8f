//! Prints what a permit and a check cost: `cargo run --release -p access --example permit_speed`.

use std::hint::black_box;
use std::time::Instant;

use access::{
    Access, BUILTIN_POLICY, Facts, Kinds, PolicyDocument, ProcedureSet, Query, Request, RoleFacts, SubjectFacts, check,
};

const NATIONAL: &str = "spiffe://hub.test/portal/national";
const CIVIL: &str = "spiffe://hub.test/register/civil";

fn main() {
    let document = || PolicyDocument::parse(BUILTIN_POLICY.as_bytes()).expect("the built-in document is valid");
    row("parse the policy document", 20, || drop(black_box(document())));
    row("parse the profiles", 5, || drop(black_box(ProcedureSet::builtin())));
    let fresh = || Access::new(document(), ProcedureSet::builtin(), kinds()).expect("the built-in grants fit");
    let fields = ["person.full_name", "person.birth_date", "person.residence"];
    let request = Request {
        query: Query::GetSubject,
        caller: NATIONAL,
        procedure: "1.000894",
        case: "H29-2026-000123",
        kind: "person",
        fields: &fields,
    };
    let started = fresh();
    let mut codes: Vec<&str> = started.procedures().iter().map(|procedure| procedure.code()).collect();
    let first = Instant::now();
    black_box(started.permit(&request)).expect("granted");
    println!("{:<44} {:>12.1} µs", "first permit of a caller", first.elapsed().as_secs_f64() * 1e6);
    codes.retain(|code| *code != request.procedure);
    let rest = Instant::now();
    for procedure in &codes {
        black_box(started.permit(&Request { procedure, ..request }).is_ok());
    }
    let each = rest.elapsed().as_secs_f64() * 1e6 / codes.len() as f64;
    println!("{:<44} {each:>12.1} µs", "uncached permit (all person attributes)");
    row("cached permit", 1_000_000, || drop(black_box(started.permit(black_box(&request)))));
    row("cached may_write", 1_000_000, || drop(black_box(started.may_write(CIVIL, "civil", "birth"))));
    row("cached permit for a check", 200_000, || {
        drop(black_box(started.permit_check(NATIONAL, "1.115668", "case-1")));
    });
    let transfer = started.procedures().get("1.115668").expect("it ships");
    let roles =
        ["seller", "buyer", "parcel"].map(|role| (role.to_owned(), RoleFacts::Resolved(SubjectFacts::default())));
    let facts =
        Facts { connected: ["civil".to_owned(), "land".to_owned()].into(), roles: roles.into(), ..Facts::default() };
    row("check of a land transfer", 2_000, || drop(black_box(check(transfer, &facts))));
}

/// Every attribute that the profiles name, as the most common class.
fn kinds() -> Kinds {
    let set = ProcedureSet::builtin();
    let mut names: Vec<&str> = set.iter().flat_map(|procedure| procedure.fields()).collect();
    names.sort_unstable();
    names.dedup();
    let rows = names.iter().filter_map(|name| name.split_once('.'));
    Kinds::from_rows(rows.map(|(kind, own)| (kind, own, access::Sensitivity::Basic))).expect("names are well formed")
}

fn row(what: &str, times: u32, mut work: impl FnMut()) {
    work();
    let start = Instant::now();
    for _ in 0..times {
        work();
    }
    let each = start.elapsed().as_secs_f64() / f64::from(times);
    if each < 1e-6 {
        println!("{what:<44} {:>12.0} ns", each * 1e9);
    } else {
        println!("{what:<44} {:>12.1} µs", each * 1e6);
    }
}
