//! The container as its callers use it: batches, undoing, reopening, refusing, discarding.

mod fixture;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fixture::{EXPECT, batch, check, feature, keys_of, open, resume, small};
use view_store::{DenseTable, Error, Expect, KeyRange, OpenError, Opened, StoreKind, Table, ViewStore};

const KINDS: [StoreKind; 2] = [StoreKind::Fjall, StoreKind::Sled];

#[test]
fn handles_may_be_shared_by_threads() {
    fn is_sync<T: Send + Sync>() {}
    is_sync::<ViewStore>();
    is_sync::<view_store::Txn<'_>>();
    is_sync::<view_store::Reader>();
    is_sync::<view_store::View>();
}

#[test]
fn batches_survive_checkpoints_merges_and_reopening() {
    for kind in KINDS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path().join("views");
        let mut store = match open(&dir, kind).expect("an empty directory") {
            Opened::Fresh(store) => store,
            Opened::Resumed(_) => panic!("nothing is there yet"),
        };
        for round in 1..=25 {
            assert_eq!(batch(&mut store, 97), round);
        }
        check(&mut store);
        assert!(store.covered_nodes() > 0, "the front has been flushed");
        drop(store); // as a crash leaves it: nothing is closed
        let mut store = resume(&dir, kind);
        assert_eq!(store.committed().batch, 25);
        assert_eq!(store.committed().positions, 25u32.to_le_bytes());
        assert_eq!(store.committed().digest, [25; 32]);
        check(&mut store);
        batch(&mut store, 1000);
        store.close().expect("a sound disk");
        let mut store = resume(&dir, kind);
        assert_eq!(store.covered_nodes(), 25 * 97 + 1000);
        check(&mut store);
    }
}

#[test]
fn dropped_batch_leaves_no_trace() {
    for kind in KINDS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = open(dir.path(), kind).expect("an empty directory").into_store();
        batch(&mut store, 20);
        {
            let mut txn = store.begin().expect("not poisoned");
            let node = txn.dense_append(DenseTable::NodeFeature, &[1; 96]).expect("room");
            txn.dense_put(DenseTable::NodeState, 3, &[1; 16]).expect("the row exists");
            txn.dense_put(DenseTable::NodeState, 3, &[2; 16]).expect("the row exists");
            txn.dense_append(DenseTable::NodeState, &[1; 16]).expect("room");
            txn.insert_posting(keys_of(&feature(3))[1], node);
            txn.delete(Table::Head, &3u32.to_be_bytes());
            txn.put(Table::Head, b"new", b"row");
        }
        check(&mut store);
        batch(&mut store, 20);
        check(&mut store);
    }
}

#[test]
fn open_batch_reads_its_own_writes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path(), StoreKind::Fjall).expect("an empty directory").into_store();
    batch(&mut store, 5);
    let reader = store.reader();
    let mut txn = store.begin().expect("not poisoned");
    txn.put(Table::Head, &9u32.to_be_bytes(), b"nine");
    txn.put(Table::Head, &1u32.to_be_bytes(), b"one");
    txn.delete(Table::Head, &0u32.to_be_bytes());
    assert_eq!(txn.get(Table::Head, &9u32.to_be_bytes()).expect("sound").as_deref(), Some(&b"nine"[..]));
    assert_eq!(txn.get(Table::Head, &0u32.to_be_bytes()).expect("sound"), None);
    let found = txn.range(Table::Head, KeyRange::All, 2).expect("sound");
    let found: Vec<&[u8]> = found.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(found, [1u32.to_be_bytes(), 2u32.to_be_bytes()]);
    let view = reader.view().expect("sound");
    assert_eq!(view.get(Table::Head, &9u32.to_be_bytes()).expect("sound"), None);
    assert_eq!((view.committed().batch, &view.committed().positions[..]), (1, &1u32.to_le_bytes()[..]));
    txn.commit(b"p2", b"d2").expect("a sound disk");
    assert_eq!(view.get(Table::Head, &9u32.to_be_bytes()).expect("sound"), None);
    let view = reader.view().expect("sound");
    assert_eq!(view.get(Table::Head, &9u32.to_be_bytes()).expect("sound").as_deref(), Some(&b"nine"[..]));
    assert_eq!((view.committed().batch, &view.committed().digest[..]), (2, &b"d2"[..]));
}

#[test]
fn next_batch_reads_the_one_that_is_still_written_and_readers_see_it_once_settled() {
    for kind in KINDS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = open(dir.path(), kind).expect("an empty directory").into_store();
        batch(&mut store, 5);
        let (store_reader, seen) = (store.reader(), Arc::new(AtomicU32::new(0)));
        for round in 0..50u32 {
            let (key, gone) = (1_000 + round, 999 + round);
            let mut txn = store.begin().expect("not poisoned");
            if round > 0 {
                let before = txn.get(Table::Head, &gone.to_be_bytes()).expect("sound");
                assert_eq!(before.as_deref(), Some(&gone.to_le_bytes()[..]), "written by the batch before");
            }
            txn.delete(Table::Head, &gone.to_be_bytes());
            txn.put(Table::Head, &key.to_be_bytes(), &key.to_le_bytes());
            let (reader, told) = (store_reader.clone(), Arc::clone(&seen));
            let stored = move || {
                let view = reader.view().expect("sound");
                assert!(
                    view.get(Table::Head, &key.to_be_bytes()).expect("sound").is_some(),
                    "told before it was there"
                );
                told.fetch_add(1, Ordering::Relaxed);
            };
            txn.commit_ahead(&round.to_le_bytes(), b"digest", stored).expect("a sound disk");
            let txn = store.begin().expect("not poisoned");
            assert_eq!(txn.get(Table::Head, &gone.to_be_bytes()).expect("sound"), None);
            let from = 999u32.to_be_bytes();
            let found = txn.range(Table::Head, KeyRange::From(&from), 2).expect("sound");
            let found: Vec<&[u8]> = found.iter().map(|(key, _)| &key[..]).collect();
            assert_eq!(found, [key.to_be_bytes()]);
        }
        store.settle().expect("a sound disk");
        assert_eq!(seen.load(Ordering::Relaxed), 50);
        let view = store.reader().view().expect("sound");
        assert_eq!(view.committed().positions, 49u32.to_le_bytes());
        assert_eq!(
            view.get(Table::Head, &1_049u32.to_be_bytes()).expect("sound").as_deref(),
            Some(&1_049u32.to_le_bytes()[..])
        );
        assert_eq!(view.get(Table::Head, &1_048u32.to_be_bytes()).expect("sound"), None);
        drop((view, store_reader, store));
        assert_eq!(resume(dir.path(), kind).committed().batch, 51);
    }
}

#[test]
fn batch_is_refused_until_postings_are_restored() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path(), StoreKind::Fjall).expect("an empty directory").into_store();
    batch(&mut store, 5);
    drop(store);
    let mut store = open(dir.path(), StoreKind::Fjall).expect("a sound store").into_store();
    assert!(matches!(store.begin().err(), Some(Error::PostingsNotRestored { covered: 0, nodes: 5 })));
    store.restore_postings(|_, row, keys| keys.extend(keys_of(row))).expect("sound");
    check(&mut store);
}

#[test]
fn merges_forget_dead_nodes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path(), StoreKind::Fjall).expect("an empty directory").into_store();
    store.set_dead_nodes(Arc::new(|node| node == 4));
    let gone = keys_of(&feature(4))[1];
    for _ in 0..200 {
        batch(&mut store, 100);
        let mut found = Vec::new();
        store.begin().expect("not poisoned").lookup(gone, 10, &mut found).expect("sound");
        if found.is_empty() {
            return;
        }
    }
    panic!("20,000 nodes in runs of 250 were never merged");
}

#[test]
fn a_purge_leaves_no_dead_posting_and_no_overwritten_value_in_any_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path(), StoreKind::Fjall).expect("an empty directory").into_store();
    let secret = *b"a value that must go for ever, all of it";
    for _ in 0..20 {
        batch(&mut store, 100);
    }
    let mut txn = store.begin().expect("not poisoned");
    txn.put(Table::Lookup, b"gone", &secret);
    txn.put(Table::Lookup, b"kept", b"a value that stays");
    txn.commit(b"p", &[1; 32]).expect("a sound disk");
    let mut txn = store.begin().expect("not poisoned");
    txn.delete(Table::Lookup, b"gone");
    txn.commit(b"p", &[2; 32]).expect("a sound disk");
    assert!(holds(dir.path(), &secret), "until then it stands in the journal");
    assert!(store.purge(Arc::new(|node| node % 10 == 4)).expect("a sound disk"));
    assert!(!holds(dir.path(), &secret));
    let expect = |store: &mut ViewStore| {
        let txn = store.begin().expect("not poisoned");
        for node in 0..2_000 {
            let mut found = Vec::new();
            txn.lookup(keys_of(&feature(node))[1], 10, &mut found).expect("sound");
            assert_eq!(found.is_empty(), node % 10 == 4, "node {node}");
        }
        assert_eq!(txn.get(Table::Lookup, b"kept").expect("sound").as_deref(), Some(&b"a value that stays"[..]));
    };
    expect(&mut store);
    batch(&mut store, 100);
    drop(store);
    expect(&mut resume(dir.path(), StoreKind::Fjall));
}

#[test]
fn a_purged_sled_is_built_anew() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path(), StoreKind::Sled).expect("an empty directory").into_store();
    batch(&mut store, 100);
    assert!(!store.purge(Arc::new(|_| false)).expect("a sound disk"));
    batch(&mut store, 100);
    store.close().expect("a sound disk");
    assert!(matches!(open(dir.path(), StoreKind::Sled).err(), Some(OpenError::Purged { .. })));
    ViewStore::discard(dir.path()).expect("a view store");
    assert!(matches!(open(dir.path(), StoreKind::Sled), Ok(view_store::Opened::Fresh(_))));
}

fn holds(dir: &std::path::Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(dir).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return holds(&path, wanted);
        }
        match fs::read(&path) {
            // The store lets go of a file whose contents it has moved.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            file => file.expect("a file").windows(wanted.len()).any(|bytes| bytes == wanted),
        }
    })
}

#[test]
fn other_log_fold_kind_and_format_are_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    open(dir.path(), StoreKind::Fjall).expect("an empty directory").into_store().close().expect("a sound disk");
    let with = |expect| ViewStore::open(dir.path(), small(StoreKind::Fjall), expect).err();
    assert!(matches!(with(Expect { log_id: [8; 16], ..EXPECT }), Some(OpenError::ForeignLog { .. })));
    let other = with(Expect { fold_version: 4, ..EXPECT }).expect("another fold version is refused");
    assert!(matches!(other, OpenError::OtherFoldVersion { found: 3, expected: 4, .. }));
    assert!(other.to_string().contains("rebuild it from the log"));
    let other = open(dir.path(), StoreKind::Sled).err();
    let named = Some(OpenError::OtherStoreKind {
        dir: dir.path().to_owned(),
        found: StoreKind::Fjall,
        expected: StoreKind::Sled,
    });
    assert_eq!(other.map(|error| error.to_string()), named.map(|error| error.to_string()));
}

#[test]
fn emptied_store_is_refused_and_never_taken_for_new() {
    for kind in KINDS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = open(dir.path(), kind).expect("an empty directory").into_store();
        batch(&mut store, 5);
        store.close().expect("a sound disk");
        fs::remove_dir_all(dir.path().join("store")).expect("the store's folder");
        for _ in 0..2 {
            assert!(matches!(open(dir.path(), kind).err(), Some(OpenError::Emptied { held_batches: 1, .. })));
        }
    }
}

#[test]
fn older_copy_of_the_store_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let views = dir.path().join("views");
    let aside = dir.path().join("aside");
    let mut store = open(&views, StoreKind::Fjall).expect("an empty directory").into_store();
    batch(&mut store, 5);
    store.close().expect("a sound disk");
    copy(&views.join("store"), &aside);
    let mut store = resume(&views, StoreKind::Fjall);
    batch(&mut store, 5);
    store.close().expect("a sound disk");
    fs::remove_dir_all(views.join("store")).expect("the store's folder");
    fs::rename(&aside, views.join("store")).expect("the copy");
    let refused = open(&views, StoreKind::Fjall).err();
    assert!(matches!(refused, Some(OpenError::LostBatches { held_batches: 2, found_batches: 1, .. })));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a writable directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}

#[test]
fn lost_or_damaged_manifest_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    open(dir.path(), StoreKind::Fjall).expect("an empty directory").into_store().close().expect("a sound disk");
    let manifest = dir.path().join("manifest");
    let mut bytes = fs::read(&manifest).expect("a manifest");
    bytes[20] ^= 1;
    fs::write(&manifest, &bytes).expect("writable");
    assert!(matches!(open(dir.path(), StoreKind::Fjall).err(), Some(OpenError::Damaged { .. })));
    fs::remove_file(&manifest).expect("a manifest");
    assert!(matches!(open(dir.path(), StoreKind::Fjall).err(), Some(OpenError::Damaged { .. })));
    ViewStore::discard(dir.path()).expect("nobody has it open");
    assert!(matches!(open(dir.path(), StoreKind::Fjall), Ok(Opened::Fresh(_))));
}

#[test]
fn directory_of_somebody_else_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("thesis.txt"), "text").expect("writable");
    assert!(matches!(open(dir.path(), StoreKind::Fjall).err(), Some(OpenError::NotAStore { .. })));
    assert!(matches!(ViewStore::discard(dir.path()).err(), Some(OpenError::NotAStore { .. })));
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
}

#[test]
fn store_in_use_is_neither_opened_nor_discarded() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(dir.path(), StoreKind::Fjall).expect("an empty directory").into_store();
    assert!(matches!(open(dir.path(), StoreKind::Fjall).err(), Some(OpenError::Locked { .. })));
    assert!(matches!(ViewStore::discard(dir.path()).err(), Some(OpenError::Locked { .. })));
    let view = store.reader().view().expect("sound");
    drop(store);
    assert!(matches!(open(dir.path(), StoreKind::Fjall).err(), Some(OpenError::Locked { .. })));
    drop(view);
    assert!(matches!(open(dir.path(), StoreKind::Fjall), Ok(Opened::Resumed(_))));
}

#[test]
fn flipped_bit_in_a_dense_file_or_run_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path(), StoreKind::Fjall).expect("an empty directory").into_store();
    for _ in 0..10 {
        batch(&mut store, 100);
    }
    store.close().expect("a sound disk");
    flip(&dir.path().join("node_feature.rows"), 5000);
    let run = fs::read_dir(dir.path().join("postings")).expect("a directory").next().expect("a run").expect("a run");
    let last_block = fs::metadata(run.path()).expect("a run").len() - 4000;
    flip(&run.path(), last_block);
    let mut store = open(dir.path(), StoreKind::Fjall).expect("damage shows when it is read").into_store();
    let mut row = [0; 96];
    store.dense_get(DenseTable::NodeFeature, 0, &mut row).expect("the first block is sound");
    let damaged = store.dense_get(DenseTable::NodeFeature, 50, &mut row);
    assert!(matches!(damaged, Err(Error::DamagedBlock { block: 1, .. })));
    let txn = store.begin().expect("postings are complete");
    let failed = (0..1000)
        .flat_map(|node| keys_of(&feature(node)))
        .any(|key| matches!(txn.lookup(key, 100, &mut Vec::new()), Err(Error::DamagedBlock { .. })));
    assert!(failed, "some key lies in the damaged block");
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[usize::try_from(at).expect("small")] ^= 4;
    fs::write(path, bytes).expect("writable");
}
