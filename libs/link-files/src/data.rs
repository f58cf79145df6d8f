//! Records as they are compared: columns of value numbers, equal records taken together as one node.

use rayon::prelude::*;

use crate::arena::Interner;
use crate::error::Error;
use crate::spec::{ColumnSpec, Kind, Spec};
use crate::table::{RawColumn, Table};
use crate::values::{Values, normalise};

/// Most columns that are compared; of more, those that tell records apart best.
pub const COLUMNS_MAX: usize = 24;

/// A compared column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How it is compared.
    pub kind: Kind,
    /// The column whose values may stand in this one.
    pub swaps_with: Option<usize>,
    /// Its distinct values.
    pub values: Values,
    /// By node: the place of its value; 0 when it has none.
    pub codes: Vec<u32>,
    /// Share of records that have a value.
    pub filled: f64,
    /// Records that have the commonest value.
    pub most_frequent: u32,
}

/// The records, ready to be compared.
#[derive(Clone, Debug)]
pub struct Data {
    /// Compared columns.
    pub columns: Vec<Column>,
    /// By node: end of its records in `records`.
    ends: Vec<u32>,
    /// Records by node, ascending within a node.
    records: Vec<u32>,
    /// First node of the second file; the number of nodes when there is one file.
    pub second_file: usize,
    /// True when only pairs across the two files are compared.
    pub across: bool,
    /// Columns of the spec that were left out because there were too many.
    pub left_out: Vec<String>,
}

impl Data {
    /// Number of nodes: of distinct records.
    pub fn nodes(&self) -> usize {
        self.ends.len()
    }

    /// The records of a node, ascending.
    pub fn records_of(&self, node: usize) -> &[u32] {
        let start = if node == 0 { 0 } else { self.ends[node - 1] as usize };
        &self.records[start..self.ends[node] as usize]
    }

    /// Whether a pair of nodes is one that is looked for.
    pub fn is_pair(&self, a: u32, b: u32) -> bool {
        !self.across || ((a as usize) < self.second_file) != ((b as usize) < self.second_file)
    }

    /// Number of pairs of nodes that are looked for.
    pub fn pairs(&self) -> f64 {
        let (nodes, first) = (self.nodes() as f64, self.second_file as f64);
        if self.across { first * (nodes - first) } else { nodes * (nodes - 1.0) / 2.0 }
    }
}

/// Normalises the columns of a spec and takes equal records together.
///
/// # Errors
/// The spec names a column that is not there, or nothing is left to compare.
pub fn prepare(table: &Table, spec: &Spec) -> Result<Data, Error> {
    let raw = spec.columns.iter().map(|column| raw_column(table, column)).collect::<Result<Vec<_>, Error>>()?;
    let normal: Vec<(Values, Vec<u32>)> = raw
        .par_iter()
        .zip(&spec.columns)
        .map(|(raw, column)| match raw {
            Raw::Own(raw) => normalise(raw, column.kind),
            Raw::Made(raw) => normalise(raw, column.kind),
        })
        .collect();
    let (kept, left_out) = choose(spec, &normal, table.records());
    if kept.is_empty() {
        return Err(Error::NothingToCompare);
    }
    let mut normal: Vec<Option<(Values, Vec<u32>)>> = normal.into_iter().map(Some).collect();
    let mut columns = Vec::new();
    for place in &kept {
        let (values, codes) = normal[*place].take().expect("a column is kept once");
        let spec_column = &spec.columns[*place];
        let swaps_with = spec_column.swaps_with.as_ref().and_then(|other| {
            kept.iter()
                .position(|kept| spec.columns[*kept].name == *other && spec.columns[*kept].kind == spec_column.kind)
        });
        let filled = 1.0 - f64::from(values.counts[0]) / table.records() as f64;
        let most_frequent = values.counts.iter().skip(1).copied().max().unwrap_or(0);
        columns.push(Column {
            name: spec_column.name.clone(),
            kind: spec_column.kind,
            swaps_with,
            values,
            codes,
            filled,
            most_frequent,
        });
    }
    let mut data = group(table, columns, left_out);
    count_copies_once(&mut data);
    Ok(data)
}

/// A record with at least so many values that was copied …
const TELLING: usize = 3;
/// … counts at most so often where the rarity of its values is told: copies of one record do not make its name common, while
/// many records of nothing but a common name do.
pub(crate) const COPIES_MAX: u32 = 3;

fn count_copies_once(data: &mut Data) {
    let records: Vec<u32> = (0..data.nodes()).map(|node| data.records_of(node).len() as u32).collect();
    let copied: Vec<bool> = (0..data.nodes())
        .map(|node| {
            let filled = || data.columns.iter().filter(|column| column.codes[node] != 0).count();
            records[node] > COPIES_MAX && filled() >= TELLING
        })
        .collect();
    if !copied.contains(&true) {
        return;
    }
    for column in &mut data.columns {
        let mut counts = vec![0; column.values.len()];
        for (node, code) in column.codes.iter().enumerate() {
            counts[*code as usize] += if copied[node] { COPIES_MAX } else { records[node] };
        }
        column.values.recount(counts);
    }
}

enum Raw<'a> {
    Own(&'a RawColumn),
    Made(RawColumn),
}

fn raw_column<'a>(table: &'a Table, column: &ColumnSpec) -> Result<Raw<'a>, Error> {
    let find = |name: &str| {
        table.column(name).ok_or_else(|| Error::NoColumn {
            file: table.files[0].path.clone(),
            column: name.to_owned(),
            columns: table.columns.iter().map(|c| format!("'{}'", c.name)).collect::<Vec<_>>().join(", "),
        })
    };
    let own = find(&column.name)?;
    let Some(longitude) = &column.longitude else { return Ok(Raw::Own(own)) };
    let other = find(longitude)?;
    let mut values = Interner::default();
    values.number(b"");
    let joined = own.codes.iter().zip(&other.codes).map(|(a, b)| {
        if *a == 0 || *b == 0 {
            return 0;
        }
        values.number(&[own.values.get(*a as usize), b",", other.values.get(*b as usize)].concat())
    });
    let codes = joined.collect();
    Ok(Raw::Made(RawColumn { name: column.name.clone(), values: values.into_arena(), codes }))
}

/// Columns with something in them; of too many, those with the most information per record.
fn choose(spec: &Spec, normal: &[(Values, Vec<u32>)], records: usize) -> (Vec<usize>, Vec<String>) {
    let information = |values: &Values| {
        let bits = values.counts.iter().zip(&values.rarity).skip(1);
        bits.map(|(count, rarity)| u64::from(*count) * rarity.unsigned_abs() as u64).sum::<u64>() / records as u64
    };
    let mut order: Vec<(u64, usize)> = normal
        .iter()
        .enumerate()
        .filter(|(_, (values, _))| values.len() > 2)
        .map(|(place, (values, _))| (information(values), place))
        .collect();
    order.sort_unstable_by_key(|(bits, place)| (std::cmp::Reverse(*bits), *place));
    let left_out = order.iter().skip(COLUMNS_MAX).map(|(_, place)| spec.columns[*place].name.clone()).collect();
    let mut kept: Vec<usize> = order.into_iter().take(COLUMNS_MAX).map(|(_, place)| place).collect();
    kept.sort_unstable();
    (kept, left_out)
}

/// Nodes are ordered by file and then by their values, so that no number depends on the order of records.
fn group(table: &Table, mut columns: Vec<Column>, left_out: Vec<String>) -> Data {
    let across = table.files.len() == 2;
    let all = table.records();
    let mut order: Vec<u32> = (0..all as u32).collect();
    let key = |record: u32, column: &Column| column.codes[record as usize];
    let file = |record: u32| if across { table.file_of(record as usize) } else { 0 };
    let compare = |a: &u32, b: &u32| {
        let values = || columns.iter().map(|c| key(*a, c).cmp(&key(*b, c))).find(|o| o.is_ne());
        file(*a).cmp(&file(*b)).then_with(|| values().unwrap_or(std::cmp::Ordering::Equal))
    };
    order.par_sort_unstable_by(|a, b| compare(a, b).then(a.cmp(b)));
    let mut ends = Vec::new();
    let mut firsts = Vec::new();
    for (place, record) in order.iter().enumerate() {
        if place == 0 || compare(&order[place - 1], record).is_ne() {
            if place > 0 {
                ends.push(place as u32);
            }
            firsts.push(*record);
        }
    }
    ends.push(all as u32);
    let second_file = firsts.partition_point(|record| file(*record) == 0);
    columns.par_iter_mut().for_each(|column| {
        column.codes = firsts.iter().map(|record| column.codes[*record as usize]).collect();
    });
    Data { columns, ends, records: order, second_file, across, left_out }
}
