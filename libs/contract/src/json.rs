//! Records as JSON, for people and for publishers that have no protobuf.

use serde_json::Value as Json;
use validate::{DecodeError, JsonError, Limits};

use crate::compile::Contract;
use crate::error::UnknownRecordType;

/// A record that cannot be turned from or into JSON.
#[derive(Debug, thiserror::Error)]
pub enum BodyJsonError {
    /// The contract has no such record type.
    #[error(transparent)]
    RecordType(#[from] UnknownRecordType),
    /// The document is no record of this type.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The bytes are no record of this type.
    #[error("the record cannot be decoded")]
    Decode(#[from] DecodeError),
    /// JSON cannot express a value of the record, such as a year beyond 9999.
    #[error("the record holds a value that JSON cannot express")]
    Inexpressible,
}

impl Contract {
    /// The wire bytes of a record given as JSON, with field names as in the `.proto` file or in
    /// lowerCamelCase. Keys that are no fields are refused.
    ///
    /// # Errors
    ///
    /// When there is no such record type, or the document is no record of it.
    pub fn json_to_body(&self, record_type: &str, json: &Json) -> Result<Vec<u8>, BodyJsonError> {
        Ok(self.record_type(record_type)?.plan().from_json(json)?)
    }

    /// A record as JSON, with field names as in the `.proto` file.
    ///
    /// # Errors
    ///
    /// When there is no such record type, or the bytes are no record of it.
    pub fn body_to_json(&self, record_type: &str, body: &[u8]) -> Result<Json, BodyJsonError> {
        let plan = self.record_type(record_type)?.plan();
        let msg = plan.decode(body, &Limits::default())?;
        plan.to_json_proto_names(&msg).ok_or(BodyJsonError::Inexpressible)
    }
}
