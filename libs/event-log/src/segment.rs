//! Segment files: their head, their names, how one comes into being and how it is sealed.
//!
//! ```text
//! 0  "HUBSEGMT"            8  u32 format version      12 u32 head bytes: the first frame's offset
//! 16 log id, 16 bytes      32 u32 track               36 u32 segment number
//! 40 u32 salt              44 u32 partitions          48 u64 number of the first group
//! 56 i64 time floor        64 u64 per partition: the next index when the segment begins
//! .. u32 CRC32C of all before, zeros up to a multiple of 4,096
//! ```
//!
//! All times in earlier segments are ≤ the floor ≤ all times in this one. A segment exists under its name only when its head is durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::FallocateFlags;

use crate::error::{Damage, Flaw, OpenError};
use crate::types::Slots;

const MAGIC: &[u8; 8] = b"HUBSEGMT";
/// The format that this program writes and reads.
pub(crate) const VERSION: u32 = 1;
const FIXED_BYTES: usize = 64;
const PAGE: usize = 4096;

/// What the head of a segment says, and where the file is.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) number: u32,
    pub(crate) head_bytes: u64,
    pub(crate) salt: u32,
    pub(crate) first_group: u64,
    pub(crate) time_floor: i64,
    pub(crate) base: Box<[u64]>,
    /// Length in bytes, once nothing more is written to it.
    pub(crate) sealed_bytes: OnceLock<u64>,
}

impl Segment {
    pub(crate) fn damage(&self, offset: u64, flaw: Flaw) -> Damage {
        Damage { file: self.path.clone(), offset, position: None, flaw }
    }
}

/// Where a new segment begins.
pub(crate) struct Start<'a> {
    pub(crate) log_id: [u8; 16],
    pub(crate) slots: Slots,
    pub(crate) number: u32,
    pub(crate) first_group: u64,
    pub(crate) time_floor: i64,
    pub(crate) base: &'a [u64],
}

/// Size of a segment's head.
pub(crate) fn head_bytes(slots: usize) -> usize {
    (FIXED_BYTES + slots * 8 + 4).next_multiple_of(PAGE)
}

/// The name of a segment's file.
pub(crate) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// The name of a segment's index file.
pub(crate) fn index_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.idx"))
}

fn encode_head(start: &Start<'_>, salt: u32) -> Vec<u8> {
    let bytes = head_bytes(start.base.len());
    let mut b = Vec::with_capacity(bytes);
    b.extend_from_slice(MAGIC);
    b.extend_from_slice(&VERSION.to_le_bytes());
    b.extend_from_slice(&u32::try_from(bytes).expect("at most 8,192 partitions").to_le_bytes());
    b.extend_from_slice(&start.log_id);
    b.extend_from_slice(&(start.slots.track as u32).to_le_bytes());
    b.extend_from_slice(&start.number.to_le_bytes());
    b.extend_from_slice(&salt.to_le_bytes());
    b.extend_from_slice(&u32::try_from(start.base.len()).expect("at most 8,192 partitions").to_le_bytes());
    b.extend_from_slice(&start.first_group.to_le_bytes());
    b.extend_from_slice(&start.time_floor.to_le_bytes());
    for index in start.base {
        b.extend_from_slice(&index.to_le_bytes());
    }
    b.extend_from_slice(&crc32c::crc32c(&b).to_le_bytes());
    b.resize(bytes, 0);
    b
}

/// Reads and checks the head of a segment.
pub(crate) fn read_head(path: &Path, log_id: [u8; 16], slots: Slots, number: u32) -> Result<Segment, OpenError> {
    let file = File::open(path).map_err(|e| OpenError::io(path, e))?;
    let damaged = || Damage { file: path.to_owned(), offset: 0, position: None, flaw: Flaw::SegmentHead };
    let mut b = vec![0; head_bytes(slots.len())];
    match file.read_exact_at(&mut b, 0) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged().into()),
        Err(e) => return Err(OpenError::io(path, e)),
    }
    let u32_at = |at: usize| u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(b[at..at + 8].try_into().expect("eight bytes"));
    let crc_at = FIXED_BYTES + slots.len() * 8;
    if crc32c::crc32c(&b[..crc_at]) != u32_at(crc_at) {
        return Err(explain_bad_head(path, &b, log_id).unwrap_or_else(|| damaged().into()));
    }
    if let Some(error) = explain_bad_head(path, &b, log_id) {
        return Err(error);
    }
    let fits = u32_at(12) as usize == b.len()
        && u32_at(32) == slots.track as u32
        && u32_at(36) == number
        && u32_at(44) as usize == slots.len();
    if !fits || b[crc_at + 4..].iter().any(|&x| x != 0) {
        return Err(damaged().into());
    }
    Ok(Segment {
        path: path.to_owned(),
        number,
        head_bytes: b.len() as u64,
        salt: u32_at(40),
        first_group: u64_at(48),
        time_floor: u64_at(56).cast_signed(),
        base: (0..slots.len()).map(|slot| u64_at(FIXED_BYTES + slot * 8)).collect(),
        sealed_bytes: OnceLock::new(),
    })
}

/// Why a head cannot be one of this log's, where that can be told from damage.
fn explain_bad_head(path: &Path, b: &[u8], log_id: [u8; 16]) -> Option<OpenError> {
    let file = path.to_owned();
    let version = u32::from_le_bytes(b[8..12].try_into().expect("four bytes"));
    // A head whose own checksum is right under another layout is a foreign one, not a damaged one.
    let slots = u32::from_le_bytes(b[44..48].try_into().expect("four bytes")) as usize;
    let crc_at = FIXED_BYTES.saturating_add(slots.saturating_mul(8));
    let whole =
        b.get(crc_at..crc_at.saturating_add(4)).is_some_and(|crc| crc32c::crc32c(&b[..crc_at]).to_le_bytes() == crc);
    if !whole {
        return None;
    }
    if &b[..8] != MAGIC {
        Some(OpenError::Foreign { file })
    } else if version != VERSION {
        Some(OpenError::Version { file, found: version, known: VERSION })
    } else if b[16..32] != log_id {
        Some(OpenError::OtherLog { file })
    } else {
        None
    }
}

/// A segment that is preallocated and has its head, but not yet its name.
pub(crate) struct Prepared {
    pub(crate) file: File,
    pub(crate) segment: Segment,
    pub(crate) capacity: u64,
    temporary: PathBuf,
}

/// Preallocates a segment of `capacity` bytes under a temporary name and makes its head durable.
pub(crate) fn prepare(dir: &Path, start: &Start<'_>, capacity: u64) -> io::Result<Prepared> {
    let temporary = dir.join("next.tmp");
    let made = write_new(&temporary, start, capacity);
    if made.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    let (file, salt) = made?;
    let segment = Segment {
        path: path(dir, start.number),
        number: start.number,
        head_bytes: head_bytes(start.base.len()) as u64,
        salt,
        first_group: start.first_group,
        time_floor: start.time_floor,
        base: start.base.into(),
        sealed_bytes: OnceLock::new(),
    };
    Ok(Prepared { file, segment, capacity, temporary })
}

fn write_new(temporary: &Path, start: &Start<'_>, capacity: u64) -> io::Result<(File, u32)> {
    let salt = getrandom::u32().map_err(io::Error::other)?;
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(temporary)?;
    preallocate(&file, capacity)?;
    file.write_all_at(&encode_head(start, salt), 0)?;
    file.sync_all()?;
    Ok((file, salt))
}

impl Prepared {
    /// Gives the segment its name, durably.
    pub(crate) fn publish(self, dir: &Path) -> io::Result<(Arc<File>, Arc<Segment>, u64)> {
        std::fs::rename(&self.temporary, &self.segment.path)?;
        sync_dir(dir)?;
        Ok((Arc::new(self.file), Arc::new(self.segment), self.capacity))
    }

    /// Gives the space back.
    pub(crate) fn discard(self) {
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Reserves space so that writing within `bytes` cannot fail for want of it.
pub(crate) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // A file system without fallocate: writing zeros reserves as well.
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(file, file.metadata()?.len(), bytes),
        Err(e) => Err(e.into()),
    }
}

/// Writes zeros from one offset to another (exclusive).
pub(crate) fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
    let mut at = from;
    while at < to {
        let n = (to - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..usize::try_from(n).expect("at most 1 MiB")], at)?;
        at += n;
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The numbers of the segments in a folder, ascending; removes what an interrupted roll left behind.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let (numbers, left_behind) = look(dir)?;
    left_behind.iter().try_for_each(std::fs::remove_file)?;
    Ok(numbers)
}

/// The numbers of the segments in a folder, ascending, and the files that an interrupted roll left behind.
pub(crate) fn look(dir: &Path) -> io::Result<(Vec<u32>, Vec<PathBuf>)> {
    let (mut numbers, mut left_behind) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".tmp") {
            left_behind.push(dir.join(name));
        } else if let Some(number) = name.strip_suffix(".seg").and_then(|n| n.parse().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok((numbers, left_behind))
}
