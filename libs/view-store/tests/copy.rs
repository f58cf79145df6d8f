//! Copies of a store, from one directory to another.

mod fixture;

use fixture::{EXPECT, batch, check, open, resume, small};
use std::path::Path;
use view_store::{CopyError, Expect, Incoming, Outgoing, StoreKind, ViewStore};

const PIECE_BYTES: usize = 20_000;

fn filled(dir: &Path, kind: StoreKind) -> ViewStore {
    let mut store = open(dir, kind).expect("an empty directory").into_store();
    for _ in 0..20 {
        batch(&mut store, 97);
    }
    store
}

fn pieces(outgoing: &mut Outgoing) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| outgoing.next_piece(PIECE_BYTES).expect("readable")).collect()
}

fn begin(dir: &Path, kind: StoreKind, outgoing: &Outgoing) -> Incoming {
    Incoming::begin(dir, &small(kind), EXPECT, outgoing.header().clone()).expect("an empty directory")
}

#[test]
fn a_copy_is_the_store_as_the_batch_left_it_whatever_the_fold_does_meanwhile() {
    for (from, to) in
        [(StoreKind::Fjall, StoreKind::Fjall), (StoreKind::Fjall, StoreKind::Sled), (StoreKind::Sled, StoreKind::Fjall)]
    {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let aside = dir.path().join("aside");
        let mut store = filled(&dir.path().join("views"), from);
        let mut outgoing = store.outgoing(&aside).expect("a sound disk");
        assert!(!aside.exists(), "nothing is left beside the store");
        let first = outgoing.next_piece(PIECE_BYTES).expect("readable").expect("there are rows");
        for _ in 0..20 {
            batch(&mut store, 61);
        }
        store.checkpoint().expect("a sound disk");
        let mut incoming = begin(other.path(), to, &outgoing);
        incoming.take(&first).expect("the first piece");
        for piece in pieces(&mut outgoing) {
            assert!(piece.len() < 2 * PIECE_BYTES, "pieces are bounded: {}", piece.len());
            incoming.take(&piece).expect("the next piece");
        }
        assert_eq!(incoming.rows(), outgoing.rows());
        incoming.finish().expect("it is whole");
        drop((outgoing, store));
        let mut copy = resume(other.path(), to);
        assert_eq!((copy.committed().batch, copy.committed().positions.as_slice()), (20, &20u32.to_le_bytes()[..]));
        check(&mut copy);
        batch(&mut copy, 200);
        check(&mut copy);
    }
}

#[test]
fn a_copy_that_was_broken_off_is_no_store_and_is_begun_anew() {
    let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let kind = StoreKind::Fjall;
    let mut store = filled(&dir.path().join("views"), kind);
    let mut outgoing = store.outgoing(&dir.path().join("aside")).expect("a sound disk");
    let all = pieces(&mut outgoing);
    for kept in [0, 1, all.len() / 2, all.len() - 1] {
        let mut incoming = begin(other.path(), kind, &outgoing);
        all[..kept].iter().for_each(|piece| incoming.take(piece).expect("the next piece"));
        assert!(matches!(incoming.finish(), Err(CopyError::NotWhole(_))), "{kept} of {}", all.len());
    }
    let mut incoming = begin(other.path(), kind, &outgoing);
    all.iter().for_each(|piece| incoming.take(piece).expect("the next piece"));
    assert!(matches!(incoming.take(&all[0]), Err(CopyError::Malformed(_))));
    incoming.finish().expect("it is whole");
    check(&mut resume(other.path(), kind));
}

#[test]
fn pieces_that_are_changed_or_left_out_are_refused() {
    let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let kind = StoreKind::Fjall;
    let mut store = filled(&dir.path().join("views"), kind);
    let mut outgoing = store.outgoing(&dir.path().join("aside")).expect("a sound disk");
    let all = pieces(&mut outgoing);
    for left_out in 0..all.len() - 1 {
        let mut incoming = begin(other.path(), kind, &outgoing);
        let rest = all.iter().enumerate().filter(|(at, _)| *at != left_out);
        let taken = rest.into_iter().try_for_each(|(_, piece)| incoming.take(piece)).and_then(|()| incoming.finish());
        assert!(matches!(taken, Err(CopyError::NotWhole(_) | CopyError::Malformed(_))), "without piece {left_out}");
    }
    let blocks = all.iter().find(|piece| piece[0] == 2).expect("a piece of blocks");
    let mut changed = blocks.clone();
    changed[700] ^= 1;
    let cut = [0, 1, 5, all[0].len() - 1].map(|bytes| &all[0][..bytes]);
    for piece in [&changed[..]].into_iter().chain(cut) {
        let mut incoming = begin(other.path(), kind, &outgoing);
        assert!(matches!(incoming.take(piece), Err(CopyError::Malformed(_))), "{} bytes", piece.len());
    }
}

#[test]
fn a_copy_of_other_views_is_refused_before_anything_is_written() {
    let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let kind = StoreKind::Fjall;
    let mut store = filled(&dir.path().join("views"), kind);
    let outgoing = store.outgoing(&dir.path().join("aside")).expect("a sound disk");
    let refused = |expect| Incoming::begin(other.path(), &small(kind), expect, outgoing.header().clone()).err();
    let other_fold = Expect { fold_version: EXPECT.fold_version + 1, ..EXPECT };
    assert!(matches!(refused(other_fold), Some(CopyError::OtherFoldVersion { .. })));
    assert!(matches!(refused(Expect { log_id: [8; 16], ..EXPECT }), Some(CopyError::ForeignLog)));
    assert_eq!(std::fs::read_dir(other.path()).expect("readable").count(), 0);
    let header = outgoing.header().encode();
    assert_eq!(&view_store::CopyHeader::decode(&header).expect("own bytes"), outgoing.header());
    assert!(view_store::CopyHeader::decode(&header[..header.len() - 1]).is_err());
}
