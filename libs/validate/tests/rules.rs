//! Rules: what passes, what is reported and how, what cannot be compiled, what is bounded.

use validate::{CelFault, Limits, PlanError, RuleFault, RuleSourceFault, Schema, Value, Violation};

mod fixture;

/// 2026-11-22T00:00:00Z
const NOW: i64 = 1_795_305_600_000_000;

/// A schema with the message `T` and others.
fn schema(body: &str) -> Schema {
    fixture::schema(&format!(
        "syntax = \"proto3\"; package t; import \"buf/validate/validate.proto\"; \
         import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/duration.proto\"; \
         import \"google/protobuf/wrappers.proto\"; {body}"
    ))
}

/// Violations of the document as `T`.
fn check(schema: &Schema, json: serde_json::Value) -> Vec<Violation> {
    let plan = schema.plan("t.T").expect("the fixture compiles");
    let bytes = plan.from_json(&json).expect("the fixture's JSON is valid");
    let msg = plan.decode(&bytes, &Limits::default()).expect("valid bytes");
    plan.validate(&msg, NOW).expect("every rule can be decided")
}

fn ids(violations: &[Violation]) -> Vec<(String, String)> {
    violations.iter().map(|v| (v.field_path.clone(), v.rule_id.to_string())).collect()
}

fn pair(path: &str, id: &str) -> (String, String) {
    (path.to_owned(), id.to_owned())
}

fn refusal(body: &str) -> RuleSourceFault {
    match schema(body).plan("t.T").expect_err("must not compile") {
        PlanError::Rule { fault, .. } => fault,
        other => panic!("another error: {other}"),
    }
}

fn cel_refusal(expression: &str) -> CelFault {
    let body = format!(
        "message T {{ option (buf.validate.message).cel_expression = {expression:?}; \
         repeated int32 xs = 1; string s = 2; T t = 3; int64 n = 4; }}"
    );
    match refusal(&body) {
        RuleSourceFault::Cel(fault) => fault,
        other => panic!("another fault: {other}"),
    }
}

#[test]
fn violation_names_field_rule_and_numbers_but_not_the_value() {
    let schema = schema(
        "message T { repeated Room rooms = 4; } \
         message Room { string name = 2 [(buf.validate.field).string.max_len = 3]; }",
    );
    let found = check(&schema, serde_json::json!({"rooms": [{"name": "a"}, {"name": "secret"}]}));
    assert_eq!(found.len(), 1);
    let violation = &found[0];
    assert_eq!(violation.field_path, "rooms[1].name");
    assert_eq!(violation.field_numbers, [4, 2]);
    assert_eq!(&*violation.rule_id, "string.max_len");
    assert_eq!(violation.rule_path, "string.max_len");
    assert_eq!(&*violation.message, "must be at most 3 characters");
    assert!(!format!("{violation:?}").contains("secret"));
}

#[test]
fn keys_of_maps_are_withheld_from_the_path() {
    let schema = schema(
        "message T { map<string, int32> m = 1 [(buf.validate.field).map = { \
         keys: {string: {min_len: 9}}, values: {int32: {gt: 0}} }]; }",
    );
    let found = check(&schema, serde_json::json!({"m": {"secret": 0}}));
    assert_eq!(ids(&found), [pair("m[*]", "string.min_len"), pair("m[*]", "int32.gt")]);
    assert!(found[0].for_key && !found[1].for_key);
    assert_eq!(found[0].field_path_with_keys(), "m[\"secret\"]");
}

#[test]
fn required_and_ignore_follow_presence() {
    let schema = schema(
        "message T { string a = 1 [(buf.validate.field).required = true]; \
         optional int32 b = 2 [(buf.validate.field).int32.gt = 5]; \
         int32 c = 3 [(buf.validate.field).int32.gt = 5]; \
         int32 d = 4 [(buf.validate.field) = {int32: {gt: 5}, ignore: IGNORE_IF_ZERO_VALUE}]; \
         int32 e = 5 [(buf.validate.field) = {int32: {gt: 5}, ignore: IGNORE_ALWAYS}]; }",
    );
    let absent = check(&schema, serde_json::json!({}));
    assert_eq!(ids(&absent), [pair("a", "required"), pair("c", "int32.gt")]);
    let low = check(&schema, serde_json::json!({"a": "x", "b": 0, "c": 6, "d": 1, "e": 1}));
    assert_eq!(ids(&low), [pair("b", "int32.gt"), pair("d", "int32.gt")]);
}

#[test]
fn time_rules_use_the_time_that_is_passed_in() {
    let schema = schema(
        "message T { google.protobuf.Timestamp past = 1 [(buf.validate.field).timestamp.lt_now = true]; \
         google.protobuf.Timestamp near = 2 [(buf.validate.field).timestamp.within = {seconds: 60}]; }",
    );
    let json = serde_json::json!({"past": "2026-11-21T23:59:59Z", "near": "2026-11-22T00:01:00Z"});
    assert_eq!(check(&schema, json), []);
    let json = serde_json::json!({"past": "2026-11-22T00:00:00.000001Z", "near": "2026-11-22T00:01:01Z"});
    let found = check(&schema, json);
    assert_eq!(ids(&found), [pair("past", "timestamp.lt_now"), pair("near", "timestamp.within")]);
}

#[test]
fn cel_reads_fields_lists_maps_and_times() {
    let schema = schema(
        "message T { option (buf.validate.message).cel = {id: 'order', message: 'ends before it starts', \
           expression: '!has(this.from) || !has(this.to) || this.from <= this.to'}; \
         option (buf.validate.message).cel = {id: 'sum', \
           expression: 'this.parts.map(p, p.share).filter(s, s > 0).size() == this.parts.size()'}; \
         option (buf.validate.message).cel = {id: 'text', \
           expression: 'this.parts.exists(p, p.share > 100) ? \"too large a share\" : \"\"'}; \
         google.protobuf.Timestamp from = 1; google.protobuf.Timestamp to = 2; repeated Part parts = 3; } \
         message Part { int32 share = 1; }",
    );
    let good = serde_json::json!({"from": "2026-01-01T00:00:00Z", "parts": [{"share": 1}]});
    assert_eq!(check(&schema, good), []);
    let bad = serde_json::json!({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z",
        "parts": [{"share": 101}, {}]});
    let found = check(&schema, bad);
    assert_eq!(ids(&found), [pair("", "order"), pair("", "sum"), pair("", "text")]);
    assert_eq!(&*found[0].message, "ends before it starts");
    assert_eq!(&*found[2].message, "too large a share");
}

#[test]
fn text_that_could_hold_the_value_is_withheld() {
    let schema = schema(
        "message T { string s = 1 [(buf.validate.field).cel = \
         {id: 'leak', expression: \"this == '' ? '' : 'bad: ' + this\"}]; }",
    );
    let found = check(&schema, serde_json::json!({"s": "secret"}));
    assert_eq!(ids(&found), [pair("s", "leak")]);
    assert!(!found[0].message.contains("secret"));
}

#[test]
fn all_and_exists_pass_over_errors_that_do_not_decide() {
    let schema = schema(
        "message T { option (buf.validate.message).cel_expression = \
         'this.xs.exists(x, 10 / x == 5)'; repeated int32 xs = 1; }",
    );
    assert_eq!(check(&schema, serde_json::json!({"xs": [0, 2]})), []);
    let plan = schema.plan("t.T").expect("compiles");
    let bytes = plan.from_json(&serde_json::json!({"xs": [0, 3]})).expect("valid");
    let msg = plan.decode(&bytes, &Limits::default()).expect("valid");
    let error = plan.validate(&msg, NOW).expect_err("nothing decides");
    assert_eq!(error.fault, RuleFault::Evaluation("division by zero"));
}

#[test]
fn what_does_not_fit_the_types_is_refused_beforehand() {
    assert_eq!(cel_refusal("this.nothing == 1"), CelFault::Unknown { name: "nothing".into() });
    assert_eq!(cel_refusal("that == 1"), CelFault::Unknown { name: "that".into() });
    assert_eq!(cel_refusal("this.s.nope()"), CelFault::Unknown { name: "nope".into() });
    assert!(matches!(cel_refusal("this.s == 1"), CelFault::Types { .. }));
    assert!(matches!(cel_refusal("this.n + this.s == 1"), CelFault::Types { .. }));
    assert!(matches!(cel_refusal("this.n"), CelFault::Types { .. }));
    assert!(matches!(cel_refusal("this.n >"), CelFault::Syntax(_)));
    assert!(matches!(cel_refusal("this.s.matches('(')"), CelFault::Types { .. }));
    let pattern = refusal("message T { string s = 1 [(buf.validate.field).string.pattern = '(']; }");
    assert!(matches!(pattern, RuleSourceFault::Pattern { .. }));
    let wrong = refusal("message T { int32 n = 1 [(buf.validate.field).string.min_len = 1]; }");
    assert_eq!(wrong, RuleSourceFault::WrongType { rules: "string".into() });
}

#[test]
fn large_deep_and_looping_expressions_are_refused_beforehand() {
    let long = format!("this.s == '{}'", "a".repeat(5000));
    assert!(matches!(cel_refusal(&long), CelFault::TooLong { .. }));
    let deep = format!("{}true{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(cel_refusal(&deep), CelFault::TooComplex);
    let sum = format!("0<{}", vec!["1"; 1500].join("+"));
    assert_eq!(cel_refusal(&sum), CelFault::TooComplex);
    let choices = format!("{}true", "true?true:".repeat(400));
    assert!(matches!(cel_refusal(&choices), CelFault::TooComplex | CelFault::Syntax(_)));
    let loops = "this.xs.all(a, this.xs.all(b, this.xs.all(c, a + b + c > 0)))";
    assert_eq!(cel_refusal(loops), CelFault::TooManyLoops { max: 2 });
}

#[test]
fn deepest_nesting_allowed_fits_an_ordinary_stack() {
    let nested = format!("{}this.n == 0{}", "(".repeat(60), ")".repeat(60));
    let schema =
        schema(&format!("message T {{ option (buf.validate.message).cel_expression = {nested:?}; int32 n = 1; }}"));
    assert_eq!(check(&schema, serde_json::json!({})), []);
}

#[test]
fn endless_rule_ends_in_a_typed_error() {
    let schema = schema(
        "message T { option (buf.validate.message).cel_expression = \
         'this.xs.all(a, this.xs.all(b, a + b >= 0))'; repeated int32 xs = 1; }",
    );
    let plan = schema.plan("t.T").expect("two loops are allowed");
    let xs: Vec<i32> = (0..60_000).collect();
    let bytes = plan.from_json(&serde_json::json!({ "xs": xs })).expect("valid");
    let msg = plan.decode(&bytes, &Limits::default()).expect("within the limits");
    assert!(matches!(msg.get(1), Some(Value::List(items)) if items.len() == 60_000));
    let error = plan.validate(&msg, NOW).expect_err("far too many steps");
    assert!(matches!(error.fault, RuleFault::Budget { .. }));
}

#[test]
fn growing_text_ends_in_a_typed_error() {
    let schema = schema(
        "message T { option (buf.validate.message).cel_expression = \
         'this.xs.map(x, this.s + this.s + this.s + this.s + this.s + this.s + this.s).size() >= 0'; \
         repeated int32 xs = 1; string s = 2; }",
    );
    let plan = schema.plan("t.T").expect("compiles");
    let json = serde_json::json!({ "xs": vec![1; 10_000], "s": "a".repeat(9000) });
    let bytes = plan.from_json(&json).expect("valid");
    let msg = plan.decode(&bytes, &Limits::default()).expect("within the limits");
    let error = plan.validate(&msg, NOW).expect_err("too much text");
    assert!(matches!(error.fault, RuleFault::Budget { .. }));
}

#[test]
fn violations_are_bounded() {
    let schema = schema("message T { repeated int32 xs = 1 [(buf.validate.field).repeated.items.int32.gt = 5]; }");
    let found = check(&schema, serde_json::json!({ "xs": vec![0; 5000] }));
    assert_eq!(found.len(), 256);
}

#[test]
fn predefined_rules_run_by_their_own_expression() {
    let schema = fixture::schema(
        "syntax = \"proto2\"; package t; import \"buf/validate/validate.proto\"; \
         extend buf.validate.Int32Rules { optional int32 multiple_of = 1161 [(buf.validate.predefined).cel = \
           {id: 'int32.multiple_of', expression: \"this % rule == 0 ? '' : 'must be a multiple of %s'.format([rule])\"}]; } \
         message T { optional int32 n = 1 [(buf.validate.field).int32.(t.multiple_of) = 3]; }",
    );
    assert_eq!(check(&schema, serde_json::json!({"n": 9})), []);
    let found = check(&schema, serde_json::json!({"n": 10}));
    assert_eq!(&*found[0].rule_id, "int32.multiple_of");
    assert_eq!(&*found[0].message, "must be a multiple of 3");
    assert_eq!(found[0].rule_path, "int32.[t.multiple_of]");
}

#[test]
fn rule_that_is_not_native_runs_by_its_own_expression() {
    let schema = schema("message T { string s = 1 [(buf.validate.field).string.starts = 'VN']; }");
    assert_eq!(check(&schema, serde_json::json!({"s": "VN1"})), []);
    let found = check(&schema, serde_json::json!({"s": "1"}));
    assert_eq!(ids(&found), [pair("s", "string.starts")]);
}

#[test]
fn members_of_a_message_oneof_exclude_each_other() {
    let schema = schema(
        "message T { option (buf.validate.message).oneof = {fields: ['a', 'b'], required: true}; \
         string a = 1; string b = 2; }",
    );
    assert_eq!(check(&schema, serde_json::json!({"a": "x"})), []);
    let none = check(&schema, serde_json::json!({}));
    assert_eq!(&*none[0].message, "one of a, b must be set");
    let both = check(&schema, serde_json::json!({"a": "x", "b": "y"}));
    assert_eq!(ids(&both), [pair("", "message.oneof")]);
    assert_eq!(&*both[0].message, "only one of a, b can be set");
}

#[test]
fn rules_reach_through_recursive_types() {
    let schema = schema("message T { T next = 1; optional string s = 2 [(buf.validate.field).string.min_len = 2]; }");
    let found = check(&schema, serde_json::json!({"next": {"next": {"s": "a"}}}));
    assert_eq!(ids(&found), [pair("next.next.s", "string.min_len")]);
}
