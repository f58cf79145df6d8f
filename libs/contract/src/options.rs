//! The hub's options as they stand in a descriptor set.

use prost::Message;
use prost_reflect::DynamicMessage;

#[allow(missing_docs, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/hub.contract.v1.rs"));
}
pub(crate) use generated::*;

/// Extensions of `google.protobuf.FileOptions`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OnFile {
    #[prost(message, optional, tag = "50001")]
    pub register: Option<Register>,
}

/// Extensions of `google.protobuf.MessageOptions`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OnMessage {
    #[prost(message, optional, tag = "50002")]
    pub record_type: Option<RecordType>,
    #[prost(message, optional, tag = "50003")]
    pub kind: Option<Kind>,
    #[prost(message, repeated, tag = "50004")]
    pub rules: Vec<RuleClass>,
}

/// Extensions of `google.protobuf.FieldOptions`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OnField {
    #[prost(message, optional, tag = "50011")]
    pub field: Option<Field>,
    #[prost(message, optional, tag = "50012")]
    pub attribute: Option<Attribute>,
}

/// Reads the hub's extensions from options, whatever the set's own copy of the options file says.
pub(crate) fn read<T: Message + Default>(options: &DynamicMessage) -> Result<T, prost::DecodeError> {
    T::decode(options.encode_to_vec().as_slice())
}
