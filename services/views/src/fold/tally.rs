//! The counters behind "correct" and "surplus": they belong to mentions, and change when a subject changes.
//!
//! A node keeps how many of its mentions stand in which cell, and what was last counted for it, so that one merge costs the
//! nodes that it touches and not their members.

use contract::kinds;
use linkage::Kind;
use record::{DecodeError, Reader, Writer};

const TALLY_VERSION: u8 = 2;

/// A cell's number in this store; internal.
pub(super) type CellNo = u32;

/// What a node contributes to the counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Mentions by cell, ascending.
    pub(super) cells: Vec<(CellNo, u32)>,
    /// Mentions of which a subject should have but one, by (cell of the register, hash of record type and role).
    pub(super) once: Vec<((CellNo, u32), u32)>,
    /// Against what the mentions were last compared; `None` for nothing.
    pub(super) compared: Option<Compared>,
}

/// The anchor's register, and whether the node agrees with the anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) kind: Kind,
    /// The register's place in the kind's order.
    pub(super) rank: u8,
    pub(super) matched: bool,
}

impl Compared {
    /// The anchor's register; empty for one that the kind does not order.
    pub(super) fn register(self) -> &'static str {
        let kind = match self.kind {
            Kind::Person => record::Kind::Person,
            Kind::Parcel => record::Kind::Parcel,
        };
        kinds().info(kind).anchors.get(usize::from(self.rank)).map_or("", String::as_str)
    }
}

impl Tally {
    pub(super) fn count_cell(&mut self, cell: CellNo, sign: i32) {
        count(&mut self.cells, cell, sign);
    }

    pub(super) fn count_once(&mut self, key: (CellNo, u32), sign: i32) {
        count(&mut self.once, key, sign);
    }

    /// Appends the stored form.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        let mut w = Writer::with_capacity(32);
        w.u8(TALLY_VERSION).varint(self.cells.len() as u64);
        for (cell, n) in &self.cells {
            w.varint(u64::from(*cell)).varint(u64::from(*n));
        }
        w.varint(self.once.len() as u64);
        for ((cell, key), n) in &self.once {
            w.varint(u64::from(*cell)).u32(*key).varint(u64::from(*n));
        }
        match &self.compared {
            None => w.u8(0),
            Some(c) => w.u8(1 + u8::from(c.matched) + 2 * u8::from(c.kind == Kind::Parcel)).u8(c.rank),
        };
        out.extend_from_slice(&w.finish());
    }

    /// Reads what [`Tally::append`] wrote.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.version("tally", TALLY_VERSION)?;
        let mut out = Self::default();
        for _ in 0..r.count(2)? {
            out.cells.push((small(r)?, small(r)?));
        }
        for _ in 0..r.count(6)? {
            out.once.push(((small(r)?, r.u32()?), small(r)?));
        }
        let at = r.at();
        out.compared = match r.u8()? {
            0 => None,
            flag @ 1..=4 => {
                let kind = if flag > 2 { Kind::Parcel } else { Kind::Person };
                Some(Compared { kind, rank: r.u8()?, matched: flag.is_multiple_of(2) })
            }
            _ => return Err(DecodeError::Invalid { at, what: "comparison" }),
        };
        Ok(out)
    }
}

fn small(r: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let at = r.at();
    u32::try_from(r.varint()?).map_err(|_| DecodeError::Invalid { at, what: "count" })
}

fn count<K: Ord + Copy>(list: &mut Vec<(K, u32)>, key: K, sign: i32) {
    match list.binary_search_by_key(&key, |(k, _)| *k) {
        Ok(at) => {
            list[at].1 = list[at].1.saturating_add_signed(sign);
            if list[at].1 == 0 {
                list.remove(at);
            }
        }
        Err(at) => {
            debug_assert!(sign > 0, "what is taken away was counted before");
            list.insert(at, (key, 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_up_and_down_leaves_nothing() {
        let mut tally = Tally::default();
        tally.count_cell(7, 1);
        tally.count_cell(3, 1);
        tally.count_cell(7, 1);
        tally.count_once((1, 9), 1);
        tally.compared = Some(Compared { kind: Kind::Parcel, rank: 1, matched: true });
        assert_eq!(tally.cells, [(3, 1), (7, 2)]);
        let mut bytes = Vec::new();
        tally.append(&mut bytes);
        assert_eq!(Tally::read(&mut Reader::new(&bytes)).as_ref(), Ok(&tally));
        [7, 7, 3].into_iter().for_each(|c| tally.count_cell(c, -1));
        tally.count_once((1, 9), -1);
        assert!(tally.cells.is_empty() && tally.once.is_empty());
    }
}
