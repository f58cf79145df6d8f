//! Properties of permits over random grants and requests.

mod common;

use access::{BUILTIN_POLICY, Query, Request, Sensitivity};
use common::{NATIONAL, access_with, kinds};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

const CLASSES: [&str; 4] = ["open", "basic", "identifier", "sensitive"];
const CODES: [&str; 4] = ["1.000894", "1.115668", "1.001193", "hub.driving-licence-renewal"];

fn policy(classes: &[&str], codes: &[&str], kinds: &[&str]) -> String {
    let list = |names: &[&str]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let (head, grants) = BUILTIN_POLICY.split_once("[[grant]]").expect("the document has grants");
    assert!(grants.contains(NATIONAL));
    format!(
        "{head}[[grant]]\nid = \"x\"\nspiffe = \"{NATIONAL}\"\nagency = \"a\"\nroles = [\"portal\", \"searcher\"]\n\
         procedures = [{}]\nkinds = [{}]\nclasses = [{}]\nrows = \"all\"\n",
        list(codes),
        list(kinds),
        list(classes)
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The model is written down apart from Cedar: served procedure, granted kind, needed field, granted class.
    #[test]
    fn a_permit_never_contains_a_field_that_the_policy_denies(
        classes in subsequence(CLASSES.to_vec(), 0..=4),
        served in subsequence(CODES.to_vec(), 0..=4),
        granted in subsequence(vec!["person", "parcel"], 0..=2),
        requests in prop::collection::vec(
            (select(CODES.to_vec()), select(vec!["person", "parcel"]), prop::collection::vec(any::<Index>(), 1..6), any::<bool>()),
            1..12,
        ),
    ) {
        let access = access_with(&policy(&classes, &served, &granted));
        let kinds = kinds();
        for (code, kind, picks, searching) in requests {
            let all: Vec<(&str, Sensitivity)> = kinds.get(kind).expect("a kind").fields().collect();
            let asked: Vec<(&str, Sensitivity)> = picks.iter().map(|pick| *pick.get(&all)).collect();
            let names: Vec<&str> = asked.iter().map(|(name, _)| *name).collect();
            let query = if searching { Query::Search } else { Query::GetSubject };
            let request = Request { query, caller: NATIONAL, procedure: code, case: "c", kind, fields: &names };
            let needed: Vec<&str> = access.procedures().get(code).expect("it ships").fields().collect();
            let allowed = |(name, class): &(&str, Sensitivity)| needed.contains(name) && classes.contains(&class.name());
            let model = served.contains(&code) && granted.contains(&kind) && asked.iter().all(allowed);
            let first = access.permit(&request);
            let again = access.permit(&Request { case: "another case", ..request });
            prop_assert_eq!(first.is_ok(), model, "{:?}", first.as_ref().err());
            match (first, again) {
                (Ok(first), Ok(again)) => {
                    prop_assert_eq!(first.released(), again.released(), "the case changes no mask");
                    let released: Vec<&str> = first.fields().collect();
                    prop_assert!(released.iter().all(|name| names.contains(name)));
                    prop_assert!(names.iter().all(|name| released.contains(name)), "nothing dropped");
                }
                (Err(first), Err(again)) => prop_assert_eq!(first, again),
                (first, again) => prop_assert!(false, "{:?} against {:?}", first, again),
            }
        }
    }

    #[test]
    fn no_document_makes_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in any::<Index>()) {
        let _ = access::PolicyDocument::parse(&bytes);
        let _ = access::ProcedureSet::parse(&bytes);
        let whole = BUILTIN_POLICY.as_bytes();
        let mut damaged = whole[..cut.index(whole.len())].to_vec();
        damaged.extend_from_slice(&bytes);
        let _ = access::PolicyDocument::parse(&damaged);
    }

    #[test]
    fn no_request_makes_a_permit_panic(caller in ".{0,40}", procedure in ".{0,20}", kind in ".{0,20}", field in ".{0,40}", case in ".{0,200}") {
        let access = common::access();
        let fields = [field.as_str()];
        let request = Request { query: Query::GetSubject, caller: &caller, procedure: &procedure, case: &case, kind: &kind, fields: &fields };
        prop_assert!(access.permit(&request).is_err());
        let known = Request { caller: NATIONAL, procedure: "1.000894", kind: "person", ..request };
        let refusal = access.permit(&known);
        let known_field = common::kinds().get("person").is_some_and(|kind| kind.index_of(&field).is_some());
        prop_assert!(refusal.is_err() || known_field);
    }

    #[test]
    fn a_mask_is_a_function_of_its_value_and_hides_most_of_a_number(number in "[0-9]{9,15}") {
        let value = serde_json::Value::String(number.clone());
        let masked = access::mask("person.personal_id", &value);
        prop_assert_eq!(&masked, &access::mask("personal_id", &value));
        prop_assert!(!masked.contains(&number[..number.len() - 3]));
    }
}

#[test]
fn a_decision_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let access = common::access();
    shared(&access);
    let one = |case: &str| {
        let fields = ["person.full_name"];
        let request = Request { case, ..common::read(NATIONAL, common::MARRIAGE, "person", &fields) };
        access.permit(&request).map(|permit| permit.released())
    };
    let masks = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|i| scope.spawn(move || one(&format!("case-{i}")))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(masks.iter().all(|mask| mask.is_ok() && *mask == masks[0]));
}
