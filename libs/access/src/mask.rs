//! Masks for search hits: enough to tell two people apart, too little to identify one.

use serde_json::Value;

use crate::facts::bare;

/// What a hidden value shows.
const HIDDEN: &str = "•••";

/// A value as a search hit shows it, by attribute (dotted or own name).
///
/// Names become initials with the given name's first letter last (`N. V. A.`), dates the year, numbers their last
/// three characters, a unit its code; what places a parcel on the map is shown as it is. Every other attribute is
/// hidden: an attribute that a contract adds is masked until someone decides otherwise.
pub fn mask(attribute: &str, value: &Value) -> String {
    let own = attribute.rsplit('.').next().unwrap_or(attribute);
    let value = bare(value);
    match own {
        "full_name" | "other_name" | "father_name" | "mother_name" | "spouse_name" => initials(&text(value)),
        "birth_date" => year(value),
        "sex" | "unit" | "sheet" | "number" | "area" | "land_uses" | "data_state" | "parcel_id" => plain(value),
        "residence_unit" | "birthplace_unit" => plain(value),
        "personal_id" | "old_id" | "insurance_no" | "insurance_card_no" | "certificate_serial" => tail(&text(value)),
        _ => HIDDEN.to_owned(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

fn initials(name: &str) -> String {
    let initial = |word: &str| word.chars().next().map(|first| format!("{}.", first.to_uppercase()));
    let shown: Vec<String> = name.split_whitespace().filter_map(initial).collect();
    if shown.is_empty() { HIDDEN.to_owned() } else { shown.join(" ") }
}

fn year(value: &Value) -> String {
    let year = match value {
        Value::Object(date) => date.get("year").and_then(Value::as_i64),
        Value::String(date) => date.split('-').next().and_then(|year| year.parse().ok()),
        Value::Number(year) => year.as_i64(),
        Value::Null | Value::Bool(_) | Value::Array(_) => None,
    };
    let known = year.filter(|year| (1000..=9999).contains(year));
    known.map_or_else(|| HIDDEN.to_owned(), |year| year.to_string())
}

/// The last three characters, where at least four more stay hidden.
fn tail(number: &str) -> String {
    let characters: Vec<char> = number.chars().collect();
    match characters.len().checked_sub(3) {
        Some(hidden) if hidden >= 4 => format!("{HIDDEN}{}", characters[hidden..].iter().collect::<String>()),
        Some(_) | None => HIDDEN.to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Object(unit) => unit.get("code").map(text).unwrap_or_else(|| HIDDEN.to_owned()),
        Value::Array(codes) => codes.iter().map(|code| plain(bare(code))).collect::<Vec<_>>().join(" "),
        Value::String(_) | Value::Number(_) => text(value),
        Value::Null | Value::Bool(_) => HIDDEN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_show_initials_and_dates_the_year() {
        assert_eq!(mask("person.full_name", &json!("Nguyễn Văn Đức")), "N. V. Đ.");
        assert_eq!(mask("full_name", &json!("y Wen Niê")), "Y. W. N.");
        assert_eq!(mask("person.birth_date", &json!({"year": 1985, "month": 3, "day": 2})), "1985");
        assert_eq!(mask("person.birth_date", &json!("1985-03-02")), "1985");
        assert_eq!(mask("person.full_name", &json!("")), "•••");
    }

    #[test]
    fn numbers_show_three_characters_and_hide_at_least_four() {
        assert_eq!(mask("person.personal_id", &json!("099300001234")), "•••234");
        assert_eq!(mask("parcel.certificate_serial", &json!("AA 01234567")), "•••567");
        assert_eq!(mask("person.old_id", &json!("123456")), "•••");
    }

    #[test]
    fn an_attribute_without_a_mask_is_hidden() {
        for value in [json!("0912345678"), json!(["J45"]), json!({"code": "x"}), json!(7)] {
            assert_eq!(mask("person.phone", &value), "•••");
            assert_eq!(mask("person.future_attribute", &value), "•••");
        }
    }

    #[test]
    fn what_places_a_parcel_is_shown() {
        assert_eq!(mask("parcel.unit", &json!({"code": "07954", "list_version": "2025-07-01"})), "07954");
        assert_eq!(mask("parcel.area", &json!({"value": "120.5"})), "120.5");
        assert_eq!(mask("parcel.land_uses", &json!([{"value": "ODT"}, {"value": "CLN"}])), "ODT CLN");
    }
}
