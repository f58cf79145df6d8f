//! A whole run: guess, learn, find, threshold, cluster.

use crate::atoms::{Atom, atoms};
use crate::cluster::{Clustering, Rules, borne_out, cluster};
use crate::data::{Data, prepare};
use crate::em::learn;
use crate::error::Error;
use crate::guess::guess;
use crate::model::Model;
use crate::pairs::{Bounds, Candidates, ScoredPair, find, pairs_budget};
use crate::progress::Progress;
use crate::sample::{SampleSize, draw};
use crate::score::Scorer;
use crate::select::select;
use crate::spec::{Partners, Spec};
use crate::table::Table;
use crate::threshold::best_expected;

/// What a run is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What is compared; guessed when absent.
    pub spec: Option<Spec>,
    /// Columns that are not compared, besides those of the spec.
    pub ignore: Vec<String>,
    /// Weights; learned from the records when absent.
    pub model: Option<Model>,
    /// Least weight of a link in 1/1024 bit, before that of the spec and the model.
    pub threshold: Option<i32>,
    /// Keep scored pairs whatever their weight, to measure the blocking.
    pub keep_all: bool,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was compared.
    pub spec: Spec,
    /// The records as they were compared.
    pub data: Data,
    /// The weights.
    pub model: Model,
    /// The scored pairs.
    pub candidates: Candidates,
    /// The clusters.
    pub clustering: Clustering,
    /// Rules of the clustering.
    pub rules: Rules,
    /// Expected F1 of the pairs at the threshold, by the model.
    pub expected_f1: f64,
    /// Share of the sample's expected matches that the keys find.
    pub expected_recall: f64,
}

/// Links the records of a table.
///
/// # Errors
/// The spec or the model does not fit the table, or there is nothing to compare.
pub fn run(table: &Table, options: &Options, progress: &dyn Progress) -> Result<Outcome, Error> {
    progress.begin("preparing", 0);
    let spec = options.spec.clone().unwrap_or_else(|| guess(table, &options.ignore));
    let data = prepare(table, &spec)?;
    progress.end();
    let trained = train(&data, &spec, options.model.as_ref(), progress)?;
    let mut model = trained.model;
    let scorer = Scorer { data: &data, model: &model };
    let mut bounds = Bounds::of(data.nodes());
    if options.keep_all {
        bounds.floor = i32::MIN;
    }
    let candidates = find(&scorer, &trained.atoms, &trained.keys, bounds, progress);
    progress.begin("clustering", 0);
    let (best, expected_f1) = best_expected(&candidates.pairs, 0);
    let asked = options.threshold.or(spec.threshold_bits.map(|bits| bits * 1024));
    let threshold = asked.or(options.model.as_ref().map(|model| model.threshold)).unwrap_or(best);
    let one = match spec.partners {
        Partners::One => [true, true],
        Partners::Many => [false, false],
        Partners::Learned => {
            let within = Bounds { within: true, floor: threshold.max(0), ..Bounds::of(data.nodes()) };
            let within = data.across.then(|| find(&scorer, &trained.atoms, &trained.keys, within, progress).pairs);
            within.map_or([false, false], |within| without_repeats(&data, threshold, &candidates.pairs, &within))
        }
    };
    let mut rules = Rules { threshold, clusters: 0, one };
    let mut clustering = cluster(&scorer, &candidates.pairs, rules);
    if asked.is_none() && options.model.is_none() {
        rules.threshold = borne_out(&clustering, threshold);
        if rules.threshold > threshold {
            clustering = cluster(&scorer, &candidates.pairs, rules);
        }
    }
    progress.end();
    if options.model.is_none() {
        model.threshold = rules.threshold;
    }
    Ok(Outcome { spec, data, model, candidates, clustering, rules, expected_f1, expected_recall: trained.recall })
}

/// A file repeats its records when more of its linked records than this share have a partner in their own file that is as
/// like them as their best one in the other file.
const REPEATS_SHARE: f64 = 0.1;

/// By file: whether it hardly repeats its records, and so gives at most one of them to a cluster.
fn without_repeats(data: &Data, threshold: i32, across: &[ScoredPair], within: &[ScoredPair]) -> [bool; 2] {
    let best = |pairs: &[ScoredPair]| {
        let mut best = vec![i32::MIN; data.nodes()];
        for pair in pairs {
            for node in [pair.a, pair.b] {
                best[node as usize] = best[node as usize].max(pair.bits);
            }
        }
        best
    };
    let (other, own) = (best(across), best(within));
    [0..data.second_file, data.second_file..data.nodes()].map(|nodes| {
        let linked = nodes.clone().filter(|node| other[*node] >= threshold);
        let repeated = linked.clone().filter(|node| own[*node] >= other[*node]).count();
        (repeated as f64) < REPEATS_SHARE * linked.count().max(1) as f64
    })
}

struct Trained {
    model: Model,
    atoms: Vec<Atom>,
    keys: Vec<Vec<usize>>,
    recall: f64,
}

fn train(data: &Data, spec: &Spec, model: Option<&Model>, progress: &dyn Progress) -> Result<Trained, Error> {
    progress.begin("learning", 0);
    let all = atoms(data);
    let sample = draw(data, &all, SampleSize::of(data.nodes()));
    let learned = learn(data, &sample);
    let named = named_keys(data, &all, spec)?;
    let selected = select(data, &all, &sample, &learned, pairs_budget(data.nodes()) as f64);
    let chosen: Vec<Vec<usize>> =
        selected.keys.iter().map(|key| (0..all.len()).filter(|a| key >> a & 1 == 1).collect()).collect();
    let keys = if named.is_empty() { chosen } else { named };
    let names = keys.iter().map(|key| key.iter().map(|a| all[*a].name(data)).collect()).collect();
    let model = match model {
        Some(model) => fitting(model, data)?.clone(),
        None => Model::of(data, &learned, names, 0, sample.len()),
    };
    progress.end();
    Ok(Trained { model, atoms: all, keys, recall: selected.recall })
}

/// The model, when it is for these columns.
fn fitting<'a>(model: &'a Model, data: &Data) -> Result<&'a Model, Error> {
    let of_model: Vec<_> = model.columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    let of_data: Vec<_> = data.columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    if of_model == of_data {
        return Ok(model);
    }
    let list = |columns: &[(&str, crate::spec::Kind)]| {
        columns.iter().map(|(name, kind)| format!("{name} ({kind:?})")).collect::<Vec<_>>().join(", ")
    };
    Err(Error::Model(format!("it is for the columns {}, where the files give {}", list(&of_model), list(&of_data))))
}

/// The keys of a spec as places of atoms.
fn named_keys(data: &Data, atoms: &[Atom], spec: &Spec) -> Result<Vec<Vec<usize>>, Error> {
    let find = |name: &String| {
        let found = atoms.iter().position(|atom| atom.name(data) == *name);
        found.ok_or_else(|| {
            let all = atoms.iter().map(|atom| atom.name(data)).collect::<Vec<_>>().join(", ");
            Error::Spec(format!("there is no key part '{name}'; there are {all}"))
        })
    };
    spec.keys.iter().map(|key| key.iter().map(find).collect()).collect()
}
