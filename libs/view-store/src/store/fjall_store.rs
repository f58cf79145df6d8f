//! fjall 3: six keyspaces, grouped by how their rows are read and by how long they live.

use std::path::Path;

use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _, Snapshot as DbSnapshot,
};

use super::{Row, StoreKind, row};
use crate::batch::{Batch, Durability};
use crate::error::Error;
use crate::table::{StoredKey, StoredRange, Table};
use crate::value::Value;

/// Bound of the journal that is replayed at start; it decides how long a start after a crash takes.
const JOURNAL_BYTES_MAX: u64 = 128 << 20;
/// Threads that flush and compact.
const WORKERS: usize = 2;

/// A keyspace: tables that are read alike and have like life times share one, so that few memtables and few
/// compactions serve them all. The table's byte stays in the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    Heads,
    Nodes,
    Components,
    Search,
    Reports,
    Own,
}

impl Space {
    const ALL: [Self; 6] = [Self::Heads, Self::Nodes, Self::Components, Self::Search, Self::Reports, Self::Own];

    const fn of(table: Table) -> Self {
        match table {
            Table::Head | Table::Mention | Table::NodeById | Table::Waiting => Self::Heads,
            Table::NodeMember | Table::NodeMeta => Self::Nodes,
            Table::Component => Self::Components,
            Table::KeyLoad | Table::Lookup | Table::Partner => Self::Search,
            Table::Counter | Table::Tally | Table::Control => Self::Reports,
            Table::Redo | Table::Meta => Self::Own,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Nodes => "nodes",
            Self::Components => "components",
            Self::Search => "search",
            Self::Reports => "reports",
            Self::Own => "own",
        }
    }

    /// Memtable size as a share of the memory for unflushed writes, in sixteenths.
    const fn memtable_sixteenths(self) -> u64 {
        match self {
            Self::Heads | Self::Components => 4,
            Self::Nodes | Self::Search => 3,
            Self::Reports | Self::Own => 1,
        }
    }

    fn options(self, write_bytes: u64) -> KeyspaceCreateOptions {
        let memtable = (write_bytes * self.memtable_sixteenths() / 16).max(1 << 20);
        let compression = match self {
            // Hashes and small binary rows do not compress; the rest holds names and texts.
            Self::Heads | Self::Nodes | Self::Own => CompressionType::None,
            Self::Components | Self::Search | Self::Reports => CompressionType::Lz4,
        };
        KeyspaceCreateOptions::default()
            .max_memtable_size(memtable)
            .data_block_compression_policy(CompressionPolicy::all(compression))
            .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0))))
    }
}

/// An open fjall database.
pub struct FjallStore {
    db: Database,
    spaces: [Keyspace; Space::ALL.len()],
}

/// A consistent view over all keyspaces of a [`FjallStore`].
pub struct FjallSnapshot {
    view: DbSnapshot,
    spaces: [Keyspace; Space::ALL.len()],
}

fn failed(source: fjall::Error) -> Error {
    match source {
        fjall::Error::Poisoned => Error::Poisoned,
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) if !tells_of_damage(&source) => {
            Error::io(Path::new("the fjall store"), source)
        }
        other => Error::store(StoreKind::Fjall, other),
    }
}

/// Files that are missing or too short are damage; a full disk, a missing permission or too many open files are not.
fn tells_of_damage(source: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(source.kind(), NotFound | UnexpectedEof | InvalidData | InvalidInput | Other)
}

impl FjallStore {
    /// Half of `cache_bytes` caches blocks, a quarter holds active memtables; the rest is left for memtables that
    /// wait for their flush.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, Error> {
        let db = Database::builder(dir)
            .cache_size(cache_bytes / 2)
            .worker_threads(WORKERS)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()
            .map_err(failed)?;
        let open_space = |space: Space| db.keyspace(space.name(), || space.options(cache_bytes / 4)).map_err(failed);
        let [heads, nodes, components, search, reports, own] = Space::ALL;
        let spaces = [
            open_space(heads)?,
            open_space(nodes)?,
            open_space(components)?,
            open_space(search)?,
            open_space(reports)?,
            open_space(own)?,
        ];
        Ok(Self { db, spaces })
    }

    pub(super) fn get(&self, key: &StoredKey) -> Result<Option<Value>, Error> {
        let value = space_of(&self.spaces, key.table()).get(key.bytes()).map_err(failed)?;
        Ok(value.map(Value::from))
    }

    pub(super) fn range(&self, range: &StoredRange, limit: usize) -> Result<Vec<Row>, Error> {
        let space = space_of(&self.spaces, table_of(range));
        rows(space.range(&range.from[..]..&range.to[..]), limit)
    }

    pub(super) fn snapshot(&self) -> FjallSnapshot {
        FjallSnapshot { view: self.db.snapshot(), spaces: self.spaces.clone() }
    }

    pub(super) fn commit(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let mode = match durability {
            Durability::Buffered => PersistMode::Buffer,
            Durability::Synced => PersistMode::SyncData,
        };
        let mut writes = self.db.batch().durability(Some(mode));
        for (key, value) in batch.into_writes() {
            let space = space_of(&self.spaces, key.table());
            match value {
                Some(value) => writes.insert(space, key.bytes(), &value[..]),
                None => writes.remove(space, key.bytes()),
            }
        }
        writes.commit().map_err(failed)
    }

    pub(super) fn persist(&self) -> Result<(), Error> {
        self.db.persist(PersistMode::SyncData).map_err(failed)
    }
}

impl FjallSnapshot {
    pub(super) fn get(&self, key: &StoredKey) -> Result<Option<Value>, Error> {
        let value = self.view.get(space_of(&self.spaces, key.table()), key.bytes()).map_err(failed)?;
        Ok(value.map(Value::from))
    }

    pub(super) fn range(&self, range: &StoredRange, limit: usize) -> Result<Vec<Row>, Error> {
        let space = space_of(&self.spaces, table_of(range));
        rows(self.view.range(space, &range.from[..]..&range.to[..]), limit)
    }
}

fn space_of(spaces: &[Keyspace], table: Table) -> &Keyspace {
    &spaces[Space::of(table) as usize]
}

fn table_of(range: &StoredRange) -> Table {
    Table::from_number(range.from[0]).expect("a stored range begins with its table's number")
}

fn rows(found: fjall::Iter, limit: usize) -> Result<Vec<Row>, Error> {
    found
        .take(limit)
        .map(|guard| {
            let (key, value) = guard.into_inner().map_err(failed)?;
            Ok(row(&key, value))
        })
        .collect()
}
