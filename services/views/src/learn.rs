//! A sample of the log's mentions, as linkage reads them: what a model epoch is learned from.

use event_log::{EventLog, StreamSet};
use hashbrown::HashMap;
use linkage::FeatureRow;
use projection::state::ControlState;
use record::{Entry, EntryKind, LogSecret, Positions, Pseudonym, Stream};

use crate::fold::{FoldError, read_change};

const ENTRIES: usize = 4096;
const BYTES: usize = 8 << 20;

/// Reads the changes within `positions` and keeps the rows of records that are drawn by their pseudonyms: at most `rows_max`, or
/// all when there are fewer. Of a record the last version counts. Memory grows with `rows_max` alone.
///
/// `progress` gets entries read and entries in all, and ends it by returning `false`; the result is `None` then.
///
/// # Errors
/// [`FoldError`] when the log cannot be read.
pub fn sample(
    log: &EventLog,
    positions: &Positions,
    control: &ControlState,
    secret: &LogSecret,
    rows_max: usize,
    mut progress: impl FnMut(u64, u64) -> bool,
) -> Result<Option<Vec<FeatureRow>>, FoldError> {
    let total = positions.of(Stream::Change).total();
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Change))?;
    let mut drawn = Drawn { records: HashMap::new(), rows: 0, share: u64::MAX };
    let mut read = 0;
    while read < total {
        let batch = reader.next_batch(ENTRIES, BYTES)?;
        if batch.entries.is_empty() {
            break;
        }
        read += batch.entries.len() as u64;
        for logged in batch.entries.iter().filter(|logged| positions.covers(logged.position)) {
            let position = logged.position;
            let entry = Entry::decode(&logged.bytes).map_err(|source| FoldError::Entry { position, source })?;
            let header = &entry.header;
            let Some(register) = &header.register else { continue };
            if !drawn.wants(header.record)
                || !control.counts(register, header.epoch, position.partition, position.index)
            {
                continue;
            }
            let rows = match header.kind {
                EntryKind::Upsert => read_change(control, secret, &entry, position)?,
                _ => Vec::new(),
            };
            drawn.put(header.record, rows, rows_max);
        }
        if !progress(read.min(total), total) {
            return Ok(None);
        }
    }
    Ok(Some(drawn.records.into_values().flatten().collect()))
}

/// Records whose pseudonym is below a share, which shrinks when there are too many of them.
struct Drawn {
    records: HashMap<Pseudonym, Vec<FeatureRow>>,
    rows: usize,
    share: u64,
}

impl Drawn {
    fn place(record: Pseudonym) -> u64 {
        u64::from_le_bytes(record.0[8..].try_into().expect("a pseudonym has 16 bytes"))
    }

    fn wants(&self, record: Pseudonym) -> bool {
        Self::place(record) <= self.share
    }

    fn put(&mut self, record: Pseudonym, rows: Vec<FeatureRow>, rows_max: usize) {
        self.rows += rows.len();
        let before = self.records.insert(record, rows);
        self.rows -= before.map_or(0, |rows| rows.len());
        while self.rows > rows_max && self.share > 0 {
            self.share /= 2;
            let share = self.share;
            self.records.retain(|record, _| Self::place(*record) <= share);
            self.rows = self.records.values().map(Vec::len).sum();
        }
    }
}
