//! Decoding: what stock encoders write reads back equal; what is broken is refused with its place.

use proptest::prelude::*;
use prost::Message;
use validate::{Cardinality, Fault, Kind, Limits, Msg, Plan, Schema, Value};

mod fixture;
#[path = "fixture/sample.rs"]
mod sample;
use sample::{Choice, Inner, SAMPLE, Sample};

fn plan() -> std::sync::Arc<Plan> {
    fixture::schema(SAMPLE).plan("t.Sample").expect("the fixture compiles")
}

fn fault(bytes: &[u8]) -> (String, Fault) {
    let error = plan().decode(bytes, &Limits::default()).expect_err("must be refused");
    (error.path, error.fault)
}

fn inner() -> impl Strategy<Value = Inner> {
    (".{0,8}", proptest::option::of(any::<i64>()), proptest::collection::vec(any::<i32>(), 0..4))
        .prop_map(|(name, number, codes)| Inner { name, number, codes })
}

prop_compose! {
    fn sample()(
        text in ".{0,12}",
        small in any::<i32>(),
        zig in any::<i64>(),
        big in any::<u64>(),
        fixed in any::<u32>(),
        ratio in any::<f32>().prop_filter("NaN is unequal to itself", |value| !value.is_nan()),
        flag in any::<bool>(),
        blob in proptest::collection::vec(any::<u8>(), 0..12),
        state in 0..4i32,
        one in proptest::option::of(inner()),
        many in proptest::collection::vec(inner(), 0..4),
        packed in proptest::collection::vec(any::<i64>(), 0..5),
        words in proptest::collection::vec(".{0,6}", 0..4),
        counts in proptest::collection::btree_map("[a-z]{0,4}", any::<u32>(), 0..4),
        choice in proptest::option::of(prop_oneof![
            ".{0,5}".prop_map(Choice::Left),
            any::<u32>().prop_map(Choice::Right),
        ]),
    ) -> Sample {
        Sample {
            text, small, zig, big, fixed, ratio, flag, blob, state, one, many, packed, words,
            counts, choice,
        }
    }
}

fn read_inner(msg: &Msg<'_>) -> Inner {
    Inner {
        name: msg.get(1).and_then(Value::as_str).unwrap_or_default().to_owned(),
        number: msg.get(2).map(|value| value.as_i64().expect("an integer")),
        codes: msg
            .get(3)
            .map(|value| value.as_list().expect("a list"))
            .unwrap_or_default()
            .iter()
            .map(|code| i32::try_from(code.as_i64().expect("an integer")).expect("32 bits"))
            .collect(),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn read(msg: &Msg<'_>) -> Sample {
    let int = |number| msg.get(number).map_or(0, |value| value.as_i64().expect("an integer"));
    let list = |number| msg.get(number).map(|value| value.as_list().expect("a list")).unwrap_or_default();
    Sample {
        text: msg.get(1).and_then(Value::as_str).unwrap_or_default().to_owned(),
        small: int(2) as i32,
        zig: int(3),
        big: msg.get(4).map_or(0, |value| value.as_u64().expect("unsigned")),
        fixed: int(5) as u32,
        ratio: match msg.get(6) {
            Some(Value::F64(value)) => *value as f32,
            _ => 0.0,
        },
        flag: msg.get(7).and_then(Value::as_bool).unwrap_or_default(),
        blob: msg.get(8).and_then(Value::as_bytes).unwrap_or_default().to_vec(),
        state: msg.get(9).and_then(Value::as_enum).unwrap_or_default(),
        one: msg.get(10).map(|value| read_inner(value.as_msg().expect("a message"))),
        many: list(11).iter().map(|item| read_inner(item.as_msg().expect("a message"))).collect(),
        packed: list(12).iter().map(|item| item.as_i64().expect("an integer")).collect(),
        words: list(13).iter().map(|item| item.as_str().expect("text").to_owned()).collect(),
        counts: msg
            .get(14)
            .map(|value| value.as_map().expect("a map"))
            .unwrap_or_default()
            .iter()
            .map(|(key, value)| {
                let count = value.as_u64().expect("unsigned");
                (key.as_str().expect("text").to_owned(), count as u32)
            })
            .collect(),
        choice: match (msg.get(15), msg.get(16)) {
            (Some(left), None) => Some(Choice::Left(left.as_str().expect("text").to_owned())),
            (None, Some(right)) => Some(Choice::Right(right.as_u64().expect("unsigned") as u32)),
            (None, None) => None,
            (Some(_), Some(_)) => panic!("both members of a oneof"),
        },
    }
}

proptest! {
    #[test]
    fn what_prost_encodes_reads_back_equal(sample in sample()) {
        let bytes = sample.encode_to_vec();
        let plan = plan();
        let msg = plan.decode(&bytes, &Limits::default()).expect("prost's bytes are valid");
        prop_assert_eq!(read(&msg), sample);
        let numbers: Vec<u32> = msg.iter().map(|(number, _)| number).collect();
        prop_assert!(numbers.is_sorted());
    }

    #[test]
    fn json_goes_there_and_back(sample in sample()) {
        let bytes = sample.encode_to_vec();
        let plan = plan();
        let msg = plan.decode(&bytes, &Limits::default()).expect("prost's bytes are valid");
        let json = plan.to_json(&msg).expect("no well-known types inside");
        let again = plan.from_json(&json).expect("its own JSON is valid");
        let again = Sample::decode(&*again).expect("its own bytes are valid");
        prop_assert_eq!(again, sample);
    }

    #[test]
    fn truncation_anywhere_is_an_error_or_a_shorter_record(sample in sample()) {
        let bytes = sample.encode_to_vec();
        let plan = plan();
        for end in 0..bytes.len() {
            match plan.decode(&bytes[..end], &Limits::default()) {
                Ok(msg) => prop_assert!(Sample::decode(&bytes[..end]).is_ok_and(|s| s == read(&msg))),
                Err(error) => prop_assert_eq!(error.fault, Fault::Truncated),
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let limits = Limits { elements_max: 64, depth_max: 4, ..Limits::default() };
        let _ = plan().decode(&bytes, &limits);
    }

    #[test]
    fn flipped_bytes_never_panic(sample in sample(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = sample.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        let _ = plan().decode(&bytes, &Limits::default());
    }
}

#[test]
fn unknown_field_is_refused_with_its_place() {
    let nested = [0x5a, 2, 0x48, 1]; // many { 9: 1 }
    assert_eq!(fault(&nested), ("many[0]".into(), Fault::UnknownField { number: 9 }));
    assert_eq!(fault(&[0xf8, 0x06, 1]), (String::new(), Fault::UnknownField { number: 111 }));
}

#[test]
fn wrong_wire_type_is_refused_with_its_place() {
    assert_eq!(fault(&[0x08, 1]), ("text".into(), Fault::WrongWireType { found: "varint" }));
    assert_eq!(fault(&[0x52, 2, 0x08, 1]), ("one.name".into(), Fault::WrongWireType { found: "varint" }));
}

#[test]
fn broken_bytes_are_told_apart() {
    assert_eq!(fault(&[0x0a, 2, 0xff, 0xfe]), ("text".into(), Fault::InvalidUtf8));
    assert_eq!(fault(&[0x0a, 5, b'a']), ("text".into(), Fault::Truncated));
    assert_eq!(fault(&[0x0b]), ("text".into(), Fault::Group));
    assert_eq!(fault(&[0x0c]), (String::new(), Fault::Group));
    assert_eq!(fault(&[0x00]), (String::new(), Fault::BadKey));
    assert_eq!(fault(&[0x0f]), (String::new(), Fault::BadKey));
    assert_eq!(fault(&[0x38, 2]), ("flag".into(), Fault::OutOfRange));
    let long = [0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(fault(&long), ("big".into(), Fault::VarintOverflow));
    let wide = [0x10, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(fault(&wide), ("small".into(), Fault::OutOfRange));
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let plan = plan();
    let limits = Limits { bytes_max: 10, ..Limits::default() };
    let error = plan.decode(&[0; 11], &limits).expect_err("too large");
    assert_eq!(error.fault, Fault::TooLarge { len: 11, max: 10 });

    let mut packed = vec![0x62, 100];
    packed.extend([0u8; 100]);
    let limits = Limits { elements_max: 99, ..Limits::default() };
    let error = plan.decode(&packed, &limits).expect_err("too many");
    assert_eq!(error.fault, Fault::TooManyElements { max: 99 });

    let many: Vec<u8> = [0x5a, 0].repeat(100);
    let error = plan.decode(&many, &limits).expect_err("too many");
    assert_eq!((error.path.as_str(), error.fault), ("many[98]", Fault::TooManyElements { max: 99 }));
}

#[test]
fn depth_is_bounded() {
    let schema = fixture::schema("syntax = \"proto3\"; package t; message Node { Node next = 1; int32 v = 2; }");
    let plan = schema.plan("t.Node").expect("the fixture compiles");
    let nest = |depth: usize| {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let mut outer = vec![0x0a];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.extend(&bytes);
            bytes = outer;
        }
        bytes
    };
    assert!(plan.decode(&nest(32), &Limits::default()).is_ok());
    let error = plan.decode(&nest(33), &Limits::default()).expect_err("too deep");
    assert_eq!(error.fault, Fault::TooDeep { max: 32 });
    assert_eq!(error.numbers, vec![1; 33]);
    let unlimited = Limits { depth_max: u32::MAX, ..Limits::default() };
    assert!(plan.decode(&nest(2000), &unlimited).is_err());
}

#[test]
fn singular_messages_merge_and_the_last_scalar_wins() {
    let first = Sample {
        text: "a".into(),
        one: Some(Inner { name: "x".into(), number: Some(1), codes: vec![1] }),
        choice: Some(Choice::Left("l".into())),
        ..Sample::default()
    };
    let second = Sample {
        text: "b".into(),
        one: Some(Inner { name: String::new(), number: Some(2), codes: vec![2] }),
        choice: Some(Choice::Right(7)),
        ..Sample::default()
    };
    let bytes = [first.encode_to_vec(), second.encode_to_vec()].concat();
    let plan = plan();
    let msg = plan.decode(&bytes, &Limits::default()).expect("concatenation merges");
    assert_eq!(read(&msg), Sample::decode(&*bytes).expect("prost merges too"));
}

#[test]
fn unpacked_and_packed_runs_read_alike() {
    let plan = plan();
    let packed = plan.decode(&[0x62, 2, 5, 6], &Limits::default()).expect("packed");
    let single = plan.decode(&[0x60, 5, 0x60, 6], &Limits::default()).expect("unpacked");
    assert_eq!(packed, single);
}

#[test]
fn last_of_equal_map_keys_wins() {
    let entry = |key: &str, value: u8| {
        let mut bytes = vec![0x72, u8::try_from(key.len()).expect("short") + 4, 0x0a];
        bytes.push(u8::try_from(key.len()).expect("short"));
        bytes.extend(key.as_bytes());
        bytes.extend([0x10, value]);
        bytes
    };
    let bytes = [entry("b", 1), entry("a", 2), entry("b", 3), entry("a", 4)].concat();
    let plan = plan();
    let msg = plan.decode(&bytes, &Limits::default()).expect("valid");
    let expected = Value::Map(vec![(Value::Str("a"), Value::U64(4)), (Value::Str("b"), Value::U64(3))]);
    assert_eq!(msg.get(14), Some(&expected));
}

#[test]
fn paths_read_through_singular_messages_only() {
    let plan = plan();
    let path = plan.path("one.name").expect("a path of the fixture");
    assert_eq!(path.numbers(), [10, 1]);
    assert_eq!(path.leaf().kind(), Kind::String);
    let sample = Sample { one: Some(Inner { name: "x".into(), ..Inner::default() }), ..Sample::default() };
    let bytes = sample.encode_to_vec();
    let msg = plan.decode(&bytes, &Limits::default()).expect("valid");
    assert_eq!(path.read(&msg), Some(&Value::Str("x")));
    assert_eq!(path.read(&plan.decode(&[], &Limits::default()).expect("valid")), None);
    assert!(plan.path("many.name").is_err());
    assert!(plan.path("nothing").is_err());
    assert!(plan.path("one.").is_err());
    let many = plan.path("many").expect("a list may be a leaf");
    assert_eq!(many.leaf().cardinality(), Cardinality::Repeated);
    let index = many.leaf().kind().message_index().expect("a message");
    assert_eq!(plan.path_from(index, "name").expect("a path").numbers(), [1]);
}

#[test]
fn json_errors_name_the_place_and_not_the_value() {
    let plan = plan();
    let error = |json: serde_json::Value| plan.from_json(&json).expect_err("refused").to_string();
    let unknown = error(serde_json::json!({"one": {"nam": "secret"}}));
    assert_eq!(unknown, "one.nam: not a field of t.Inner");
    let bad = error(serde_json::json!({"many": [{"name": "a"}, {"number": "secret"}]}));
    assert_eq!(bad, "many[1].number: the value does not fit int64");
    let bad = error(serde_json::json!({"counts": {"a": "secret"}}));
    assert_eq!(bad, "counts: the value does not fit a map to uint32");
    assert_eq!(error(serde_json::json!("secret")), "$: the value does not fit t.Sample");
}

#[test]
fn editions_are_read_with_their_presence() {
    let mut set = fixture::descriptor_set(
        "syntax = \"proto2\"; package t; message A { optional string s = 1; optional B b = 2; } \
         message B { optional int32 v = 1; }",
    );
    let file = &mut set.file[0];
    file.syntax = Some("editions".to_owned());
    let mut bytes = Vec::new();
    for file in &set.file {
        // edition = 2023, options { features { field_presence: IMPLICIT, encoding: DELIMITED } }
        let mut raw = file.encode_to_vec();
        raw.extend([0x70, 0xe8, 0x07, 0x42, 7, 0x92, 0x03, 4, 0x08, 2, 0x28, 2]);
        bytes.push(0x0a);
        prost::encoding::encode_varint(raw.len() as u64, &mut bytes);
        bytes.extend(raw);
    }
    let schema = Schema::from_file_descriptor_set(&bytes).expect("edition 2023 is supported");
    let plan = schema.plan("t.A").expect("compiles");
    let field = plan.root().field(1).expect("s");
    assert_eq!(field.cardinality(), Cardinality::Singular { presence: false });
    let group = [0x13, 0x08, 5, 0x14];
    let msg = plan.decode(&group, &Limits::default()).expect("a declared group is read");
    let nested = msg.get(2).and_then(Value::as_msg).expect("b");
    assert_eq!(nested.get(1), Some(&Value::I64(5)));
    let error = plan.decode(&group[..3], &Limits::default()).expect_err("no end tag");
    assert_eq!(error.fault, Fault::Truncated);
}
