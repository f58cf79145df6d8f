//! Looking at a log's files without opening it: nothing is written, whatever is found, and looking goes on behind a fault.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{Positions, Timestamp};

use crate::error::{Flaw, OpenError, ReadError};
use crate::manifest::Manifest;
use crate::recover;
use crate::segment::{self, Segment};
use crate::track::check_seam;
use crate::types::{Locator, Logged, PartitionCounts, Recovered, Slots, TrackId};
use crate::walk::{From, Step, Walk};

const READ_AHEAD_BYTES: usize = 1 << 20;
/// The index of the newest segment is thrown away here: one point of it is enough.
const NO_INDEX: u64 = u64::MAX;

/// What [`inspect`] found.
#[derive(Debug)]
pub struct Inspection {
    /// What names the log.
    pub log_id: [u8; 16],
    /// How many partitions each stream has.
    pub partitions: PartitionCounts,
    /// The first index of every partition that retention has kept.
    pub first: Positions,
    /// The end of every partition (exclusive), as far as the files can be read.
    pub ends: Positions,
    /// Entries that were read, each with a sound checksum and the index that was due.
    pub entries: u64,
    /// Segment files.
    pub segments: usize,
    /// Their bytes, with what is preallocated.
    pub bytes: u64,
    /// Unfinished group commits at the end of a sequence: nobody was promised them, the next start cuts them off.
    pub unfinished: Vec<Recovered>,
    /// Files that an interrupted roll left behind: the next start removes them.
    pub left_behind: Vec<PathBuf>,
    /// What is wrong, at most one fault per segment: behind it the segment was not read.
    pub faults: Vec<OpenError>,
}

/// What names the log in `dir` and how many partitions it has, without opening it.
///
/// # Errors
/// [`OpenError`]: the folder holds no log, or its manifest cannot be read.
pub fn describe(dir: &Path) -> Result<([u8; 16], PartitionCounts), OpenError> {
    Manifest::load(dir).map(|manifest| (manifest.log_id, manifest.partitions))
}

/// Reads the embedded log in `dir` through, without opening or changing it, and gives every sound entry to `entry`, in physical order.
/// No process may be writing to it.
///
/// # Errors
/// [`OpenError`]: the folder holds no log, or its manifest cannot be read. All else is a fault in the [`Inspection`].
pub fn inspect(dir: &Path, mut entry: impl FnMut(&Logged)) -> Result<Inspection, OpenError> {
    let manifest = Manifest::load(dir)?;
    let mut found = Inspection {
        log_id: manifest.log_id,
        partitions: manifest.partitions,
        first: Positions::new(),
        ends: Positions::new(),
        entries: 0,
        segments: 0,
        bytes: 0,
        unfinished: Vec::new(),
        left_behind: Vec::new(),
        faults: Vec::new(),
    };
    for track in TrackId::ALL {
        let slots = Slots { track, counts: manifest.partitions };
        Look { dir: dir.join(track.folder()), slots, begun: false, found: &mut found, entry: &mut entry }.all();
    }
    Ok(found)
}

struct Look<'a, F> {
    dir: PathBuf,
    slots: Slots,
    /// Whether a segment's head was read.
    begun: bool,
    found: &'a mut Inspection,
    entry: &'a mut F,
}

impl<F: FnMut(&Logged)> Look<'_, F> {
    fn all(&mut self) {
        let (numbers, left_behind) = match segment::look(&self.dir) {
            Ok(found) => found,
            Err(e) => return self.found.faults.push(OpenError::io(&self.dir, e)),
        };
        self.found.left_behind.extend(left_behind);
        self.missing(&numbers);
        let newest = numbers.last().copied();
        let mut before: Option<Walk> = None;
        for number in numbers {
            self.found.segments += 1;
            match self.segment(number, before.take(), Some(number) == newest) {
                Ok(walk) => before = Some(walk),
                Err(fault) => self.found.faults.push(fault),
            }
        }
    }

    /// Numbers that are not there although those around them are.
    fn missing(&mut self, numbers: &[u32]) {
        let due_first = if self.slots.track == TrackId::Main { 1 } else { numbers.first().copied().unwrap_or(1) };
        let last = numbers.last().copied().unwrap_or(0);
        // An index is written only when a segment is sealed, and that is after its successor has got its name.
        let last = if segment::index_path(&self.dir, last).exists() { last + 1 } else { last.max(due_first) };
        for number in (due_first..=last).filter(|number| !numbers.contains(number)) {
            self.found.faults.push(OpenError::MissingSegment { file: segment::path(&self.dir, number) });
        }
    }

    fn segment(&mut self, number: u32, before: Option<Walk>, newest: bool) -> Result<Walk, OpenError> {
        let path = segment::path(&self.dir, number);
        let io = |e| OpenError::io(&path, e);
        let file = Arc::new(File::open(&path).map_err(io)?);
        let bytes = file.metadata().map_err(io)?.len();
        self.found.bytes += bytes;
        let segment = Arc::new(segment::read_head(&path, self.found.log_id, self.slots, number)?);
        if !std::mem::replace(&mut self.begun, true) {
            self.slots.positions(&segment.base, &mut self.found.first);
        }
        if let Some(fault) = before.and_then(|before| check_seam(&before, &segment).err()) {
            self.found.faults.push(fault.into());
        }
        let limit = if newest { self.durable_end(&segment, &file) } else { Ok(bytes) };
        let start = From::start_of(&segment);
        let walked =
            self.walk(Walk::new(segment, file, self.slots, start, *limit.as_ref().unwrap_or(&bytes), READ_AHEAD_BYTES));
        limit.and(walked)
    }

    fn durable_end(&mut self, segment: &Arc<Segment>, file: &Arc<File>) -> Result<u64, OpenError> {
        let (scanned, torn) = recover::find_end(segment, file, self.slots, NO_INDEX)?;
        self.found.unfinished.extend(torn);
        Ok(scanned.end.offset)
    }

    fn walk(&mut self, mut walk: Walk) -> Result<Walk, OpenError> {
        let ended = loop {
            match walk.step() {
                Ok(Step::Entry { position, time, offset, payload, .. }) => {
                    self.found.entries += 1;
                    let locator = Locator::pack(self.slots.track, walk.segment.number, offset);
                    let appended_at = Timestamp(time);
                    (self.entry)(&Logged { position, appended_at, locator, bytes: payload });
                }
                Ok(Step::Commit { .. }) => {}
                Ok(Step::End) => break Ok(()),
                Ok(Step::Zeros) => break Err(ReadError::from(walk.segment.damage(walk.offset, Flaw::Hole))),
                Err(e) => break Err(e),
            }
        };
        self.slots.positions(&walk.next, &mut self.found.ends);
        ended?;
        Ok(walk)
    }
}
