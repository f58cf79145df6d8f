//! The ledger's files through appends, ticks, crashes and damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ledger::tree::Tree;
use ledger::*;
use proptest::prelude::*;
use record::{EntryHash, Index, Partition, Positions, Stream, Timestamp};
use tile_store::{Error, Signatures, Signed, TileStore, verify_tree};

const ORIGIN: &str = "hub.test/log";
const SHAPE: Shape = Shape { change: 2, access: 1, rejected: 1 };
const CHANGE_0: (Stream, Partition) = (Stream::Change, Partition(0));
const CHANGE_1: (Stream, Partition) = (Stream::Change, Partition(1));

fn key() -> SigningKey {
    SigningKey::new(ORIGIN, &[1; 32]).unwrap()
}

/// The log that the ledger follows: what stands at a place never changes.
fn entry((stream, partition): (Stream, Partition), index: u64) -> EntryHash {
    EntryHash::of(format!("{} {} {index}", stream.name(), partition.0).as_bytes())
}

fn append(store: &mut TileStore, tree: (Stream, Partition), count: u64) {
    let from = store.ends().get(tree.0, tree.1).0;
    store.append(tree.0, tree.1, (from..from + count).map(|i| entry(tree, i))).unwrap();
}

fn root_of(tree: (Stream, Partition), size: u64) -> Hash {
    match size {
        0 => EMPTY_ROOT,
        _ => Tree::new((0..size).map(|i| leaf_hash(&entry(tree, i).0)).collect()).root(),
    }
}

fn tick_all(store: &mut TileStore, at: i64) {
    let ends = store.ends();
    store.tick(Timestamp(at), &ends).unwrap();
}

/// Every file below a folder, but the notes, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for found in fs::read_dir(next).unwrap() {
            let path = found.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => {
                    out.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
    }
    out
}

#[test]
fn what_is_published_is_served_from_files_and_proves_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
    append(&mut store, CHANGE_0, 700);
    append(&mut store, CHANGE_1, 256);
    tick_all(&mut store, 1);
    append(&mut store, CHANGE_0, 1);
    tick_all(&mut store, 2);
    let published = store.publish(&key()).unwrap();
    assert_eq!(published.partitions, 5, "every partition for the first time");
    let note = published.signed.note;
    let checkpoint = Checkpoint::open(&note, key().verifier(), ORIGIN).unwrap();
    assert_eq!(checkpoint, store.state().checkpoint());
    assert_eq!(fs::read_to_string(dir.path().join("checkpoint")).unwrap(), note);

    let mut log = TiledTree::new(checkpoint.size, |tile| TileStore::tile(dir.path(), TreeOf::Log, tile));
    assert_eq!(log.root().unwrap(), checkpoint.root);
    for (tree, size) in [(CHANGE_0, 701), (CHANGE_1, 256)] {
        let head = store.state().head(tree.0, tree.1).unwrap();
        assert_eq!((head.size, head.root), (size, root_of(tree, size)));
        let name = ledger::tick::tree_name(tree.0, tree.1);
        let note = fs::read_to_string(dir.path().join(&name).join("checkpoint")).unwrap();
        let signed = Checkpoint::open(&note, key().verifier(), &format!("{ORIGIN}/{name}")).unwrap();
        assert_eq!(signed, head.checkpoint(ORIGIN));
        let mut seen = 0;
        let verified = verify_tree(&dir.path().join(&name), size, |index, bytes| {
            assert_eq!((index, bytes), (seen, &entry(tree, index).0[..]));
            seen += 1;
        });
        assert_eq!((verified.unwrap(), seen), (head.root, size));
        let of = TreeOf::Partition(tree.0, tree.1);
        let mut tiled = TiledTree::new(size, |tile| TileStore::tile(dir.path(), of, tile));
        let path = tiled.inclusion(200, size).unwrap();
        verify_inclusion(leaf_hash(&entry(tree, 200).0), 200, size, &head.root, &path).unwrap();
    }
    append(&mut store, CHANGE_1, 1);
    tick_all(&mut store, 3);
    assert_eq!(store.publish(&key()).unwrap().partitions, 1, "only the one that has grown");
}

#[test]
fn a_published_state_is_read_with_its_own_note_by_any_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
    let read = |by| TileStore::signed(dir.path(), SHAPE, by).unwrap();
    assert!(read(Signatures::Log).is_none() && read(Signatures::Witnesses).is_none());
    append(&mut store, CHANGE_0, 5);
    tick_all(&mut store, 1);
    let first = store.publish(&key()).unwrap().signed;
    append(&mut store, CHANGE_0, 5);
    tick_all(&mut store, 2);
    let second = store.publish(&key()).unwrap().signed;
    let witness = CosigningKey::new("witness.test/a", &[2; 32]).unwrap();
    let cosigned = first.note.clone() + &witness.cosign(&first.state.checkpoint().to_text(), 7);
    assert!(Signed::new(second.state.clone(), cosigned.clone()).is_none(), "the note of another state");
    store.write_cosigned(&Signed::new(first.state.clone(), cosigned.clone()).unwrap()).unwrap();

    let (log, witnesses) = (read(Signatures::Log).unwrap(), read(Signatures::Witnesses).unwrap());
    assert_eq!((log.note, log.state.checkpoint()), (second.note, second.state.checkpoint()));
    assert_eq!((&witnesses.note, witnesses.state.checkpoint()), (&cosigned, first.state.checkpoint()));
    assert_eq!(witnesses.state.head(CHANGE_0.0, CHANGE_0.1).unwrap().root, root_of(CHANGE_0, 5));
    assert_eq!(fs::read_to_string(dir.path().join("checkpoint")).unwrap(), cosigned);
    for at in 0..cosigned.len() {
        let mut bytes = fs::read(dir.path().join("signed")).unwrap();
        bytes[at] ^= 1;
        fs::write(dir.path().join("cosigned"), bytes).unwrap();
        assert!(TileStore::signed(dir.path(), SHAPE, Signatures::Witnesses).is_err(), "byte {at}");
    }
}

#[test]
fn ticks_that_go_backwards_or_ahead_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
    append(&mut store, CHANGE_0, 10);
    let ends = |n| [(CHANGE_0.0, CHANGE_0.1, Index(n))].into_iter().collect::<Positions>();
    store.tick(Timestamp(5), &ends(7)).unwrap();
    assert_eq!(store.state().head(CHANGE_0.0, CHANGE_0.1).unwrap().root, root_of(CHANGE_0, 7));
    assert!(matches!(store.tick(Timestamp(6), &ends(11)), Err(Error::Ahead { end: 11, size: 10, .. })));
    assert!(matches!(store.tick(Timestamp(6), &ends(6)), Err(Error::Backwards)));
    assert!(matches!(store.tick(Timestamp(4), &ends(8)), Err(Error::Backwards)));
    assert!(matches!(store.tick(Timestamp(5), &ends(7)), Err(Error::Backwards)), "the same cut again");
    assert_eq!(store.state().size, 1);
    store.tick(Timestamp(6), &ends(10)).unwrap();
    assert_eq!(store.state().size, 2);
    assert!(matches!(store.append(Stream::Change, Partition(2), []), Err(Error::NoPartition(_))));
}

#[test]
fn a_failed_write_stops_the_store_until_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
    append(&mut store, CHANGE_0, 100);
    tick_all(&mut store, 1);
    store.commit().unwrap();
    // A folder in the place of the tile that fills next.
    fs::create_dir_all(dir.path().join("change/0/tile/entries/000")).unwrap();
    let rest = || (100..300).map(|i| entry(CHANGE_0, i));
    assert!(matches!(store.append(CHANGE_0.0, CHANGE_0.1, rest()), Err(Error::Io { .. })));
    assert!(matches!(store.append(CHANGE_0.0, CHANGE_0.1, rest()), Err(Error::Poisoned)));
    assert!(matches!(store.commit(), Err(Error::Poisoned)));
    let mut store = TileStore::open(dir.path(), SHAPE).unwrap();
    append(&mut store, CHANGE_0, 200);
    tick_all(&mut store, 2);
    assert_eq!(store.state().head(CHANGE_0.0, CHANGE_0.1).unwrap().root, root_of(CHANGE_0, 300));
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again_and_what_is_not_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("heads.new"), b"half a st").unwrap();
    assert!(!TileStore::exists(dir.path()));
    drop(TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap());
    assert_eq!(TileStore::open(dir.path(), SHAPE).unwrap().ends().of(Stream::Change).total(), 0);
    let other = tempfile::tempdir().unwrap();
    for name in ["heads.new", "letters.txt"] {
        fs::write(other.path().join(name), b"somebody's").unwrap();
    }
    assert!(matches!(TileStore::create(other.path(), ORIGIN, SHAPE), Err(Error::NotEmpty { .. })));
    assert_eq!(fs::read(other.path().join("heads.new")).unwrap(), b"somebody's");
}

#[test]
fn a_partial_file_that_is_durable_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
    append(&mut store, CHANGE_0, 300);
    tick_all(&mut store, 1);
    store.publish(&key()).unwrap();
    store.commit().unwrap();
    let upper = dir.path().join("change/0/tile/1/000.p/1");
    for (at, reopened) in [(2, false), (3, true)] {
        let bytes = fs::read(&upper).unwrap();
        if reopened {
            drop(store);
            store = TileStore::open(dir.path(), SHAPE).unwrap();
        }
        // What stands there now would be gone if it were written anew.
        fs::write(&upper, b"as it was").unwrap();
        append(&mut store, CHANGE_0, 10);
        tick_all(&mut store, at);
        store.publish(&key()).unwrap();
        assert_eq!(fs::read(&upper).unwrap(), b"as it was");
        fs::write(&upper, bytes).unwrap();
        store.commit().unwrap();
    }
}

#[test]
fn partial_files_go_when_their_tile_is_full_and_durable() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
    let partial = |level: &str| dir.path().join("change/0/tile").join(level).join("000.p");
    for at in 0..4 {
        append(&mut store, CHANGE_0, 60);
        tick_all(&mut store, at);
        store.publish(&key()).unwrap();
    }
    assert_eq!(fs::read_dir(partial("0")).unwrap().count(), 4, "one for each published size");
    append(&mut store, CHANGE_0, 60);
    tick_all(&mut store, 9);
    store.publish(&key()).unwrap();
    assert!(partial("0").exists(), "the full tile is not durable yet");
    store.commit().unwrap();
    assert!(!partial("0").exists() && !partial("entries").exists() && partial("1").exists());
    let tile = Tile { level: 0, index: 0, width: 60 };
    let served = TileStore::tile(dir.path(), TreeOf::Partition(CHANGE_0.0, CHANGE_0.1), tile).unwrap();
    assert_eq!(served, (0..60).flat_map(|i| leaf_hash(&entry(CHANGE_0, i).0)).collect::<Vec<_>>());
}

#[test]
fn damage_to_what_was_durable_is_named_when_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
    append(&mut store, CHANGE_0, 300);
    tick_all(&mut store, 1);
    store.commit().unwrap();
    drop(store);
    let good = files(dir.path());
    let edges = ["heads", "change/0/tile/0/001.p/44", "change/0/tile/1/000.p/1", "change/0/tile/entries/001.p/44"];
    for name in edges {
        let path = dir.path().join(name);
        for bytes in [&good[&path][..good[&path].len() - 1], &[good[&path].as_slice(), b"x"].concat()] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(TileStore::open(dir.path(), SHAPE), Err(Error::Damaged { .. })), "{name}");
        }
        for at in (0..good[&path].len()).step_by(23) {
            let mut bytes = good[&path].clone();
            bytes[at] ^= 0x01;
            fs::write(&path, bytes).unwrap();
            assert!(matches!(TileStore::open(dir.path(), SHAPE), Err(Error::Damaged { .. })), "{name} byte {at}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(TileStore::open(dir.path(), SHAPE), Err(Error::Io { .. })), "{name}");
        fs::write(&path, &good[&path]).unwrap();
    }
    assert!(TileStore::open(dir.path(), Shape { change: 3, ..SHAPE }).is_err(), "another log's shape");
    TileStore::open(dir.path(), SHAPE).unwrap();
    // Inner tiles are not read at each start; the whole reading finds them.
    let inner = dir.path().join("change/0/tile/0/000");
    let mut bytes = good[&inner].clone();
    bytes[5000] ^= 1;
    fs::write(&inner, bytes).unwrap();
    let tree = dir.path().join("change/0");
    assert!(matches!(verify_tree(&tree, 300, |_, _| ()), Err(Error::Damaged { path, .. }) if path == inner));
}

#[derive(Debug, Clone)]
enum Step {
    Append(bool, u64),
    Tick,
    Publish,
    Commit,
    /// Killed: what was written stays.
    Kill,
    /// Power lost: of files that changed since the last commit, some are gone, cut or scrambled.
    PowerLoss(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), prop_oneof![0_u64..5, 200_u64..300, 1_000_u64..1_200]).prop_map(|(p, n)| Step::Append(p, n)),
        3 => Just(Step::Tick),
        2 => Just(Step::Publish),
        2 => Just(Step::Commit),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerLoss),
    ]
}

fn lose_power(durable: &BTreeMap<PathBuf, Vec<u8>>, dir: &Path, mut dice: u64) {
    for (path, bytes) in files(dir) {
        if durable.get(&path) == Some(&bytes) {
            continue;
        }
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (dice >> 33) % 4 {
            0 => fs::remove_file(&path).unwrap(),
            1 => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
            2 => fs::write(&path, vec![0; bytes.len()]).unwrap(),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_crash_leaves_a_prefix_and_the_log_fills_up_the_rest(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
        let (mut clock, mut committed) = (0, (store.state().checkpoint(), store.ends()));
        let mut durable = files(dir.path());
        for step in steps {
            match step {
                Step::Append(second, count) => append(&mut store, if second { CHANGE_1 } else { CHANGE_0 }, count),
                Step::Tick => {
                    clock += 1;
                    tick_all(&mut store, clock);
                }
                Step::Publish => {
                    store.publish(&key()).unwrap();
                }
                Step::Commit => {
                    store.commit().unwrap();
                    let heads = store.state().heads.heads().iter().map(|h| (h.stream, h.partition, Index(h.size)));
                    committed = (store.state().checkpoint(), heads.collect());
                    durable = files(dir.path());
                    // The notes and partial files are written again by whoever needs them.
                }
                Step::Kill | Step::PowerLoss(_) => {
                    drop(store);
                    if let Step::PowerLoss(dice) = step {
                        lose_power(&durable, dir.path(), dice);
                    }
                    store = TileStore::open(dir.path(), SHAPE).unwrap();
                    prop_assert_eq!((store.state().checkpoint(), store.ends()), committed.clone());
                }
            }
        }
        append(&mut store, CHANGE_0, 300);
        tick_all(&mut store, clock + 1);
        store.publish(&key()).unwrap();
        store.commit().unwrap();
        for head in store.state().heads.heads() {
            let tree = (head.stream, head.partition);
            prop_assert_eq!(head.root, root_of(tree, head.size));
            let folder = dir.path().join(ledger::tick::tree_name(tree.0, tree.1));
            prop_assert_eq!(verify_tree(&folder, head.size, |_, _| ()).unwrap(), head.root);
        }
        let (size, root) = (store.state().size, store.state().root);
        let mut last = String::new();
        prop_assert_eq!(verify_tree(dir.path(), size, |_, text| last = String::from_utf8_lossy(text).into()).unwrap(), root);
        prop_assert_eq!(Some(last), store.state().tick.map(|tick| tick.to_text()));
    }
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let path = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The ledger that stands in the fixture: a full tile and partial ones of two levels.
fn small(dir: &Path) {
    let mut store = TileStore::create(dir, ORIGIN, SHAPE).unwrap();
    append(&mut store, CHANGE_0, 3);
    tick_all(&mut store, 1_763_791_978_000_000);
    append(&mut store, CHANGE_0, 257);
    append(&mut store, CHANGE_1, 1);
    tick_all(&mut store, 1_763_791_979_000_000);
    store.publish(&key()).unwrap();
    store.commit().unwrap();
}

/// Written by the first version; every later one must read it and go on from there.
#[test]
fn a_ledger_of_the_first_version_opens_and_goes_on() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1");
    let (dir, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(&fixture, dir.path());
    small(fresh.path());
    let relative = |dir: &Path| -> BTreeMap<_, _> {
        files(dir).into_iter().map(|(path, bytes)| (path.strip_prefix(dir).unwrap().to_owned(), bytes)).collect()
    };
    assert!(relative(fresh.path()) == relative(dir.path()), "a changed format needs a fixture of its own");
    let mut store = TileStore::open(dir.path(), SHAPE).unwrap();
    let state = store.state();
    assert_eq!((state.size, state.head(CHANGE_0.0, CHANGE_0.1).unwrap().root), (2, root_of(CHANGE_0, 260)));
    append(&mut store, CHANGE_0, 1);
    tick_all(&mut store, 1_763_791_980_000_000);
    assert_eq!(store.state().head(CHANGE_0.0, CHANGE_0.1).unwrap().root, root_of(CHANGE_0, 261));
}
