//! Why the hub does not answer, as typed values with stable codes.

use std::fmt;

use thiserror::Error;

use crate::action::Action;

/// A refusal that tells the caller what to do. Its [`code`](Refusal::code) is stable and goes into the access entry.
///
/// No variant holds a case number, a key or a value; names that came from the caller pass through
/// [`ShownName`], which shows nothing but well-formed names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request names no procedure or no case number.
    #[error("the request names no purpose: send the procedure code and the case number")]
    PurposeMissing,
    /// The case number is too long or holds control characters.
    #[error("the case number must be 1 to 128 printable characters")]
    CaseMalformed,
    /// The request lists no fields.
    #[error("the request lists no fields: name each attribute that the case needs")]
    FieldsMissing,
    /// No grant covers the caller's certificate identity.
    #[error("this certificate has no grant: ask the hub's operator to register the caller")]
    CallerUnknown,
    /// No procedure profile has that code.
    #[error("procedure {procedure} is not known: list the profiles for valid codes")]
    ProcedureUnknown {
        /// The code as sent, if well formed.
        procedure: ShownName,
    },
    /// No kind of subject has that name.
    #[error("kind {kind} is not known: the kinds are person and parcel, and any that a contract added")]
    KindUnknown {
        /// The name as sent, if well formed.
        kind: ShownName,
    },
    /// Some fields are not attributes of the kind.
    #[error("not attributes of the kind: {}; use dotted names such as person.full_name", list(fields))]
    FieldsUnknown {
        /// The names as sent, if well formed.
        fields: Vec<ShownName>,
    },
    /// The caller's grant has no role that may do this.
    #[error("the caller may not {action}: ask the hub's operator for a role that includes it")]
    ActionNotGranted {
        /// What was asked.
        action: Action,
    },
    /// The caller does not serve this procedure.
    #[error("the caller's grant does not cover procedure {procedure}: apply for it, or use the portal that serves it")]
    ProcedureNotGranted {
        /// The procedure's code.
        procedure: ShownName,
    },
    /// The procedure, or the caller, has nothing to do with this kind of subject.
    #[error("the caller's grant does not cover kind {kind}")]
    KindNotGranted {
        /// The kind.
        kind: ShownName,
    },
    /// Some fields are more than the procedure needs.
    #[error("the procedure does not need: {}; ask again without them", list(fields))]
    FieldsNotInProcedure {
        /// Which fields.
        fields: Vec<ShownName>,
    },
    /// Some fields are of a sensitivity class that the caller was not granted.
    #[error(
        "the caller was not granted the sensitivity class of: {}; ask again without them, or apply for the class",
        list(fields)
    )]
    SensitivityNotGranted {
        /// Which fields.
        fields: Vec<ShownName>,
    },
    /// The subject lies outside the rows that the caller may see (another commune, another case).
    #[error("the subject is outside the rows that the caller may see: use the portal that is competent for it")]
    RowOutsideScope,
    /// The caller may not write this record type of this register.
    #[error(
        "the caller may not publish {record_type} to register {register}: check the certificate, or ask the hub's operator"
    )]
    PublishNotGranted {
        /// The register.
        register: ShownName,
        /// The record type.
        record_type: ShownName,
    },
    /// A policy could not be evaluated; what cannot be decided is refused.
    #[error("a policy could not be evaluated: the hub's operator must correct the policy document")]
    PolicyFailed,
}

impl Refusal {
    /// The stable reason code, as in answers, access entries and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PurposeMissing => "purpose_missing",
            Self::CaseMalformed => "case_malformed",
            Self::FieldsMissing => "fields_missing",
            Self::CallerUnknown => "caller_unknown",
            Self::ProcedureUnknown { .. } => "procedure_unknown",
            Self::KindUnknown { .. } => "kind_unknown",
            Self::FieldsUnknown { .. } => "field_unknown",
            Self::ActionNotGranted { .. } => "action_not_granted",
            Self::ProcedureNotGranted { .. } => "procedure_not_granted",
            Self::KindNotGranted { .. } => "kind_not_granted",
            Self::FieldsNotInProcedure { .. } => "field_not_in_procedure",
            Self::SensitivityNotGranted { .. } => "sensitivity_not_granted",
            Self::RowOutsideScope => "row_outside_scope",
            Self::PublishNotGranted { .. } => "publish_not_granted",
            Self::PolicyFailed => "policy_failed",
        }
    }

    /// The fields that were refused, empty when the refusal is not about fields.
    pub fn fields(&self) -> &[ShownName] {
        match self {
            Self::FieldsUnknown { fields }
            | Self::FieldsNotInProcedure { fields }
            | Self::SensitivityNotGranted { fields } => fields,
            Self::PurposeMissing
            | Self::CaseMalformed
            | Self::FieldsMissing
            | Self::CallerUnknown
            | Self::ProcedureUnknown { .. }
            | Self::KindUnknown { .. }
            | Self::ActionNotGranted { .. }
            | Self::ProcedureNotGranted { .. }
            | Self::KindNotGranted { .. }
            | Self::RowOutsideScope
            | Self::PublishNotGranted { .. }
            | Self::PolicyFailed => &[],
        }
    }
}

/// A name that a caller sent, safe to repeat. A field name may be a personal id or a person's name sent by mistake, so
/// anything but 1 to 64 characters of `a-z 0-9 . _ - /` without nine digits in a row shows as `(malformed)`; capitals
/// pass in a code only (`1.001193.000.00.00.H40`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShownName(Box<str>);

impl ShownName {
    pub(crate) fn new(name: &str) -> Self {
        let charset = name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_/".contains(&b));
        let longest_number = name.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
        let code_like = name.contains('.') && name.bytes().any(|b| b.is_ascii_digit());
        let plain = code_like || !name.bytes().any(|b| b.is_ascii_uppercase());
        let shown = (1..=64).contains(&name.len()) && charset && plain && longest_number < Some(9);
        Self(if shown { name } else { "(malformed)" }.into())
    }

    /// The name, or `(malformed)`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names shown in one message; a hostile request does not make a long one.
const SHOWN_MAX: usize = 16;

fn list(names: &[ShownName]) -> String {
    let mut shown: Vec<&str> = names.iter().take(SHOWN_MAX).map(ShownName::as_str).collect();
    if names.len() > SHOWN_MAX {
        shown.push("…");
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_personal_id_sent_as_a_field_name_is_not_repeated() {
        for value in ["099300001234", "Nguyễn Văn An", "an 1990", "", "0993.0000123456789", "NguyenVanAn"] {
            assert_eq!(ShownName::new(value).as_str(), "(malformed)", "{value}");
        }
        for value in ["person.full_name", "1.001193", "civil/birth", "1.001193.000.00.00.H40"] {
            assert_eq!(ShownName::new(value).as_str(), value);
        }
    }

    #[test]
    fn a_message_names_at_most_sixteen_fields() {
        let fields = (0..500).map(|i| ShownName::new(&format!("person.f{i}"))).collect();
        assert!(Refusal::FieldsUnknown { fields }.to_string().len() < 400);
    }
}
