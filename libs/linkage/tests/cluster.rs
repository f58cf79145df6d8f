//! Clustering of one component: vetoes, decisions, bounds.

use linkage::*;

fn ids(count: u8) -> Vec<InputNode> {
    (0..count).map(|n| InputNode { id: NodeId([n; 16]), veto: VetoId::default() }).collect()
}

fn veto(model: &Model, id: &str) -> VetoId {
    VetoId::of(&model.person_row(&PersonFields { personal_id: Some(id), ..Default::default() }))
}

fn run(
    nodes: &[InputNode],
    edges: &[(u32, u32, i32)],
    cannots: &[(u32, u32)],
    decisions: &[NodeDecision],
) -> Clustering {
    cluster(&ComponentInput { nodes, edges, cannots, decisions }, &Model::epoch_1().with_component_nodes_max(4))
}

fn decision(order: u64, must: bool, a: u8, b: u8) -> NodeDecision {
    NodeDecision { order, must, a: NodeId([a; 16]), b: NodeId([b; 16]) }
}

#[test]
fn stronger_edge_wins_a_record_that_matches_both_halves() {
    let found = run(&ids(3), &[(0, 1, 9_000), (1, 2, 8_000)], &[(0, 2)], &[]);
    assert_eq!(found.clusters, [0, 0, 2]);
    assert_eq!(found.verdicts, [Verdict::Tree, Verdict::Refused(Refusal::SameRecord(0, 2))]);
}

#[test]
fn equal_weights_are_decided_by_ids_of_nodes() {
    let found = run(&ids(3), &[(1, 2, 9_000), (0, 1, 9_000)], &[(0, 2)], &[]);
    assert_eq!(found.clusters, [0, 0, 2]);
}

#[test]
fn ids_more_than_one_edit_apart_split_a_cluster_however_it_is_chained() {
    let model = Model::epoch_1();
    let mut nodes = ids(3);
    nodes[0].veto = veto(&model, "099080000001");
    nodes[2].veto = veto(&model, "099080000099");
    let found = run(&nodes, &[(0, 1, 9_000), (1, 2, 8_000)], &[], &[]);
    assert_eq!(found.verdicts[1], Verdict::Refused(Refusal::Ids(0, 2)));
    nodes[2].veto = veto(&model, "099080000002");
    assert_eq!(run(&nodes, &[(0, 1, 9_000), (1, 2, 8_000)], &[], &[]).clusters, [0, 0, 0]);
}

#[test]
fn parcels_with_other_ids_never_share_a_cluster() {
    let model = Model::epoch_1();
    let row = |id| model.parcel_row(&ParcelFields { parcel_id: Some(id), ..Default::default() });
    assert!(VetoId::of(&row("w3gvk1td8u5b")).forbids(VetoId::of(&row("w3gvk1td8u5c"))));
    assert!(!VetoId::of(&row("w3gvk1td8u5b")).forbids(VetoId::of(&row("W3GVK1TD8U5B"))));
}

#[test]
fn a_suspect_id_vetoes_nothing() {
    let model = Model::epoch_1();
    let birth = PartialDate::new(2015, 3, 4);
    let row = model.person_row(&PersonFields { personal_id: Some("099180000001"), birth, ..Default::default() });
    assert_eq!(row.flags(), FLAG_ID_SUSPECT);
    assert_eq!(VetoId::of(&row), VetoId::default());
}

#[test]
fn reviewers_cannot_link_moves_the_middle_to_its_stronger_side() {
    let found = run(&ids(3), &[(0, 1, 8_000), (1, 2, 9_000)], &[], &[decision(1, false, 0, 2)]);
    assert_eq!(found.clusters, [0, 1, 1]);
    assert_eq!(found.verdicts[0], Verdict::Refused(Refusal::Reviewer(0, 2)));
}

#[test]
fn first_of_two_contradictory_decisions_stands() {
    let (must, cannot) = (decision(1, true, 0, 1), decision(2, false, 0, 1));
    let found = run(&ids(2), &[], &[], &[cannot, must]);
    assert_eq!((found.clusters, found.void), (vec![0, 0], vec![2]));
    let (cannot, must) = (decision(1, false, 0, 1), decision(2, true, 0, 1));
    let found = run(&ids(2), &[(0, 1, 9_000)], &[], &[must, cannot]);
    assert_eq!((found.clusters, found.void), (vec![0, 1], vec![2]));
}

#[test]
fn must_link_overrides_the_veto_of_a_record() {
    let found = run(&ids(2), &[], &[(0, 1)], &[decision(1, true, 0, 1)]);
    assert_eq!(found.clusters, [0, 0]);
}

#[test]
fn component_over_its_bound_keeps_its_strongest_edges() {
    // A chain of six nodes with a bound of four: the weakest edge goes first.
    let edges = [(0, 1, 20_000), (1, 2, 20_000), (2, 3, 4_500), (3, 4, 20_000), (4, 5, 20_000)];
    let found = run(&ids(6), &edges, &[], &[]);
    assert_eq!(found.clusters, [0, 0, 0, 3, 3, 3]);
    assert_eq!(found.verdicts[2], Verdict::Refused(Refusal::ComponentBound));
}

#[test]
fn decisions_hold_through_the_engine_and_survive_unrelated_changes() {
    let model = Model::epoch_1();
    let mut state = MemoryState::new();
    let birth = PartialDate::new(1980, 5, 9);
    let input = |n: u8, name| MentionInput {
        id: record::MentionId([n; 16]),
        rank: 0,
        row: model.person_row(&PersonFields { full_name: name, birth, commune: Some(4), ..Default::default() }),
        pinned: n < 3,
    };
    let insert = |state: &mut MemoryState, input: MentionInput| {
        let Ok(_) = Engine::new(&model, state).insert(&RecordMentions { mentions: &[input], distinct: &[] });
    };
    let (a, b) = (input(1, "Lê Thị Oanh"), input(2, "Lê Thị Oanh"));
    insert(&mut state, a);
    insert(&mut state, b);
    let together = |state: &MemoryState| state.subjects().filter(|(_, subject)| *subject == a.id).count();
    assert_eq!(together(&state), 2);
    let apart = [Decision { order: 1, must: false, a: a.id, b: b.id }];
    let reviewed = Reviewed { standing: &apart, undone: &[] };
    let Ok(diff) = Engine::new(&model, &mut state).review(None, None, &reviewed);
    assert_eq!(diff.decisions, [DecisionChange { order: 1, old: None, new: Some(false) }]);
    assert_eq!(diff.edges.len(), 1);
    assert_eq!(together(&state), 1);
    insert(&mut state, input(3, "Le Thi Oanh"));
    assert!(together(&state) <= 2, "the third goes to one side, the decision stands");
    let subjects: std::collections::BTreeMap<_, _> = state.subjects().collect();
    assert_ne!(subjects[&a.id], subjects[&b.id]);
    let undone = Reviewed { standing: &[], undone: &apart };
    let Ok(diff) = Engine::new(&model, &mut state).review(None, None, &undone);
    assert_eq!(diff.decisions, [DecisionChange { order: 1, old: Some(false), new: None }]);
    assert_eq!(together(&state), 3);
}
