//! What every store must do, run for each of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use view_store::{Batch, Durability, Error, KeyRange, Snapshot, Store, StoreKind, Table};

const CACHE_BYTES: u64 = 16 << 20;

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod fjall { $(#[test] fn $name() { super::$name(super::StoreKind::Fjall); })+ }
        mod sled { $(#[test] fn $name() { super::$name(super::StoreKind::Sled); })+ }
    };
}

contract!(
    put_value_is_read_back_and_deleted_one_is_gone,
    tables_do_not_see_each_other,
    range_is_sorted_bounded_and_stays_in_its_table,
    multi_get_answers_in_the_order_asked,
    last_write_of_a_key_in_a_batch_wins,
    snapshot_is_untouched_by_later_commits,
    snapshot_scan_merges_deleted_changed_and_new_rows,
    reader_never_sees_half_a_batch,
    reopened_store_holds_every_synced_batch,
);

fn open(kind: StoreKind, dir: &Path) -> Store {
    Store::open(kind, dir, CACHE_BYTES).expect("an empty or sound directory opens")
}

fn fresh(kind: StoreKind) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(kind, &dir.path().join("store"));
    (dir, store)
}

fn put(store: &Store, rows: &[(Table, &[u8], &[u8])]) {
    let mut batch = Batch::new();
    for (table, key, value) in rows {
        batch.put(*table, key, value);
    }
    store.commit(batch, Durability::Buffered).expect("a sound disk");
}

fn keys(found: Result<Vec<view_store::Row>, Error>) -> Vec<Vec<u8>> {
    found.expect("a sound store").into_iter().map(|(key, _)| key.to_vec()).collect()
}

fn text(snapshot: &Snapshot, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    snapshot.get(table, key).expect("a sound store").map(|value| value.to_vec())
}

fn put_value_is_read_back_and_deleted_one_is_gone(kind: StoreKind) {
    let (_dir, store) = fresh(kind);
    assert_eq!(store.kind(), kind);
    put(&store, &[(Table::Head, b"a", b"1"), (Table::Head, b"b", b"")]);
    assert_eq!(store.get(Table::Head, b"a").expect("sound").as_deref(), Some(&b"1"[..]));
    assert_eq!(store.get(Table::Head, b"b").expect("sound").as_deref(), Some(&b""[..]));
    assert_eq!(store.get(Table::Head, b"c").expect("sound"), None);
    let mut batch = Batch::new();
    batch.delete(Table::Head, b"a");
    batch.delete(Table::Head, b"never there");
    store.commit(batch, Durability::Buffered).expect("a sound disk");
    assert_eq!(store.get(Table::Head, b"a").expect("sound"), None);
}

fn tables_do_not_see_each_other(kind: StoreKind) {
    let (_dir, store) = fresh(kind);
    for table in Table::ALL {
        put(&store, &[(table, b"same key", &[table.number()])]);
    }
    for table in Table::ALL {
        assert_eq!(store.get(table, b"same key").expect("sound").as_deref(), Some(&[table.number()][..]));
        assert_eq!(store.range(table, KeyRange::All, 100).expect("sound").len(), 1);
    }
}

fn range_is_sorted_bounded_and_stays_in_its_table(kind: StoreKind) {
    let (_dir, store) = fresh(kind);
    put(&store, &[(Table::Mention, b"\xff\xff", b""), (Table::NodeMember, b"\0", b"")]);
    put(&store, &[(Table::NodeById, b"b2", b""), (Table::NodeById, b"a", b""), (Table::NodeById, b"b\xff", b"")]);
    put(&store, &[(Table::NodeById, b"c", b""), (Table::NodeById, b"b1", b"")]);
    let range = |range, limit| keys(store.range(Table::NodeById, range, limit));
    assert_eq!(range(KeyRange::All, 10), [&b"a"[..], b"b1", b"b2", b"b\xff", b"c"]);
    assert_eq!(range(KeyRange::All, 2), [&b"a"[..], b"b1"]);
    assert_eq!(range(KeyRange::Prefix(b"b"), 10), [&b"b1"[..], b"b2", b"b\xff"]);
    assert_eq!(range(KeyRange::Between { from: b"b1", to: b"c" }, 10), [&b"b1"[..], b"b2", b"b\xff"]);
    assert_eq!(range(KeyRange::From(b"b2"), 10), [&b"b2"[..], b"b\xff", b"c"]);
    assert_eq!(range(KeyRange::Between { from: b"c", to: b"a" }, 10), Vec::<Vec<u8>>::new());
    assert_eq!(range(KeyRange::All, 0), Vec::<Vec<u8>>::new());
}

fn multi_get_answers_in_the_order_asked(kind: StoreKind) {
    let (_dir, store) = fresh(kind);
    put(&store, &[(Table::Lookup, b"a", b"1"), (Table::Lookup, b"c", b"3")]);
    let found = store.multi_get(Table::Lookup, &[b"c", b"b", b"a"]).expect("sound");
    let found: Vec<Option<&[u8]>> = found.iter().map(Option::as_deref).collect();
    assert_eq!(found, [Some(&b"3"[..]), None, Some(b"1")]);
}

fn last_write_of_a_key_in_a_batch_wins(kind: StoreKind) {
    let (_dir, store) = fresh(kind);
    let mut batch = Batch::new();
    batch.put(Table::Counter, b"k", b"first");
    batch.delete(Table::Counter, b"k");
    batch.put(Table::Counter, b"k", b"last");
    batch.put(Table::Counter, b"gone", b"x");
    batch.delete(Table::Counter, b"gone");
    assert_eq!(batch.len(), 2);
    store.commit(batch, Durability::Buffered).expect("a sound disk");
    assert_eq!(store.get(Table::Counter, b"k").expect("sound").as_deref(), Some(&b"last"[..]));
    assert_eq!(store.get(Table::Counter, b"gone").expect("sound"), None);
}

fn snapshot_is_untouched_by_later_commits(kind: StoreKind) {
    let (_dir, store) = fresh(kind);
    put(&store, &[(Table::Head, b"a", b"1"), (Table::Component, b"a", b"1")]);
    let first = store.snapshot();
    put(&store, &[(Table::Head, b"a", b"2"), (Table::Component, b"b", b"2")]);
    let second = store.snapshot();
    let mut batch = Batch::new();
    batch.delete(Table::Head, b"a");
    batch.put(Table::Component, b"a", b"3");
    store.commit(batch, Durability::Buffered).expect("a sound disk");
    assert_eq!(text(&first, Table::Head, b"a"), Some(b"1".to_vec()));
    assert_eq!(text(&first, Table::Component, b"b"), None);
    assert_eq!(text(&first, Table::Component, b"a"), Some(b"1".to_vec()));
    drop(first);
    assert_eq!(text(&second, Table::Head, b"a"), Some(b"2".to_vec()));
    assert_eq!(text(&second, Table::Component, b"a"), Some(b"1".to_vec()));
    assert_eq!(keys(second.range(Table::Component, KeyRange::All, 9)), [b"a", b"b"]);
    let now = store.snapshot();
    assert_eq!(text(&now, Table::Head, b"a"), None);
    assert_eq!(text(&now, Table::Component, b"a"), Some(b"3".to_vec()));
}

/// More rows than a chunk of a scan, with all kinds of changes behind the reader's back.
fn snapshot_scan_merges_deleted_changed_and_new_rows(kind: StoreKind) {
    let (_dir, store) = fresh(kind);
    let key = |number: u32| number.to_be_bytes();
    let mut batch = Batch::new();
    for number in (0..2000).step_by(2) {
        batch.put(Table::NodeMeta, &key(number), b"old");
    }
    store.commit(batch, Durability::Buffered).expect("a sound disk");
    let snapshot = store.snapshot();
    let mut batch = Batch::new();
    for number in 0..2000 {
        match number % 6 {
            0 => batch.delete(Table::NodeMeta, &key(number)),
            2 => batch.put(Table::NodeMeta, &key(number), b"new"),
            1 | 3 => batch.put(Table::NodeMeta, &key(number), b"added"),
            _ => {}
        }
    }
    store.commit(batch, Durability::Buffered).expect("a sound disk");
    let rows = snapshot.range(Table::NodeMeta, KeyRange::All, 5000).expect("sound");
    assert_eq!(rows.len(), 1000);
    for (position, (found, value)) in (0u32..).zip(&rows) {
        assert_eq!((&found[..], &value[..]), (&key(2 * position)[..], &b"old"[..]));
    }
    let some = snapshot.range(Table::NodeMeta, KeyRange::From(&key(500)), 3).expect("sound");
    let some: Vec<&[u8]> = some.iter().map(|(found, _)| &found[..]).collect();
    assert_eq!(some, [key(500), key(502), key(504)]);
}

fn reader_never_sees_half_a_batch(kind: StoreKind) {
    let (_dir, store) = fresh(kind);
    let store = Arc::new(store);
    let write = |round: u32| {
        let mut batch = Batch::new();
        for key in 0..64u32 {
            let table = if key % 2 == 0 { Table::Head } else { Table::Component };
            batch.put(table, &key.to_be_bytes(), &round.to_be_bytes());
        }
        store.commit(batch, Durability::Buffered).expect("a sound disk");
    };
    write(0);
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut views = 0;
            while !done.load(Ordering::Relaxed) || views == 0 {
                let snapshot = store.snapshot();
                let first = text(&snapshot, Table::Head, &0u32.to_be_bytes());
                for key in 1..64u32 {
                    let table = if key % 2 == 0 { Table::Head } else { Table::Component };
                    assert_eq!(text(&snapshot, table, &key.to_be_bytes()), first);
                }
                let rows = snapshot.range(Table::Component, KeyRange::All, 100).expect("sound");
                assert!(rows.len() == 32 && rows.iter().all(|(_, value)| first.as_deref() == Some(&value[..])));
                views += 1;
            }
            views
        })
    };
    for round in 1..400 {
        write(round);
    }
    done.store(true, Ordering::Relaxed);
    assert!(reader.join().expect("no reader saw a torn batch") > 0);
}

fn reopened_store_holds_every_synced_batch(kind: StoreKind) {
    let (dir, store) = fresh(kind);
    for round in 0..20u32 {
        let mut batch = Batch::new();
        batch.put(Table::Head, &round.to_be_bytes(), &[7; 100]);
        batch.put(Table::Meta, b"round", &round.to_be_bytes());
        let durability = if round == 19 { Durability::Synced } else { Durability::Buffered };
        store.commit(batch, durability).expect("a sound disk");
    }
    store.persist().expect("a sound disk");
    drop(store);
    let store = open(kind, &dir.path().join("store"));
    assert_eq!(store.range(Table::Head, KeyRange::All, 100).expect("sound").len(), 20);
    assert_eq!(store.get(Table::Meta, b"round").expect("sound").as_deref(), Some(&19u32.to_be_bytes()[..]));
}
