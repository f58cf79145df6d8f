//! Receipts in files: as `hub publish --receipts` keeps them, as answers over HTTP hold them, and as `docs/proofs.md` encodes them.

use ledger::Receipt;
use prost::Message;
use record::{EntryHash, Index, Partition, Position, Stream};
use serde_json::{Value as Json, json};
use wire::ingest::{BatchResult, PublishBatchResponse, outcome};

use crate::answers::{as_json, from_json};

/// A receipt with what its file says of it. Only the receipt itself is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Line of the file, from 1.
    pub line: usize,
    /// Which change it is of, as whoever kept it noted; empty where nobody did.
    pub change: String,
    /// The receipt.
    pub receipt: Receipt,
}

/// Why a file holds no receipts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A line is none of the forms.
    #[error("line {0}: neither a receipt with its signed_root, nor an answer to a batch")]
    Line(usize),
    /// A part of a receipt has another length or form.
    #[error("line {0}: the receipt's {1} is not whole")]
    Part(usize, &'static str),
    /// Nothing in it.
    #[error("the file holds no receipt")]
    Empty,
}

/// A line of the file that `hub publish --receipts` writes.
pub fn line(register: &str, record_id: &str, version: u64, receipt: &wire::ingest::Receipt, signed_root: &str) -> Json {
    json!({
        "register": register,
        "record_id": record_id,
        "version": version,
        "receipt": as_json("hub.ingest.v1.Receipt", receipt),
        "signed_root": signed_root,
    })
}

/// Every receipt of a file.
///
/// # Errors
/// [`Malformed`].
pub fn read(bytes: &[u8]) -> Result<Vec<Kept>, Malformed> {
    if let Ok(receipt) = Receipt::decode(bytes) {
        return Ok(vec![Kept { line: 1, change: String::new(), receipt }]);
    }
    // One JSON value over several lines is one answer.
    if let Ok(json) = serde_json::from_slice::<Json>(bytes) {
        return some(of_json(1, &json)?);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Line(1))?;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let json = serde_json::from_str(line).map_err(|_| Malformed::Line(at + 1))?;
        found.extend(of_json(at + 1, &json)?);
    }
    some(found)
}

fn some(found: Vec<Kept>) -> Result<Vec<Kept>, Malformed> {
    if found.is_empty() { Err(Malformed::Empty) } else { Ok(found) }
}

fn of_json(line: usize, json: &Json) -> Result<Vec<Kept>, Malformed> {
    let signed_root = ["signed_root", "signedRoot"].iter().find_map(|name| json[*name].as_str());
    if let (Some(receipt), Some(signed_root)) = (json.get("receipt"), signed_root) {
        let bytes = from_json(&["hub.ingest.v1.Receipt"], receipt).ok_or(Malformed::Line(line))?;
        let receipt = wire::ingest::Receipt::decode(bytes.as_slice()).map_err(|_| Malformed::Line(line))?;
        let text = |name: &str| json[name].as_str().unwrap_or_default();
        let change = match json["version"].as_u64() {
            Some(version) => format!("{} {} version {version}", text("register"), text("record_id")),
            None => String::new(),
        };
        return Ok(vec![Kept { line, change, receipt: of_wire(line, receipt, signed_root)? }]);
    }
    let bytes = from_json(&["hub.ingest.v1.PublishBatchResponse"], json)
        .and_then(|bytes| PublishBatchResponse::decode(bytes.as_slice()).ok())
        .and_then(|response| response.result);
    let result = match bytes {
        Some(result) => result,
        None => from_json(&["hub.ingest.v1.BatchResult"], json)
            .and_then(|bytes| BatchResult::decode(bytes.as_slice()).ok())
            .ok_or(Malformed::Line(line))?,
    };
    let receipts = result.outcomes.into_iter().filter_map(|outcome| match outcome.outcome {
        Some(outcome::Outcome::Accepted(accepted)) => accepted.receipt,
        _ => None,
    });
    let kept =
        |receipt| Ok(Kept { line, change: String::new(), receipt: of_wire(line, receipt, &result.signed_root)? });
    receipts.map(kept).collect()
}

fn of_wire(line: usize, receipt: wire::ingest::Receipt, signed_root: &str) -> Result<Receipt, Malformed> {
    let part = |what| Malformed::Part(line, what);
    let at = receipt.position.ok_or(part("position"))?;
    let stream = Stream::ALL.into_iter().find(|stream| stream.name() == at.stream).ok_or(part("position"))?;
    let partition = Partition(u16::try_from(at.partition).map_err(|_| part("position"))?);
    let path = receipt.path.iter().map(|hash| <[u8; 32]>::try_from(&hash[..]).map_err(|_| part("path")));
    Ok(Receipt {
        position: Position { stream, partition, index: Index(at.index) },
        entry: EntryHash(<[u8; 32]>::try_from(&receipt.entry_hash[..]).map_err(|_| part("entry hash"))?),
        leaf_index: receipt.leaf_index,
        leaf_count: receipt.leaf_count,
        path: path.collect::<Result<_, _>>()?,
        signed_root: signed_root.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use ledger::{ReceiptBatch, SigningKey};
    use wire::ingest::{Accepted, Outcome};

    use super::*;

    fn receipt() -> (wire::ingest::Receipt, String) {
        let key = SigningKey::new("hub.test/log", &[1; 32]).expect("a name");
        let at = |index: u64| Position { stream: Stream::Change, partition: Partition(3), index: Index(index) };
        let batch = ReceiptBatch::sign(&key, "hub.test/log", (0..5).map(|n| (at(n), EntryHash([n as u8; 32]))));
        let receipt = wire::ingest::Receipt {
            position: Some(wire::ingest::Position { stream: "change".into(), partition: 3, index: 2 }),
            entry_hash: vec![2; 32],
            leaf_index: 2,
            leaf_count: 5,
            path: batch.path(2).iter().map(|hash| hash.to_vec()).collect(),
        };
        (receipt, batch.signed_root().to_owned())
    }

    #[test]
    fn every_form_of_a_receipt_reads_as_the_same_and_verifies() {
        let (wire, signed_root) = receipt();
        let kept = line("civil", "KS-1", 7, &wire, &signed_root).to_string();
        let result = BatchResult {
            sequence: 1,
            outcomes: vec![Outcome {
                outcome: Some(outcome::Outcome::Accepted(Accepted { receipt: Some(wire), findings: vec![] })),
            }],
            signed_root,
        };
        let answer = as_json("hub.ingest.v1.BatchResult", &result).to_string();
        let response = PublishBatchResponse { result: Some(result) };
        let response = serde_json::to_string_pretty(&as_json("hub.ingest.v1.PublishBatchResponse", &response));
        let of_line = read(format!("{kept}\n{kept}\n").as_bytes()).expect("two lines");
        assert_eq!((of_line.len(), of_line[1].line, of_line[0].change.as_str()), (2, 2, "civil KS-1 version 7"));
        let first = &of_line[0].receipt;
        for form in [answer.as_bytes(), response.expect("text").as_bytes(), &first.encode()] {
            assert_eq!(read(form).expect("a receipt")[0].receipt, *first);
        }
        let key = SigningKey::new("hub.test/log", &[1; 32]).expect("a name");
        assert_eq!(first.verify(key.verifier(), "hub.test/log"), Ok(()));
    }

    #[test]
    fn what_is_no_receipt_is_told_with_its_line() {
        assert_eq!(read(b""), Err(Malformed::Empty));
        assert_eq!(read(b"{}\nx\n"), Err(Malformed::Line(2)));
        assert_eq!(read(b"{\"receipt\":{\"position\":{}},\"signed_root\":\"\"}"), Err(Malformed::Part(1, "position")));
    }
}
