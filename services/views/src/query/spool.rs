//! Records of a register in the order of their pseudonyms, however many there are: sorted in memory a run at a time, and merged
//! from a file that has no name any more.
//!
//! Views know records by pseudonyms, and a register knows its records by ids; to go through both side by side, one of them must be
//! put into the order of the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use record::Pseudonym;

/// Records of a run: about 20 MB of memory.
const RUN_RECORDS: usize = 1 << 18;
/// Bytes that a run reads ahead while runs are merged.
const READ_BYTES: usize = 1 << 15;
/// Bytes of a spooled record but for its id: pseudonym, version, whether it has a hash, hash, length of the id.
const FIXED_BYTES: usize = 16 + 8 + 1 + 32 + 1;
/// Bytes of an id, as the door bounds them.
const ID_BYTES_MAX: usize = 128;

/// A record as its register has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spooled {
    pub(super) record: Pseudonym,
    pub(super) version: u64,
    pub(super) hash: Option<[u8; 32]>,
    pub(super) id: String,
}

/// Takes records in any order.
pub(super) struct Spool {
    run: Vec<Spooled>,
    run_records: usize,
    file: File,
    /// Ends of the runs in the file.
    ends: Vec<u64>,
}

impl Spool {
    /// An empty one, whose file lies in `dir` and has no name: nothing of it outlasts the process.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = dir.join(format!("compare-{:016x}", u64::from_le_bytes(random)));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self { run: Vec::new(), run_records: RUN_RECORDS, file, ends: Vec::new() })
    }

    /// Takes one; its id has at most 128 bytes.
    pub(super) fn push(&mut self, spooled: Spooled) -> io::Result<()> {
        debug_assert!(spooled.id.len() <= ID_BYTES_MAX, "ids are checked before");
        self.run.push(spooled);
        if self.run.len() < self.run_records { Ok(()) } else { self.write_run() }
    }

    fn write_run(&mut self) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(self.run.len() * (FIXED_BYTES + 24));
        self.run.sort_unstable_by_key(|spooled| spooled.record);
        self.run.drain(..).for_each(|spooled| spooled.encode(&mut bytes));
        self.file.write_all(&bytes)?;
        self.ends.push(self.ends.last().copied().unwrap_or_default() + bytes.len() as u64);
        Ok(())
    }

    /// All of them, in order.
    pub(super) fn merge(mut self) -> io::Result<Merged> {
        self.run.sort_unstable_by_key(|spooled| spooled.record);
        let mut runs = vec![Run::Memory(std::mem::take(&mut self.run).into_iter())];
        let mut at = 0;
        for end in &self.ends {
            runs.push(Run::File { at, end: *end, ahead: Vec::new(), next: 0 });
            at = *end;
        }
        let mut merged = Merged { file: self.file, heads: BinaryHeap::new(), waiting: Vec::new(), runs };
        for run in 0..merged.runs.len() {
            merged.waiting.push(None);
            merged.advance(run)?;
        }
        Ok(merged)
    }
}

/// Records in order.
pub(super) struct Merged {
    file: File,
    runs: Vec<Run>,
    /// The first record of each run, by run.
    waiting: Vec<Option<Spooled>>,
    heads: BinaryHeap<Reverse<(Pseudonym, usize)>>,
}

enum Run {
    Memory(std::vec::IntoIter<Spooled>),
    File { at: u64, end: u64, ahead: Vec<u8>, next: usize },
}

impl Merged {
    /// The next one; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Spooled>> {
        let Some(Reverse((_, run))) = self.heads.pop() else { return Ok(None) };
        let spooled = self.waiting[run].take();
        self.advance(run)?;
        Ok(spooled)
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        let spooled = self.runs[run].next(&self.file)?;
        if let Some(spooled) = &spooled {
            self.heads.push(Reverse((spooled.record, run)));
        }
        self.waiting[run] = spooled;
        Ok(())
    }
}

impl Run {
    fn next(&mut self, file: &File) -> io::Result<Option<Spooled>> {
        match self {
            Self::Memory(records) => Ok(records.next()),
            Self::File { at, end, ahead, next } => {
                if ahead.len() - *next < FIXED_BYTES + ID_BYTES_MAX && at < end {
                    ahead.drain(..*next);
                    *next = 0;
                    let kept = ahead.len();
                    let more = usize::try_from(*end - *at).map_or(READ_BYTES, |left| left.min(READ_BYTES));
                    ahead.resize(kept + more, 0);
                    file.read_exact_at(&mut ahead[kept..], *at)?;
                    *at += more as u64;
                }
                if ahead.len() == *next {
                    return Ok(None);
                }
                let (spooled, bytes) = Spooled::decode(&ahead[*next..]).ok_or(io::ErrorKind::InvalidData)?;
                *next += bytes;
                Ok(Some(spooled))
            }
        }
    }
}

impl Spooled {
    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.record.0);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.push(u8::from(self.hash.is_some()));
        out.extend_from_slice(&self.hash.unwrap_or_default());
        out.push(u8::try_from(self.id.len()).expect("ids have at most 128 bytes"));
        out.extend_from_slice(self.id.as_bytes());
    }

    /// The first of these bytes, and how many it takes.
    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (record, rest) = bytes.split_first_chunk::<16>()?;
        let (version, rest) = rest.split_first_chunk::<8>()?;
        let (has_hash, rest) = rest.split_first()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first()?;
        let id = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?.to_owned();
        let bytes = FIXED_BYTES + id.len();
        let hash = (*has_hash == 1).then_some(*hash);
        Some((Self { record: Pseudonym(*record), version: u64::from_le_bytes(*version), hash, id }, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spooled(n: u64, hashed: bool) -> Spooled {
        let record = Pseudonym(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().expect("32 bytes"));
        let hash = hashed.then_some([n as u8; 32]);
        Spooled { record, version: n + 1, hash, id: format!("KS-{n}/{}", "x".repeat(n as usize % 100)) }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order_through_memory_and_file(count in 0_u64..700, run_records in 1_usize..300) {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let mut spool = Spool::new(dir.path()).expect("a file");
            spool.run_records = run_records;
            for n in 0..count {
                spool.push(spooled(n, n % 3 == 0)).expect("room");
            }
            prop_assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
            let mut merged = spool.merge().expect("readable");
            let mut found = Vec::new();
            while let Some(spooled) = merged.next().expect("readable") {
                found.push(spooled);
            }
            let mut expected: Vec<Spooled> = (0..count).map(|n| spooled(n, n % 3 == 0)).collect();
            expected.sort_by_key(|s| s.record);
            prop_assert_eq!(found, expected);
        }
    }
}
