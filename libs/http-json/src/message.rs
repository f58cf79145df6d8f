//! JSON to messages and back, by protobuf's canonical mapping.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use serde_json::error::Category;

use crate::Options;
use crate::problem::Problem;

/// Longest name of a field that an error repeats, in bytes.
const NAME_BYTES_MAX: usize = 128;
const UNKNOWN_FIELD: &str = "unrecognized field name '";

/// The message that a JSON text states. An empty text is the empty message.
pub(crate) fn from_json(of: &MessageDescriptor, text: &[u8], options: &Options) -> Result<DynamicMessage, Problem> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(DynamicMessage::new(of.clone()));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(of.clone(), tracked, &strict)
        .map_err(|error| refused(&error, &track.path().to_string(), options))?;
    json.end().map_err(|error| refused(&error, "", options))?;
    Ok(message)
}

/// What is wrong with a JSON text, without anything of its values.
fn refused(error: &serde_json::Error, path: &str, options: &Options) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Io | Category::Syntax | Category::Eof => {
            let what = format!("the body is no JSON at {place}: send one JSON object");
            return Problem::malformed(what, options);
        }
        Category::Data => {}
    }
    let path = if path == "." { "" } else { path };
    let said = error.to_string();
    if let Some(rest) = said.strip_prefix(UNKNOWN_FIELD) {
        let name = rest.rfind("' at line ").or_else(|| rest.rfind('\'')).map_or(rest, |end| &rest[..end]);
        let field = cut(&if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") });
        let what = "there is no such field: GET /openapi.json lists those that there are".to_owned();
        return Problem::field("field_unknown", &field, what, options);
    }
    // What serde expected is a text of the program; what it found may be a person's.
    let expected = said.rfind(", expected ").map(|at| &said[at + ", expected ".len()..]);
    let expected = expected.map(|text| text.rfind(" at line ").map_or(text, |end| &text[..end]));
    let what = match expected {
        Some(expected) => {
            format!("the value at {place} is not what it must be: send {}", expected.replace("a map", "an object"))
        }
        None => format!("the value at {place} is not what it must be: send what /openapi.json says"),
    };
    Problem::field("field_malformed", &cut(path), what, options)
}

fn cut(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

/// The message that these bytes are.
pub(crate) fn decode(of: &MessageDescriptor, bytes: Bytes, options: &Options) -> Result<DynamicMessage, Problem> {
    DynamicMessage::decode(of.clone(), bytes).map_err(|error| {
        tracing::error!(message = of.full_name(), %error, "an answer of the hub's own cannot be read");
        Problem::internal(options)
    })
}

/// A message as JSON. Fields without presence are shown also when they are empty, so that a reader need not know defaults.
pub(crate) fn to_json(message: &DynamicMessage, options: &Options) -> Result<Value, Problem> {
    let shown = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &shown).map_err(|error| {
        let name = message.encoded_len();
        tracing::error!(bytes = name, %error, "an answer has no JSON form");
        Problem::internal(options)
    })
}
