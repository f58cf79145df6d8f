//! Administrative units by dated lists.
//!
//! A value is kept as (code, list version) as printed and resolved when it is read: most codes of the present list once
//! named another unit, so a code alone means nothing. A unit that was split stays undecided without further evidence.

use std::collections::BTreeMap;
use std::sync::Arc;

use record::{DecodeError, Index, Reader, Writer};

const LIST_VERSION: u8 = 1;

/// One unit of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Code in this list: two digits for a province, three for an old district, five for a commune.
    pub code: String,
    /// Name, such as `Phường Ba Đình`.
    pub name: String,
    /// Code of the province it belongs to; its own for a province.
    pub province: String,
}

/// A dated list, and how the units of the list before went into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitList {
    /// Version, such as `2025-07-01`. Unique.
    pub version: String,
    /// First day on which it holds, `YYYY-MM-DD`.
    pub valid_from: String,
    /// Version of the list that it replaces; empty for the first.
    pub previous: String,
    /// The units, ascending by code.
    pub units: Vec<Unit>,
    /// (code in the previous list, code in this list), ascending. Several rows with one old code: the unit was split.
    pub map: Vec<(String, String)>,
}

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitListError {
    /// The bytes are not a list.
    #[error("not a unit list: {0}")]
    Decode(#[from] DecodeError),
    /// Order or uniqueness.
    #[error("unit list {version}: {what} must be ascending and unique (row {row})")]
    Order {
        /// The list.
        version: String,
        /// Units or map.
        what: &'static str,
        /// Which row, from 1.
        row: usize,
    },
    /// A map row leads to a unit that the list does not have.
    #[error("unit list {version}: map row {row} leads to code {code}, which the list does not have")]
    Dangling {
        /// The list.
        version: String,
        /// Which row, from 1.
        row: usize,
        /// The code.
        code: String,
    },
    /// The list before is not known.
    #[error("unit list {version} replaces {previous}, which is not known: import that one first")]
    NoPrevious {
        /// The list.
        version: String,
        /// The missing one.
        previous: String,
    },
    /// The version is taken by another list.
    #[error("unit list {version} is known with other content: give the new list another version")]
    Taken {
        /// The version.
        version: String,
    },
    /// Version or date is empty or too long.
    #[error("a unit list needs a version of 1 to 32 characters and a first day as YYYY-MM-DD")]
    Name,
}

impl UnitList {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64 * self.units.len());
        w.u8(LIST_VERSION).text(&self.version).text(&self.valid_from).text(&self.previous);
        w.varint(self.units.len() as u64);
        for u in &self.units {
            w.text(&u.code).text(&u.name).text(&u.province);
        }
        w.varint(self.map.len() as u64);
        for (old, new) in &self.map {
            w.text(old).text(new);
        }
        w.finish()
    }

    /// Reads what [`UnitList::encode`] wrote and checks it.
    ///
    /// # Errors
    /// [`UnitListError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, UnitListError> {
        let mut r = Reader::new(bytes);
        r.version("unit list", LIST_VERSION)?;
        let (version, valid_from, previous) = (r.text()?.to_owned(), r.text()?.to_owned(), r.text()?.to_owned());
        let mut units = Vec::new();
        for _ in 0..r.count(3)? {
            units.push(Unit { code: r.text()?.into(), name: r.text()?.into(), province: r.text()?.into() });
        }
        let mut map = Vec::new();
        for _ in 0..r.count(2)? {
            map.push((r.text()?.to_owned(), r.text()?.to_owned()));
        }
        r.end("unit list")?;
        let list = Self { version, valid_from, previous, units, map };
        list.check()?;
        Ok(list)
    }

    /// Checks order, uniqueness and that the map leads to units of this list.
    ///
    /// # Errors
    /// [`UnitListError`].
    pub fn check(&self) -> Result<(), UnitListError> {
        if !(1..=32).contains(&self.version.len()) || !is_date(&self.valid_from) {
            return Err(UnitListError::Name);
        }
        let order = |what, row| UnitListError::Order { version: self.version.clone(), what, row };
        if let Some(i) = self.units.windows(2).position(|w| w[0].code >= w[1].code) {
            return Err(order("units", i + 2));
        }
        if let Some(i) = self.map.windows(2).position(|w| w[0] >= w[1]) {
            return Err(order("map rows", i + 2));
        }
        match self.map.iter().position(|(_, new)| self.unit(new).is_none()) {
            None => Ok(()),
            Some(i) => {
                Err(UnitListError::Dangling { version: self.version.clone(), row: i + 1, code: self.map[i].1.clone() })
            }
        }
    }

    /// The unit with that code.
    pub fn unit(&self, code: &str) -> Option<&Unit> {
        self.units.binary_search_by(|u| u.code.as_str().cmp(code)).ok().map(|i| &self.units[i])
    }

    fn successors(&self, old: &str) -> impl Iterator<Item = &str> {
        let start = self.map.partition_point(|(o, _)| o.as_str() < old);
        let old = old.to_owned();
        self.map[start..].iter().take_while(move |(o, _)| *o == old).map(|(_, new)| new.as_str())
    }

    /// How many units of the previous list map to one unit, and how many were split.
    pub fn mapped_and_split(&self) -> (usize, usize) {
        self.map
            .chunk_by(|a, b| a.0 == b.0)
            .fold((0, 0), |(m, s), c| if c.len() == 1 { (m + 1, s) } else { (m, s + 1) })
    }
}

fn is_date(s: &str) -> bool {
    let b = s.as_bytes();
    b.len() == 10 && b.iter().enumerate().all(|(i, c)| if i == 4 || i == 7 { *c == b'-' } else { c.is_ascii_digit() })
}

/// What a printed code names in a later list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// One unit.
    Unit {
        /// The unit.
        unit: &'a Unit,
        /// The list in which it stands.
        list: &'a str,
    },
    /// The unit was split: one of these, and the code does not say which.
    Split {
        /// Candidates, ascending by code.
        candidates: Vec<&'a Unit>,
        /// The list in which they stand.
        list: &'a str,
    },
    /// The code or its list is not known.
    Unknown,
}

/// Every list that is known.
#[derive(Debug, Clone, Default)]
pub struct Units {
    lists: BTreeMap<String, (Index, Arc<UnitList>)>,
}

impl Units {
    /// Adds a list as of an index of the control stream. Adding the same list again changes nothing.
    ///
    /// # Errors
    /// [`UnitListError`] when its predecessor is missing or its version is taken.
    pub fn add(&mut self, index: Index, list: UnitList) -> Result<(), UnitListError> {
        list.check()?;
        if let Some((_, known)) = self.lists.get(&list.version) {
            return if **known == list { Ok(()) } else { Err(UnitListError::Taken { version: list.version }) };
        }
        if !list.previous.is_empty() && !self.lists.contains_key(&list.previous) {
            return Err(UnitListError::NoPrevious { version: list.version, previous: list.previous });
        }
        self.lists.insert(list.version.clone(), (index, Arc::new(list)));
        Ok(())
    }

    /// Only the lists that were known before an index of the control stream.
    pub fn as_of(&self, end: Index) -> Self {
        Self { lists: self.lists.iter().filter(|(_, (i, _))| *i < end).map(|(k, v)| (k.clone(), v.clone())).collect() }
    }

    /// Only the lists with these versions.
    pub fn only(&self, versions: &[String]) -> Self {
        let wanted = |k: &String| versions.contains(k);
        Self { lists: self.lists.iter().filter(|(k, _)| wanted(k)).map(|(k, v)| (k.clone(), v.clone())).collect() }
    }

    /// Appends the lists with their indices.
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.varint(self.lists.len() as u64);
        for (index, list) in self.lists.values() {
            w.u64(index.0).bytes(&list.encode());
        }
    }

    /// Reads what [`Units::encode`] wrote.
    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut lists = BTreeMap::new();
        for _ in 0..r.count(9)? {
            let index = Index(r.u64()?);
            let at = r.at();
            let list = UnitList::decode(r.bytes()?).map_err(|_| DecodeError::Invalid { at, what: "unit list" })?;
            lists.insert(list.version.clone(), (index, Arc::new(list)));
        }
        Ok(Self { lists })
    }

    /// The lists, by first day of validity.
    pub fn lists(&self) -> Vec<&UnitList> {
        let mut out: Vec<&UnitList> = self.lists.values().map(|(_, l)| l.as_ref()).collect();
        out.sort_by(|a, b| (&a.valid_from, &a.version).cmp(&(&b.valid_from, &b.version)));
        out
    }

    /// The list with that version; the newest for an empty one.
    pub fn list(&self, version: &str) -> Option<&UnitList> {
        if version.is_empty() {
            return self.lists().pop();
        }
        self.lists.get(version).map(|(_, l)| l.as_ref())
    }

    /// What a code printed from `version` names in the newest list that descends from it.
    pub fn resolve(&self, code: &str, version: &str) -> Resolved<'_> {
        let Some(mut list) = self.list(version) else { return Resolved::Unknown };
        let Some(unit) = list.unit(code) else { return Resolved::Unknown };
        let mut units = vec![unit];
        while let Some(next) = self.successor(list) {
            let mut moved: Vec<&Unit> =
                units.iter().flat_map(|u| next.successors(&u.code)).filter_map(|c| next.unit(c)).collect();
            moved.sort_by(|a, b| a.code.cmp(&b.code));
            moved.dedup_by(|a, b| a.code == b.code);
            if moved.is_empty() {
                return Resolved::Unknown;
            }
            (units, list) = (moved, next);
        }
        match units.as_slice() {
            [unit] => Resolved::Unit { unit, list: &list.version },
            _ => Resolved::Split { candidates: units, list: &list.version },
        }
    }

    fn successor(&self, list: &UnitList) -> Option<&UnitList> {
        let follows = |l: &&Arc<UnitList>| l.previous == list.version;
        self.lists
            .values()
            .map(|(_, l)| l)
            .filter(follows)
            .max_by(|a, b| a.valid_from.cmp(&b.valid_from))
            .map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(code: &str, name: &str) -> Unit {
        Unit { code: code.into(), name: name.into(), province: code[..2].into() }
    }

    fn lists() -> Units {
        let old = UnitList {
            version: "old".into(),
            valid_from: "2020-01-01".into(),
            previous: String::new(),
            units: vec![unit("00001", "A"), unit("00004", "B"), unit("00005", "C")],
            map: vec![],
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let new = UnitList {
            version: "new".into(),
            valid_from: "2025-07-01".into(),
            previous: "old".into(),
            units: vec![unit("00004", "D"), unit("00009", "E")],
            map: vec![pair("00001", "00009"), pair("00004", "00004"), pair("00005", "00004"), pair("00005", "00009")],
        };
        let mut units = Units::default();
        units.add(Index(3), old).unwrap();
        units.add(Index(7), new).unwrap();
        units
    }

    #[test]
    fn a_code_names_the_unit_of_its_own_list() {
        let units = lists();
        let name = |code, list| match units.resolve(code, list) {
            Resolved::Unit { unit, .. } => unit.name.clone(),
            other => format!("{other:?}"),
        };
        assert_eq!((name("00001", "old").as_str(), name("00004", "new").as_str()), ("E", "D"));
        assert_eq!(units.resolve("00001", "new"), Resolved::Unknown);
        assert_eq!(units.resolve("00001", "none"), Resolved::Unknown);
    }

    #[test]
    fn a_split_unit_stays_undecided() {
        let units = lists();
        let Resolved::Split { candidates, .. } = units.resolve("00005", "old") else { panic!("not split") };
        assert_eq!(candidates.iter().map(|u| u.code.as_str()).collect::<Vec<_>>(), ["00004", "00009"]);
        assert_eq!(units.list("new").unwrap().mapped_and_split(), (2, 1));
    }

    #[test]
    fn before_the_new_list_was_known_the_old_unit_stands() {
        let units = lists().as_of(Index(7));
        assert!(matches!(units.resolve("00005", "old"), Resolved::Unit { unit, list: "old" } if unit.name == "C"));
    }

    #[test]
    fn lists_that_dangle_repeat_or_lack_their_predecessor_are_refused() {
        let mut bad = lists().list("new").unwrap().clone();
        bad.map[0].1 = "00010".into();
        assert!(matches!(bad.check(), Err(UnitListError::Dangling { row: 1, .. })));
        let mut lonely = lists().list("new").unwrap().clone();
        lonely.version = "x".into();
        assert!(matches!(Units::default().add(Index(0), lonely), Err(UnitListError::NoPrevious { .. })));
        let mut taken = lists().list("new").unwrap().clone();
        taken.units[0].name = "F".into();
        assert!(matches!(lists().add(Index(9), taken), Err(UnitListError::Taken { .. })));
    }

    #[test]
    fn encoded_lists_decode() {
        let units = lists();
        for list in units.lists() {
            assert_eq!(UnitList::decode(&list.encode()).as_ref(), Ok(list));
        }
        assert!(UnitList::decode(&[1, 2, 3]).is_err());
    }
}
