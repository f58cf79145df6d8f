//! How one field is read: compiled from its options, and carried out on its value.

use std::borrow::Cow;

use record::Kind;
use validate::{Cardinality, FieldPlan, Kind as FieldKind, Msg, Plan, Value};

use crate::compile::Place;
use crate::date;
use crate::error::ContractError;
use crate::kinds::{AttributeId, kinds};
use crate::model::{Assert, Condition, Expected, Reading, Source};
use crate::options::{self, DateFormat, Feature};
use crate::value::{AttrValue, PartialDate, Sex, UnitRef, ValueType};

const UNIT: &str = "hub.type.v1.UnitReference";
const DATE: &str = "hub.type.v1.PartialDate";
const CODE: &str = "hub.type.v1.Code";
const DECIMAL: &str = "hub.type.v1.Decimal";
/// Longest code of an administrative unit, and longest version of a list, in bytes.
const UNIT_BYTES_MAX: usize = 32;

/// Whether a message type stands for one value.
pub(crate) fn is_value_message(name: &str) -> bool {
    [UNIT, DATE, CODE, DECIMAL].contains(&name)
}

/// Whether the options make the hub read the field's value.
pub(crate) fn says_something(stated: &options::Field) -> bool {
    !stated.identifies.is_empty() || !stated.asserts.is_empty() || stated.record_unit
}

/// Compiles what a field of a mention of this kind (or of none) says.
pub(crate) fn compile_reading(
    at: Place<'_>,
    plan: &Plan,
    message: u32,
    field: &FieldPlan,
    stated: &options::Field,
    kind: Option<Kind>,
) -> Result<Reading, ContractError> {
    let source = source(at, plan, message, field, stated)?;
    let (checked, record_unit) = (source.is_date(), stated.record_unit);
    let mut reading = Reading { source, features: Vec::new(), asserts: Vec::new(), record_unit, checked };
    if stated.record_unit && !reading.source.is_unit() {
        return Err(at.field(
            field.name(),
            "record_unit needs a unit: use hub.type.v1.UnitReference, or state unit_list_version".into(),
        ));
    }
    // A shared message that is no mention here says nothing of anybody.
    let Some(kind) = kind else { return Ok(reading) };
    for number in &stated.identifies {
        let feature = Feature::try_from(*number).unwrap_or(Feature::Unspecified);
        check_feature(kind, feature, &reading.source).map_err(|problem| at.field(field.name(), problem))?;
        reading.features.push(feature);
        reading.checked |= is_checked(feature);
    }
    for name in &stated.asserts {
        let assert = compile_assert(kind, name, &reading.source).map_err(|problem| at.field(field.name(), problem))?;
        reading.asserts.push(assert);
    }
    Ok(reading)
}

/// How a field holds its value.
pub(crate) fn source(
    at: Place<'_>,
    plan: &Plan,
    message: u32,
    field: &FieldPlan,
    stated: &options::Field,
) -> Result<Source, ContractError> {
    if let Some(sex) = &stated.sex {
        return sex_source(at, field, sex);
    }
    Ok(match field.kind() {
        FieldKind::String if stated.date_format() != DateFormat::Unspecified => Source::Date(stated.date_format()),
        FieldKind::String if !stated.unit_list_version.is_empty() => {
            Source::UnitText { list_version: stated.unit_list_version.clone() }
        }
        FieldKind::String if !stated.unit_list_version_field.is_empty() => {
            let sibling = plan.message_of(message).field_by_name(&stated.unit_list_version_field);
            let text = sibling.filter(|sibling| sibling.kind() == FieldKind::String);
            let problem = "unit_list_version_field must name a text field of the same message".to_owned();
            Source::UnitWithVersionIn { version_field: text.ok_or_else(|| at.field(field.name(), problem))?.number() }
        }
        FieldKind::String => Source::Text { separator: Some(stated.separator.clone()).filter(|text| !text.is_empty()) },
        FieldKind::Bool => Source::Bool,
        FieldKind::Enum => Source::Enum { names: enum_names(at, field) },
        FieldKind::Message(index) => match plan.message_of(index).name() {
            UNIT => Source::UnitMessage,
            DATE => Source::DateMessage,
            CODE | DECIMAL => Source::TextMessage,
            _ => return Err(unreadable(at, field)),
        },
        FieldKind::Bytes | FieldKind::Float | FieldKind::Double | FieldKind::Group(_) => {
            return Err(unreadable(at, field));
        }
        _ => Source::Number,
    })
}

fn unreadable(at: Place<'_>, field: &FieldPlan) -> ContractError {
    at.field(
        field.name(),
        "the hub reads no value from this type: use text, a whole number, or a type of hub.type.v1".into(),
    )
}

fn sex_source(at: Place<'_>, field: &FieldPlan, sex: &options::SexCoding) -> Result<Source, ContractError> {
    let text_or_number = !matches!(
        field.kind(),
        FieldKind::Message(_)
            | FieldKind::Group(_)
            | FieldKind::Bytes
            | FieldKind::Float
            | FieldKind::Double
            | FieldKind::Bool
    );
    if !text_or_number || sex.male.is_empty() || sex.female.is_empty() {
        let problem = "sex needs a text or number field and at least one value for male and one for female".into();
        return Err(at.field(field.name(), problem));
    }
    Ok(Source::Sex { male: sex.male.clone(), female: sex.female.clone() })
}

fn enum_names(at: Place<'_>, field: &FieldPlan) -> Vec<(i32, String)> {
    let descriptor = at.message.get_field(field.number()).expect("the plan was compiled from this message");
    match descriptor.kind() {
        prost_reflect::Kind::Enum(declared) => {
            declared.values().map(|value| (value.number(), value.name().to_owned())).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the hub compares the feature with another one of the same mention.
fn is_checked(feature: Feature) -> bool {
    use Feature as F;
    match feature {
        F::BirthDate | F::Sex | F::PersonalId | F::IdentityPaper | F::InsuranceNo => true,
        F::Unspecified
        | F::Unit
        | F::CadastralUnit
        | F::ParcelId
        | F::CadastralSheet
        | F::CadastralNumber
        | F::FullName
        | F::FamilyName
        | F::MiddleName
        | F::GivenName
        | F::OldId
        | F::RetiredPersonalId
        | F::InsuranceCard
        | F::Phone
        | F::MotherName
        | F::FatherName
        | F::SpouseName => false,
    }
}

fn check_feature(kind: Kind, feature: Feature, source: &Source) -> Result<(), String> {
    use Feature as F;
    let (expected, fits) = match feature {
        F::Unspecified => return Err("identifies a feature that this hub does not know: use a value of Feature".into()),
        F::BirthDate => (Kind::Person, source.is_date()),
        F::Sex => (Kind::Person, matches!(source, Source::Sex { .. })),
        F::Unit => (Kind::Person, source.is_unit()),
        F::CadastralUnit => (Kind::Parcel, source.is_unit()),
        F::ParcelId | F::CadastralSheet | F::CadastralNumber => (Kind::Parcel, source.is_text()),
        F::FullName
        | F::FamilyName
        | F::MiddleName
        | F::GivenName
        | F::PersonalId
        | F::OldId
        | F::IdentityPaper
        | F::RetiredPersonalId
        | F::InsuranceNo
        | F::InsuranceCard
        | F::Phone
        | F::MotherName
        | F::FatherName
        | F::SpouseName => (Kind::Person, source.is_text()),
    };
    if expected != kind {
        return Err(format!("{} does not identify a {kind:?}: remove it", feature.as_str_name()));
    }
    if !fits {
        return Err(format!(
            "{} does not fit the field: a date needs date_format, sex needs sex, a unit needs UnitReference or unit_list_version, anything else text",
            feature.as_str_name()
        ));
    }
    Ok(())
}

fn compile_assert(kind: Kind, name: &str, source: &Source) -> Result<Assert, String> {
    let attribute = kinds()
        .by_name(name)
        .filter(|attribute| attribute.kind == kind)
        .ok_or_else(|| format!("asserts {name:?}, which is no attribute of this mention's kind: see hub/kind/v1"))?;
    if !source.gives(attribute.value_type) {
        return Err(format!("asserts {name:?}, which takes a {:?}: the field does not give one", attribute.value_type));
    }
    Ok(Assert {
        attribute: attribute.id,
        value_type: attribute.value_type,
        repeated: attribute.repeated,
        digits: attribute.digits,
    })
}

/// Compiles a fixed statement of a mention.
pub(crate) fn statement(kind: Kind, stated: &options::Statement) -> Result<(AttributeId, AttrValue<'static>), String> {
    let attribute = kinds()
        .by_name(&stated.attribute)
        .filter(|attribute| attribute.kind == kind)
        .ok_or_else(|| format!("states {:?}, which is no attribute of its kind: see hub/kind/v1", stated.attribute))?;
    let text = stated.value.clone();
    let value = match attribute.value_type {
        ValueType::Text => Some(AttrValue::Text(text.into())),
        ValueType::Code => Some(AttrValue::Code(text.into())),
        ValueType::Decimal => Some(AttrValue::Decimal(text.into())),
        ValueType::Date => date::parse(DateFormat::Iso, &text).map(AttrValue::Date),
        ValueType::Int => text.parse().ok().map(AttrValue::Int),
        ValueType::Bool => text.parse().ok().map(AttrValue::Bool),
        ValueType::Unit => None,
    };
    let value = value.ok_or_else(|| format!("the value stated for {:?} does not fit it", stated.attribute))?;
    Ok((attribute.id, value))
}

/// Compiles a condition whose path starts at this message type, or at the record with "/".
pub(crate) fn compile_condition(
    at: Place<'_>,
    plan: &Plan,
    message: u32,
    stated: &options::Condition,
) -> Result<Condition, ContractError> {
    let (from_record, text) = match stated.field.strip_prefix('/') {
        Some(text) => (true, text),
        None => (false, stated.field.as_str()),
    };
    let path = plan
        .path_from(if from_record { 0 } else { message }, text)
        .map_err(|source| at.path("condition.field", source))?;
    if !matches!(path.leaf().cardinality(), Cardinality::Singular { .. }) {
        return Err(at.problem(format!("condition on {text:?}: a repeated field has no one value")));
    }
    let expected = |texts: &[String]| -> Result<Vec<Expected>, ContractError> {
        texts.iter().map(|value| compile_expected(&path, value).map_err(|problem| at.problem(problem))).collect()
    };
    let (any_of, none_of) = (expected(&stated.r#in)?, expected(&stated.not_in)?);
    Ok(Condition { from_record, path, any_of, none_of })
}

fn compile_expected(path: &validate::Path, value: &str) -> Result<Expected, String> {
    let expected = match path.leaf().kind() {
        FieldKind::String => Some(Expected::Text(value.to_owned())),
        FieldKind::Bool => value.parse().ok().map(Expected::Bool),
        FieldKind::Bytes | FieldKind::Float | FieldKind::Double | FieldKind::Message(_) | FieldKind::Group(_) => None,
        _ => value.parse().ok().map(Expected::Number),
    };
    expected.ok_or_else(|| {
        format!("condition on {:?}: {value:?} is no value of that field (of an enum, write the number)", path.text())
    })
}

impl Condition {
    /// Whether it holds for this mention (or record) of this record.
    pub(crate) fn holds(&self, mention: &Msg<'_>, record: &Msg<'_>) -> bool {
        let value = self.path.read(if self.from_record { record } else { mention });
        let equal = |expected: &Expected| match expected {
            Expected::Text(text) => value.and_then(Value::as_str).unwrap_or("") == text,
            Expected::Number(number) => value.and_then(Value::as_i64).unwrap_or(0) == *number,
            Expected::Bool(truth) => value.and_then(Value::as_bool).unwrap_or(false) == *truth,
        };
        (self.any_of.is_empty() || self.any_of.iter().any(equal)) && !self.none_of.iter().any(equal)
    }
}

/// A value as it was read from a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read<'a> {
    Text(&'a str),
    Date(PartialDate),
    Sex(Sex),
    Unit(UnitRef<'a>),
    Number(i64),
    Bool(bool),
}

impl Source {
    pub(crate) fn is_date(&self) -> bool {
        matches!(self, Source::Date(_) | Source::DateMessage)
    }

    /// What separates several values in one text.
    pub(crate) fn separator(&self) -> Option<&str> {
        match self {
            Source::Text { separator } => separator.as_deref(),
            _ => None,
        }
    }

    fn is_unit(&self) -> bool {
        matches!(self, Source::UnitMessage | Source::UnitText { .. } | Source::UnitWithVersionIn { .. })
    }

    fn is_text(&self) -> bool {
        matches!(self, Source::Text { .. } | Source::TextMessage)
    }

    fn gives(&self, value_type: ValueType) -> bool {
        match value_type {
            ValueType::Text | ValueType::Decimal => {
                self.is_text() || matches!(self, Source::Number | Source::Enum { .. })
            }
            ValueType::Code => {
                self.is_text() || matches!(self, Source::Number | Source::Enum { .. } | Source::Sex { .. })
            }
            ValueType::Date => self.is_date(),
            ValueType::Unit => self.is_unit(),
            ValueType::Int => matches!(self, Source::Number),
            ValueType::Bool => matches!(self, Source::Bool),
        }
    }

    /// Reads one value; `None` when the field holds none of the expected shape.
    #[inline]
    pub(crate) fn read<'a>(&'a self, value: &Value<'a>, parent: &Msg<'a>) -> Option<Read<'a>> {
        match self {
            Source::Text { .. } => filled(value.as_str()).map(Read::Text),
            Source::Date(format) => date::parse(*format, value.as_str()?).map(Read::Date),
            Source::DateMessage => date_message(value.as_msg()?).map(Read::Date),
            Source::Sex { male, female } => read_sex(male, female, value).map(Read::Sex),
            Source::UnitMessage => {
                let unit = value.as_msg()?;
                unit_ref(unit.get(1)?.as_str()?, unit.get(2)?.as_str()?).map(Read::Unit)
            }
            Source::UnitText { list_version } => unit_ref(value.as_str()?, list_version).map(Read::Unit),
            Source::UnitWithVersionIn { version_field } => {
                unit_ref(value.as_str()?, parent.get(*version_field)?.as_str()?).map(Read::Unit)
            }
            Source::TextMessage => filled(value.as_msg()?.get(1)?.as_str()).map(Read::Text),
            Source::Number => value.as_i64().map(Read::Number),
            Source::Bool => value.as_bool().map(Read::Bool),
            Source::Enum { names } => {
                let number = value.as_enum()?;
                names.iter().find(|(declared, _)| *declared == number).map(|(_, name)| Read::Text(name))
            }
        }
    }
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn read_sex(male: &[String], female: &[String], value: &Value<'_>) -> Option<Sex> {
    let number;
    let text = match value.as_str() {
        Some(text) => text,
        None => {
            number = value.as_i64()?.to_string();
            &number
        }
    };
    if male.iter().any(|code| code == text) {
        return Some(Sex::Male);
    }
    female.iter().any(|code| code == text).then_some(Sex::Female)
}

fn date_message(date: &Msg<'_>) -> Option<PartialDate> {
    let part = |number| date.get(number).map_or(Some(0), Value::as_i64);
    PartialDate::new(u16::try_from(part(1)?).ok()?, u8::try_from(part(2)?).ok()?, u8::try_from(part(3)?).ok()?)
}

/// A unit that could stand in a list: a short code of letters and digits, with a list version.
fn unit_ref<'a>(code: &'a str, list_version: &'a str) -> Option<UnitRef<'a>> {
    let code_fits = (1..=UNIT_BYTES_MAX).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let version_fits =
        (1..=UNIT_BYTES_MAX).contains(&list_version.len()) && list_version.bytes().all(|byte| byte.is_ascii_graphic());
    (code_fits && version_fits).then_some(UnitRef { code, list_version })
}

impl Assert {
    /// The value to assert, if what was read has the attribute's shape.
    pub(crate) fn value<'a>(&self, read: &Read<'a>) -> Option<AttrValue<'a>> {
        if self.digits != 0 && !matches!(read, Read::Text(text) if is_digits(text, self.digits)) {
            return None;
        }
        Some(match (self.value_type, read) {
            (ValueType::Text, Read::Text(text)) => AttrValue::Text(Cow::Borrowed(text)),
            (ValueType::Text, Read::Number(number)) => AttrValue::Text(number.to_string().into()),
            (ValueType::Code, Read::Text(text)) => AttrValue::Code(Cow::Borrowed(text)),
            (ValueType::Code, Read::Number(number)) => AttrValue::Code(number.to_string().into()),
            (ValueType::Code, Read::Sex(sex)) => AttrValue::Code(Cow::Borrowed(sex.code())),
            (ValueType::Date, Read::Date(date)) => AttrValue::Date(*date),
            (ValueType::Unit, Read::Unit(unit)) => AttrValue::Unit(*unit),
            (ValueType::Int, Read::Number(number)) => AttrValue::Int(*number),
            (ValueType::Decimal, Read::Text(text)) if is_decimal(text) => AttrValue::Decimal(Cow::Borrowed(text)),
            (ValueType::Decimal, Read::Number(number)) => AttrValue::Decimal(number.to_string().into()),
            (ValueType::Bool, Read::Bool(value)) => AttrValue::Bool(*value),
            _ => return None,
        })
    }
}

/// Exactly this many decimal digits and nothing else.
pub(crate) fn is_digits(text: &str, count: u32) -> bool {
    text.len() == count as usize && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}
