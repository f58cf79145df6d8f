//! What the log holds beyond the heads when the door opens: a retry must find it, as it would have before the restart.

use event_log::{EventLog, StreamSet};
use record::entry::BodyError;
use record::{Entry, EntryKind, Envelope, Index, KeyTree, LogSecret, Position, Positions, StatementHash, Stream};

use crate::rejected::ScanError;
use crate::unfolded::{Identity, Unfolded};

const READ_ENTRIES: usize = 4_096;
const READ_BYTES: usize = 8 << 20;

/// Reads the changes from `folded` up to `ends` into the index, of each partition no more than its share of the index's bound. Blocks on the
/// disk.
pub(crate) fn load(
    unfolded: &Unfolded,
    log: &EventLog,
    secret: &LogSecret,
    folded: &Positions,
    ends: &Positions,
) -> Result<(), ScanError> {
    let ends = ends.of(Stream::Change);
    let share = unfolded.max() as u64 / u64::from(log.partitions().change.max(1));
    let from: Positions = ends
        .iter()
        .map(|(stream, partition, end)| {
            let begin = folded.get(stream, partition).0.max(end.0.saturating_sub(share));
            (stream, partition, Index(begin))
        })
        .collect();
    if from == ends {
        return Ok(());
    }
    let keys = secret.keys();
    let mut reader = log.reader(&from, StreamSet::empty().with(Stream::Change))?;
    while !reader.positions().covers_all(&ends) {
        let batch = reader.next_batch(READ_ENTRIES, READ_BYTES)?;
        if batch.entries.is_empty() {
            break;
        }
        let mut found = Vec::with_capacity(batch.entries.len());
        for logged in &batch.entries {
            found.extend(stated(&logged.bytes, logged.position, &keys)?);
        }
        unfolded.remember(found);
    }
    Ok(())
}

/// What an entry states, and where; nothing when it is no change, or of an erased record.
fn stated(
    bytes: &[u8],
    position: Position,
    keys: &KeyTree,
) -> Result<Option<(Identity, StatementHash, Position)>, ScanError> {
    let entry = Entry::decode(bytes)?;
    match entry.header.kind {
        EntryKind::Upsert | EntryKind::Retract => {}
        EntryKind::Control | EntryKind::Access | EntryKind::Rejected | EntryKind::RejectedClosed => return Ok(None),
    }
    let identity = (entry.header.record, entry.header.epoch, entry.header.version);
    let body = match entry.body(keys) {
        Ok(body) => body,
        Err(BodyError::Erased) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let statement = Envelope::decode(&body)?.statement_hash();
    Ok(Some((identity, statement, position)))
}
