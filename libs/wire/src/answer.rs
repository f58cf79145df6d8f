//! Answers as they are hashed into access entries, where the serialised message alone will not do.

use prost::Message as _;

use crate::query::SearchResponse;

/// A search's answer for its hash, whatever its basis: maps have no order in protobuf, so each hit's texts follow sorted behind the
/// rest, each after its length as a u32 (little-endian).
pub fn search_bytes(response: &SearchResponse) -> Vec<u8> {
    let mut rest = SearchResponse { basis: None, ..response.clone() };
    rest.hits.iter_mut().for_each(|hit| hit.masked.clear());
    let mut out = rest.encode_to_vec();
    for hit in &response.hits {
        let mut masked: Vec<_> = hit.masked.iter().collect();
        masked.sort();
        for text in masked.into_iter().flat_map(|(name, text)| [name, text]) {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}
