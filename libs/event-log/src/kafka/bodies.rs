//! Local append-only files of entries that were read from Kafka, so that a body costs two reads of a file and no question to a broker.
//!
//! They hold nothing that the brokers do not: whatever is missing, torn, damaged or of another log is not found here and asked of the
//! brokers instead. Hence nothing is flushed.
//!
//! `ID` names the log; `NNNNNNNNNN.dat` hold entries in the order in which they were read:
//!
//! ```text
//! 0 u32 CRC32C of what follows   4 u32 payload bytes   8 u8 stream, u8 0, u16 partition, u32 0
//! 16 u64 index                  24 i64 append time    32 payload, then zeros up to a multiple of 8
//! ```
//!
//! `TOPIC-PARTITION.idx` has 8 bytes per index: the number of the `.dat` file (32 bits, from 1; 0 for none) and the offset in it in units of 8.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use record::{Position, Stream, Timestamp};
use rustix::fs::FallocateFlags;

use super::layout::Layout;
use super::options::LocalBodies;
use crate::error::OpenError;
use crate::manifest::Lock;
use crate::types::{Locator, Logged};

const FRAME_BYTES: usize = 32;
/// One read brings most entries whole.
const FIRST_READ_BYTES: usize = 2048;
const FILE_BYTES_MAX: u64 = 256 << 20;
const FILE_BYTES_MIN: u64 = 1 << 20;

/// The files of one process.
#[derive(Debug)]
pub(super) struct Bodies {
    dir: PathBuf,
    layout: Layout,
    file_bytes: u64,
    bytes_max: Option<u64>,
    /// By slot.
    indexes: Vec<File>,
    files: RwLock<BTreeMap<u32, Arc<File>>>,
    state: Mutex<State>,
    _lock: Lock,
}

#[derive(Debug)]
struct State {
    /// Whether the files are known to be of this log.
    bound: bool,
    /// The file that is written to, and where.
    current: Option<(u32, u64)>,
    last_number: u32,
    /// By slot: all before it was stored, or was passed by.
    stored: Vec<u64>,
    /// Bytes of each file.
    sizes: BTreeMap<u32, u64>,
    /// A failed write was told of.
    failing: bool,
}

impl Bodies {
    pub(super) fn open(options: &LocalBodies, layout: &Layout) -> Result<Self, OpenError> {
        let dir = options.dir.clone();
        let io = |e| OpenError::io(&dir, e);
        fs::create_dir_all(&dir).map_err(io)?;
        let lock = Lock::take(&dir)?;
        let index = |slot| {
            let (stream, partition) = layout.place(slot);
            let path = dir.join(format!("{}-{}.idx", stream.name(), partition.0));
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            open.map_err(|e| OpenError::io(&path, e))
        };
        let indexes = (0..layout.len()).map(index).collect::<Result<Vec<_>, _>>()?;
        let quarter = options.bytes_max.map_or(u64::MAX, |max| max / 4);
        let bodies = Self {
            layout: layout.clone(),
            file_bytes: FILE_BYTES_MAX.min(quarter).max(FILE_BYTES_MIN),
            bytes_max: options.bytes_max,
            files: RwLock::default(),
            state: Mutex::new(State::new(layout.len())),
            indexes,
            _lock: lock,
            dir: dir.clone(),
        };
        bodies.find_files().map_err(io)?;
        Ok(bodies)
    }

    fn find_files(&self) -> io::Result<()> {
        let mut state = self.lock();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<u32>().ok());
            let (Some(number), true) = (stem, path.extension().is_some_and(|e| e == "dat")) else { continue };
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let bytes = file.metadata()?.len();
            // Gives back what was reserved beyond the end.
            file.set_len(bytes)?;
            state.sizes.insert(number, bytes);
            state.last_number = state.last_number.max(number);
            self.files_mut().insert(number, Arc::new(file));
        }
        for (slot, index) in self.indexes.iter().enumerate() {
            state.stored[slot] = index.metadata()?.len() / 8;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files_mut(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<u32, Arc<File>>> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whose log it is; files of another are emptied.
    pub(super) fn bind(&self, id: [u8; 16]) -> io::Result<()> {
        let mut state = self.lock();
        if state.bound {
            return Ok(());
        }
        let path = self.dir.join("ID");
        let known = match fs::read(&path) {
            Ok(known) => known == id,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(e),
        };
        if !known {
            for (number, _) in std::mem::take(&mut *self.files_mut()) {
                fs::remove_file(self.path(number))?;
            }
            for index in &self.indexes {
                index.set_len(0)?;
            }
            let last_number = state.last_number;
            *state = State { last_number, ..State::new(self.layout.len()) };
            fs::write(&path, id)?;
        }
        state.bound = true;
        Ok(())
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:010}.dat"))
    }

    /// Keeps entries that are new here. What cannot be written is asked of the brokers later; it is told once.
    pub(super) fn store(&self, entries: &[Logged]) {
        self.keep(entries, |stored, index| index >= stored);
    }

    /// Keeps an entry that was missing here.
    pub(super) fn store_missing(&self, entry: &Logged) {
        self.keep(std::slice::from_ref(entry), |_, _| true);
    }

    /// Keeps those of these entries that are missing here.
    pub(super) fn store_all_missing(&self, entries: &[Logged]) {
        let missing = |entry: &&Logged| self.place(entry.position).is_none();
        let missing: Vec<Logged> = entries.iter().filter(missing).cloned().collect();
        self.keep(&missing, |_, _| true);
    }

    /// The first index of a partition that is missing here, of those from `from` on and before `until`.
    pub(super) fn first_missing(&self, slot: usize, from: u64, until: u64) -> io::Result<Option<u64>> {
        const AT_A_TIME: u64 = 8192;
        let numbers: BTreeSet<u32> =
            self.files.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        let mut places = vec![0; AT_A_TIME as usize * 8];
        let mut at = from;
        while at < until {
            let wanted = AT_A_TIME.min(until - at);
            let found = self.indexes[slot].read_at(&mut places[..wanted as usize * 8], at * 8)? / 8;
            for place in places[..found * 8].chunks_exact(8) {
                let place = u64::from_le_bytes(place.try_into().expect("eight bytes"));
                if u32::try_from(place >> 32).is_ok_and(|number| !numbers.contains(&number)) {
                    return Ok(Some(at));
                }
                at += 1;
            }
            if found == 0 {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether entries can be kept without letting go of others, now and when the next new ones come: what went for these is not to come back.
    pub(super) fn has_room(&self) -> bool {
        let room = self.bytes_max.is_none_or(|max| self.bytes() + 2 * self.file_bytes <= max);
        room && !self.lock().failing
    }

    fn keep(&self, entries: &[Logged], wanted: impl Fn(u64, u64) -> bool) {
        let mut state = self.lock();
        if !state.bound {
            return;
        }
        let kept = self.try_keep(&mut state, entries, wanted);
        match kept {
            Ok(()) => state.failing = false,
            Err(error) if !std::mem::replace(&mut state.failing, true) => {
                tracing::error!(dir = %self.dir.display(), %error, "entries cannot be kept locally; they are asked of the brokers");
            }
            Err(_) => {}
        }
    }

    fn try_keep(&self, state: &mut State, entries: &[Logged], wanted: impl Fn(u64, u64) -> bool) -> io::Result<()> {
        let mut frames = Vec::new();
        let mut places: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for entry in entries {
            let Position { stream, partition, index } = entry.position;
            let Some(slot) = self.layout.slot(stream, partition) else { continue };
            if !wanted(state.stored[slot], index.0) {
                continue;
            }
            let frame_bytes = (FRAME_BYTES + entry.bytes.len()).next_multiple_of(8) as u64;
            let full = state.current.is_none_or(|(_, at)| at + frames.len() as u64 + frame_bytes > self.file_bytes);
            if full {
                self.write(state, &mut frames, &mut places)?;
                self.next_file(state, frame_bytes)?;
            }
            let (number, at) = state.current.expect("a file was begun");
            let offset = at + frames.len() as u64;
            encode(entry, &mut frames);
            places.insert((slot, index.0), u64::from(number) << 32 | offset >> 3);
        }
        self.write(state, &mut frames, &mut places)
    }

    /// Writes frames, then where they are.
    fn write(
        &self,
        state: &mut State,
        frames: &mut Vec<u8>,
        places: &mut BTreeMap<(usize, u64), u64>,
    ) -> io::Result<()> {
        let Some((number, at)) = state.current.filter(|_| !frames.is_empty()) else { return Ok(()) };
        let file = self.file(number).ok_or_else(|| io::Error::other("the file that is written to was removed"))?;
        file.write_all_at(frames, at)?;
        let end = at + frames.len() as u64;
        state.current = Some((number, end));
        state.sizes.insert(number, end);
        frames.clear();
        let mut run: Vec<u8> = Vec::new();
        let mut begun: Option<(usize, u64)> = None;
        for ((slot, index), place) in std::mem::take(places) {
            let follows = begun.is_some_and(|(s, from)| s == slot && from + run.len() as u64 / 8 == index);
            if !follows {
                self.flush_run(begun, &mut run)?;
                begun = Some((slot, index));
            }
            run.extend_from_slice(&place.to_le_bytes());
            state.stored[slot] = state.stored[slot].max(index + 1);
        }
        self.flush_run(begun, &mut run)
    }

    fn flush_run(&self, begun: Option<(usize, u64)>, run: &mut Vec<u8>) -> io::Result<()> {
        if let Some((slot, from)) = begun {
            self.indexes[slot].write_all_at(run, from * 8)?;
        }
        run.clear();
        Ok(())
    }

    /// Begins another file, and lets go of the oldest past the bound.
    fn next_file(&self, state: &mut State, needed: u64) -> io::Result<()> {
        let bytes = self.file_bytes.max(needed);
        while let (Some(max), Some((&oldest, _))) = (self.bytes_max, state.sizes.first_key_value()) {
            if state.sizes.values().sum::<u64>() + bytes <= max {
                break;
            }
            self.files_mut().remove(&oldest);
            fs::remove_file(self.path(oldest))?;
            state.sizes.remove(&oldest);
        }
        let number = state.last_number + 1;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(number))?;
        // A full disk is an error here, never half an entry later. The length stays at what is written.
        if let Err(error) = rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            fs::remove_file(self.path(number))?;
            return Err(error.into());
        }
        self.files_mut().insert(number, Arc::new(file));
        state.last_number = number;
        state.current = Some((number, 0));
        state.sizes.insert(number, 0);
        Ok(())
    }

    fn file(&self, number: u32) -> Option<Arc<File>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    /// The entry at a position, if it is here and whole.
    pub(super) fn get(&self, position: Position) -> Option<Logged> {
        let (file, offset) = self.place(position)?;
        decode(&read_frame(&file, offset)?, position)
    }

    /// The file that an entry is in, and where.
    fn place(&self, position: Position) -> Option<(Arc<File>, u64)> {
        if !self.lock().bound {
            return None;
        }
        let slot = self.layout.slot(position.stream, position.partition)?;
        let mut place = [0; 8];
        // Short at the end of the file: not stored.
        self.indexes[slot].read_exact_at(&mut place, position.index.0.checked_mul(8)?).ok()?;
        let place = u64::from_le_bytes(place);
        let file = self.file(u32::try_from(place >> 32).ok()?)?;
        Some((file, (place & u64::from(u32::MAX)) << 3))
    }

    /// Bytes of all files of entries.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().sizes.values().sum()
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl State {
    fn new(slots: usize) -> Self {
        Self {
            bound: false,
            current: None,
            last_number: 0,
            stored: vec![0; slots],
            sizes: BTreeMap::new(),
            failing: false,
        }
    }
}

fn encode(entry: &Logged, out: &mut Vec<u8>) {
    let start = out.len();
    let Position { stream, partition, index } = entry.position;
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(entry.bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(&[stream as u8, 0]);
    out.extend_from_slice(&partition.0.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&index.0.to_le_bytes());
    out.extend_from_slice(&entry.appended_at.0.to_le_bytes());
    out.extend_from_slice(&entry.bytes);
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    let padded = start + (out.len() - start).next_multiple_of(8);
    out.resize(padded, 0);
}

/// The frame that begins at an offset, as far as its length says; `None` where the file ends before.
fn read_frame(file: &File, offset: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; FIRST_READ_BYTES];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], offset + have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Whatever is wrong with the copy, the brokers have the entry.
            Err(_) => return None,
        }
    }
    bytes.truncate(have);
    let payload = u32::from_le_bytes(bytes.get(4..8)?.try_into().expect("four bytes")) as usize;
    let whole = FRAME_BYTES + payload;
    if payload > crate::types::ENTRY_BYTES_MAX {
        return None;
    }
    if whole > have {
        bytes.resize(whole, 0);
        file.read_exact_at(&mut bytes[have..], offset + have as u64).ok()?;
    }
    bytes.truncate(whole);
    Some(bytes)
}

fn decode(frame: &[u8], position: Position) -> Option<Logged> {
    let crc = u32::from_le_bytes(frame[..4].try_into().expect("four bytes"));
    let partition = u16::from_le_bytes([frame[10], frame[11]]);
    let index = u64::from_le_bytes(frame[16..24].try_into().expect("eight bytes"));
    let same = Stream::from_u8(frame[8]) == Some(position.stream)
        && partition == position.partition.0
        && index == position.index.0;
    if !same || crc32c::crc32c(&frame[4..]) != crc {
        return None;
    }
    let appended_at = Timestamp(i64::from_le_bytes(frame[24..32].try_into().expect("eight bytes")));
    let bytes = Bytes::copy_from_slice(&frame[FRAME_BYTES..]);
    Some(Logged { position, appended_at, locator: Locator::of_position(position), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PartitionCounts;
    use record::{Index, Partition};

    fn layout() -> Layout {
        Layout::new("p", PartitionCounts { change: 2, rejected: 1, access: 1 })
    }

    fn entry(partition: u16, index: u64, bytes: usize) -> Logged {
        let position = Position { stream: Stream::Change, partition: Partition(partition), index: Index(index) };
        let locator = Locator::of_position(position);
        Logged { position, appended_at: Timestamp(index as i64 * 7), locator, bytes: vec![index as u8; bytes].into() }
    }

    fn open(dir: &Path, bytes_max: Option<u64>) -> Bodies {
        let bodies = Bodies::open(&LocalBodies { dir: dir.to_owned(), bytes_max }, &layout()).expect("opened");
        bodies.bind([1; 16]).expect("bound");
        bodies
    }

    #[test]
    fn what_was_stored_is_found_also_after_reopening() {
        let dir = tempfile::tempdir().expect("a folder");
        let entries: Vec<_> = (0..200).map(|n| entry((n % 2) as u16, n / 2, n as usize * 40)).collect();
        let bodies = open(dir.path(), None);
        bodies.store(&entries[..90]);
        bodies.store(&entries[50..]);
        drop(bodies);
        let bodies = open(dir.path(), None);
        for e in &entries {
            assert_eq!(bodies.get(e.position).as_ref(), Some(e));
        }
        assert_eq!(bodies.get(entry(0, 100, 0).position), None);
        assert_eq!(bodies.get(Position { stream: Stream::Access, ..entries[0].position }), None);
    }

    #[test]
    fn a_hole_is_filled_by_what_was_asked_of_a_broker() {
        let dir = tempfile::tempdir().expect("a folder");
        let bodies = open(dir.path(), None);
        bodies.store(&[entry(0, 10, 5)]);
        bodies.store(&[entry(0, 4, 5)]);
        assert_eq!(bodies.get(entry(0, 4, 0).position), None, "what was passed by is not looked for again");
        bodies.store_missing(&entry(0, 4, 5));
        assert_eq!(bodies.get(entry(0, 4, 0).position), Some(entry(0, 4, 5)));
    }

    #[test]
    fn damage_is_not_found_instead_of_given_out() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path(), None).store(&[entry(0, 0, 3_000), entry(0, 1, 10)]);
        let file = dir.path().join("0000000001.dat");
        let good = fs::read(&file).expect("readable");
        let first = (FRAME_BYTES + 3_000).next_multiple_of(8);
        for at in [0, 5, 9, 11, 17, 25, FRAME_BYTES, FRAME_BYTES + 2_999] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&file, &bad).expect("written");
            let bodies = open(dir.path(), None);
            assert_eq!(bodies.get(entry(0, 0, 0).position), None, "byte {at}");
            assert_eq!(bodies.get(entry(0, 1, 0).position), Some(entry(0, 1, 10)));
        }
        fs::write(&file, &good[..first - 100]).expect("written");
        assert_eq!(open(dir.path(), None).get(entry(0, 0, 0).position), None, "a torn file");
    }

    #[test]
    fn files_of_another_log_are_emptied() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path(), None).store(&[entry(0, 0, 10)]);
        let other =
            Bodies::open(&LocalBodies { dir: dir.path().to_owned(), bytes_max: None }, &layout()).expect("opened");
        assert_eq!(other.get(entry(0, 0, 0).position), None, "nothing is given out before it is known whose it is");
        other.bind([2; 16]).expect("bound");
        assert_eq!((other.get(entry(0, 0, 0).position), other.bytes()), (None, 0));
        other.store(&[entry(0, 0, 20)]);
        assert_eq!(other.get(entry(0, 0, 0).position), Some(entry(0, 0, 20)));
    }

    #[test]
    fn the_oldest_go_past_the_bound() {
        let dir = tempfile::tempdir().expect("a folder");
        let bodies = open(dir.path(), Some(4 << 20));
        for n in 0..100 {
            bodies.store(&[entry(0, n, 100_000)]);
        }
        assert!(bodies.bytes() <= 4 << 20, "{}", bodies.bytes());
        assert_eq!(bodies.get(entry(0, 0, 0).position), None);
        assert_eq!(bodies.get(entry(0, 99, 0).position), Some(entry(0, 99, 100_000)));
    }
}
