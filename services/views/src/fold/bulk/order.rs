//! The order in which changes are folded in bulk, in files.
//!
//! Two passes of buckets, so that memory is bounded: by record, to find for each record the one key that all its changes are ordered by, as its order is its
//! own; then by that key. What is left is one file of locators:
//!
//! ```text
//! "hub bulk", u32 length of the position vector, position vector, u64 changes, u64 locator each; BLAKE3 of all that (32)
//! ```
//!
//! Integers are little-endian. The file gets its name when it is on disk as a whole.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use event_log::{Locator, Logged};
use projection::state::ControlState;
use record::{Entry, EntryKind, Envelope, LogSecret, Positions, Writer};

use super::super::prepare::{Body, Opened, place_of};

const MAGIC: &[u8; 8] = b"hub bulk";
const FILE: &str = "order";
const DRAFT: &str = "order.new";
const HASH_BYTES: usize = 32;
const PLACE_BYTES: usize = 40;
/// Changes of a bucket, about: 20 MB in memory.
const BUCKET_CHANGES: u64 = 500_000;
/// Buckets at most: each has an open file and its buffer.
const BUCKETS_MAX: u64 = 256;

/// Where a change stands in the log, and by what it is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    record: [u8; 16],
    /// Of a change that says nothing of a subject: none.
    key: Option<u64>,
    index: u64,
    locator: u64,
}

impl Place {
    fn record_number(&self) -> u64 {
        u64::from_le_bytes(self.record[..8].try_into().expect("a record has 16 bytes"))
    }

    /// Uniform, as keys and pseudonyms are hashes; none is 0.
    fn key_bits(&self) -> u64 {
        self.key.map_or(0, |key| key.max(1))
    }

    fn encode(&self) -> [u8; PLACE_BYTES] {
        let mut out = [0; PLACE_BYTES];
        out[..16].copy_from_slice(&self.record);
        out[16..24].copy_from_slice(&self.key_bits().to_le_bytes());
        out[24..32].copy_from_slice(&self.index.to_le_bytes());
        out[32..].copy_from_slice(&self.locator.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Self {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        Self {
            record: bytes[..16].try_into().expect("16 bytes"),
            key: Some(word(16)).filter(|key| *key != 0),
            index: word(24),
            locator: word(32),
        }
    }
}

/// The places of changes; entries that the fold does not apply have none.
pub(super) fn places(entries: &[Logged], control: &ControlState, secret: &LogSecret, threads: usize) -> Vec<Place> {
    let part = |entries: &[Logged]| -> Vec<Place> {
        let keys = secret.keys();
        entries.iter().filter_map(|logged| place(logged, control, secret, &keys)).collect()
    };
    let size = entries.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let mut chunks = entries.chunks(size);
        let first = chunks.next();
        let others: Vec<_> = chunks.map(|chunk| scope.spawn(move || part(chunk))).collect();
        let mut places = first.map_or_else(Vec::new, part);
        for other in others {
            places.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        places
    })
}

fn place(logged: &Logged, control: &ControlState, secret: &LogSecret, keys: &record::KeyTree) -> Option<Place> {
    let index = logged.position.index.0;
    let of = |record, key| Some(Place { record, key, index, locator: logged.locator.0 });
    // What cannot be read is parked by the fold, wherever it comes.
    let Ok(entry) = Entry::decode(&logged.bytes) else { return of([0; 16], None) };
    if !matches!(entry.header.kind, EntryKind::Upsert | EntryKind::Retract) {
        return None;
    }
    let key = || {
        let register = entry.header.register.as_ref()?;
        let opened = Opened::of(&entry, keys, logged.position).ok()?;
        let body = opened.bytes(&entry, logged.position).ok()??;
        let envelope = Envelope::decode(body).ok()?;
        place_of(control, secret, register, entry.header.record, &Body { header: &entry.header, envelope })
    };
    of(entry.header.record.0, if entry.header.kind == EntryKind::Upsert { key() } else { None })
}

/// Files of places, by the first bits of a number.
struct Buckets {
    paths: Vec<PathBuf>,
    files: Vec<BufWriter<File>>,
}

impl Buckets {
    fn begin(dir: &Path, name: &str, count: u64) -> io::Result<Self> {
        let paths: Vec<PathBuf> = (0..count).map(|n| dir.join(format!("{name}.{n:03}"))).collect();
        let files = paths.iter().map(|path| Ok(BufWriter::with_capacity(1 << 16, File::create(path)?)));
        Ok(Self { files: files.collect::<io::Result<_>>()?, paths })
    }

    fn add(&mut self, number: u64, place: &Place) -> io::Result<()> {
        let bucket = (u128::from(number) * self.files.len() as u128) >> 64;
        self.files[bucket as usize].write_all(&place.encode())
    }

    /// Calls `look` with the places of each bucket, and removes it.
    fn drain(self, mut look: impl FnMut(Vec<Place>) -> io::Result<()>) -> io::Result<()> {
        for (path, file) in self.paths.iter().zip(self.files) {
            drop(file.into_inner().map_err(io::IntoInnerError::into_error)?);
            look(fs::read(path)?.chunks_exact(PLACE_BYTES).map(Place::decode).collect())?;
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// The order while it is made.
pub(super) struct Sorter {
    dir: PathBuf,
    by_record: Buckets,
}

impl Sorter {
    pub(super) fn begin(dir: &Path, changes: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let count = changes.div_ceil(BUCKET_CHANGES).clamp(1, BUCKETS_MAX);
        Ok(Self { dir: dir.to_owned(), by_record: Buckets::begin(dir, "record", count)? })
    }

    pub(super) fn add(&mut self, places: &[Place]) -> io::Result<()> {
        places.iter().try_for_each(|place| self.by_record.add(place.record_number(), place))
    }

    pub(super) fn finish(self, target: &Positions) -> io::Result<Order> {
        let mut by_key = Buckets::begin(&self.dir, "key", self.by_record.files.len() as u64)?;
        let mut changes = 0_u64;
        self.by_record.drain(|mut places| {
            places.sort_unstable_by_key(|place| (place.record, place.index));
            for of_record in places.chunk_by_mut(|a, b| a.record == b.record) {
                // The newest that says something: what linkage reads, mostly.
                let key = of_record.iter().rev().find_map(|place| place.key);
                let key = key.unwrap_or_else(|| of_record[0].record_number().max(1));
                for place in of_record {
                    place.key = Some(key);
                    by_key.add(key, place)?;
                    changes += 1;
                }
            }
            Ok(())
        })?;
        let draft = self.dir.join(DRAFT);
        let mut out =
            Hashed { out: BufWriter::with_capacity(1 << 20, File::create(&draft)?), hash: blake3::Hasher::new() };
        out.put(&head(target, changes))?;
        by_key.drain(|mut places| {
            places.sort_unstable_by_key(|place| (place.key, place.record, place.index));
            places.iter().try_for_each(|place| out.put(&place.locator.to_le_bytes()))
        })?;
        let hash = out.hash.finalize();
        out.out.write_all(hash.as_bytes())?;
        out.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&draft, self.dir.join(FILE))?;
        File::open(&self.dir)?.sync_all()?;
        if let Some(parent) = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        Order::open(&self.dir, target)?.ok_or_else(|| ErrorKind::NotFound.into())
    }
}

struct Hashed {
    out: BufWriter<File>,
    hash: blake3::Hasher,
}

impl Hashed {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

fn head(target: &Positions, changes: u64) -> Vec<u8> {
    let mut w = Writer::new();
    target.encode(&mut w);
    let target = w.finish();
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&(target.len() as u32).to_le_bytes());
    head.extend_from_slice(&target);
    head.extend_from_slice(&changes.to_le_bytes());
    head
}

/// The order, whole.
#[derive(Debug)]
pub(super) struct Order {
    file: File,
    /// Where the locators begin.
    first: u64,
    changes: u64,
}

impl Order {
    /// Opens the order in a folder; `None` when there is none, or it is not whole or for other positions.
    pub(super) fn open(dir: &Path, target: &Positions) -> io::Result<Option<Self>> {
        let file = match File::open(dir.join(FILE)) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let first = head(target, 0).len() as u64;
        let length = file.metadata()?.len();
        let Some(changes) = length.checked_sub(first + HASH_BYTES as u64).map(|bytes| bytes / 8) else {
            return Ok(None);
        };
        if length != first + 8 * changes + HASH_BYTES as u64 {
            return Ok(None);
        }
        let mut input = BufReader::with_capacity(1 << 20, &file);
        let mut found = vec![0; first as usize];
        input.read_exact(&mut found)?;
        if found != head(target, changes) {
            return Ok(None);
        }
        let mut hash = blake3::Hasher::new();
        hash.update(&found);
        io::copy(&mut (&mut input).take(8 * changes), &mut hash)?;
        let mut named = [0; HASH_BYTES];
        input.read_exact(&mut named)?;
        drop(input);
        Ok((hash.finalize() == named).then_some(Self { file, first, changes }))
    }

    /// Changes of the order.
    pub(super) const fn len(&self) -> u64 {
        self.changes
    }

    /// At most `max` locators from a place on.
    pub(super) fn read(&self, at: u64, max: usize) -> io::Result<Vec<Locator>> {
        let count = (self.changes - at.min(self.changes)).min(max as u64) as usize;
        let mut bytes = vec![0; 8 * count];
        self.file.read_exact_at(&mut bytes, self.first + 8 * at)?;
        let locator = |bytes: &[u8]| Locator(u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
        Ok(bytes.chunks_exact(8).map(locator).collect())
    }
}

/// Removes the order, or what there is of it.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use record::{Index, Partition, Stream};

    use super::*;

    fn target(end: u64) -> Positions {
        let mut target = Positions::new();
        target.set(Stream::Change, Partition(3), Index(end));
        target
    }

    fn any_place() -> impl Strategy<Value = (u8, Option<u64>)> {
        (any::<u8>(), proptest::option::of(1..4_u64))
    }

    proptest! {
        #[test]
        fn a_record_keeps_its_order_and_those_of_one_key_stand_together(changes in proptest::collection::vec(any_place(), 1..300)) {
            let dir = tempfile::tempdir().expect("a folder");
            let dir = dir.path().join("sort");
            let mut sorter = Sorter::begin(&dir, 3 * BUCKET_CHANGES).expect("writable");
            let places: Vec<Place> = changes.iter().enumerate().map(|(at, (record, key))| Place {
                record: [*record; 16],
                key: key.map(|key| key << 62),
                index: at as u64,
                locator: at as u64,
            }).collect();
            sorter.add(&places).expect("writable");
            let order = sorter.finish(&target(7)).expect("writable");
            prop_assert_eq!(order.len(), places.len() as u64);
            let read: Vec<&Place> = order.read(0, usize::MAX).expect("readable").iter().map(|l| &places[l.0 as usize]).collect();
            let key_of = |record: [u8; 16]| places.iter().rev().filter(|p| p.record == record).find_map(|p| p.key);
            for pair in read.windows(2) {
                prop_assert!(pair[0].record != pair[1].record || pair[0].index < pair[1].index);
            }
            // Whoever has left a record, or a key, does not come back to it.
            for of in [&(|p: &Place| Some(u64::from(p.record[0]) + 1)) as &dyn Fn(&Place) -> Option<u64>, &|p: &Place| key_of(p.record)] {
                let mut left = std::collections::BTreeSet::new();
                for pair in read.windows(2) {
                    let (a, b) = (of(pair[0]), of(pair[1]));
                    if a != b {
                        left.extend(a);
                        prop_assert!(b.is_none_or(|b| !left.contains(&b)));
                    }
                }
            }
            prop_assert_eq!(order.read(1, 2).expect("readable"), order.read(0, 3).expect("readable").split_off(1.min(places.len())));
        }
    }

    #[test]
    fn an_order_that_is_changed_cut_or_for_other_positions_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        assert!(Order::open(dir, &target(7)).expect("readable").is_none());
        let mut sorter = Sorter::begin(dir, 1).expect("writable");
        let place = |n: u64| Place { record: [n as u8; 16], key: Some(n << 50), index: n, locator: n };
        sorter.add(&[place(1), place(2), place(9)]).expect("writable");
        sorter.finish(&target(7)).expect("writable");
        assert!(Order::open(dir, &target(8)).expect("readable").is_none());
        let whole = fs::read(dir.join(FILE)).expect("readable");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            fs::write(dir.join(FILE), &changed).expect("writable");
            assert!(Order::open(dir, &target(7)).expect("readable").is_none(), "byte {at}");
            fs::write(dir.join(FILE), &whole[..at]).expect("writable");
            assert!(Order::open(dir, &target(7)).expect("readable").is_none(), "cut at {at}");
        }
        fs::write(dir.join(FILE), &whole).expect("writable");
        assert_eq!(Order::open(dir, &target(7)).expect("readable").map(|order| order.len()), Some(3));
        remove(dir).expect("removable");
        remove(dir).expect("nothing is left to remove");
    }
}
