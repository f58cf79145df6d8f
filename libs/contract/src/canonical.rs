//! The identity of a contract: what it says, not how its files were commented or bundled.

use std::collections::BTreeMap;

use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use prost_reflect::FileDescriptor;
use record::ContractId;

/// Field `source_code_info` of `google.protobuf.FileDescriptorProto`.
const SOURCE_CODE_INFO: u32 = 9;
const CONTEXT: &str = "national data hub 2026-11 contract id";

/// BLAKE3 over the register's file and all that it imports, by name, without source info.
pub(crate) fn id(register_file: &FileDescriptor) -> ContractId {
    let files = closure(register_file);
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for bytes in files.values() {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    ContractId(id)
}

/// The file and all that it imports, by name.
fn closure(file: &FileDescriptor) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![file.clone()];
    while let Some(file) = open.pop() {
        if !files.contains_key(file.name()) {
            files.insert(file.name().to_owned(), without_source_info(&file.encode_to_vec()));
            open.extend(file.dependencies());
        }
    }
    files
}

fn without_source_info(file: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(file.len());
    let mut rest = file;
    while !rest.is_empty() {
        let start = rest;
        let (tag, wire_type) = decode_key(&mut rest).expect("prost-reflect wrote the file");
        skip(wire_type, tag, &mut rest);
        if tag != SOURCE_CODE_INFO {
            kept.extend_from_slice(&start[..start.len() - rest.len()]);
        }
    }
    kept
}

fn skip(wire_type: WireType, tag: u32, rest: &mut &[u8]) {
    skip_field(wire_type, tag, rest, DecodeContext::default()).expect("prost-reflect wrote the file");
}
