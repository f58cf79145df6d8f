//! Reading and checking a configuration file. An error names line, key, and what to do.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file's text is wrong.
    #[error("{}:{fault}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// What is wrong where.
        fault: Fault,
    },
}

/// One thing that is wrong in a configuration's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// The key as `section.name`; absent when the text is no TOML.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.line, self.what),
            None => write!(f, "{}: {}", self.line, self.what),
        }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|fault| ConfigError::Fault { path: path.to_owned(), fault })
}

/// Reads a configuration from its text; absent keys have their defaults.
///
/// # Errors
/// The first fault.
pub fn parse(text: &str) -> Result<Config, Fault> {
    let document = DeTable::parse(text).map_err(|error| fault(text, error.span(), None, error.message()))?;
    let mut reader = Reader { text, places: BTreeMap::new(), sections: BTreeMap::new() };
    let top = reader.split(document)?;
    let config = Config {
        top: typed(text, "", top)?,
        grpc: reader.section("grpc")?,
        roles: reader.section("roles")?,
        peers: reader.section("peers")?,
        http: reader.section("http")?,
        tls: reader.section("tls")?,
        log: reader.section("log")?,
        log_kafka: reader.section("log.kafka")?,
        keys: reader.section("keys")?,
        admin: reader.section("admin")?,
        ledger: reader.section("ledger")?,
        store: reader.section("store")?,
        limits: reader.section("limits")?,
        quality: reader.section("quality")?,
        telemetry: reader.section("telemetry")?,
    };
    reader.check_bounds(&config)?;
    Ok(config)
}

struct Reader<'a> {
    text: &'a str,
    /// Where each key of the file stands.
    places: BTreeMap<String, Range<usize>>,
    sections: BTreeMap<String, Spanned<DeTable<'a>>>,
}

impl<'a> Reader<'a> {
    /// Takes the sections out and refuses unknown keys; what is left are the keys at the top.
    fn split(&mut self, document: Spanned<DeTable<'a>>) -> Result<Spanned<DeTable<'a>>, Fault> {
        let whole = document.span();
        let known = Config::default().keys();
        let top = self.take_sections(&known, "", document.into_inner())?;
        Ok(Spanned::new(whole, top))
    }

    /// Takes the sections out of a table; what is left are its own keys.
    fn take_sections(&mut self, known: &[super::Key], within: &str, table: DeTable<'a>) -> Result<DeTable<'a>, Fault> {
        let is_section = |name: &str| known.iter().any(|key| key.section == name);
        let mut own = DeTable::new();
        for (key, value) in table {
            let (name, span) = (key.get_ref().to_string(), key.span());
            let path = if within.is_empty() { name } else { format!("{within}.{name}") };
            if !is_section(&path) {
                self.place(known, path, span)?;
                own.insert(key, value);
                continue;
            }
            let place = value.span();
            let DeValue::Table(table) = value.into_inner() else {
                return Err(fault(self.text, Some(span), Some(path), "must be a section, as in [section]"));
            };
            let table = self.take_sections(known, &path, table)?;
            self.sections.insert(path, Spanned::new(place, table));
        }
        Ok(own)
    }

    fn place(&mut self, known: &[super::Key], path: String, span: Range<usize>) -> Result<(), Fault> {
        if !known.iter().any(|key| key.path() == path) {
            return Err(fault(self.text, Some(span), Some(path), "there is no such key"));
        }
        self.places.insert(path, span);
        Ok(())
    }

    fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> Result<T, Fault> {
        match self.sections.remove(name) {
            Some(table) => typed(self.text, name, table),
            None => Ok(T::default()),
        }
    }

    /// Defaults are within their bounds, so whatever is not stands in the file.
    fn check_bounds(&self, config: &Config) -> Result<(), Fault> {
        for key in config.keys() {
            let violation = key.value.as_ref().and_then(|value| key.bounds.violation(value));
            if let Some(what) = violation {
                return Err(fault(self.text, self.places.get(&key.path()).cloned(), Some(key.path()), &what));
            }
        }
        Ok(())
    }
}

fn typed<T: DeserializeOwned>(text: &str, section: &str, table: Spanned<DeTable<'_>>) -> Result<T, Fault> {
    let names: Vec<_> = table.get_ref().iter().map(|(key, value)| (key.get_ref().to_string(), value.span())).collect();
    T::deserialize(table.into_deserializer()).map_err(|error| {
        let span = error.span();
        let inside = |outer: &Range<usize>| span.as_ref().is_some_and(|span| outer.contains(&span.start));
        let name = names.iter().find(|(_, outer)| inside(outer)).map(|(name, _)| name);
        let key = name.map(|name| if section.is_empty() { name.clone() } else { format!("{section}.{name}") });
        fault(text, span, key, error.message())
    })
}

fn fault(text: &str, span: Option<Range<usize>>, key: Option<String>, what: &str) -> Fault {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
    Fault { line, key, what: what.trim().replace('\n', " ") }
}
