//! Rewrites descriptor files of edition 2023 as proto2, which is all that the descriptor pool
//! reads. Option bytes pass through untouched.

use std::borrow::Cow;
use std::collections::BTreeSet;

use prost::Message;

use crate::error::SchemaError;

/// A descriptor set without editions.
pub(crate) struct Normal<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Full names of fields with implicit presence in files that are now called proto2.
    pub(crate) implicit: BTreeSet<String>,
}

const EDITION_2023: i32 = 1000;
const PRESENCE_IMPLICIT: i32 = 2;
const PRESENCE_REQUIRED: i32 = 3;
const ENCODING_DELIMITED: i32 = 2;
const LABEL_OPTIONAL: i32 = 1;
const LABEL_REQUIRED: i32 = 2;
const TYPE_GROUP: i32 = 10;
const TYPE_MESSAGE: i32 = 11;

pub(crate) fn normalise(bytes: &[u8]) -> Result<Normal<'_>, SchemaError> {
    let mut set = FileSet::decode(bytes).map_err(SchemaError::Malformed)?;
    let mut implicit = BTreeSet::new();
    if set.files.iter().all(|file| file.syntax() != "editions") {
        return Ok(Normal { bytes: Cow::Borrowed(bytes), implicit });
    }
    for file in &mut set.files {
        if file.syntax() == "editions" {
            rewrite_file(file, &mut implicit)?;
        }
    }
    Ok(Normal { bytes: Cow::Owned(set.encode_to_vec()), implicit })
}

fn rewrite_file(file: &mut File, implicit: &mut BTreeSet<String>) -> Result<(), SchemaError> {
    let edition = file.edition.take().unwrap_or_default();
    if edition != EDITION_2023 {
        return Err(SchemaError::Edition { file: file.name().to_owned(), edition });
    }
    file.syntax = Some("proto2".to_owned());
    let features = Features::default().inherit(FileOptions::features(file.options.as_deref())?);
    let scope = file.package().to_owned();
    for field in &mut file.extensions {
        rewrite_field(field, &scope, features, false, implicit)?;
    }
    for message in &mut file.messages {
        rewrite_message(message, &scope, features, implicit)?;
    }
    Ok(())
}

fn rewrite_message(
    message: &mut MessageType,
    scope: &str,
    features: Features,
    implicit: &mut BTreeSet<String>,
) -> Result<(), SchemaError> {
    let features = features.inherit(MessageOptions::features(message.options.as_deref())?);
    let scope = match scope {
        "" => message.name().to_owned(),
        scope => format!("{scope}.{}", message.name()),
    };
    let map_entries: BTreeSet<String> = message
        .nested
        .iter()
        .filter(|nested| MessageOptions::is_map_entry(nested.options.as_deref()))
        .map(|nested| format!(".{scope}.{}", nested.name()))
        .collect();
    for field in &mut message.fields {
        let is_map = map_entries.contains(field.type_name());
        rewrite_field(field, &scope, features, is_map, implicit)?;
    }
    for field in &mut message.extensions {
        rewrite_field(field, &scope, features, false, implicit)?;
    }
    for nested in &mut message.nested {
        let entry = MessageOptions::is_map_entry(nested.options.as_deref());
        let features = if entry { Features::default() } else { features };
        rewrite_message(nested, &scope, features, implicit)?;
    }
    Ok(())
}

fn rewrite_field(
    field: &mut Field,
    scope: &str,
    features: Features,
    is_map: bool,
    implicit: &mut BTreeSet<String>,
) -> Result<(), SchemaError> {
    let features = features.inherit(FieldOptions::features(field.options.as_deref())?);
    if field.label == Some(LABEL_OPTIONAL) {
        let scalar = field.r#type != Some(TYPE_MESSAGE);
        match features.presence {
            PRESENCE_REQUIRED => field.label = Some(LABEL_REQUIRED),
            PRESENCE_IMPLICIT if scalar && field.oneof_index.is_none() => {
                implicit.insert(format!("{scope}.{}", field.name()));
            }
            _ => {}
        }
    }
    if features.encoding == ENCODING_DELIMITED && field.r#type == Some(TYPE_MESSAGE) && !is_map {
        field.r#type = Some(TYPE_GROUP);
    }
    Ok(())
}

/// The resolved features that matter here.
#[derive(Clone, Copy)]
struct Features {
    presence: i32,
    encoding: i32,
}

impl Default for Features {
    fn default() -> Self {
        Features { presence: 1, encoding: 1 }
    }
}

impl Features {
    fn inherit(self, own: Option<FeatureSet>) -> Self {
        let own = own.unwrap_or_default();
        Features { presence: own.presence.unwrap_or(self.presence), encoding: own.encoding.unwrap_or(self.encoding) }
    }
}

macro_rules! features_of {
    ($options:ident) => {
        impl $options {
            fn features(bytes: Option<&[u8]>) -> Result<Option<FeatureSet>, SchemaError> {
                let options = Self::decode(bytes.unwrap_or_default());
                Ok(options.map_err(SchemaError::Malformed)?.features)
            }
        }
    };
}

features_of!(FileOptions);
features_of!(MessageOptions);
features_of!(FieldOptions);

impl MessageOptions {
    fn is_map_entry(bytes: Option<&[u8]>) -> bool {
        bytes.is_some_and(|bytes| Self::decode(bytes).is_ok_and(|options| options.map_entry()))
    }
}

// What follows mirrors google/protobuf/descriptor.proto. Options and everything else that is not
// looked into stay bytes, so that extensions survive the rewrite.

#[derive(Clone, PartialEq, Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    files: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    package: Option<String>,
    #[prost(string, repeated, tag = "3")]
    dependencies: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    messages: Vec<MessageType>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    enums: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    services: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "7")]
    extensions: Vec<Field>,
    #[prost(bytes = "vec", optional, tag = "8")]
    options: Option<Vec<u8>>,
    #[prost(int32, repeated, packed = "false", tag = "10")]
    public_dependencies: Vec<i32>,
    #[prost(int32, repeated, packed = "false", tag = "11")]
    weak_dependencies: Vec<i32>,
    #[prost(string, optional, tag = "12")]
    syntax: Option<String>,
    #[prost(int32, optional, tag = "14")]
    edition: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct MessageType {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested: Vec<MessageType>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    enums: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    extension_ranges: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "6")]
    extensions: Vec<Field>,
    #[prost(bytes = "vec", optional, tag = "7")]
    options: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    oneofs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    reserved_ranges: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "10")]
    reserved_names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Field {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    extendee: Option<String>,
    #[prost(int32, optional, tag = "3")]
    number: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    label: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    r#type: Option<i32>,
    #[prost(string, optional, tag = "6")]
    type_name: Option<String>,
    #[prost(string, optional, tag = "7")]
    default_value: Option<String>,
    #[prost(bytes = "vec", optional, tag = "8")]
    options: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "9")]
    oneof_index: Option<i32>,
    #[prost(string, optional, tag = "10")]
    json_name: Option<String>,
    #[prost(bool, optional, tag = "17")]
    proto3_optional: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct FileOptions {
    #[prost(message, optional, tag = "50")]
    features: Option<FeatureSet>,
}

#[derive(Clone, PartialEq, Message)]
struct MessageOptions {
    #[prost(bool, optional, tag = "7")]
    map_entry: Option<bool>,
    #[prost(message, optional, tag = "12")]
    features: Option<FeatureSet>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldOptions {
    #[prost(message, optional, tag = "21")]
    features: Option<FeatureSet>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct FeatureSet {
    #[prost(int32, optional, tag = "1")]
    presence: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    encoding: Option<i32>,
}
