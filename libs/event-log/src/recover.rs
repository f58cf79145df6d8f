//! What opening a log does to its newest segment: find the durable end, and tell a torn tail from damage.
//!
//! A group is written only after the one before it was flushed. Hence a frame that cannot be read is *torn* only if it belongs to the last
//! group and that group was not wholly written: its commit frame is absent, or a disk sector before the commit frame was never written and
//! reads as zeros. Everything else is damage, and refused: the entries may have been acknowledged.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::error::{Flaw, OpenError, ReadError};
use crate::frame::{self, ALIGN, FrameKind, HEAD_BYTES, Head};
use crate::index::{Point, SparseIndex};
use crate::segment::{Segment, preallocate};
use crate::types::{Recovered, Slots};
use crate::walk::{From, Step, Walk};

const SECTOR: u64 = 512;
const CHUNK: usize = 1 << 20;
/// A commit frame that differs in no more bytes than this from the one expected was written, and damaged later.
const COMMIT_BYTES_DAMAGED_MAX: usize = 4;

/// The newest segment, ready to be written on.
pub(crate) struct Opened {
    pub(crate) file: Arc<File>,
    pub(crate) capacity: u64,
    pub(crate) end: From,
    pub(crate) index: SparseIndex,
    pub(crate) recovered: Option<Recovered>,
}

/// Finds the durable end of a segment and cuts what is torn after it.
pub(crate) fn open_newest(segment: &Arc<Segment>, slots: Slots, interval_bytes: u64) -> Result<Opened, OpenError> {
    let io = |e| OpenError::io(&segment.path, e);
    let file = Arc::new(OpenOptions::new().read(true).write(true).open(&segment.path).map_err(io)?);
    let bytes = file.metadata().map_err(io)?.len();
    let (Scanned { end, last_group_at, index }, recovered) = find_end(segment, &file, slots, interval_bytes)?;
    if recovered.is_some() {
        file.set_len(end.offset).map_err(io)?;
    }
    rewrite(&file, last_group_at, end.offset).map_err(io)?;
    // Without space for the tail the log still opens: the next append asks for a new segment, and says that there is no space.
    let capacity = match recovered.as_ref().map(|_| preallocate(&file, bytes)) {
        None | Some(Ok(())) => bytes,
        Some(Err(_)) => end.offset,
    };
    file.sync_all().map_err(io)?;
    Ok(Opened { file, capacity, end, index, recovered })
}

/// The durable end of the newest segment, and what is torn after it. Reads only.
pub(crate) fn find_end(
    segment: &Arc<Segment>,
    file: &Arc<File>,
    slots: Slots,
    interval_bytes: u64,
) -> Result<(Scanned, Option<Recovered>), OpenError> {
    let io = |e| OpenError::io(&segment.path, e);
    let bytes = file.metadata().map_err(io)?.len();
    let mut walk = Walk::new(segment.clone(), file.clone(), slots, From::start_of(segment), bytes, CHUNK);
    let scanned = scan(&mut walk, interval_bytes)?;
    let at = scanned.end.offset;
    let written = last_nonzero(file, at, bytes).map_err(io)?;
    if written <= at {
        return Ok((scanned, None));
    }
    judge(&walk, file, written)?;
    let torn = Recovered { file: segment.path.clone(), at, torn_bytes: written - at, torn_entries: walk.in_group };
    Ok((scanned, Some(torn)))
}

pub(crate) struct Scanned {
    pub(crate) end: From,
    last_group_at: u64,
    index: SparseIndex,
}

/// Walks to the last commit before the first frame that cannot be read.
fn scan(walk: &mut Walk, interval_bytes: u64) -> Result<Scanned, ReadError> {
    let segment = walk.segment.clone();
    let mut scanned =
        Scanned { end: From::start_of(&segment), last_group_at: segment.head_bytes, index: SparseIndex::default() };
    let mut first_time = segment.time_floor;
    loop {
        match walk.step() {
            Ok(Step::Entry { time, .. }) => first_time = time,
            Ok(Step::Commit { end }) => {
                let start = std::mem::replace(
                    &mut scanned.end,
                    From { offset: end, group: walk.group, time: walk.time, next: walk.next.clone() },
                );
                let point =
                    || Point { offset: start.offset, group: start.group, time: first_time, next: start.next.into() };
                scanned.index.offer(&segment, interval_bytes, point, start.offset);
                scanned.last_group_at = start.offset;
            }
            Ok(Step::End | Step::Zeros) => return Ok(scanned),
            Err(ReadError::Damaged(d)) if matches!(d.flaw, Flaw::Checksum | Flaw::FrameHead | Flaw::Truncated) => {
                return Ok(scanned);
            }
            Err(e) => return Err(e),
        }
    }
}

/// Whether the frame where the walk stopped is torn (`Ok`) or damaged.
fn judge(walk: &Walk, file: &File, written: u64) -> Result<(), ReadError> {
    let segment = &walk.segment;
    let io = |e| ReadError::io(&segment.path, e);
    // The same step again, to say what was wrong.
    let damage = || match again(walk, file) {
        Err(e) => e,
        Ok(()) => segment.damage(walk.offset, Flaw::Hole).into(),
    };
    match find_commit(walk, file, written).map_err(io)? {
        Some((_, group)) if group > walk.group => Err(damage()),
        Some((at, _)) if !has_hole(file, walk.offset, at).map_err(io)? => Err(damage()),
        Some(_) => Ok(()),
        None if is_damaged_commit(walk, file).map_err(io)? => Err(damage()),
        None => Ok(()),
    }
}

fn again(walk: &Walk, file: &File) -> Result<(), ReadError> {
    let from = From { offset: walk.offset, group: walk.group, time: walk.time, next: walk.next.clone() };
    let slots = walk.slots();
    Walk::new(
        walk.segment.clone(),
        Arc::new(file.try_clone().map_err(|e| ReadError::io(&walk.segment.path, e))?),
        slots,
        from,
        walk.limit,
        0,
    )
    .step()
    .map(|_| ())
}

/// The first intact commit frame of this group or a later one, and its group.
fn find_commit(walk: &Walk, file: &File, written: u64) -> io::Result<Option<(u64, u64)>> {
    let mut at = walk.offset;
    while at < written {
        let chunk = read_zero_extended(file, at, CHUNK + HEAD_BYTES)?;
        for offset in (0..CHUNK).step_by(ALIGN) {
            let frame: &[u8; HEAD_BYTES] = chunk[offset..offset + HEAD_BYTES].try_into().expect("that many bytes");
            if let Some(Head { kind: FrameKind::Commit { group, .. }, .. }) = Head::parse(frame, 0)
                && group >= walk.group
                && frame::intact(frame, walk.segment.salt)
            {
                return Ok(Some((at + offset as u64, group)));
            }
        }
        at += CHUNK as u64;
    }
    Ok(None)
}

/// Whether a disk sector between the two offsets was never written. The one that holds `to` was, since a commit frame stands there.
fn has_hole(file: &File, from: u64, to: u64) -> io::Result<bool> {
    let mut at = from;
    loop {
        let sector_end = (at + 1).next_multiple_of(SECTOR);
        if sector_end > to {
            return Ok(false);
        }
        let sector = read_zero_extended(file, at, usize::try_from(sector_end - at).expect("at most a sector"))?;
        if sector.iter().all(|&b| b == 0) {
            return Ok(true);
        }
        at = sector_end;
    }
}

/// Whether the commit frame due at the walk's offset was written whole, and damaged later.
fn is_damaged_commit(walk: &Walk, file: &File) -> io::Result<bool> {
    let mut due = Vec::with_capacity(HEAD_BYTES);
    frame::put_commit(&mut due, walk.segment.salt, walk.in_group, walk.group, walk.time);
    let found = read_zero_extended(file, walk.offset, HEAD_BYTES)?;
    let same = found.iter().zip(&due).take_while(|(a, b)| a == b).count();
    let torn = found[same..].iter().all(|&b| b == 0);
    let different = found.iter().zip(&due).filter(|(a, b)| a != b).count();
    Ok(walk.in_group > 0 && !torn && different <= COMMIT_BYTES_DAMAGED_MAX)
}

/// After a failed flush the system may show bytes that the disk does not have. No group follows a failed one, so only the last
/// group can be such: it is written and flushed once more before anybody reads it.
fn rewrite(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let n = usize::try_from((to - at).min(CHUNK as u64)).expect("at most a chunk");
        let mut chunk = vec![0; n];
        file.read_exact_at(&mut chunk, at)?;
        file.write_all_at(&chunk, at)?;
        at += n as u64;
    }
    Ok(())
}

/// The offset after the last byte that is not zero, or `from` when there is none.
fn last_nonzero(file: &File, from: u64, bytes: u64) -> io::Result<u64> {
    let mut end = bytes;
    while end > from {
        let start = end.saturating_sub(CHUNK as u64).max(from);
        let chunk = read_zero_extended(file, start, usize::try_from(end - start).expect("at most a chunk"))?;
        if let Some(last) = chunk.iter().rposition(|&b| b != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(from)
}

fn read_zero_extended(file: &File, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; bytes];
    let mut filled = 0;
    while filled < bytes {
        match file.read_at(&mut out[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(out)
}
