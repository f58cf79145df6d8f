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

/// Between processes of one hub: `hub.peer.v1`.
pub mod peer {
    tonic::include_proto!("hub.peer.v1");
}

mod answer;
mod time;

pub use answer::search_bytes;
pub use time::timestamp;

/// The API's `.proto` files: (path to import it by, text).
pub fn protos() -> &'static [(&'static str, &'static str)] {
    include!(concat!(env!("OUT_DIR"), "/texts.rs"))
}

/// The API's descriptors with comments, for server reflection and for the description of HTTP/JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.binpb"));
