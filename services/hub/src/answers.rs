//! Answers of the API as JSON, by its own descriptors: field names as in the `.proto` files, numbers as numbers.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value as Json;

static API: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(wire::DESCRIPTORS).expect("the API's descriptors are compiled with the hub")
});

/// A message of the API as JSON, where `name` is its full name. Absent fields are shown with their defaults, absent messages not at all.
///
/// # Panics
/// `name` is no message of the API, or not that of `message`.
pub fn as_json<M: Message>(name: &str, message: &M) -> Json {
    assert!(API.get_message_by_name(name).is_some(), "{name} is no message of the API");
    json_of(name, &message.encode_to_vec()).expect("a message of that name")
}

/// The same of a serialised message; `None` when there is no such name, or the bytes are not of it.
pub fn json_of(name: &str, message: &[u8]) -> Option<Json> {
    let descriptor = API.get_message_by_name(name)?;
    // What the bytes are instead does not matter.
    let dynamic = DynamicMessage::decode(descriptor, message).ok()?;
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);
    Some(dynamic.serialize_with_options(serde_json::value::Serializer, &options).unwrap_or(Json::Null))
}

/// The message of one of these names that a JSON value of [`as_json`] shows, serialised; `None` when it is none of them.
pub fn from_json(names: &[&str], json: &Json) -> Option<Vec<u8>> {
    names.iter().find_map(|name| {
        let descriptor = API.get_message_by_name(name)?;
        // What it is not it does not deserialise as: unknown fields are refused.
        DynamicMessage::deserialize(descriptor, json).ok().map(|message| message.encode_to_vec())
    })
}

/// A value of the API in one line.
pub fn line_of(value: Option<&prost_types::Value>) -> String {
    match value.map(plain) {
        None | Some(Json::Null) => "-".to_owned(),
        Some(Json::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

fn plain(value: &prost_types::Value) -> Json {
    use prost_types::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => Json::from(*number as i64),
        Some(Kind::NumberValue(number)) => Json::from(*number),
        Some(Kind::StringValue(text)) => Json::from(text.as_str()),
        Some(Kind::BoolValue(truth)) => Json::from(*truth),
        Some(Kind::StructValue(fields)) => {
            Json::Object(fields.fields.iter().map(|(k, v)| (k.clone(), plain(v))).collect())
        }
        Some(Kind::ListValue(list)) => Json::Array(list.values.iter().map(plain).collect()),
    }
}

/// A time of the API as RFC 3339, to the second.
pub fn time_of(time: Option<&prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| jiff::Timestamp::from_second(time.seconds).ok());
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

/// A duration of the API in its largest unit.
pub fn age_of(age: Option<&prost_types::Duration>) -> String {
    let Some(seconds) = age.map(|age| age.seconds) else { return "-".to_owned() };
    match seconds.max(0) {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// A finding of the API in one line, with its end.
pub fn finding_line(finding: &wire::query::Finding) -> String {
    let wire::query::Finding { rule_id, group, field_path, register } = finding;
    match rule_id.as_str() {
        "hub.number_of_another" => {
            format!(
                "finding: {field_path}: a record of {register} bears this number against its own sex or date of birth ({rule_id})\n"
            )
        }
        _ => format!("finding: {register} {field_path}: {} ({rule_id})\n", group.replace('_', " ")),
    }
}

/// A time for the API.
pub fn wire_time(time: jiff::Timestamp) -> prost_types::Timestamp {
    // jiff's parts of a second have the sign of the whole; protobuf's are never negative.
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    if nanos < 0 {
        return prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 };
    }
    prost_types::Timestamp { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_the_names_of_the_api_and_numbers_as_numbers() {
        let status = wire::query::GetStatusResponse { behind: 7, version: "1".into(), ..Default::default() };
        let json = as_json("hub.query.v1.GetStatusResponse", &status);
        assert_eq!((&json["behind"], &json["subjects_persons"]), (&Json::from(7), &Json::from(0)));
    }

    #[test]
    fn times_before_the_epoch_have_positive_parts_of_a_second() {
        let time = wire_time("1969-12-31T23:59:58.5Z".parse().expect("a time"));
        assert_eq!((time.seconds, time.nanos), (-2, 500_000_000));
    }

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let age = |seconds| age_of(Some(&prost_types::Duration { seconds, nanos: 0 }));
        assert_eq!([age(5), age(90), age(7_200), age(864_000)], ["5 s", "1 min", "2 h", "10 d"]);
    }
}
