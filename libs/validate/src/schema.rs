//! A set of `.proto` files and the plans compiled from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use prost_reflect::{DescriptorPool, FieldDescriptor};

use crate::editions;
use crate::error::{PlanError, SchemaError};
use crate::plan::Plan;

/// A descriptor set, and a cache of the plans compiled from it.
#[derive(Debug)]
pub struct Schema {
    pool: DescriptorPool,
    /// Full names of fields that have no presence although the pool says so: an edition's implicit
    /// fields in a file that is otherwise read as proto2.
    implicit: BTreeSet<String>,
    plans: Mutex<BTreeMap<String, Arc<Plan>>>,
}

impl Schema {
    /// Reads an encoded `google.protobuf.FileDescriptorSet` with all imports. Options and their
    /// extensions are kept.
    ///
    /// # Errors
    ///
    /// When the bytes are no descriptor set, or its files do not fit together.
    pub fn from_file_descriptor_set(bytes: &[u8]) -> Result<Self, SchemaError> {
        let normal = editions::normalise(bytes)?;
        let pool = DescriptorPool::decode(normal.bytes.as_ref()).map_err(SchemaError::Inconsistent)?;
        Ok(Schema { pool, implicit: normal.implicit, plans: Mutex::new(BTreeMap::new()) })
    }

    /// The descriptors with their options.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The plan of a message type by full name, compiled at the first call.
    ///
    /// # Errors
    ///
    /// When the type is unknown or its rules cannot be compiled.
    pub fn plan(&self, message: &str) -> Result<Arc<Plan>, PlanError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(message) {
            return Ok(Arc::clone(plan));
        }
        let desc =
            self.pool.get_message_by_name(message).ok_or_else(|| PlanError::UnknownMessage(message.to_owned()))?;
        let plan = Arc::new(Plan::compile(self, desc)?);
        plans.insert(message.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }

    pub(crate) fn has_presence(&self, field: &FieldDescriptor) -> bool {
        field.supports_presence() && !self.implicit.contains(field.full_name())
    }
}
