//! What is served: the methods of an API by their paths.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor};

use crate::openapi::{self, Info};
use crate::{Options, Resumable, Validators};

/// The API's descriptors and the options do not fit each other.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The descriptors are none.
    #[error("the API's descriptors cannot be read")]
    Descriptors(#[source] prost_reflect::DescriptorError),
    /// An option names what the descriptors do not have.
    #[error("the API has no {0}")]
    Absent(String),
    /// Cursors of a stream's answers and requests are not of one type.
    #[error("the cursors of {0} are of two types")]
    CursorTypes(&'static str),
}

/// How a method is called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// One message, one answer.
    Unary,
    /// One message, a stream of answers.
    Events(Option<Cursor>),
    /// It takes a stream.
    GrpcOnly,
}

/// Where a stream's cursor stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) told: Vec<FieldDescriptor>,
    pub(crate) asked: FieldDescriptor,
}

/// A method.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    pub(crate) descriptor: MethodDescriptor,
    pub(crate) shape: Shape,
    /// The answer's field that tells its basis, when answers have validators.
    pub(crate) basis: Option<FieldDescriptor>,
}

/// The methods of an API, and its description.
#[derive(Debug)]
pub struct Api {
    methods: BTreeMap<String, Method>,
    pub(crate) options: Options,
    pub(crate) volatile: BTreeSet<FieldName>,
    pub(crate) description: Bytes,
    pub(crate) description_tag: String,
}

/// Full name of a field.
pub(crate) type FieldName = String;

impl Api {
    /// All services of a serialised `FileDescriptorSet`, described by `info`.
    ///
    /// # Errors
    /// The descriptors cannot be read, or do not have what the options name.
    pub fn new(descriptors: &[u8], options: Options, info: &Info) -> Result<Self, ApiError> {
        let pool = DescriptorPool::decode(descriptors).map_err(ApiError::Descriptors)?;
        let mut methods = BTreeMap::new();
        for descriptor in pool.services().flat_map(|service: ServiceDescriptor| service.methods().collect::<Vec<_>>()) {
            let method = Method::new(descriptor, &options)?;
            methods.insert(method.path(), method);
        }
        for resumable in &options.resumable {
            if !methods.values().any(|method| method.descriptor.full_name() == resumable.method) {
                return Err(ApiError::Absent(resumable.method.to_owned()));
            }
        }
        let volatile = match &options.validators {
            Some(validators) => checked_names(&pool, validators)?,
            None => BTreeSet::new(),
        };
        let mut api = Self { methods, options, volatile, description: Bytes::new(), description_tag: String::new() };
        api.description = openapi::describe(&api, info).to_string().into();
        api.description_tag = format!("\"{}\"", &blake3::hash(&api.description).to_hex()[..32]);
        Ok(api)
    }

    /// The description that is served.
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    pub(crate) fn method(&self, path: &str) -> Option<&Method> {
        self.methods.get(path)
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = (&str, &Method)> {
        self.methods.iter().map(|(path, method)| (path.as_str(), method))
    }
}

fn checked_names(pool: &DescriptorPool, validators: &Validators) -> Result<BTreeSet<FieldName>, ApiError> {
    let absent = |name: &str| ApiError::Absent(name.to_owned());
    let basis = pool.get_message_by_name(validators.basis).ok_or_else(|| absent(validators.basis))?;
    for (_, field) in &validators.told {
        basis.get_field_by_name(field).ok_or_else(|| absent(field))?;
    }
    for name in &validators.volatile {
        let (message, field) = name.rsplit_once('.').ok_or_else(|| absent(name))?;
        let message = pool.get_message_by_name(message).ok_or_else(|| absent(name))?;
        message.get_field_by_name(field).ok_or_else(|| absent(name))?;
    }
    Ok(validators.volatile.iter().map(|name| (*name).to_owned()).collect())
}

impl Method {
    fn new(descriptor: MethodDescriptor, options: &Options) -> Result<Self, ApiError> {
        let resumable = options.resumable.iter().find(|known| known.method == descriptor.full_name());
        let shape = match (descriptor.is_client_streaming(), descriptor.is_server_streaming()) {
            (true, _) => Shape::GrpcOnly,
            (false, true) => Shape::Events(resumable.map(|known| cursor(&descriptor, known)).transpose()?),
            (false, false) => Shape::Unary,
        };
        let basis = options.validators.as_ref().filter(|_| shape == Shape::Unary);
        let basis = basis.and_then(|known| field_of_type(&descriptor.output(), known.basis));
        Ok(Self { descriptor, shape, basis })
    }

    /// Where it is served.
    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.descriptor.parent_service().full_name(), self.descriptor.name())
    }
}

fn field_of_type(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .fields()
        .find(|field| matches!(field.kind(), Kind::Message(of) if of.full_name() == name && !field.is_list()))
}

fn cursor(method: &MethodDescriptor, known: &Resumable) -> Result<Cursor, ApiError> {
    let absent = |name: &str| ApiError::Absent(format!("{name} of {}", known.method));
    let asked = method.input().get_field_by_name(known.asked).ok_or_else(|| absent(known.asked))?;
    let (mut message, mut told) = (Some(method.output()), Vec::new());
    for name in known.told {
        let field = message.and_then(|of| of.get_field_by_name(name)).ok_or_else(|| absent(name))?;
        message = match field.kind() {
            Kind::Message(of) => Some(of),
            _ => None,
        };
        told.push(field);
    }
    let last = told.last().ok_or_else(|| absent("cursor"))?;
    let entries = |field: &FieldDescriptor| match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => {
            format!("{:?} to {:?}", entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind())
        }
        kind => format!("{:?}, {:?}", kind, field.cardinality()),
    };
    if entries(last) != entries(&asked) {
        return Err(ApiError::CursorTypes(known.method));
    }
    Ok(Cursor { told, asked })
}
