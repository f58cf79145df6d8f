//! The engine equals the batch, whatever the history.

use std::collections::BTreeMap;

use linkage::*;
use proptest::prelude::*;
use record::MentionId;

/// A record of the test: mentions by (rank, row), all pairs distinct unless `same_person`.
#[derive(Clone, Debug)]
struct TestRecord {
    inputs: Vec<MentionInput>,
    distinct: Vec<(usize, usize)>,
}

impl TestRecord {
    fn new(id: u32, rows: &[(u8, FeatureRow)], same_person: bool) -> TestRecord {
        let input = |(element, (rank, row)): (usize, &(u8, FeatureRow))| MentionInput {
            id: mention(id, element as u32),
            rank: *rank,
            row: *row,
            pinned: false,
        };
        let inputs: Vec<_> = rows.iter().enumerate().map(input).collect();
        let pairs = (0..inputs.len()).flat_map(|a| (0..a).map(move |b| (b, a)));
        TestRecord { distinct: if same_person { Vec::new() } else { pairs.collect() }, inputs }
    }

    fn mentions(&self) -> RecordMentions<'_> {
        RecordMentions { mentions: &self.inputs, distinct: &self.distinct }
    }
}

/// Ids that do not order as they are numbered.
fn mention(record: u32, element: u32) -> MentionId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&record.wrapping_mul(0x9e37_79b1).to_be_bytes());
    id[4..8].copy_from_slice(&record.to_be_bytes());
    id[8..12].copy_from_slice(&element.to_be_bytes());
    MentionId(id)
}

#[derive(Default)]
struct World {
    state: MemoryState,
    records: BTreeMap<u32, TestRecord>,
    edges: BTreeMap<(NodeId, NodeId), EdgeState>,
    node_of: BTreeMap<MentionId, NodeId>,
    nodes: BTreeMap<NodeId, MentionId>,
    conflicts: std::collections::BTreeSet<(NodeId, NodeId)>,
    /// In force.
    decisions: Vec<Decision>,
    /// Those with effect, by order, and whether they are void.
    decided: BTreeMap<u64, bool>,
}

impl World {
    fn set(&mut self, model: &Model, id: u32, record: Option<TestRecord>) {
        self.review(model, id, record, &[]);
    }

    fn review(&mut self, model: &Model, id: u32, record: Option<TestRecord>, undone: &[Decision]) {
        let old = self.records.remove(&id);
        let ids: Vec<MentionId> = old.iter().flat_map(|r| r.inputs.iter().map(|m| m.id)).collect();
        let old = old.as_ref().map(|r| OldRecord { mentions: &ids, distinct: &r.distinct });
        let record = record.map(|record| self.pinned(record));
        let new = record.as_ref().map(TestRecord::mentions);
        let named = |d: &&Decision| {
            let mut all = ids.iter().chain(record.iter().flat_map(|r| r.inputs.iter().map(|m| &m.id)));
            all.any(|id| [d.a, d.b].contains(id))
        };
        let standing: Vec<Decision> = self.decisions.iter().filter(named).copied().collect();
        let reviewed = Reviewed { standing: &standing, undone };
        let mut engine = Engine::new(model, &mut self.state);
        let diff = engine.review(old.as_ref(), new.as_ref(), &reviewed).expect("memory never fails");
        self.follow(&diff);
        if let Some(record) = record {
            self.records.insert(id, record);
        }
    }

    fn pinned(&self, mut record: TestRecord) -> TestRecord {
        for input in &mut record.inputs {
            input.pinned = self.decisions.iter().any(|d| [d.a, d.b].contains(&input.id));
        }
        record
    }

    /// Takes a decision between the first mentions of two records, or undoes one.
    fn decide(&mut self, model: &Model, order: u64, verdict: Option<bool>, (a, b): (u32, u32)) {
        let pair = (mention(a, 0), mention(b, 0));
        let same = |d: &Decision| (d.a, d.b) == pair || (d.b, d.a) == pair;
        let undone: Vec<Decision> = match verdict {
            Some(must) => {
                self.decisions.push(Decision { order, must, a: pair.0, b: pair.1 });
                Vec::new()
            }
            None => self.decisions.extract_if(.., |d| same(d)).collect(),
        };
        for id in [a, b] {
            let record = self.records.get(&id).cloned();
            self.review(model, id, record, &undone);
        }
    }

    /// The decisions as the batch takes them: between nodes.
    fn node_decisions(&self) -> Vec<NodeDecision> {
        let row = |id: MentionId| {
            let inputs = self.records.values().flat_map(|r| &r.inputs);
            inputs.filter(|input| input.id == id).map(|input| input.row).next()
        };
        let node = |d: &Decision| {
            let (x, y) = (row(d.a)?, row(d.b)?);
            let (a, b) = (NodeId::single(&x, &d.a), NodeId::single(&y, &d.b));
            (x.kind() == y.kind()).then_some(NodeDecision { order: d.order, must: d.must, a, b })
        };
        self.decisions.iter().filter_map(node).collect()
    }

    /// Keeps its own picture from diffs alone, as a fold does.
    fn follow(&mut self, diff: &LinkDiff) {
        for edge in &diff.edges {
            assert_eq!(self.edges.get(&(edge.a, edge.b)).copied(), edge.old, "a diff starts from what was there");
            match edge.new {
                Some(new) => self.edges.insert((edge.a, edge.b), new),
                None => self.edges.remove(&(edge.a, edge.b)),
            };
        }
        for node in &diff.nodes {
            assert_eq!(self.nodes.get(&node.id).copied(), node.old, "a diff starts from what was there");
            match node.new {
                Some(new) => self.nodes.insert(node.id, new),
                None => self.nodes.remove(&node.id),
            };
        }
        for change in &diff.mentions {
            match change.new {
                Some(standing) => {
                    assert_eq!(self.nodes.get(&standing.node), Some(&standing.subject));
                    self.node_of.insert(change.mention, standing.node)
                }
                None => self.node_of.remove(&change.mention),
            };
        }
        for change in &diff.decisions {
            assert_eq!(self.decided.get(&change.order).copied(), change.old, "a diff starts from what was there");
            match change.new {
                Some(void) => self.decided.insert(change.order, void),
                None => self.decided.remove(&change.order),
            };
        }
        for conflict in &diff.conflicts {
            let pair = (conflict.a, conflict.b);
            let changed = if conflict.arose { self.conflicts.insert(pair) } else { self.conflicts.remove(&pair) };
            assert!(changed, "a conflict arises once and goes once");
        }
    }

    fn check(&self, model: &Model) {
        let records: Vec<_> = self.records.values().map(TestRecord::mentions).collect();
        let decisions = self.node_decisions();
        let expected = batch(model, &records, &decisions);
        assert_eq!(self.decided.keys().copied().collect::<Vec<_>>(), orders(&decisions));
        let void = expected.components.iter().flat_map(|c| c.void.iter().copied());
        let followed = self.decided.iter().filter(|(_, void)| **void).map(|(order, _)| *order);
        assert_eq!(followed.collect::<Vec<_>>(), sorted(void));
        let subjects: BTreeMap<_, _> = self.state.subjects().collect();
        let mut edges = BTreeMap::new();
        for component in &expected.components {
            edges.extend(component.canonical_edges().map(|e| ((e.a, e.b), e.state)));
        }
        assert_eq!(self.edges, edges);
        assert_eq!(subjects, expected.subjects);
        let followed: BTreeMap<_, _> =
            self.node_of.iter().map(|(mention, node)| (*mention, self.nodes[node])).collect();
        assert_eq!(followed, expected.subjects);
        for component in self.state.components() {
            assert_eq!(&Component::decode(&component.encode()).expect("own bytes"), component);
        }
    }
}

fn sorted(orders: impl Iterator<Item = u64>) -> Vec<u64> {
    orders.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn orders(decisions: &[NodeDecision]) -> Vec<u64> {
    sorted(decisions.iter().map(|d| d.order))
}

/// Few values, so that records meet, contradict, and fill blocks.
fn person(model: &Model, pick: [u8; 6]) -> FeatureRow {
    let names = ["Nguyễn Văn An", "Nguyen Van An", "Nguyễn Văn Ân", "Trần Thị Bích", "Nguyễn Anh", "Ksor Hoai"];
    let ids = [None, None, Some("099080000001"), Some("099080000002"), Some("099080000099"), Some("099280000001")];
    let years = [1980, 1980, 1980, 1981];
    let (month, day) = [(5, 9), (9, 5), (0, 0), (1, 1)][usize::from(pick[2] % 4)];
    model.person_row(&PersonFields {
        full_name: names[usize::from(pick[0]) % names.len()],
        personal_id: ids[usize::from(pick[1]) % ids.len()],
        birth: PartialDate::new(years[usize::from(pick[3] % 4)], month, day).filter(|_| pick[2] < 200),
        sex: [None, Some(Sex::Male)][usize::from(pick[4] % 2)],
        commune: Some(u32::from(pick[5] % 3)),
        province: Some(1),
        old_id: (pick[4] > 128).then_some("012345678"),
        ..Default::default()
    })
}

fn parcel(model: &Model, pick: [u8; 6]) -> FeatureRow {
    let ids = [None, Some("w3gvk1td8u5b"), Some("w3gvk1td8u5c")];
    let numbers = ["1", "2"];
    let key = Cadastral { commune: 4, sheet: "7", number: numbers[usize::from(pick[1] % 2)] };
    model.parcel_row(&ParcelFields {
        parcel_id: ids[usize::from(pick[0] % 3)],
        cadastral: (pick[2] > 80).then_some(key),
    })
}

type Op = (u32, Option<(Vec<(bool, [u8; 6])>, bool)>, bool);

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let mention = (prop::bool::weighted(0.2), any::<[u8; 6]>());
    let record = proptest::option::weighted(0.75, (prop::collection::vec(mention, 1..4), prop::bool::weighted(0.2)));
    prop::collection::vec((0u32..24, record, prop::bool::weighted(0.1)), 1..60)
}

fn test_record(model: &Model, id: u32, mentions: &[(bool, [u8; 6])], same_person: bool) -> TestRecord {
    let row = |(is_parcel, pick): &(bool, [u8; 6])| {
        let row = if *is_parcel { parcel(model, *pick) } else { person(model, *pick) };
        (pick[5] % 2, row)
    };
    TestRecord::new(id, &mentions.iter().map(row).collect::<Vec<_>>(), same_person)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_history_ends_where_the_batch_does(ops in ops(), keys in 1u32..6, nodes in prop::sample::select(vec![3u32, 512])) {
        let model = Model::epoch_1().with_key_nodes_max(keys).with_component_nodes_max(nodes);
        let mut world = World::default();
        for (id, record, compact) in &ops {
            let record = record.as_ref().map(|(mentions, same)| test_record(&model, *id, mentions, *same));
            world.set(&model, *id, record);
            if *compact {
                world.state.compact();
            }
        }
        world.check(&model);
    }

    #[test]
    fn decisions_leave_the_clusters_where_the_batch_puts_them(
        ops in ops(),
        decisions in prop::collection::vec((any::<bool>(), proptest::option::weighted(0.8, any::<bool>()), (0u32..24, 0u32..24)), 1..30),
        keys in 1u32..6,
    ) {
        let model = Model::epoch_1().with_key_nodes_max(keys);
        let mut world = World::default();
        let mut decisions = decisions.into_iter().filter(|(_, _, (a, b))| a != b).enumerate();
        for (id, record, _) in &ops {
            let record = record.as_ref().map(|(mentions, same)| test_record(&model, *id, mentions, *same));
            world.set(&model, *id, record);
            for (order, (more, verdict, pair)) in decisions.by_ref() {
                world.decide(&model, order as u64, verdict, pair);
                if !more {
                    break;
                }
            }
        }
        world.check(&model);
    }

    #[test]
    fn order_of_arrival_leaves_no_trace(ops in ops(), shuffle in any::<u64>()) {
        let model = Model::epoch_1().with_key_nodes_max(3);
        let (mut first, mut second) = (World::default(), World::default());
        for (id, record, _) in &ops {
            let record = record.as_ref().map(|(mentions, same)| test_record(&model, *id, mentions, *same));
            first.set(&model, *id, record);
        }
        let mut live: Vec<_> = first.records.clone().into_iter().collect();
        live.sort_by_key(|(id, _)| u64::from(*id).wrapping_mul(shuffle | 1).rotate_left(17));
        for (id, record) in live {
            second.set(&model, id, Some(record));
        }
        prop_assert_eq!(&first.edges, &second.edges);
        prop_assert_eq!(&first.node_of, &second.node_of);
        prop_assert_eq!(&first.nodes, &second.nodes);
        prop_assert_eq!(&first.conflicts, &second.conflicts);
        first.check(&model);
    }
}
