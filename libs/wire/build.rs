//! Compiles the API from `proto/hub/{ingest,query,admin,audit}` with protox: no protoc is needed. What processes of one hub say to
//! each other (`peer`) is no part of the API: it is compiled by itself, and no descriptor of it is told to anybody.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let proto = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", proto.join("hub").display());
    let files = [
        "hub/ingest/v1/ingest.proto",
        "hub/query/v1/query.proto",
        "hub/admin/v1/admin.proto",
        "hub/audit/v1/audit.proto",
    ];
    let descriptors = protox::compile(files, [&proto])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("api.binpb"), descriptors.encode_to_vec())?;
    let texts = files.map(|name| format!("({name:?}, include_str!({:?})),", proto.join(name).display().to_string()));
    std::fs::write(out.join("texts.rs"), format!("&[{}]", texts.concat()))?;
    tonic_prost_build::configure().bytes(".hub.ingest.v1.Change.payload").compile_fds(descriptors)?;
    tonic_prost_build::configure().compile_fds(protox::compile(["hub/peer/v1/peer.proto"], [&proto])?)?;
    Ok(())
}
