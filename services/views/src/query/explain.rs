//! `ExplainLink`: why mentions are one subject, or why two subjects are not one.
//!
//! Features are read again from the records, by the same contract and model as the fold read them: nothing of them is kept
//! where queries read. Evidence says how two mentions agree or differ, never what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use linkage::{CompEdge, Component, FeatureRow, Model, NodeNo, Refusal, Verdict as EdgeVerdict};
use projection::subject::Source;
use prost::Message as _;
use record::{Kind, MentionId, Pseudonym, Timestamp};
use wire::query::{ComparedMention, ComparedPair, ExplainLinkRequest, ExplainLinkResponse, FieldEvidence};

use super::Core;
use super::account::{Asked, Failure, Told, Verdict};
use super::error::Error;
use super::key::Key;
use super::session::{AsOf, Session};
use super::told::provenance;
use crate::fold::FoldError;

/// Most pairs of an answer.
const PAIRS_MAX: usize = 64;
/// Most nodes of a subject that are compared with those of another.
const NODES_MAX: usize = 48;
/// Units of a match weight in one bit.
const UNITS_PER_BIT: f64 = 1024.0;

struct Question {
    kind: Kind,
    left: Key,
    right: Option<Key>,
    policy: [u8; 32],
    now: Timestamp,
}

impl Core {
    /// An auditor and a reviewer have anything explained; a desk that has authenticated a person has that person explained.
    pub(super) async fn explain_link(
        self: &Arc<Self>,
        asked: &Asked,
        request: ExplainLinkRequest,
    ) -> Result<Told<ExplainLinkResponse>, Failure> {
        let (kind, policy) = match (self.permit_review(asked), Kind::from_name(&request.kind)) {
            (Ok(policy), Some(kind)) => (kind, policy),
            _ => self.permit_audit(asked, &request.kind)?,
        };
        let left = Key::read(request.left.as_ref(), kind, "left")?;
        let right = request.right.as_ref().map(|key| Key::read(Some(key), kind, "right")).transpose()?;
        let question = Question { kind, left, right, policy, now: asked.at };
        let core = Arc::clone(self);
        self.reads.run(move || Ok(explain(&core, &question))).await?
    }
}

fn explain(core: &Core, question: &Question) -> Result<Told<ExplainLinkResponse>, Failure> {
    let session = Session::open(core, AsOf::default(), question.now)?;
    let basis = Arc::new(core.basis(session.positions.clone(), question.policy));
    let mut explained = Explained::new(&session)?;
    let response = explained.answer(question)?;
    let verdict = match &response {
        Some(_) => Verdict::Answered,
        None => Verdict::NotFound,
    };
    let response = response.unwrap_or_default();
    let records = explained.records.into_iter().collect();
    Ok(Told { bytes: response.encode_to_vec(), response, verdict, records, fields: Vec::new(), basis })
}

/// A node of which one mention was read.
struct Read {
    mention: MentionId,
    subject: MentionId,
    mentions: u32,
    features: FeatureRow,
    source: Source,
}

/// An explanation under way.
struct Explained<'s> {
    session: &'s Session,
    model: Arc<Model>,
    read: BTreeMap<NodeNo, Read>,
    records: BTreeSet<Pseudonym>,
}

/// A mention that the question names.
struct Named {
    subject: MentionId,
    node: NodeNo,
}

impl<'s> Explained<'s> {
    fn new(session: &'s Session) -> Result<Self, Error> {
        let model = session.control.model.as_ref().ok_or(FoldError::Row("model"))?;
        let model = Arc::clone(&model.model);
        Ok(Self { session, model, read: BTreeMap::new(), records: BTreeSet::new() })
    }

    fn answer(&mut self, question: &Question) -> Result<Option<ExplainLinkResponse>, Error> {
        let Some(left) = self.named(question.kind, &question.left, "left")? else { return Ok(None) };
        let mut answer = ExplainLinkResponse {
            left_subject: left.subject.to_hex(),
            model_epoch: self.model.epoch(),
            threshold_bits: bits(self.model.threshold()),
            ..ExplainLinkResponse::default()
        };
        let Some(right) = &question.right else {
            answer.together = true;
            self.whole(&left, &mut answer)?;
            return Ok(Some(answer));
        };
        let Some(right) = self.named(question.kind, right, "right")? else { return Ok(None) };
        answer.right_subject = right.subject.to_hex();
        answer.together = left.subject == right.subject;
        if answer.together {
            self.path(&left, &right, &mut answer)?;
        } else {
            answer.pairs.push(self.strongest(&left, &right)?);
        }
        Ok(Some(answer))
    }

    fn named(&self, kind: Kind, key: &Key, field: &str) -> Result<Option<Named>, Error> {
        let Some((mention, subject)) = self.session.mention_of(kind, key, field)? else { return Ok(None) };
        let row = self.session.mention(mention)?.ok_or(FoldError::Row("mention"))?;
        Ok(Some(Named { subject, node: row.placement.node }))
    }

    /// The tree that holds the subject together, and what was refused at its border.
    fn whole(&mut self, left: &Named, answer: &mut ExplainLinkResponse) -> Result<(), Error> {
        let Some(component) = self.session.component(left.node)? else {
            answer.pairs.push(self.equal(left.node)?);
            return Ok(());
        };
        let at = component.place(left.node).ok_or(FoldError::Row("component"))?;
        let own: BTreeSet<usize> = component.cluster_of(at).collect();
        let ends = |edge: &CompEdge| (own.contains(&(edge.a as usize)), own.contains(&(edge.b as usize)));
        let mut edges: Vec<&CompEdge> = component.edges.iter().filter(|e| ends(e) != (false, false)).collect();
        edges.sort_by_key(|edge| (std::cmp::Reverse(edge.bits), edge.a, edge.b));
        for edge in edges {
            let list = match edge.verdict {
                EdgeVerdict::Tree => &mut answer.pairs,
                EdgeVerdict::Refused(_) => &mut answer.refused,
                EdgeVerdict::Inside => continue,
            };
            if list.len() == PAIRS_MAX {
                answer.more = true;
            } else {
                list.push(self.edge(&component, edge)?);
            }
        }
        if answer.pairs.is_empty() {
            answer.pairs.push(self.equal(left.node)?);
        }
        Ok(())
    }

    /// The path of the tree from one mention to the other.
    fn path(&mut self, left: &Named, right: &Named, answer: &mut ExplainLinkResponse) -> Result<(), Error> {
        let component = self.session.component(left.node)?.filter(|_| left.node != right.node);
        let Some(component) = component else {
            answer.pairs.push(self.equal(left.node)?);
            return Ok(());
        };
        let place = |node| component.place(node).ok_or(FoldError::Row("component"));
        let edges = tree_path(&component, place(left.node)?, place(right.node)?);
        answer.more = edges.len() > PAIRS_MAX;
        for edge in edges.into_iter().take(PAIRS_MAX) {
            answer.pairs.push(self.edge(&component, &edge)?);
        }
        Ok(())
    }

    /// The strongest pair between two subjects: a refused edge where there is one, else the best of all comparisons.
    fn strongest(&mut self, left: &Named, right: &Named) -> Result<ComparedPair, Error> {
        let component = self.session.component(left.node)?;
        let places = component.as_ref().and_then(|c| Some((c.place(left.node)?, c.place(right.node)?)));
        if let (Some(component), Some((a, b))) = (&component, places) {
            let (a, b): (BTreeSet<usize>, BTreeSet<usize>) =
                (component.cluster_of(a).collect(), component.cluster_of(b).collect());
            let across = |e: &&CompEdge| {
                let (x, y) = (e.a as usize, e.b as usize);
                (a.contains(&x) && b.contains(&y)) || (a.contains(&y) && b.contains(&x))
            };
            let best = component.edges.iter().filter(across).max_by_key(|e| (e.bits, std::cmp::Reverse((e.a, e.b))));
            if let Some(edge) = best {
                return self.edge(component, edge);
            }
        }
        let (mine, theirs) = (self.cluster(left.node)?, self.cluster(right.node)?);
        let mut best: Option<(i32, NodeNo, NodeNo)> = None;
        for a in &mine {
            for b in &theirs {
                let (x, y) = (self.read(*a)?.features, self.read(*b)?.features);
                let score = self.model.score(&x, &y).bits;
                if best.is_none_or(|(most, ..)| score > most) {
                    best = Some((score, *a, *b));
                }
            }
        }
        let (score, a, b) = best.ok_or(FoldError::Row("node"))?;
        let outcome = if score < self.model.threshold() { "below_threshold" } else { "not_compared" };
        self.pair(a, b, outcome)
    }

    /// The first nodes of a node's cluster.
    fn cluster(&self, node: NodeNo) -> Result<Vec<NodeNo>, Error> {
        let Some(component) = self.session.component(node)? else { return Ok(vec![node]) };
        let at = component.place(node).ok_or(FoldError::Row("component"))?;
        Ok(component.cluster_of(at).take(NODES_MAX).map(|place| component.nodes[place].no).collect())
    }

    fn equal(&mut self, node: NodeNo) -> Result<ComparedPair, Error> {
        self.pair(node, node, "equal")
    }

    fn edge(&mut self, component: &Component, edge: &CompEdge) -> Result<ComparedPair, Error> {
        let node = |place: u32| component.nodes[place as usize].no;
        let (outcome, refused_by) = match edge.verdict {
            EdgeVerdict::Tree => ("tree", None),
            EdgeVerdict::Inside => ("inside", None),
            EdgeVerdict::Refused(Refusal::Reviewer(a, b)) => ("refused_by_reviewer", Some((a, b))),
            EdgeVerdict::Refused(Refusal::Ids(a, b)) => ("refused_by_ids", Some((a, b))),
            EdgeVerdict::Refused(Refusal::SameRecord(a, b)) => ("refused_by_same_record", Some((a, b))),
            EdgeVerdict::Refused(Refusal::ComponentBound) => ("refused_by_bound", None),
        };
        let mut pair = self.pair(node(edge.a), node(edge.b), outcome)?;
        if let Some((a, b)) = refused_by {
            pair.refused_by = vec![self.compared(node(a))?, self.compared(node(b))?];
        }
        Ok(pair)
    }

    fn pair(&mut self, a: NodeNo, b: NodeNo, outcome: &str) -> Result<ComparedPair, Error> {
        let (left, right) = (self.compared(a)?, self.compared(b)?);
        let (x, y) = (self.read(a)?.features, self.read(b)?.features);
        let evidence = self.model.explain(&x, &y);
        Ok(ComparedPair {
            left: Some(left),
            right: Some(right),
            bits: bits(evidence.iter().map(|e| e.bits).sum()),
            outcome: outcome.to_owned(),
            evidence: evidence
                .iter()
                .map(|e| FieldEvidence {
                    field: e.field.name().to_owned(),
                    level: e.level.text().to_owned(),
                    bits: bits(e.bits),
                    rarity_bits: bits(e.rarity),
                })
                .collect(),
            refused_by: Vec::new(),
        })
    }

    fn compared(&mut self, node: NodeNo) -> Result<ComparedMention, Error> {
        let now = self.session.now;
        let read = self.read(node)?;
        Ok(ComparedMention {
            mention: read.mention.to_hex(),
            subject: read.subject.to_hex(),
            mentions: read.mentions,
            source: Some(provenance(&read.source, now)),
        })
    }

    /// A node's features, from the record of its anchor.
    fn read(&mut self, node: NodeNo) -> Result<&Read, Error> {
        if !self.read.contains_key(&node) {
            let meta = self.session.meta(node)?;
            let mention = meta.anchor.mention;
            let (features, source) = self.session.features(mention)?.ok_or(FoldError::Row("mention"))?;
            self.records.insert(source.record);
            let read = Read { mention, subject: meta.subject, mentions: meta.members, features, source };
            self.read.insert(node, read);
        }
        Ok(&self.read[&node])
    }
}

pub(super) fn bits(units: i32) -> f64 {
    f64::from(units) / UNITS_PER_BIT
}

/// The edges of the spanning tree from one node to another of the same cluster, in order.
fn tree_path(component: &Component, from: usize, to: usize) -> Vec<CompEdge> {
    let mut near: BTreeMap<usize, Vec<(usize, CompEdge)>> = BTreeMap::new();
    for edge in component.edges.iter().filter(|e| e.verdict == EdgeVerdict::Tree) {
        near.entry(edge.a as usize).or_default().push((edge.b as usize, *edge));
        near.entry(edge.b as usize).or_default().push((edge.a as usize, *edge));
    }
    let mut came: BTreeMap<usize, Option<(usize, CompEdge)>> = BTreeMap::from([(from, None)]);
    let mut front = vec![from];
    while let Some(at) = front.pop() {
        for (next, edge) in near.get(&at).into_iter().flatten() {
            if !came.contains_key(next) {
                came.insert(*next, Some((at, *edge)));
                front.push(*next);
            }
        }
    }
    let mut path = Vec::new();
    let mut at = to;
    while let Some(Some((before, edge))) = came.get(&at) {
        path.push(*edge);
        at = *before;
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_follows_the_tree_and_not_the_edges_inside() {
        let edge = |a, b, verdict| CompEdge { a, b, bits: 5_000, verdict };
        let component = Component {
            edges: vec![
                edge(0, 1, EdgeVerdict::Tree),
                edge(0, 3, EdgeVerdict::Inside),
                edge(1, 2, EdgeVerdict::Tree),
                edge(2, 3, EdgeVerdict::Tree),
                edge(1, 4, EdgeVerdict::Refused(Refusal::ComponentBound)),
            ],
            ..Component::default()
        };
        let ends = |from, to| tree_path(&component, from, to).iter().map(|e| (e.a, e.b)).collect::<Vec<_>>();
        assert_eq!(ends(0, 3), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(ends(3, 1), [(2, 3), (1, 2)]);
        assert!(ends(1, 4).is_empty());
    }
}
