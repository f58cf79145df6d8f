//! The ledger's tiles, and the log against them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use event_log::{Logged, PartitionCounts};
use ledger::tick::tree_name;
use ledger::tile::TILE_WIDTH;
use ledger::{Hash, Head, Policy, Shape, SigningKey, Tile, TiledTree, TreeOf, VerifierKey};
use proof::{PartitionAudit, Verdict};
use record::{Partition, Stream};
use tile_store::{Inspection, TileStore};

use super::{Findings, State, first_of, log::Told};
use crate::config::Config;
use crate::error::told;

const PART: &str = "ledger";
const AGAIN: &str = "stop the hub, move ledger/ away and start it again: it is made anew from the log, unless access entries are past their retention";

/// Reads a partition's entries in the order of the log.
type Audit = PartitionAudit<Box<dyn FnMut(u64) -> Option<Hash>>>;

/// The log against the ledger's heads, while the log is read.
#[derive(Default)]
pub(super) struct Comparison {
    dir: PathBuf,
    audits: BTreeMap<(Stream, Partition), (Head, Audit)>,
    /// The last checkpoint. Only the log tells which keys may have signed it.
    note: Option<String>,
}

/// Reads the ledger's files through; what the log is to be compared with.
pub(super) fn look(config: &Config, partitions: PartitionCounts, quick: bool, findings: &mut Findings) -> Comparison {
    let dir = config.top.data_dir.join("ledger");
    if !TileStore::exists(&dir) {
        findings.add(PART, State::Note, "there is none yet", "the next start of the hub makes it from the log");
        return Comparison::default();
    }
    if quick {
        findings.add(PART, State::Note, "tiles were not read", "leave --quick out to read them through");
        return Comparison::default();
    }
    let shape = Shape { change: partitions.change, access: partitions.access, rejected: partitions.rejected };
    let found = match tile_store::inspect(&dir, shape) {
        Ok(found) => found,
        Err(error) => {
            findings.fault(PART, told(&error), AGAIN).about(&dir);
            return Comparison::default();
        }
    };
    let (shown, more) = first_of(&found.faults);
    for error in shown {
        let at = match error {
            tile_store::Error::Damaged { path, .. } | tile_store::Error::Io { path, .. } => path.clone(),
            _ => dir.clone(),
        };
        findings.fault(PART, told(error), AGAIN).about(&at);
    }
    if let Some(more) = more {
        findings.fault(PART, more, AGAIN);
    }
    if findings.is_well(PART) {
        continues(&dir, &found, findings);
    }
    if findings.is_well(PART) {
        let entries: u64 = found.state.heads.heads().iter().map(|head| head.size).sum();
        findings.ok(PART, format!("tiles of {entries} entries under {} ticks lead to their roots", found.state.size));
    }
    let audits = found.state.heads.heads().iter().map(|head| {
        let mut leaves = Leaves::new(&dir, head);
        let leaf: Box<dyn FnMut(u64) -> Option<Hash>> = Box::new(move |index| leaves.get(index));
        ((head.stream, head.partition), (*head, PartitionAudit::new(*head, leaf)))
    });
    Comparison { dir: dir.clone(), audits: audits.collect(), note: found.signed.map(|signed| signed.note) }
}

/// The last checkpoint lies on the way to what the tiles hold.
fn continues(dir: &Path, found: &Inspection, findings: &mut Findings) {
    let Some(signed) = &found.signed else { return };
    let (size, root) = (signed.state.size, signed.state.root);
    if size > found.state.size {
        // What was signed after the last flush is signed again, the same, once the log was read on.
        return;
    }
    let mut tree = TiledTree::new(found.state.size, |tile| TileStore::tile(dir, TreeOf::Log, tile));
    match tree.root_at(size) {
        Ok(had) if had == root => {}
        Ok(_) => {
            let next = "do not start the hub: keep log/ and ledger/ as evidence, and compare them with a copy";
            findings.fault(
                PART,
                format!("the tiles are not those of checkpoint {size}, which this hub has signed"),
                next,
            );
        }
        Err(error) => {
            findings.fault(PART, told(&error), AGAIN);
        }
    }
}

impl Comparison {
    /// Takes the log's next entry.
    pub(super) fn push(&mut self, logged: &Logged) {
        let position = logged.position;
        let Some((head, audit)) = self.audits.get_mut(&(position.stream, position.partition)) else { return };
        if audit.is_empty() {
            expired(audit, &self.dir, head, position.index.0);
        }
        audit.push(&logged.bytes);
    }

    /// Says what the comparison came to. Where the log itself is damaged that is said already.
    pub(super) fn finish(self, config: &Config, told: &Told, findings: &mut Findings) {
        let Some((first, _)) = told.extent.as_ref().filter(|_| told.sound) else { return };
        if let Some(note) = self.note.as_deref().filter(|_| findings.is_well(PART)) {
            signature(config, note, &told.signers, findings);
        }
        let well = findings.is_well(PART);
        let (mut proven, mut beyond, compared) = (0, 0, !self.audits.is_empty());
        for ((stream, partition), (head, mut audit)) in self.audits {
            if audit.is_empty() {
                expired(&mut audit, &self.dir, &head, first.get(stream, partition).0.min(head.size));
            }
            let name = tree_name(stream, partition);
            let next = "restore log/ from a copy and keep these files as evidence; a hub does not start over them";
            match audit.finish() {
                Verdict::Proven { covered, uncovered, .. } => {
                    proven += covered;
                    beyond += uncovered;
                }
                Verdict::Truncated { covered, found } => {
                    let what = format!("{name} ends at entry {found}, and the ledger covers {covered}");
                    findings.fault(PART, what, next).entry = Some(format!("{name}/{found}"));
                }
                Verdict::Tampered { first, .. } => {
                    let at = first.map(|first| format!(" from entry {first} on")).unwrap_or_default();
                    let found = findings.fault(PART, format!("{name} is not what the ledger covers{at}"), next);
                    found.entry = first.map(|first| format!("{name}/{first}"));
                }
            }
        }
        if well && compared && findings.is_well(PART) {
            findings.ok(
                PART,
                format!("{proven} entries of the log are as the ledger has them; {beyond} are beyond its last flush"),
            );
        }
    }
}

/// The last checkpoint is signed by this hub's key, or by one that signed before it was rotated: the next checkpoint may still be to come.
fn signature(config: &Config, note: &str, signers: &[VerifierKey], findings: &mut Findings) {
    let seed = std::fs::read(config.top.data_dir.join("secret").join("signing")).unwrap_or_default();
    // A key that is missing or has another length is a finding of the secrets, an origin of the configuration.
    let Ok(seed) = <[u8; 32]>::try_from(seed) else { return };
    let Ok(key) = SigningKey::new(&config.top.origin, &seed) else { return };
    let own = key.verifier();
    // Next to a key that the log does not name, none of those that it names is this hub's.
    let others = signers.iter().filter(|other| *other != own && signers.contains(own));
    if let Err(error) = Policy::of_keys(std::iter::once(own).chain(others).cloned()).verify(note) {
        let next = "check origin in the configuration, and that secret/signing and ledger/ are from one copy";
        findings.fault(PART, format!("the last checkpoint is not one of this hub: {}", told(&error)), next);
    }
}

/// Leaves of entries that retention has let go of come from the ledger.
fn expired(audit: &mut Audit, dir: &Path, head: &Head, first: u64) {
    let mut leaves = Leaves::new(dir, head);
    (0..first).map_while(|index| leaves.get(index)).for_each(|leaf| audit.push_expired(leaf));
}

/// The leaf hashes of a partition as its tiles have them: one tile is held.
struct Leaves {
    dir: PathBuf,
    tree: TreeOf,
    size: u64,
    held: Option<(u64, Vec<Hash>)>,
}

impl Leaves {
    fn new(dir: &Path, head: &Head) -> Self {
        Self { dir: dir.to_owned(), tree: TreeOf::Partition(head.stream, head.partition), size: head.size, held: None }
    }

    fn get(&mut self, index: u64) -> Option<Hash> {
        let width = u64::from(TILE_WIDTH);
        let number = index / width;
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            let tile = Tile::in_tree(0, number, self.size)?;
            // A tile that cannot be read was told already; the root still tells whether the log is as it was.
            let bytes = TileStore::tile(&self.dir, self.tree, tile).ok()?;
            self.held = Some((number, tile.hashes(&bytes).ok()?));
        }
        self.held.as_ref()?.1.get((index % width) as usize).copied()
    }
}
