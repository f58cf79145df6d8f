//! Two answers, field by field.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// What names an element of a list better than its number.
const NAMES: [&str; 3] = ["name", "item", "subject"];

/// How two answers compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Compared {
    /// Fields that either has.
    pub(super) fields: usize,
    /// Those that are not the same.
    pub(super) differences: Vec<Difference>,
}

/// A field that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// Its path, such as `subject.attributes[full_name].value.value`.
    pub(super) field: String,
    /// As it was given; absent where it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) given: Option<Value>,
    /// As it comes out; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) again: Option<Value>,
}

/// Compares an answer as it was given with one that was made again.
pub(super) fn compare(given: &Value, again: &Value) -> Compared {
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    leaves(String::new(), given, &mut left);
    leaves(String::new(), again, &mut right);
    let mut all: Vec<&String> = left.keys().chain(right.keys().filter(|field| !left.contains_key(*field))).collect();
    all.sort();
    let differences = all.iter().filter(|field| left.get(**field) != right.get(**field)).map(|field| Difference {
        field: (*field).clone(),
        given: left.get(*field).map(|value| (*value).clone()),
        again: right.get(*field).map(|value| (*value).clone()),
    });
    Compared { fields: all.len(), differences: differences.collect() }
}

fn leaves<'v>(path: String, value: &'v Value, out: &mut BTreeMap<String, &'v Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(path, value, out);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for (at, element) in elements.iter().enumerate() {
                let name = NAMES.iter().find_map(|name| element[*name].as_str()).filter(|name| {
                    let same = |other: &&Value| NAMES.iter().any(|key| other[*key].as_str() == Some(name));
                    elements.iter().filter(same).count() == 1
                });
                let name = name.map_or_else(|| at.to_string(), str::to_owned);
                leaves(format!("{path}[{name}]"), element, out);
            }
        }
        leaf => {
            out.insert(path, leaf);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_is_named_by_its_field_and_shows_both_sides() {
        let attribute = |name: &str, value: &str| json!({ "name": name, "value": { "value": value, "notes": [] } });
        let given = json!({ "subject": { "attributes": [attribute("sex", "Nam"), attribute("full_name", "A")] } });
        assert_eq!(compare(&given, &given), Compared { fields: 6, differences: vec![] });
        let again = json!({ "subject": { "attributes": [attribute("full_name", "B"), attribute("sex", "Nam")], "moved": true } });
        let difference = |field: &str, given, again| Difference { field: field.into(), given, again };
        let expected = [
            difference("subject.attributes[full_name].value.value", Some(json!("A")), Some(json!("B"))),
            difference("subject.moved", None, Some(json!(true))),
        ];
        assert_eq!(compare(&given, &again).differences, expected);
    }

    #[test]
    fn elements_of_one_name_are_told_apart_by_their_number() {
        let hit = |subject: &str, records: u8| json!({ "subject": subject, "records": records });
        let two = |a, b| json!({ "hits": [hit("x", a), hit("x", b)] });
        let found = compare(&two(1, 2), &two(1, 3));
        assert_eq!((found.fields, found.differences[0].field.as_str()), (4, "hits[1].records"));
    }
}
