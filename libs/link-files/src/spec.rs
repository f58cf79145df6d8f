//! What is compared and how: written by a person, or guessed and saved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A person's name of any shape, or any other short name: letter by letter and token by token.
    Name,
    /// A date in any common format, also with an unknown month or day.
    Date,
    /// An address: tokens by their rarity, numbers exact.
    Address,
    /// An organisation, a venue, a brand: tokens by their rarity, abbreviations allowed.
    Organisation,
    /// Free text, titles, lists of authors: tokens by their rarity.
    Text,
    /// A telephone number.
    Phone,
    /// An e-mail address.
    Email,
    /// A quantity: a price, a year, an age.
    Number,
    /// An exact code: an identifier, a postcode, a category.
    Code,
    /// A point on earth, `latitude,longitude` in degrees.
    Point,
}

impl Kind {
    /// Whether the comparison weighs tokens.
    pub fn has_tokens(self) -> bool {
        matches!(self, Kind::Address | Kind::Organisation | Kind::Text)
    }
}

/// One compared column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Name of the column; for a point in two columns, that of the latitude.
    pub name: String,
    /// How it is compared.
    pub kind: Kind,
    /// For a point in two columns, the column of the longitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<String>,
    /// A column whose value may stand in this one and the other way round, as given name and surname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swaps_with: Option<String>,
}

/// Whether a record may have several partners in the other file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partners {
    /// A file whose own records hardly repeat gives at most one record to a cluster; learned from the files.
    #[default]
    Learned,
    /// At most one record of each file in a cluster.
    One,
    /// Any number.
    Many,
}

/// What is compared and how. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Least match weight of a link in bits; the one of best expected F1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_bits: Option<i32>,
    /// Partners of a record in the other file.
    #[serde(default)]
    pub partners: Partners,
    /// Columns that are not compared.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Blocking keys, each a list of `column:part`; chosen from the data when empty.
    #[serde(default)]
    pub keys: Vec<Vec<String>>,
    /// The compared columns.
    #[serde(default, rename = "column")]
    pub columns: Vec<ColumnSpec>,
}

/// Largest threshold of a spec, in bits, either way.
const THRESHOLD_MAX: i32 = 200;

impl Spec {
    /// Reads a spec (TOML).
    ///
    /// # Errors
    /// It is not TOML, has an unknown key, or contradicts itself.
    pub fn from_toml(text: &str) -> Result<Spec, Error> {
        let spec: Spec = toml::from_str(text).map_err(|error| Error::Spec(error.to_string()))?;
        spec.check()?;
        Ok(spec)
    }

    /// The spec as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a spec has only tables, lists, texts and whole numbers")
    }

    fn check(&self) -> Result<(), Error> {
        let mut uses: BTreeMap<&str, u32> = BTreeMap::new();
        for column in &self.columns {
            *uses.entry(&column.name).or_default() += 1;
        }
        if let Some((name, _)) = uses.iter().find(|(_, uses)| **uses > 1) {
            return Err(Error::Spec(format!("column '{name}' is listed twice")));
        }
        if let Some(name) = self.ignore.iter().find(|name| uses.contains_key(name.as_str())) {
            return Err(Error::Spec(format!("column '{name}' is both compared and ignored")));
        }
        for column in &self.columns {
            if column.longitude.is_some() && column.kind != Kind::Point {
                return Err(Error::Spec(format!("column '{}': only a point has a longitude", column.name)));
            }
            if let Some(other) = column.swaps_with.as_deref().filter(|other| !uses.contains_key(other)) {
                return Err(Error::Spec(format!("column '{}' swaps with '{other}', which is not listed", column.name)));
            }
        }
        match self.threshold_bits.filter(|bits| bits.abs() > THRESHOLD_MAX) {
            Some(bits) => Err(Error::Spec(format!("threshold_bits is {bits}; it may be -200 to 200"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_round_trips_and_refuses_contradictions() {
        let text = "ignore = [\"note\"]\n[[column]]\nname = \"dob\"\nkind = \"date\"\n";
        let spec = Spec::from_toml(text).expect("a spec");
        assert_eq!(Spec::from_toml(&spec.to_toml()).expect("own text"), spec);
        for wrong in [
            "colour = 1",
            "ignore = [\"dob\"]\n[[column]]\nname = \"dob\"\nkind = \"date\"",
            "[[column]]\nname = \"a\"\nkind = \"date\"\n[[column]]\nname = \"a\"\nkind = \"name\"",
            "[[column]]\nname = \"a\"\nkind = \"name\"\nswaps_with = \"b\"",
            "[[column]]\nname = \"a\"\nkind = \"name\"\nlongitude = \"b\"",
            "threshold_bits = 5000",
        ] {
            assert!(matches!(Spec::from_toml(wrong), Err(Error::Spec(_))), "{wrong}");
        }
    }
}
