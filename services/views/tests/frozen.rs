//! A log of before is folded to the same views by every later program, or by one that says that it folds otherwise.
//!
//! `fixtures/frozen/log` is never written again: entries of every register, corrections and retractions, reviewers' decisions, a contract that
//! comes late, an erasure. `digests` has a line for each version of the fold that has been: a fold that comes to another digest needs a
//! new [`FOLD_VERSION`] and a line of its own. `store-…` are the views of half of that log, as a program left them on the disk.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use projection::FOLD_VERSION;
use projection::basis::Basis;
use record::MentionId;
use record::control::{Order, Verdict};
use support::*;
use tempfile::tempdir;
use view_store::{Expect, Opened, Options, StoreKind, ViewStore};
use views::fold::Fold;

const BLOCK: usize = 4096;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/frozen")
}

fn store_fixture(store: StoreKind) -> PathBuf {
    let name = match store {
        StoreKind::Fjall => "fjall",
        StoreKind::Sled => "sled",
    };
    fixtures().join(format!("store-fold-{FOLD_VERSION}-{name}"))
}

/// The frozen log's entries: each behind its length as a u32, little-endian.
fn entries() -> Vec<Bytes> {
    let all = Bytes::from(fs::read(fixtures().join("log")).expect("a fixture"));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < all.len() {
        let length = u32::from_le_bytes(all[at..at + 4].try_into().expect("four bytes")) as usize;
        out.push(all.slice(at + 4..at + 4 + length));
        at += 4 + length;
    }
    out
}

/// How much of the log the stores of the fixture had folded.
fn half(entries: &[Bytes]) -> usize {
    entries.len() / 2
}

fn digests() -> BTreeMap<u32, String> {
    let text = fs::read_to_string(fixtures().join("digests")).expect("a fixture");
    let line = |line: &str| {
        let (version, digest) = line.split_once(' ').expect("a version and its digest");
        (version.parse().expect("a number"), digest.to_owned())
    };
    text.lines().map(line).collect()
}

fn digest(fold: &Fold) -> String {
    fold.digest().digest().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fold_of_a_frozen_log_has_the_digest_of_its_version() {
    let wanted = digests();
    for store in [StoreKind::Fjall, StoreKind::Sled] {
        let dir = tempdir().expect("a folder");
        let log = log(&dir.path().join("log"));
        append(&log, entries()).await;
        let mut fold = open_fold(&dir.path().join("views"), store, &log);
        fold_all(&mut fold, &log);
        assert_eq!(
            Some(&digest(&fold)),
            wanted.get(&FOLD_VERSION),
            "a fold that says something else of an old log is another version: raise FOLD_VERSION and give it a line in 'digests'"
        );
        let totals = fold.totals();
        assert!(totals.persons > 10 && totals.parcels > 0 && totals.waiting == 0, "{totals:?}");
        fold.close().expect("the store closes");
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_before_is_read_and_gone_on_with() {
    for store in [StoreKind::Fjall, StoreKind::Sled] {
        let dir = tempdir().expect("a folder");
        let entries = entries();
        let log = log(&dir.path().join("log"));
        append(&log, entries[..half(&entries)].to_vec()).await;
        let views = dir.path().join("views");
        unpack(&store_fixture(store), &views).expect("every fold version has a fixture: see 'writes_a_store'");
        let expect = Expect { fold_version: FOLD_VERSION, log_id: LOG_ID };
        let opened = ViewStore::open(&views, Options { store, ..Options::default() }, expect).expect("it is readable");
        assert!(matches!(opened, Opened::Resumed(_)), "what it holds is taken for what it is");
        let mut fold = Fold::resume(opened.into_store(), log.clone(), secret(), Basis::default()).expect("resumes");
        assert_eq!(fold.positions().total(), half(&entries) as u64, "nothing is folded again");
        let before = digest(&fold);
        append(&log, entries[half(&entries)..].to_vec()).await;
        fold_all(&mut fold, &log);
        assert_ne!(before, digest(&fold));
        assert_eq!(Some(&digest(&fold)), digests().get(&FOLD_VERSION));
        let view = fold.reader().view().expect("a view");
        let read = views::rows::sums(&view, |_| true).expect("sound rows").expect("nothing ends it");
        assert_eq!(read.digest().to_string(), digest(&fold), "and every row is as it should be");
        drop(view);
        fold.close().expect("the store closes");
        log.close().await;
    }
}

/// Folder to file: for each file its path and length, then its blocks that are not all zeros, each behind its number.
fn pack(folder: &Path, to: &Path) -> io::Result<()> {
    let mut out = Vec::new();
    for path in files(folder)? {
        let name = path.strip_prefix(folder).expect("below the folder").to_str().expect("ASCII").to_owned();
        let bytes = fs::read(&path)?;
        let blocks: Vec<_> = bytes.chunks(BLOCK).enumerate().filter(|(_, b)| b.iter().any(|b| *b != 0)).collect();
        for number in [name.len(), bytes.len(), blocks.len()] {
            out.extend((number as u64).to_le_bytes());
        }
        out.extend(name.as_bytes());
        for (number, block) in blocks {
            out.extend((number as u64).to_le_bytes());
            out.extend((block.len() as u64).to_le_bytes());
            out.extend(block);
        }
    }
    File::create(to)?.write_all(&out)
}

fn unpack(from: &Path, folder: &Path) -> io::Result<()> {
    let mut file = File::open(from)?;
    let end = file.metadata()?.len();
    let number = |file: &mut File| {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    };
    let raw = |file: &mut File, length: u64| {
        let mut bytes = vec![0; usize::try_from(length).expect("a short part")];
        file.read_exact(&mut bytes).map(|()| bytes)
    };
    while file.stream_position()? < end {
        let (name, length, blocks) = (number(&mut file)?, number(&mut file)?, number(&mut file)?);
        let path = folder.join(String::from_utf8(raw(&mut file, name)?).expect("ASCII"));
        fs::create_dir_all(path.parent().expect("below the folder"))?;
        let mut out = File::create(path)?;
        out.set_len(length)?;
        for _ in 0..blocks {
            let (at, length) = (number(&mut file)?, number(&mut file)?);
            out.seek(SeekFrom::Start(at * BLOCK as u64))?;
            out.write_all(&raw(&mut file, length)?)?;
        }
    }
    Ok(())
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { out.extend(files(&path)?) } else { out.push(path) }
    }
    out.sort();
    Ok(out)
}

#[test]
fn a_folder_is_packed_and_unpacked_with_its_holes() {
    let dir = tempdir().expect("a folder");
    let (from, to) = (dir.path().join("from/deep"), dir.path().join("to"));
    fs::create_dir_all(&from).expect("writable");
    let holes = [vec![1; 10], vec![0; 3 * BLOCK], vec![2; 7]].concat();
    fs::write(from.join("holes"), &holes).expect("writable");
    fs::write(from.join("empty"), b"").expect("writable");
    pack(&dir.path().join("from"), &dir.path().join("packed")).expect("packed");
    unpack(&dir.path().join("packed"), &to).expect("unpacked");
    assert_eq!(fs::read(to.join("deep/holes")).expect("there"), holes);
    assert_eq!(fs::read(to.join("deep/empty")).expect("there"), b"");
}

#[test]
#[ignore = "writes tests/fixtures/frozen/log once, for a log that never changes again"]
fn writes_the_frozen_log() {
    let nation = nation_log(24, 41);
    let mut entries: Vec<Bytes> = nation.prefix.clone();
    let (first, second) = nation.changes.split_at(nation.changes.len() / 2);
    entries.extend(first.iter().map(|change| change.bytes.clone()));
    entries.push(nation.late_contract.clone());
    let mentions: Vec<MentionId> = nation.changes.iter().flat_map(|c| c.truth.iter().map(|(id, _)| *id)).collect();
    let verdicts = [Verdict::Must, Verdict::Cannot, Verdict::Unsure, Verdict::Undo];
    for (at, verdict) in verdicts.into_iter().cycle().take(16).enumerate() {
        let (a, b) = (mentions[at * 7 % mentions.len()], mentions[(at * 13 + 5) % mentions.len()]);
        entries.push(control(Order::Decision { a: a.min(b), b: a.max(b), verdict }));
    }
    entries.extend(second.iter().map(|change| change.bytes.clone()));
    let live = nation.changes.iter().find(|change| change.live && !change.truth.is_empty()).expect("a record");
    entries.push(control(Order::Erasure { records: vec![live.record] }));
    let framed = entries.iter().flat_map(|entry| [&(entry.len() as u32).to_le_bytes()[..], entry].concat());
    fs::create_dir_all(fixtures()).expect("writable");
    fs::write(fixtures().join("log"), framed.collect::<Vec<_>>()).expect("writable");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the digest and the stores of a new FOLD_VERSION into tests/fixtures/frozen, once"]
async fn writes_a_store() {
    let mut told = if fixtures().join("digests").exists() { digests() } else { BTreeMap::new() };
    for store in [StoreKind::Fjall, StoreKind::Sled] {
        let dir = tempdir().expect("a folder");
        let entries = entries();
        let log = log(&dir.path().join("log"));
        append(&log, entries[..half(&entries)].to_vec()).await;
        let views = dir.path().join("views");
        let mut fold = open_fold(&views, store, &log);
        fold_all(&mut fold, &log);
        fold.close().expect("the store closes");
        assert!(!store_fixture(store).exists(), "it is written once");
        pack(&views, &store_fixture(store)).expect("writable");
        append(&log, entries[half(&entries)..].to_vec()).await;
        let mut fold = open_fold(&views, store, &log);
        fold_all(&mut fold, &log);
        let known = told.entry(FOLD_VERSION).or_insert_with(|| digest(&fold));
        assert_eq!(*known, digest(&fold), "both stores come to one digest");
        fold.close().expect("the store closes");
        log.close().await;
    }
    let lines: String = told.iter().map(|(version, digest)| format!("{version} {digest}\n")).collect();
    fs::write(fixtures().join("digests"), lines).expect("writable");
}
