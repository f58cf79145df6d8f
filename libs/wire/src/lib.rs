//! The API of `proto/hub/**` as tonic makes it. Only this crate and the handlers of the services see these types; a handler
//! turns them into the types of `record` at once.
#![allow(missing_docs, clippy::all)]

/// Publishing: `hub.ingest.v1`.
pub mod ingest {
    tonic::include_proto!("hub.ingest.v1");
}

/// Asking: `hub.query.v1`.
pub mod query {
    tonic::include_proto!("hub.query.v1");
}

/// Operating: `hub.admin.v1`.
pub mod admin {
    tonic::include_proto!("hub.admin.v1");
}

/// Auditing: `hub.audit.v1`.
pub mod audit {
    tonic::include_proto!("hub.audit.v1");
}

mod answer;

pub use answer::search_bytes;

/// The API's descriptors, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.binpb"));
