//! C2SP tiles (<https://c2sp.org/tlog-tiles>): which files hold a tree's hashes and entries, and under which paths.

use std::fmt;

use crate::tree::Hash;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Levels of the tree that one tile spans.
pub const TILE_HEIGHT: u32 = 8;
/// Highest level that the format has; a tree of 2⁶⁴ leaves needs no more than 7.
pub const LEVEL_MAX: u8 = 63;
/// Bytes of a full tile.
pub const TILE_BYTES: usize = TILE_WIDTH as usize * 32;

/// A tile: consecutive hashes of one level. Width 256 is a full tile, 1 to 255 a partial one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Level, from 0: each hash spans 256^level leaves.
    pub level: u8,
    /// The tile's number within its level.
    pub index: u64,
    /// How many hashes it holds, 1 to 256.
    pub width: u16,
}

/// A resource of a tiled log, relative to the log's prefix. Displays as its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The signed checkpoint.
    Checkpoint,
    /// A tile of hashes.
    Hashes(Tile),
    /// The entries under a tile of level 0; its level is 0.
    Entries(Tile),
}

/// Why bytes are not the tile that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{tile} must have {} bytes, and has {found}: it is torn or another file", usize::from(tile.width) * 32)]
pub struct TileBytes {
    /// The tile.
    pub tile: Tile,
    /// Its bytes' number.
    pub found: usize,
}

impl Tile {
    /// The tile with that number as it stands in a tree of `size` leaves; `None` when it holds nothing yet.
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at(level, size);
        let first = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = hashes.checked_sub(first)?.min(u64::from(TILE_WIDTH));
        (width > 0).then_some(Self { level, index, width: width as u16 })
    }

    /// The tile at the right edge of a level, whether full or partial; `None` when the level is empty.
    pub fn last(level: u8, size: u64) -> Option<Self> {
        let hashes = hashes_at(level, size);
        Self::in_tree(level, hashes.checked_sub(1)? / u64::from(TILE_WIDTH), size)
    }

    /// The partial tiles of a tree of `size` leaves, from level 0 up.
    pub fn partial(size: u64) -> impl Iterator<Item = Self> {
        let levels = (0..=LEVEL_MAX).take_while(move |&level| hashes_at(level, size) > 0);
        levels.filter_map(move |level| Self::last(level, size)).filter(|tile| !tile.is_full())
    }

    /// Whether it holds 256 hashes and never changes any more.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The hashes in a tile's bytes.
    ///
    /// # Errors
    /// [`TileBytes`] when there are more or fewer than its width says.
    pub fn hashes(&self, bytes: &[u8]) -> Result<Vec<Hash>, TileBytes> {
        match bytes.as_chunks::<32>() {
            (hashes, []) if hashes.len() == usize::from(self.width) => Ok(hashes.to_vec()),
            _ => Err(TileBytes { tile: *self, found: bytes.len() }),
        }
    }
}

/// Hashes that a tree of `size` leaves has at a tile level: `floor(size / 256^level)`.
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * TILE_HEIGHT).unwrap_or(0)
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_index(f, self)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Hashes(tile) => tile.fmt(f),
            Self::Entries(tile) => {
                f.write_str("tile/entries/")?;
                write_index(f, tile)
            }
        }
    }
}

/// Groups of three digits, all but the last with an `x`; then the width, when the tile is partial.
fn write_index(f: &mut fmt::Formatter<'_>, tile: &Tile) -> fmt::Result {
    let mut groups = vec![tile.index % 1000];
    let mut rest = tile.index / 1000;
    while rest > 0 {
        groups.push(rest % 1000);
        rest /= 1000;
    }
    while let Some(group) = groups.pop() {
        match groups.is_empty() {
            false => write!(f, "x{group:03}/")?,
            true => write!(f, "{group:03}")?,
        }
    }
    match tile.is_full() {
        true => Ok(()),
        false => write!(f, ".p/{}", tile.width),
    }
}

impl Resource {
    /// Parses a path relative to the log's prefix. Only the one spelling that the format has is taken, so that what was
    /// parsed displays as the same path and leads nowhere else.
    pub fn parse(path: &str) -> Option<Self> {
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, decimal(width).filter(|w| (1..256).contains(w))? as u16),
            None => (rest, TILE_WIDTH),
        };
        let index = parse_index(index)?;
        let resource = match level {
            "entries" => Self::Entries(Tile { level: 0, index, width }),
            level => {
                let level = decimal(level).filter(|l| *l <= u64::from(LEVEL_MAX))? as u8;
                Self::Hashes(Tile { level, index, width })
            }
        };
        (resource.to_string() == path).then_some(resource)
    }
}

fn parse_index(text: &str) -> Option<u64> {
    text.split('/').try_fold(0_u64, |index, group| {
        let digits = group.strip_prefix('x').unwrap_or(group);
        index.checked_mul(1000)?.checked_add(decimal(digits)?)
    })
}

fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More digits than a u64 holds are no number of ours.
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_the_format_does_not_have_are_refused() {
        for path in [
            "",
            "checkpoint/",
            "tile/0/1",
            "tile/0/0001",
            "tile/00/001",
            "tile/64/001",
            "tile/-1/001",
            "tile/0/x001",
            "tile/0/001/002",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/07",
            "tile/0/../001",
            "tile/entries/x001/x002/3",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "/tile/0/001",
        ] {
            assert_eq!(Resource::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn every_path_parses_back(level in 0_u8..64, index: u64, width in 1_u16..=256, entries: bool) {
            let resource = match entries {
                true => Resource::Entries(Tile { level: 0, index, width }),
                false => Resource::Hashes(Tile { level, index, width }),
            };
            prop_assert_eq!(Resource::parse(&resource.to_string()), Some(resource));
        }
    }
}
