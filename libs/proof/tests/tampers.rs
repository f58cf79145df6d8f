//! A thousand ways to change a log behind its ledger's back: each is found, and none is taken for a torn tail, nor a torn
//! tail for one of them.

mod support;

use std::path::{Path, PathBuf};

use event_log::{Append, Embedded, LogOptions, PartitionCounts, StreamSet, Tuning};
use ledger::{Checkpoint, Head, TiledTree};
use proof::audit::continues;
use proof::{Cause, LogState, PartitionAudit, Problem, Trust, Verdict, check};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use record::*;
use support::*;
use tile_store::TileStore;

const TAMPERS: usize = 1_000;
const COVERED: [u64; 2] = [30, 24];
const UNCOVERED: u64 = 9;

/// What the log holds by partition of `change`: covered entries, then some that no checkpoint covers yet.
type Content = [Vec<Vec<u8>>; 2];

/// An honest log with its ledger, and the last checkpoint that the auditor knows.
struct Scene {
    world: World,
    published: Published,
    older: Published,
    content: Content,
    state: LogState,
}

fn scene() -> Scene {
    let mut world = World::new();
    let mut content: Content = Default::default();
    let mut older = None;
    for n in 0..COVERED[0] {
        for (partition, tree) in [CHANGE_0, CHANGE_1].into_iter().enumerate() {
            if n < COVERED[partition] {
                let entry = change(2 * n as u8 + partition as u8, 1 + n / 10);
                content[partition].push(entry.clone());
                world.append(tree, entry);
            }
        }
        if n % 7 == 0 {
            older = Some(world.publish(&[1, 2]));
        }
    }
    let published = world.publish(&[1, 2]);
    let state = open(&world, &published, policy());
    for n in 0..UNCOVERED {
        content[n as usize % 2].push(change(200 + n as u8, 1));
    }
    Scene { world, published, older: older.expect("several were published"), content, state }
}

fn open(world: &World, published: &Published, policy: ledger::Policy) -> LogState {
    let dir = world.dir.path();
    let checkpoint = policy.verify(&published.note).unwrap().checkpoint;
    let mut log = TiledTree::new(checkpoint.size, |tile| TileStore::tile(dir, ledger::TreeOf::Log, tile));
    let path = log.inclusion(checkpoint.size - 1, checkpoint.size).unwrap();
    LogState::open(&policy, &published.note, &published.tick.to_text(), &path, published.heads.heads()).unwrap()
}

fn options() -> LogOptions {
    let tuning = Tuning { segment_bytes: 64 << 10, access_segment_bytes: 64 << 10, ..Tuning::default() };
    LogOptions { partitions: PartitionCounts { change: 2, access: 1, rejected: 1 }, tuning }
}

/// A real log with that content, as a tamperer with every right on the machine would leave it: checksums and all. Each
/// slice is a group of its own.
fn write(dir: &Path, groups: &[Vec<(u16, Vec<u8>)>]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let log = Embedded::create(dir, &options(), [1; 16]).unwrap();
    for group in groups.iter().filter(|g| !g.is_empty()) {
        let entry = |(partition, bytes): &(u16, Vec<u8>)| Append {
            stream: Stream::Change,
            partition: Partition(*partition),
            bytes: bytes.clone().into(),
        };
        runtime.block_on(log.append(group.iter().map(entry).collect())).unwrap();
    }
    runtime.block_on(log.close());
}

fn group(content: &Content, range: impl Fn(usize) -> std::ops::Range<usize>) -> Vec<(u16, Vec<u8>)> {
    (0..2).flat_map(|p| content[p][range(p)].iter().map(move |entry| (p as u16, entry.clone()))).collect()
}

/// The auditor's verdict on each partition of `change`, and whether the log had a torn tail.
fn audit(dir: &Path, scene: &Scene) -> (Vec<Verdict>, bool) {
    let log = Embedded::open_with(dir, &options().tuning).unwrap();
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Change)).unwrap();
    let heads: [Head; 2] = [scene.state.heads[0], scene.state.heads[1]];
    let mut audits = heads.map(|head| {
        let (store, of) = (scene.world.dir.path().to_owned(), ledger::TreeOf::Partition(head.stream, head.partition));
        let mut tree = TiledTree::new(head.size, move |tile| TileStore::tile(&store, of, tile));
        PartitionAudit::new(head, move |index| tree.leaf(index).ok())
    });
    loop {
        let batch = reader.next_batch(1_000, 1 << 20).unwrap();
        if batch.entries.is_empty() {
            break;
        }
        batch.entries.iter().for_each(|e| audits[usize::from(e.position.partition.0)].push(&e.bytes));
    }
    (audits.map(PartitionAudit::finish).to_vec(), !log.recovered().is_empty())
}

fn proven(partition: usize, uncovered: u64) -> Verdict {
    Verdict::Proven { covered: COVERED[partition], uncovered, damaged_tile: None }
}

/// Another body or another header, in the log's own form.
fn rewritten(entry: &[u8], body: bool, dice: &mut ChaCha8Rng) -> Vec<u8> {
    let mut out = entry.to_vec();
    if body {
        let at = dice.random_range(out.len() - 40..out.len());
        out[at] ^= 1 << dice.random_range(0..8_u32);
        return out;
    }
    // Version, times, record or contract: fields that any value fits.
    let at = dice.random_range(8..64);
    out[at] ^= 1 << dice.random_range(0..8_u32);
    out
}

/// What the verdict on the changed partition must be, given where the change is.
type Expected = fn(Verdict, u64) -> bool;

/// Changes the log in one of seven ways; says which, in which partition, and from where on.
fn tamper(content: &mut Content, dice: &mut ChaCha8Rng) -> (&'static str, usize, u64, Expected) {
    let partition = dice.random_range(0..2_usize);
    let covered = COVERED[partition] as usize;
    let at = dice.random_range(0..covered);
    let changed = &mut content[partition];
    let (kind, expected): (_, Expected) = match dice.random_range(0..7_u32) {
        0 => {
            changed[at] = rewritten(&changed[at], true, dice);
            ("payload", |v, at| v == Verdict::Tampered { first: Some(at), cause: Some(Cause::Body) })
        }
        1 => {
            changed[at] = rewritten(&changed[at], false, dice);
            ("header", |v, at| v == Verdict::Tampered { first: Some(at), cause: Some(Cause::Rewritten) })
        }
        2 => {
            changed.swap(at, (at + dice.random_range(1..covered)) % covered);
            ("order", |v, _| matches!(v, Verdict::Tampered { first: Some(_), cause: Some(Cause::Displaced { .. }) }))
        }
        3 => {
            changed.remove(at);
            ("deletion", |v, at| matches!(v, Verdict::Tampered { first: Some(first), .. } if first == at))
        }
        4 => {
            changed.truncate(at);
            ("truncation", |v, at| matches!(v, Verdict::Truncated { found, .. } if found == at))
        }
        5 => {
            changed.insert(at, change(250, 1));
            ("insertion", |v, at| v == Verdict::Tampered { first: Some(at), cause: Some(Cause::Rewritten) })
        }
        _ => {
            content.swap(0, 1);
            ("swapped partition", |v, _| matches!(v, Verdict::Tampered { first: Some(0), .. }))
        }
    };
    (kind, partition, at as u64, expected)
}

#[test]
fn a_thousand_tampers_of_the_log_are_found_and_told_from_a_torn_tail() {
    const THREADS: usize = 8;
    let (scene, folder) = (scene(), tempfile::tempdir().unwrap());
    let share = &|thread: usize| {
        let mut kinds = Vec::new();
        for number in (thread..TAMPERS).step_by(THREADS) {
            let mut dice = ChaCha8Rng::seed_from_u64(20_261_122 + number as u64);
            let mut content = scene.content.clone();
            let (kind, partition, at, expected) = tamper(&mut content, &mut dice);
            let dir = folder.path().join(number.to_string());
            write(&dir, &[group(&content, |p| 0..content[p].len())]);
            let (verdicts, torn) = audit(&dir, &scene);
            assert!(expected(verdicts[partition], at), "{number} {kind} at {at}: {verdicts:?}");
            assert!(!torn, "{number} {kind}: nothing was torn");
            std::fs::remove_dir_all(dir).unwrap();
            kinds.push(kind);
        }
        kinds
    };
    // Each log waits for the disk several times: together they wait less.
    let kinds: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || share(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("every tamper was found")).collect()
    });
    assert_eq!(kinds.len(), TAMPERS);
    for kind in ["payload", "header", "order", "deletion", "truncation", "insertion", "swapped partition"] {
        assert!(kinds.iter().filter(|k| **k == kind).count() > 100, "{kind}");
    }
}

#[test]
fn a_torn_tail_is_no_tampering_and_what_is_left_beyond_the_checkpoint_is_uncovered() {
    let scene = scene();
    let covered = |p: usize| COVERED[p] as usize;
    let groups =
        [group(&scene.content, |p| 0..covered(p)), group(&scene.content, |p| covered(p)..scene.content[p].len())];
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    write(&whole, &groups);
    assert_eq!(audit(&whole, &scene), (vec![proven(0, 5), proven(1, 4)], false));

    let one = folder.path().join("one");
    write(&one, &groups[..1]);
    let (end_of_first, end) = (used_bytes(&segment(&one)), used_bytes(&segment(&whole)));
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    for number in 0..40 {
        let torn = folder.path().join(format!("torn-{number}"));
        write(&torn, &groups);
        let file = segment(&torn);
        let mut bytes = std::fs::read(&file).unwrap();
        let cut = dice.random_range(end_of_first + 8..end - 8);
        bytes[cut..].fill(0);
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(audit(&torn, &scene), (vec![proven(0, 0), proven(1, 0)], true), "cut at {cut} of {end}");
    }
}

/// The only segment of the log's main sequence.
fn segment(log: &Path) -> PathBuf {
    let files = std::fs::read_dir(log.join("main")).unwrap().map(|f| f.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.is_file()).collect();
    files.sort_by_key(|f| f.metadata().unwrap().len());
    files.pop().expect("a segment")
}

fn used_bytes(file: &Path) -> usize {
    let bytes = std::fs::read(file).unwrap();
    bytes.iter().rposition(|b| *b != 0).expect("something was written") + 1
}

#[test]
fn a_rollback_and_a_fork_are_told_apart() {
    let scene = scene();
    let known = &scene.state.checkpoint;
    let old = policy().verify(&scene.older.note).unwrap().checkpoint;
    assert_eq!(continues(known, &old, &[]), Err(Problem::Older { known: known.size, found: old.size }));

    // The same key signs another history of the same and of a greater length.
    let mut dice = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..40 {
        let mut fork = World::new();
        let other = dice.random_range(0..known.size);
        let ticks = known.size + dice.random_range(0..4);
        for tick in 0..ticks {
            fork.append(CHANGE_0, change(if tick == other { 251 } else { tick as u8 }, 1));
            fork.publish(&[]);
        }
        let published = fork.publish(&[1, 2]);
        let found: Checkpoint = policy().verify(&published.note).unwrap().checkpoint;
        let mut log = TiledTree::new(found.size, |tile| TileStore::tile(fork.dir.path(), ledger::TreeOf::Log, tile));
        let proof = log.consistency(known.size, found.size).unwrap();
        assert_eq!(continues(known, &found, &proof), Err(Problem::Forked { size: known.size }));
        // In a bundle the forger can only leave the proof out, or give a wrong one.
        let bundle = fork.draft(&published).finish().unwrap();
        let rejected = check(&bundle, &Trust { policy: &policy(), known: Some(known) }).unwrap_err();
        assert_eq!(rejected.failures[0].problem, Problem::Unconnected { known: known.size });
        let mut draft = fork.draft(&published);
        draft.since(&scene.published.note).unwrap();
        let rejected = check(&draft.finish().unwrap(), &Trust { policy: &policy(), known: Some(known) }).unwrap_err();
        assert_eq!(rejected.failures[1].problem, Problem::Proof(ledger::ProofError::Consistency));
    }
}

#[test]
fn heads_that_are_not_the_ticks_are_refused() {
    let scene = scene();
    let (published, dir) = (&scene.published, scene.world.dir.path());
    let size = scene.state.checkpoint.size;
    let mut log = TiledTree::new(size, |tile| TileStore::tile(dir, ledger::TreeOf::Log, tile));
    let path = log.inclusion(size - 1, size).unwrap();
    let opened = |heads: &[Head]| LogState::open(&policy(), &published.note, &published.tick.to_text(), &path, heads);
    let good = published.heads.heads().to_vec();
    assert!(opened(&good).is_ok());
    for slot in 0..good.len() {
        let mut bad = good.clone();
        bad[slot].size ^= 1;
        assert!(opened(&bad).is_err());
    }
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert!(
        opened(&swapped).is_err() && opened(&good[1..]).is_err() && opened(&[&good[..], &good[..1]].concat()).is_err()
    );
}

#[test]
fn damage_to_the_ledgers_own_files_is_not_taken_for_tampering() {
    let scene = scene();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    write(&log, &[group(&scene.content, |p| 0..scene.content[p].len())]);
    let head = scene.state.heads[0];
    let tile = scene.world.dir.path().join(format!("change/0/tile/0/000.p/{}", head.size));
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[32 * 4] ^= 1;
    std::fs::write(tile, bytes).unwrap();
    let damaged = Verdict::Proven { covered: COVERED[0], uncovered: 5, damaged_tile: Some(4) };
    assert_eq!(audit(&log, &scene).0, [damaged, proven(1, 4)]);
}
