//! How one section of the configuration is declared: struct, default, documentation and bounds from one place.

use serde::Serialize;

/// What a key's value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bounds {
    /// Whatever its type allows.
    Any,
    /// A whole number between two bounds, both included, in a unit.
    Whole {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// What is counted.
        unit: &'static str,
    },
    /// A share between 0 and 1, both included.
    Share,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any of these words, in a list.
    SomeOf(&'static [&'static str]),
    /// Text that is not empty.
    Text,
    /// Optional: absent by default, as in this example.
    Optional {
        /// What the value may look like.
        example: &'static str,
    },
}

impl Bounds {
    /// What is wrong with `value`; `None` when it fits.
    pub fn violation(self, value: &toml::Value) -> Option<String> {
        match self {
            Self::Any | Self::Optional { .. } => None,
            Self::Whole { min, max, .. } => {
                let fits = value.as_integer().is_some_and(|number| (min..=max).contains(&number));
                (!fits).then(|| format!("must be {self}"))
            }
            Self::Share => {
                let fits = value.as_float().is_some_and(|share| (0.0..=1.0).contains(&share));
                (!fits).then(|| format!("must be {self}"))
            }
            Self::OneOf(words) => {
                let fits = value.as_str().is_some_and(|word| words.contains(&word));
                (!fits).then(|| format!("must be {self}"))
            }
            Self::SomeOf(words) => {
                let listed = |word: &toml::Value| word.as_str().is_some_and(|word| words.contains(&word));
                let fits = value.as_array().is_some_and(|list| list.iter().all(listed));
                (!fits).then(|| format!("must be {self}"))
            }
            Self::Text => value.as_str().is_none_or(str::is_empty).then(|| "must not be empty".to_owned()),
        }
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any | Self::Text => f.write_str("any text"),
            Self::Whole { min, max, unit } => write!(f, "{min} to {max} {unit}"),
            Self::Share => f.write_str("0.0 to 1.0"),
            Self::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Self::SomeOf(words) => write!(f, "a list of {}", words.join(", ")),
            Self::Optional { .. } => f.write_str("optional, absent by default"),
        }
    }
}

/// One key with its present value.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Section, empty for keys of the file's top.
    pub section: &'static str,
    /// Name within the section.
    pub name: &'static str,
    /// What it means, line by line.
    pub doc: &'static [&'static str],
    /// What it may be.
    pub bounds: Bounds,
    /// What it is; `None` when absent.
    pub value: Option<toml::Value>,
}

impl Key {
    /// `section.name`, or the name alone at the file's top.
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }
}

pub(super) fn value_of(field: &impl Serialize) -> Option<toml::Value> {
    // The only value of a configuration that TOML cannot say is an absent one.
    toml::Value::try_from(field).ok()
}

macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident $section:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $bounds:expr; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $name {
            pub(super) fn keys(&self) -> Vec<crate::config::section::Key> {
                vec![$( crate::config::section::Key {
                    section: $section,
                    name: stringify!($field),
                    doc: &[$($doc),+],
                    bounds: $bounds,
                    value: crate::config::section::value_of(&self.$field),
                }, )+]
            }
        }
    };
}

pub(super) use section;
