//! The keys of record bodies: a tree that derives one key per record and can forget single ones.
//!
//! A record's key is a leaf of a tree of seeds (Goldreich, Goldwasser, Micali 1986), addressed by the first 64 bits of its
//! pseudonym, four bits a level. A child's seed is BLAKE3 of its place, keyed with its parent's seed, so that a seed gives
//! every key below it and none beside it. What is kept is the set of *live* seeds: at first the root alone. Destroying a
//! key replaces the seed above it by the seeds beside its path (a punctured pseudorandom function; Boneh and Waters 2013,
//! Green and Miers 2015): from then on nothing that is kept leads to that leaf, and every other leaf is what it was.
//!
//! Compared with a table of random keys: nothing is written when a record is published, a copy of the keys never misses
//! a new record, and every process that holds the seeds derives keys by itself. Measured on one core, a key costs 16 keyed
//! hashes of 114 ns, of which the first four are kept in 2 MiB of memory; an erasure costs at most 15 × 16 seeds.
//!
//! | children | hashes | a key | bytes a first erasure | … one of 1,000 |
//! |---|---|---|---|---|
//! | 2 | 64 | 7.5 µs | 2.6 kB | 2.2 kB |
//! | 4 | 32 | 4.0 µs | 3.9 kB | 3.3 kB |
//! | **16** | **16, of which 12 are left** | **1.2 µs** | **9.8 kB** | **8.3 kB** |
//! | 256 | 8 | 0.9 µs | 84 kB | 73 kB |
//!
//! Two records whose pseudonyms begin alike would be erased together: among 10⁹ records one erasure meets another record
//! with a chance of 2⁻³⁴. Whoever erases can look for it first, with [`address`].

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use zeroize::Zeroizing;

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::Pseudonym;

/// Bits of an address that one level of the tree reads.
const LEVEL_BITS: u32 = 4;
/// Children of a seed.
const CHILDREN: u64 = 1 << LEVEL_BITS;
/// Levels between the root and a leaf.
pub const LEVELS: u8 = (u64::BITS / LEVEL_BITS) as u8;
/// Levels that are derived once and kept.
const TOP_LEVELS: u8 = 4;
/// Seeds of that level.
const TOP: usize = 1 << (LEVEL_BITS * TOP_LEVELS as u32);
/// Bytes of a seed as [`KeyTree::encode`] writes it.
const SEED_BYTES: usize = 1 + 8 + 32;

const CHILD: &[u8; 16] = b"hub key tree 1\0\0";

type Secret = Zeroizing<[u8; 32]>;

/// The key of one record, from which the keys of its bodies are derived.
pub struct RecordKey(Secret);

impl RecordKey {
    /// The secret of one body: keyed hash of its salt and the record's pseudonym. It opens that body and gives away
    /// nothing of any other.
    pub fn body_secret(&self, record: Pseudonym, salt: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        let mut message = [0; 32];
        message[..16].copy_from_slice(salt);
        message[16..].copy_from_slice(&record.0);
        Zeroizing::new(*blake3::keyed_hash(&self.0, &message).as_bytes())
    }
}

impl std::fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordKey(..)")
    }
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// It was destroyed: the record is erased.
    #[error("the record's key was destroyed: the record is erased")]
    Destroyed,
    /// This process holds no keys at all.
    #[error("this process holds no keys: give it the key file of this log")]
    Absent,
}

/// Where a record's key stands in the tree. Records with the same address share their key.
pub fn address(record: Pseudonym) -> u64 {
    u64::from_be_bytes(record.0[..8].try_into().expect("a pseudonym has 16 bytes"))
}

/// A live seed, for the leaves from its key in [`KeyTree::live`] on.
#[derive(Clone)]
struct Seed {
    /// Levels above it; a leaf has [`LEVELS`].
    depth: u8,
    secret: Secret,
}

impl Seed {
    /// How far its leaves reach, as a mask of addresses.
    fn mask(&self) -> u64 {
        u64::MAX.checked_shr(LEVEL_BITS * u32::from(self.depth)).unwrap_or(0)
    }

    /// The child on the way to `address`.
    fn child(&self, address: u64) -> Self {
        let depth = self.depth + 1;
        let place = (address >> (u64::BITS - LEVEL_BITS * u32::from(depth))) % CHILDREN;
        let mut message = [0; 18];
        message[..16].copy_from_slice(CHILD);
        message[16..].copy_from_slice(&[depth, place as u8]);
        Self { depth, secret: Zeroizing::new(*blake3::keyed_hash(&self.secret, &message).as_bytes()) }
    }

    fn below(&self, depth: u8, address: u64) -> Self {
        let mut seed = self.clone();
        while seed.depth < depth {
            seed = seed.child(address);
        }
        seed
    }
}

/// The live seeds.
#[derive(Clone)]
pub struct KeyTree {
    /// By the first address below each; their leaves do not overlap.
    live: BTreeMap<u64, Seed>,
    /// Seeds of the level that is derived once, where a live seed stands above it.
    top: Vec<Option<Secret>>,
    absent: bool,
}

impl KeyTree {
    /// The whole tree below a root. 32 random bytes make a new one.
    pub fn new(root: [u8; 32]) -> Self {
        Self::of([(0, Seed { depth: 0, secret: Zeroizing::new(root) })].into())
    }

    /// What a process has that holds no keys.
    pub fn absent() -> Self {
        Self { live: BTreeMap::new(), top: Vec::new(), absent: true }
    }

    /// Whether this process holds keys.
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    fn of(live: BTreeMap<u64, Seed>) -> Self {
        let mut tree = Self { live, top: vec![None; TOP], absent: false };
        let above: Vec<(u64, Seed)> = tree.live.iter().map(|(at, seed)| (*at, seed.clone())).collect();
        for (at, seed) in above.into_iter().filter(|(_, seed)| seed.depth <= TOP_LEVELS) {
            tree.fill(at, &seed);
        }
        tree
    }

    fn fill(&mut self, at: u64, seed: &Seed) {
        if seed.depth == TOP_LEVELS {
            self.top[cell(at)] = Some(seed.secret.clone());
            return;
        }
        for place in 0..CHILDREN {
            let at = at | place << (u64::BITS - LEVEL_BITS * (u32::from(seed.depth) + 1));
            self.fill(at, &seed.child(at));
        }
    }

    /// The key of a record.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn key(&self, record: Pseudonym) -> Result<RecordKey, NoKey> {
        if self.absent {
            return Err(NoKey::Absent);
        }
        let address = address(record);
        if let Some(secret) = &self.top[cell(address)] {
            let seed = Seed { depth: TOP_LEVELS, secret: secret.clone() };
            return Ok(RecordKey(seed.below(LEVELS, address).secret));
        }
        let (_, seed) = self.above(address).ok_or(NoKey::Destroyed)?;
        Ok(RecordKey(seed.below(LEVELS, address).secret))
    }

    /// Whether the record's key was destroyed. Cheaper than deriving it.
    pub fn is_destroyed(&self, record: Pseudonym) -> bool {
        let address = address(record);
        !self.absent && self.top[cell(address)].is_none() && self.above(address).is_none()
    }

    fn above(&self, address: u64) -> Option<(u64, &Seed)> {
        let (at, seed) = self.live.range(..=address).next_back()?;
        (address & !seed.mask() == *at).then_some((*at, seed))
    }

    /// Forgets the key of a record; false when it is forgotten already. What is stored elsewhere of the former seeds must
    /// be destroyed by whoever stored it.
    pub fn destroy(&mut self, record: Pseudonym) -> bool {
        let address = address(record);
        let Some((at, seed)) = self.above(address).map(|(at, seed)| (at, seed.clone())) else { return false };
        self.live.remove(&at);
        if seed.depth <= TOP_LEVELS {
            let first = cell(at);
            let cells = 1 << (LEVEL_BITS * u32::from(TOP_LEVELS - seed.depth));
            self.top[first..first + cells].fill(None);
        }
        let mut on_path = seed;
        while on_path.depth < LEVELS {
            let shift = u64::BITS - LEVEL_BITS * (u32::from(on_path.depth) + 1);
            let own = address >> shift & (CHILDREN - 1);
            for place in (0..CHILDREN).filter(|place| *place != own) {
                let at = address & !on_path.mask() | place << shift;
                let beside = on_path.child(at);
                if beside.depth <= TOP_LEVELS {
                    self.fill(at, &beside);
                }
                self.live.insert(at, beside);
            }
            on_path = on_path.child(address);
        }
        true
    }

    /// How many seeds are live.
    pub fn seeds(&self) -> usize {
        self.live.len()
    }

    /// The seeds, for the key file alone.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // With its room from the start: a buffer that grows leaves copies behind.
        let mut w = Writer::with_capacity(16 + SEED_BYTES * self.live.len());
        w.varint(self.live.len() as u64);
        for (at, seed) in &self.live {
            w.u8(seed.depth).u64(*at).raw(&*seed.secret);
        }
        Zeroizing::new(w.finish())
    }

    /// Reads what [`KeyTree::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`]; seeds that overlap or stand at no place of theirs are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let mut live: BTreeMap<u64, Seed> = BTreeMap::new();
        let mut end: Option<u64> = None;
        for _ in 0..r.count(SEED_BYTES)? {
            let place = r.at();
            let invalid = DecodeError::Invalid { at: place, what: "seed" };
            let (depth, at) = (r.u8()?, r.u64()?);
            let seed = Seed { depth, secret: Zeroizing::new(r.array()?) };
            if depth > LEVELS || at & seed.mask() != 0 || end.is_some_and(|end| at <= end) {
                return Err(invalid);
            }
            end = Some(at | seed.mask());
            live.insert(at, seed);
        }
        r.end("key tree")?;
        Ok(Self::of(live))
    }
}

fn cell(address: u64) -> usize {
    (address >> (u64::BITS - LEVEL_BITS * u32::from(TOP_LEVELS))) as usize
}

impl std::fmt::Debug for KeyTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyTree").field("seeds", &self.live.len()).field("absent", &self.absent).finish()
    }
}

/// The keys as everybody in a process shares them. Whoever stores them replaces the tree when a key is destroyed; what was
/// loaded before stays readable to its holder until it is dropped, so nobody keeps one for longer than a batch.
#[derive(Clone)]
pub struct Keyring {
    id: Option<[u8; 16]>,
    tree: Arc<RwLock<Arc<KeyTree>>>,
}

impl Keyring {
    /// A ring with these keys; its id names it from its creation on, whatever is destroyed.
    pub fn new(id: [u8; 16], tree: KeyTree) -> Self {
        Self { id: Some(id), tree: Arc::new(RwLock::new(Arc::new(tree))) }
    }

    /// Of a process without keys.
    pub fn absent() -> Self {
        Self { id: None, tree: Arc::new(RwLock::new(Arc::new(KeyTree::absent()))) }
    }

    /// The ring's id; `None` where there are no keys.
    pub fn id(&self) -> Option<[u8; 16]> {
        self.id
    }

    /// The keys as they are now.
    pub fn load(&self) -> Arc<KeyTree> {
        Arc::clone(&self.tree.read().expect("nothing panics while the keys are exchanged"))
    }

    /// Replaces the keys.
    pub fn store(&self, tree: KeyTree) {
        *self.tree.write().expect("nothing panics while the keys are exchanged") = Arc::new(tree);
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring(..)")
    }
}
