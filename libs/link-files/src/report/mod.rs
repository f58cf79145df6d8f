//! One self-contained page that shows what was linked and why. It opens offline: no address is fetched, values are set as text
//! and never as markup.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::Serialize;

use crate::cluster::{Refusal, Verdict};
use crate::compare::level_names;
use crate::pairs::{HISTOGRAM_MIN, ScoredPair};
use crate::run::Outcome;
use crate::score::Scorer;
use crate::summary::Summary;
use crate::table::Table;

/// The page; its data replaces [`DATA_MARK`].
const PAGE: &str = include_str!("page.html");
const DATA_MARK: &str = "/*DATA*/";
/// Pairs shown: of each sort so many, besides those of the shown clusters.
const SHOWN_PAIRS: usize = 200;
/// Clusters shown.
const SHOWN_CLUSTERS: usize = 60;
/// Records shown of a cluster.
const SHOWN_RECORDS: usize = 12;
/// Characters shown of a value.
const SHOWN_CHARS: usize = 160;

const LINKED: &str = "linked";
const BY_OTHERS: &str = "together by other pairs";
const REFUSED: &str = "refused";
const NOT_LINKED: &str = "not linked: below the threshold";

#[derive(Serialize)]
struct Page<'a> {
    summary: &'a Summary,
    columns: Vec<ColumnWeights<'a>>,
    histogram: Histogram<'a>,
    /// Names of the table's columns, in the order of a row's values.
    shown_columns: Vec<&'a str>,
    rows: Vec<Row>,
    pairs: Vec<Pair>,
    clusters: Vec<Cluster>,
    apart: Vec<Apart>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    values: Vec<String>,
}

#[derive(Serialize)]
struct ColumnWeights<'a> {
    name: &'a str,
    /// Its place among the table's columns.
    place: usize,
    /// Names of all its levels.
    names: &'static [&'static str],
    given: Option<&'a str>,
    levels: Vec<LevelWeight>,
}

#[derive(Serialize)]
struct LevelWeight {
    level: &'static str,
    bits: f64,
    m: f64,
    u: f64,
}

#[derive(Serialize)]
struct Histogram<'a> {
    from_bits: i32,
    counts: &'a [u64],
}

#[derive(Serialize)]
struct Pair {
    /// Places in the page's rows.
    left: usize,
    right: usize,
    bits: f64,
    sort: &'static str,
    /// By column that both have: its place in the model, the level, the bits and what of them is for rarity.
    evidence: Vec<(usize, u8, f64, f64)>,
}

#[derive(Serialize)]
struct Cluster {
    number: u32,
    records: usize,
    /// Places in the page's rows.
    rows: Vec<usize>,
}

#[derive(Serialize)]
struct Apart {
    left: usize,
    right: usize,
    bits: f64,
    why: String,
}

/// Makes the page. `clusters` is by record.
pub fn report(table: &Table, outcome: &Outcome, clusters: &[u32], summary: &Summary) -> String {
    let mut shown = Shown::new(table, outcome, clusters);
    let (chosen, apart) = shown.clusters();
    shown.pairs_of_clusters(&chosen, &apart);
    shown.pairs_of_list();
    let page = Page {
        summary,
        columns: shown.weights(),
        histogram: Histogram { from_bits: HISTOGRAM_MIN, counts: &outcome.candidates.histogram },
        shown_columns: table.columns.iter().map(|column| column.name.as_str()).collect(),
        rows: shown.rows,
        pairs: shown.pairs.into_values().collect(),
        clusters: chosen,
        apart,
    };
    let data = serde_json::to_string(&page).expect("the page's data has text keys only");
    // Inside a script element only these could end it or be read as markup.
    let data = data.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let data = data.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    PAGE.replace(DATA_MARK, &data)
}

struct Shown<'a> {
    table: &'a Table,
    outcome: &'a Outcome,
    clusters: &'a [u32],
    scorer: Scorer<'a>,
    /// By record: its node.
    nodes: Vec<u32>,
    /// By pair of nodes that has a verdict or not, what became of it.
    sorts: HashMap<(u32, u32), &'static str>,
    rows: Vec<Row>,
    /// By record: its place in the rows.
    places: BTreeMap<u32, usize>,
    /// By the places of two rows.
    pairs: BTreeMap<(usize, usize), Pair>,
}

fn in_bits(bits: i32) -> f64 {
    (f64::from(bits) / 1024.0 * 100.0).round() / 100.0
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

impl<'a> Shown<'a> {
    fn new(table: &'a Table, outcome: &'a Outcome, clusters: &'a [u32]) -> Shown<'a> {
        let mut nodes = vec![0; table.records()];
        for node in 0..outcome.data.nodes() {
            outcome.data.records_of(node).iter().for_each(|record| nodes[*record as usize] = node as u32);
        }
        let refused = outcome.clustering.verdicts.iter().filter(|(_, verdict)| !verdict.accepted());
        Shown {
            table,
            outcome,
            clusters,
            scorer: Scorer { data: &outcome.data, model: &outcome.model },
            nodes,
            sorts: refused.map(|(pair, _)| ((pair.a, pair.b), REFUSED)).collect(),
            rows: Vec::new(),
            places: BTreeMap::new(),
            pairs: BTreeMap::new(),
        }
    }

    fn weights(&self) -> Vec<ColumnWeights<'a>> {
        let model = &self.outcome.model;
        let column = |column: &'a crate::model::ColumnModel| {
            let names = level_names(column.kind).iter().enumerate().skip(1);
            let levels = names.filter(|(level, _)| column.m_ppm[*level] > 0 || column.u_ppb[*level] > 0);
            ColumnWeights {
                name: &column.name,
                place: self.table.columns.iter().position(|c| c.name == column.name).unwrap_or_default(),
                names: level_names(column.kind),
                given: column.parent.map(|parent| model.columns[parent].name.as_str()),
                levels: levels
                    .map(|(level, name)| LevelWeight {
                        level: name,
                        bits: in_bits(column.weight(0, level as u8)),
                        m: f64::from(column.m_ppm[level]) / 1e6,
                        u: f64::from(column.u_ppb[level]) / 1e9,
                    })
                    .collect(),
            }
        };
        model.columns.iter().map(column).collect()
    }

    fn row(&mut self, record: u32) -> usize {
        let table = self.table;
        let value = |column: &crate::table::RawColumn| cut(&column.values.text(column.codes[record as usize] as usize));
        *self.places.entry(record).or_insert_with(|| {
            self.rows.push(Row {
                id: cut(&table.ids.text(record as usize)),
                values: table.columns.iter().map(value).collect(),
            });
            self.rows.len() - 1
        })
    }

    /// Every two of the records on display that stand in one cluster, or in two that were kept apart.
    fn pairs_of_clusters(&mut self, chosen: &[Cluster], apart: &[Apart]) {
        let records: BTreeMap<usize, u32> = self.places.iter().map(|(record, place)| (*place, *record)).collect();
        let within = chosen.iter().map(|cluster| (cluster, cluster));
        let between = apart.iter().map(|apart| (&chosen[apart.left], &chosen[apart.right]));
        for (x, y) in within.chain(between) {
            for left in &x.rows {
                for right in y.rows.iter().filter(|right| *right != left) {
                    self.pair(records[left], records[right]);
                }
            }
        }
    }

    /// Linked pairs of all weights, those next to the threshold on either side, and those that were refused.
    fn pairs_of_list(&mut self) {
        let verdicts = &self.outcome.clustering.verdicts;
        let threshold = self.outcome.rules.threshold;
        let accepted: Vec<ScoredPair> =
            verdicts.iter().filter(|(_, verdict)| verdict.accepted()).map(|(pair, _)| *pair).collect();
        let refused = verdicts.iter().filter(|(_, verdict)| !verdict.accepted()).map(|(pair, _)| *pair);
        let step = (accepted.len() / SHOWN_PAIRS).max(1);
        let mut below: Vec<ScoredPair> =
            self.outcome.candidates.pairs.iter().copied().filter(|pair| pair.bits < threshold).collect();
        below.sort_unstable_by_key(|pair| (std::cmp::Reverse(pair.bits), pair.a, pair.b));
        let mut list: Vec<ScoredPair> = accepted.iter().step_by(step).take(SHOWN_PAIRS).copied().collect();
        list.extend(accepted.iter().rev().take(SHOWN_PAIRS));
        list.extend(refused.take(SHOWN_PAIRS));
        list.extend(below.into_iter().take(SHOWN_PAIRS));
        for pair in list {
            let first = |node: u32| self.outcome.data.records_of(node as usize)[0];
            self.pair(first(pair.a), first(pair.b));
        }
    }

    fn pair(&mut self, x: u32, y: u32) {
        let (left, right) = (self.row(x.min(y)), self.row(x.max(y)));
        if self.pairs.contains_key(&(left.min(right), left.max(right))) {
            return;
        }
        let (a, b) = (self.nodes[x as usize], self.nodes[y as usize]);
        let (a, b) = (a.min(b), a.max(b));
        let bits = self.scorer.bits(a, b);
        let together = self.clusters[x as usize] == self.clusters[y as usize];
        let sort = match self.sorts.get(&(a, b)) {
            Some(sort) if !together => sort,
            _ if together && bits >= self.outcome.rules.threshold => LINKED,
            _ if together => BY_OTHERS,
            _ => NOT_LINKED,
        };
        let explained = self.scorer.explain(a, b).into_iter();
        let evidence = explained.map(|e| (e.column, e.level, in_bits(e.bits), in_bits(e.rarity))).collect();
        let pair = Pair { left, right, bits: in_bits(bits), sort, evidence };
        self.pairs.insert((left.min(right), left.max(right)), pair);
    }

    fn id(&self, node: u32) -> String {
        let record = self.outcome.data.records_of(node as usize)[0];
        cut(&self.table.ids.text(record as usize))
    }

    /// Clusters that a refused pair kept apart, then the largest; and what kept which apart.
    fn clusters(&mut self) -> (Vec<Cluster>, Vec<Apart>) {
        let clusters = self.clusters;
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (record, cluster) in clusters.iter().enumerate() {
            members.entry(*cluster).or_default().push(record as u32);
        }
        let mut places: BTreeMap<u32, usize> = BTreeMap::new();
        let mut chosen: Vec<u32> = Vec::new();
        let mut place = |cluster: u32, chosen: &mut Vec<u32>| {
            *places.entry(cluster).or_insert_with(|| {
                chosen.push(cluster);
                chosen.len() - 1
            })
        };
        let mut apart = Vec::new();
        for (pair, verdict) in &self.outcome.clustering.verdicts {
            let Verdict::Refused(refusal) = verdict else { continue };
            if chosen.len() + 2 > SHOWN_CLUSTERS / 2 {
                break;
            }
            let of = |node: u32| clusters[self.outcome.data.records_of(node as usize)[0] as usize];
            let (left, right) = (place(of(pair.a), &mut chosen), place(of(pair.b), &mut chosen));
            apart.push(Apart { left, right, bits: in_bits(pair.bits), why: self.why(pair, *refusal) });
        }
        let mut largest: Vec<(usize, u32)> =
            members.iter().map(|(cluster, records)| (records.len(), *cluster)).collect();
        largest.sort_unstable_by_key(|(size, cluster)| (std::cmp::Reverse(*size), *cluster));
        for (_, cluster) in largest.iter().filter(|(size, _)| *size > 1).take(SHOWN_CLUSTERS - chosen.len()) {
            place(*cluster, &mut chosen);
        }
        (chosen.into_iter().map(|cluster| self.cluster(cluster, &members[&cluster])).collect(), apart)
    }

    fn cluster(&mut self, number: u32, records: &[u32]) -> Cluster {
        let rows = records.iter().take(SHOWN_RECORDS).map(|record| self.row(*record)).collect();
        Cluster { number, records: records.len(), rows }
    }

    fn why(&self, pair: &ScoredPair, refusal: Refusal) -> String {
        let ends = format!("{} and {} weigh {} bits", self.id(pair.a), self.id(pair.b), in_bits(pair.bits));
        match refusal {
            Refusal::Clusters(bits) => {
                format!("{ends}, but their clusters as wholes weigh {} bits", in_bits(bits))
            }
            Refusal::Partner(node) => {
                format!("{ends}, but {} of the same file was in the cluster by a heavier pair", self.id(node))
            }
        }
    }
}
