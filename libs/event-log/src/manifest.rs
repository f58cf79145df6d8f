//! The file that makes a folder a log, and the lock that makes it one process's.
//!
//! ```text
//! 0  "HUBEVLOG"   8 u32 format version   12 u16 change, u16 rejected, u16 access partitions, u16 0
//! 20 log id, 16 bytes                    36 u32 CRC32C of all before
//! ```
//!
//! It is the last file that creation writes: a folder without it was never a log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::OpenError;
use crate::segment::sync_dir;
use crate::types::{PartitionCounts, TrackId};

const MAGIC: &[u8; 8] = b"HUBEVLOG";
const VERSION: u32 = 1;
const NAME: &str = "LOG";
const LOCK: &str = "LOCK";
const CREATING: &str = "CREATING";

/// What is fixed for the life of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) log_id: [u8; 16],
    pub(crate) partitions: PartitionCounts,
}

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(40);
        b.extend_from_slice(MAGIC);
        b.extend_from_slice(&VERSION.to_le_bytes());
        for count in [self.partitions.change, self.partitions.rejected, self.partitions.access, 0] {
            b.extend_from_slice(&count.to_le_bytes());
        }
        b.extend_from_slice(&self.log_id);
        b.extend_from_slice(&crc32c::crc32c(&b).to_le_bytes());
        b
    }

    fn decode(b: &[u8], path: &Path) -> Result<Self, OpenError> {
        let file = path.to_owned();
        if b.len() < 12 || &b[..8] != MAGIC {
            // A flipped bit in the magic leaves the checksum wrong as well as the magic: whose file it is cannot be told.
            return Err(OpenError::Foreign { file });
        }
        let found = u32::from_le_bytes(b[8..12].try_into().expect("four bytes"));
        if found != VERSION {
            return Err(OpenError::Version { file, found, known: VERSION });
        }
        let u16_at = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
        if b.len() != 40 || crc32c::crc32c(&b[..36]).to_le_bytes() != b[36..] {
            return Err(OpenError::ManifestDamaged { file });
        }
        let partitions = PartitionCounts { change: u16_at(12), rejected: u16_at(14), access: u16_at(16) };
        if !partitions.valid() || u16_at(18) != 0 {
            return Err(OpenError::ManifestDamaged { file });
        }
        Ok(Self { log_id: b[20..36].try_into().expect("sixteen bytes"), partitions })
    }

    /// Makes the folder a log: everything else is in place.
    pub(crate) fn store(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join("LOG.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&self.encode())?;
        file.sync_all()?;
        std::fs::rename(&temporary, dir.join(NAME))?;
        std::fs::remove_file(dir.join(CREATING))?;
        sync_dir(dir)
    }

    /// Reads the manifest of a log.
    pub(crate) fn load(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(NAME);
        match std::fs::read(&path) {
            Ok(b) => Self::decode(&b, &path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(OpenError::NotALog { dir: dir.to_owned(), missing: "the file LOG" })
            }
            Err(e) => Err(OpenError::io(&path, e)),
        }
    }
}

/// Clears the way for a new log: the folder must be empty, or hold only what an interrupted creation left.
pub(crate) fn begin_creation(dir: &Path) -> Result<Lock, OpenError> {
    let io = |e| OpenError::io(dir, e);
    std::fs::create_dir_all(dir).map_err(io)?;
    if is_begun(dir).map_err(io)? {
        return Err(OpenError::NotEmpty { dir: dir.to_owned() });
    }
    let lock = Lock::take(dir)?;
    File::create(dir.join(CREATING)).and_then(|f| f.sync_all()).map_err(io)?;
    for track in TrackId::ALL {
        let folder = dir.join(track.folder());
        match std::fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(OpenError::io(&folder, e)),
            _ => std::fs::create_dir(&folder).map_err(|e| OpenError::io(&folder, e))?,
        }
    }
    sync_dir(dir).map_err(io)?;
    if let Some(parent) = std::path::absolute(dir).map_err(io)?.parent() {
        sync_dir(parent).map_err(|e| OpenError::io(parent, e))?;
    }
    Ok(lock)
}

/// Whether a folder holds a log, or anything else that is not what an interrupted creation left.
pub(crate) fn is_begun(dir: &Path) -> io::Result<bool> {
    let names = match names(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        names => names?,
    };
    let interrupted = names.iter().any(|n| n == CREATING) && !names.iter().any(|n| n == NAME);
    Ok(!interrupted && names.iter().any(|n| n != LOCK))
}

fn names(dir: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    std::fs::read_dir(dir)?.map(|entry| entry.map(|e| e.file_name())).collect()
}

/// The exclusive right to a log's folder, given back when dropped or when the process ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path: PathBuf = dir.join(LOCK);
        let io = |e| OpenError::io(&path, e);
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = open.map_err(io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(OpenError::Locked { dir: dir.to_owned(), holder: holder(&mut file) });
            }
            Err(e) => return Err(io(e.into())),
        }
        let pid = std::process::id().to_string();
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes())).map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    let known = file.read_to_string(&mut pid).is_ok() && !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
    if !known {
        return "another process".to_owned();
    }
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}
