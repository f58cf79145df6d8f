//! Making a bundle: from a signed checkpoint, the heads at its last tick, and the tiles of the trees.

use std::collections::{BTreeMap, BTreeSet};

use ledger::tick::tree_name;
use ledger::{
    Checkpoint, CheckpointError, Head, Heads, Note, NoteError, Receipt, Tick, Tile, TiledError, TiledTree, TreeOf,
};
use record::{EntryHash, Partition, Position, Stream};

use crate::bundle::Bundle;
use crate::section::{Blob, Hash32, Inclusion, Section, path};

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError<E> {
    /// A note is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The older checkpoint is of another log.
    #[error("the older checkpoint is of another log")]
    OtherLog,
    /// There is no tick under the checkpoint.
    #[error("the checkpoint covers no tick yet: ask again after the next one")]
    Empty,
    /// The heads are not of the tick.
    #[error("no state is known for tick {0}")]
    NoState(u64),
    /// There is no such partition.
    #[error("the log has no partition {0}")]
    NoPartition(String),
    /// The tiles give no answer.
    #[error(transparent)]
    Tiles(#[from] TiledError<E>),
}

/// A bundle in the making. `tile` gives out the tiles of every tree.
pub struct Draft<F> {
    checkpoint: Checkpoint,
    note: String,
    /// States by number of their tick; the last one is the checkpoint's.
    states: BTreeMap<u64, (Tick, Heads)>,
    older: Vec<String>,
    growth: Vec<(u64, Stream, Partition)>,
    entries: BTreeMap<Position, Content>,
    bodies: BTreeMap<Position, Hash32>,
    answers: Vec<Section>,
    tile: F,
}

#[derive(Default)]
struct Content {
    bytes: Option<Blob>,
    hash: Option<Hash32>,
    receipt: Option<Blob>,
}

impl<E, F: FnMut(TreeOf, Tile) -> Result<Vec<u8>, E>> Draft<F> {
    /// A bundle under this checkpoint, whose last leaf is the tick of `heads`.
    ///
    /// # Errors
    /// [`ComposeError::Checkpoint`], [`ComposeError::Empty`].
    pub fn new(note: &str, tick: Tick, heads: Heads, tile: F) -> Result<Self, ComposeError<E>> {
        let checkpoint = parse(note)?;
        let last = checkpoint.size.checked_sub(1).ok_or(ComposeError::Empty)?;
        Ok(Self {
            checkpoint,
            note: note.to_owned(),
            states: [(last, (tick, heads))].into(),
            older: Vec::new(),
            growth: Vec::new(),
            entries: BTreeMap::new(),
            bodies: BTreeMap::new(),
            answers: Vec::new(),
            tile,
        })
    }

    /// Shows that the checkpoint continues an older one.
    ///
    /// # Errors
    /// [`ComposeError::Checkpoint`], [`ComposeError::OtherLog`].
    pub fn since(&mut self, note: &str) -> Result<(), ComposeError<E>> {
        if parse::<E>(note)?.origin != self.checkpoint.origin {
            return Err(ComposeError::OtherLog);
        }
        self.older.push(note.to_owned());
        Ok(())
    }

    /// Shows that a partition only grew since an earlier tick, whose heads are given.
    pub fn grown_since(&mut self, index: u64, tick: Tick, heads: Heads, (stream, partition): (Stream, Partition)) {
        self.states.insert(index, (tick, heads));
        self.growth.push((index, stream, partition));
    }

    /// Discloses an entry.
    pub fn entry(&mut self, position: Position, bytes: Vec<u8>) {
        let content = self.entries.entry(position).or_default();
        (content.bytes, content.hash) = (Some(Blob(bytes)), None);
    }

    /// Opens the encrypted body of an entry that is disclosed, by the secret of this one body.
    pub fn body(&mut self, position: Position, secret: [u8; 32]) {
        self.bodies.insert(position, Hash32(secret));
    }

    /// Shows that an entry with this hash is there, without disclosing it.
    pub fn withheld(&mut self, position: Position, hash: EntryHash) {
        let content = self.entries.entry(position).or_default();
        (content.bytes, content.hash) = (None, Some(Hash32(hash.0)));
    }

    /// Adds the hub's receipt to an entry that is in the bundle: what stands for one that the checkpoint does not cover.
    pub fn receipt(&mut self, receipt: &Receipt) {
        self.entries.entry(receipt.position).or_default().receipt = Some(Blob(receipt.encode()));
    }

    /// Shows an access, whose entry is in the bundle, and its answer: the key that opens its hash, and its bytes.
    pub fn answer(&mut self, position: Position, access: [u8; 16], opened: Option<([u8; 32], Vec<u8>)>) {
        let (key, bytes) = opened.unzip();
        self.answers.push(Section::Answer {
            position: position.to_string(),
            access: record::Pseudonym(access).to_hex(),
            key: key.map(Hash32),
            bytes: bytes.map(Blob),
        });
    }

    /// Makes the proofs and writes the bundle. An entry beyond the checkpoint is written without an inclusion.
    ///
    /// # Errors
    /// [`ComposeError`].
    pub fn finish(mut self) -> Result<Vec<u8>, ComposeError<E>> {
        let mut sections = vec![Section::Checkpoint { note: std::mem::take(&mut self.note) }];
        self.log_part(&mut sections)?;
        let mut heads = HeadsWanted::new();
        let growth = self.growth_part(&mut heads)?;
        let entries = self.entry_part(&mut heads)?;
        for (index, stream, partition) in heads {
            let (head, proof) = self.head(index, stream, partition)?;
            let text = head.checkpoint(&self.checkpoint.origin).to_text();
            sections.push(Section::Head { tick: index, text, path: path(proof) });
        }
        let body = |(position, secret): (Position, _)| Section::Body { position: position.to_string(), secret };
        let bodies = self.bodies.into_iter().map(body);
        sections.extend(growth.into_iter().chain(entries).chain(bodies).chain(self.answers));
        Ok(Bundle { sections }.encode())
    }

    /// Consistency and ticks.
    fn log_part(&mut self, sections: &mut Vec<Section>) -> Result<(), ComposeError<E>> {
        let mut tree = TiledTree::new(self.checkpoint.size, |tile| (self.tile)(TreeOf::Log, tile));
        for note in std::mem::take(&mut self.older) {
            let older = parse::<E>(&note)?;
            let proof = path(tree.consistency(older.size, self.checkpoint.size)?);
            sections.push(Section::Consistency { note, proof });
        }
        for (index, (tick, _)) in &self.states {
            let proof = path(tree.inclusion(*index, self.checkpoint.size)?);
            sections.push(Section::Tick { index: *index, text: tick.to_text(), path: proof });
        }
        Ok(())
    }

    fn growth_part(&mut self, heads: &mut HeadsWanted) -> Result<Vec<Section>, ComposeError<E>> {
        let (mut out, to) = (Vec::new(), self.checkpoint.size - 1);
        for (from, stream, partition) in std::mem::take(&mut self.growth) {
            let (older, newer) = (self.head(from, stream, partition)?.0, self.head(to, stream, partition)?.0);
            let proof = path(self.tree(&newer).consistency(older.size, newer.size)?);
            out.push(Section::Growth { partition: tree_name(stream, partition), from, to, proof });
            heads.extend([(from, stream, partition), (to, stream, partition)]);
        }
        Ok(out)
    }

    fn entry_part(&mut self, heads: &mut HeadsWanted) -> Result<Vec<Section>, ComposeError<E>> {
        let (mut out, tick) = (Vec::new(), self.checkpoint.size - 1);
        for (position, content) in std::mem::take(&mut self.entries) {
            let (stream, partition) = (position.stream, position.partition);
            let head = self.head(tick, stream, partition)?.0;
            let inclusion = match position.index.0 < head.size {
                true => {
                    heads.insert((tick, stream, partition));
                    let proof = self.tree(&head).inclusion(position.index.0, head.size)?;
                    Some(Inclusion { tick, path: path(proof) })
                }
                false => None,
            };
            let Content { bytes, hash, receipt } = content;
            out.push(Section::Entry { position: position.to_string(), bytes, hash, inclusion, receipt });
        }
        Ok(out)
    }

    fn head(
        &self,
        tick: u64,
        stream: Stream,
        partition: Partition,
    ) -> Result<(Head, Vec<ledger::Hash>), ComposeError<E>> {
        let (_, heads) = self.states.get(&tick).ok_or(ComposeError::NoState(tick))?;
        heads.prove(stream, partition).ok_or_else(|| ComposeError::NoPartition(tree_name(stream, partition)))
    }

    /// A partition's tree as its head has it.
    fn tree(&mut self, head: &Head) -> TiledTree<impl FnMut(Tile) -> Result<Vec<u8>, E>> {
        let of = TreeOf::Partition(head.stream, head.partition);
        TiledTree::new(head.size, move |tile| (self.tile)(of, tile))
    }
}

/// The heads that sections refer to: tick, stream, partition.
type HeadsWanted = BTreeSet<(u64, Stream, Partition)>;

fn parse<E>(note: &str) -> Result<Checkpoint, ComposeError<E>> {
    let note = Note::parse(note).map_err(|error: NoteError| CheckpointError::from(error))?;
    Ok(Checkpoint::parse(note.text)?)
}
