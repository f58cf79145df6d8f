//! A disk whose power goes off: what of a trace's writes is on it afterwards.
//!
//! What was flushed is there. Of what was written since, each page of each file is there as of some moment between its last flush and the power
//! loss, pages in any order, and now and then a page is torn between its sectors. A name is there once its folder was flushed; of the changes of
//! names since then a beginning is there; one time in four nothing of what was not flushed is there at all. On a disk with a journal (ext4, xfs) any flush makes all earlier names durable, on a
//! strict one only that of the folder does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::rounds::Chance;
use crate::trace::{Op, What};

const PAGE: u64 = 4096;
const SECTOR: u64 = 512;

/// How names become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Journaled,
    Strict,
}

/// A file's bytes: what is durable, and what was done since.
#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<(i64, Change)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Truncate(u64),
    Extend(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Put(PathBuf, Node),
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Naming {
    /// The folder whose flush makes it durable.
    fn folder(&self) -> &Path {
        let (Self::Put(path, _) | Self::Move(_, path) | Self::Remove(path)) = self;
        path.parent().expect("a path in a folder")
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Put(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Remove(path) => names.retain(|name, _| !name.starts_with(path)),
            Self::Move(from, to) => {
                names.retain(|name, _| !name.starts_with(to));
                let moved: Vec<_> = names.iter().filter(|(name, _)| name.starts_with(from)).collect();
                let moved: Vec<_> = moved.into_iter().map(|(name, node)| (name.clone(), *node)).collect();
                for (name, node) in moved {
                    names.remove(&name);
                    let below = name.strip_prefix(from).expect("below it");
                    // Joining nothing would leave a slash behind.
                    let name = if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
                    names.insert(name, node);
                }
            }
        }
    }
}

/// The disk below one folder, which was empty.
pub struct Disk {
    names: Names,
    files: Vec<File>,
    /// As the system shows it.
    shown: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<(i64, Naming)>,
    /// Of each open file. A number alone does not name one: of two calls in two threads the one that began first may have ended last, and
    /// have been given the number that the other one has just closed.
    offsets: HashMap<(u32, PathBuf), u64>,
}

impl Disk {
    pub fn new(names: Names) -> Self {
        let (shown, durable) = (BTreeMap::new(), BTreeMap::new());
        Self { names, files: Vec::new(), shown, durable, pending: Vec::new(), offsets: HashMap::new() }
    }

    /// What a call does that ended before `until`; of one that did not, a flush counts for nothing.
    pub fn apply(&mut self, op: &Op, until: i64) {
        match &op.what {
            What::Open { path, fd, create, truncate } => {
                self.offsets.insert((*fd, path.clone()), 0);
                if *create && !self.shown.contains_key(path) {
                    self.files.push(File::default());
                    self.name(op, Naming::Put(path.clone(), Node::File(self.files.len() - 1)));
                } else if *truncate {
                    self.change(op, path, Change::Truncate(0));
                }
            }
            What::Write { path, fd, at, bytes } => {
                let offset = self.offsets.entry((*fd, path.clone())).or_default();
                let begin = at.unwrap_or(*offset);
                if at.is_none() {
                    *offset += bytes.len() as u64;
                }
                self.change(op, path, Change::Write { at: begin, bytes: bytes.clone() });
            }
            What::Seek { path, fd, at } => {
                self.offsets.insert((*fd, path.clone()), *at);
            }
            What::Truncate { path, bytes } => self.change(op, path, Change::Truncate(*bytes)),
            What::Extend { path, bytes } => self.change(op, path, Change::Extend(*bytes)),
            What::MakeDir { path } => self.name(op, Naming::Put(path.clone(), Node::Folder)),
            What::Rename { from, to } => {
                // Who has the file open goes on writing it under its other name.
                let open: Vec<_> = self.offsets.extract_if(|(_, path), _| path == from).collect();
                self.offsets.extend(open.into_iter().map(|((fd, _), at)| ((fd, to.clone()), at)));
                self.name(op, Naming::Move(from.clone(), to.clone()));
            }
            What::Remove { path } => self.name(op, Naming::Remove(path.clone())),
            What::Sync { path } if op.to < until => self.sync(op.from, path),
            What::SyncAll if op.to < until => {
                for at in 0..self.files.len() {
                    self.files[at].sync(op.from);
                }
                self.sync_names(op.from, |_| true);
            }
            What::Sync { .. } | What::SyncAll => {}
        }
    }

    fn change(&mut self, op: &Op, path: &Path, change: Change) {
        // One that has lost its name is nobody's any more.
        if let Some(Node::File(at)) = self.shown.get(path) {
            self.files[*at].pending.push((op.to, change));
        }
    }

    fn name(&mut self, op: &Op, naming: Naming) {
        naming.apply(&mut self.shown);
        self.pending.push((op.to, naming));
    }

    fn sync(&mut self, from: i64, path: &Path) {
        if let Some(Node::File(at)) = self.shown.get(path) {
            self.files[*at].sync(from);
        }
        match self.names {
            Names::Journaled => self.sync_names(from, |_| true),
            Names::Strict => self.sync_names(from, |folder| folder == path),
        }
    }

    fn sync_names(&mut self, from: i64, of: impl Fn(&Path) -> bool) {
        let (durable, pending) = (&mut self.durable, &mut self.pending);
        pending.retain(|(to, naming)| {
            let now = *to <= from && of(naming.folder());
            if now {
                naming.apply(durable);
            }
            !now
        });
    }

    /// Everything that was written, as the system showed it.
    pub fn shown(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let of = |file: &File| {
            let mut bytes = file.durable.clone();
            file.pending.iter().for_each(|(_, change)| change.apply(&mut bytes, |_| true));
            bytes
        };
        let files = self.shown.iter().filter_map(|(name, node)| match node {
            Node::File(at) => Some((name.clone(), of(&self.files[*at]))),
            Node::Folder => None,
        });
        files.collect()
    }

    /// Writes what is left after a power loss into a folder; `root` is the one that the trace was of.
    pub fn lose_power(mut self, root: &Path, into: &Path, chance: &mut Chance) {
        let folders: BTreeSet<PathBuf> = self.pending.iter().map(|(_, naming)| naming.folder().to_owned()).collect();
        let forgets = chance.one_in(4);
        let all = if forgets { 0 } else { self.pending.len() as u64 };
        let together = chance.below(all + 1);
        let mut left: HashMap<PathBuf, u64> =
            folders.into_iter().map(|folder| (folder, chance.below(all + 1))).collect();
        for (at, (_, naming)) in self.pending.iter().enumerate() {
            let kept = match self.names {
                Names::Journaled => (at as u64) < together,
                Names::Strict => {
                    let left = left.get_mut(naming.folder()).expect("every folder has a share");
                    *left = left.saturating_sub(1);
                    *left > 0
                }
            };
            if kept {
                naming.apply(&mut self.durable);
            }
        }
        let place = |path: &Path| into.join(path.strip_prefix(root).expect("below the root"));
        let is_reached = |path: &Path| {
            path.ancestors()
                .skip(1)
                .take_while(|above| *above != root && above.starts_with(root))
                .all(|above| self.durable.get(above) == Some(&Node::Folder))
        };
        std::fs::create_dir_all(into).expect("a writable folder");
        for (path, node) in self.durable.iter().filter(|(path, _)| path.as_path() != root && is_reached(path)) {
            match node {
                Node::Folder => std::fs::create_dir_all(place(path)).expect("a writable folder"),
                Node::File(at) => {
                    let file = &self.files[*at];
                    let bytes = if forgets { file.durable.clone() } else { file.after_power_loss(chance) };
                    std::fs::write(place(path), bytes).expect("a writable folder");
                }
            }
        }
    }
}

impl File {
    fn sync(&mut self, from: i64) {
        // What ran beside the flush may have missed it, and so may what came after that.
        let done = self.pending.iter().take_while(|(to, _)| *to <= from).count();
        for (_, change) in self.pending.drain(..done) {
            change.apply(&mut self.durable, |_| true);
        }
    }

    fn after_power_loss(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        if self.pending.is_empty() {
            return bytes;
        }
        let all = self.pending.len() as u64;
        // Some disks lose nearly nothing, some nearly everything.
        let leaning = chance.below(3);
        let moment = |chance: &mut Chance| match leaning {
            0 => chance.below(all + 1),
            1 => all - chance.below(all + 1) / 4,
            _ => chance.below(all + 1) / 4,
        };
        let sizes = moment(chance);
        let mut pages: HashMap<u64, [u64; (PAGE / SECTOR) as usize]> = HashMap::new();
        for (number, (_, change)) in self.pending.iter().enumerate() {
            let number = number as u64;
            match change {
                Change::Truncate(_) | Change::Extend(_) if number < sizes => change.apply(&mut bytes, |_| true),
                Change::Truncate(_) | Change::Extend(_) => {}
                Change::Write { .. } => change.apply(&mut bytes, |at| {
                    let page = pages.entry(at / PAGE).or_insert_with(|| {
                        let whole = moment(chance);
                        let torn = chance.one_in(8);
                        std::array::from_fn(|_| if torn { moment(chance) } else { whole })
                    });
                    number < page[(at % PAGE / SECTOR) as usize]
                }),
            }
        }
        bytes
    }
}

impl Change {
    /// Applies it; of a write only the sectors that are kept.
    fn apply(&self, to: &mut Vec<u8>, mut kept: impl FnMut(u64) -> bool) {
        let length = |bytes: u64| usize::try_from(bytes).expect("it is in memory");
        match self {
            Self::Truncate(bytes) => to.resize(length(*bytes), 0),
            Self::Extend(bytes) => to.resize(length(*bytes).max(to.len()), 0),
            Self::Write { at, bytes } => {
                let end = at + bytes.len() as u64;
                let mut from = *at;
                while from < end {
                    let sector_end = (from + 1).next_multiple_of(SECTOR).min(end);
                    if kept(from) {
                        to.resize(to.len().max(length(sector_end)), 0);
                        let source = &bytes[length(from - at)..length(sector_end - at)];
                        to[length(from)..length(sector_end)].copy_from_slice(source);
                    }
                    from = sector_end;
                }
            }
        }
    }
}
