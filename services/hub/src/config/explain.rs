//! The commented default file, made from the table of keys.

use std::fmt::Write;

use super::Config;
use super::section::{Bounds, Key};

const HEAD: &str = "\
# Configuration of the National Data-Sharing Hub. Every key is optional and shown with its default.
# Check a file of your own with: hub config check FILE
";

/// Writes a configuration as a file with every key, its meaning, bounds, unit and value.
pub fn explain(config: &Config) -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for key in config.keys() {
        if key.section != section {
            section = key.section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push('\n');
        text.push_str(&explain_key(&key));
    }
    text
}

fn explain_key(key: &Key) -> String {
    let mut text = String::new();
    for line in key.doc {
        writeln!(text, "#{line}").expect("writing to a String does not fail");
    }
    if !matches!(key.bounds, Bounds::Any | Bounds::Text) {
        writeln!(text, "# ({})", key.bounds).expect("writing to a String does not fail");
    }
    let line = match (&key.value, key.bounds) {
        (Some(value), _) => writeln!(text, "{} = {value}", key.name),
        (None, Bounds::Optional { example }) => writeln!(text, "# {} = {example}", key.name),
        (None, _) => writeln!(text, "# {} is absent", key.name),
    };
    line.expect("writing to a String does not fail");
    text
}
