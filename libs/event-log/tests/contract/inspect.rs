//! What looking at a log without opening it says, and that it changes nothing.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::suite::entry;
use event_log::{Embedded, EventLog, Inspection, LogOptions, PartitionCounts, Tuning, inspect};
use record::Stream;

const PARTITIONS: PartitionCounts = PartitionCounts { change: 2, rejected: 1, access: 1 };
const GROUPS: u8 = 40;

/// A log of several segments; each group is an entry of `change/0`, one of `change/1` and one of `access/0`.
async fn several_segments(dir: &Path) {
    let tuning = Tuning { segment_bytes: 16 << 10, access_segment_bytes: 16 << 10, ..Tuning::default() };
    let log = EventLog::Embedded(
        Embedded::create(dir, &LogOptions { partitions: PARTITIONS, tuning }, [7; 16]).expect("created"),
    );
    for n in 0..GROUPS {
        let streams = [(Stream::Change, 0), (Stream::Change, 1), (Stream::Access, 0)];
        log.append(streams.map(|(stream, partition)| entry(stream, partition, vec![n; 900])).to_vec())
            .await
            .expect("appended");
    }
    log.close().await;
}

fn look(dir: &Path) -> (Inspection, Vec<String>) {
    let mut seen = Vec::new();
    let found = inspect(dir, |logged| seen.push(logged.position.to_string())).expect("a log");
    (found, seen)
}

fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for track in ["main", "access"] {
        let mut paths: Vec<_> =
            fs::read_dir(dir.join(track)).expect("a folder").map(|e| e.expect("a file").path()).collect();
        paths.sort();
        files.extend(paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("readable"))));
    }
    files
}

fn flip(file: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).expect("a segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("that long");
    file.write_all_at(&[byte[0] ^ 1], offset).expect("writable");
}

#[tokio::test]
async fn every_entry_of_a_sound_log_is_seen_and_no_file_changes() {
    let dir = tempfile::tempdir().expect("a folder");
    several_segments(dir.path()).await;
    let before = files(dir.path());
    let (found, seen) = look(dir.path());
    assert!(found.faults.is_empty() && found.unfinished.is_empty(), "{found:?}");
    assert_eq!((found.entries, seen.len()), (120, 120));
    assert_eq!(found.ends.get(Stream::Change, record::Partition(1)).0, u64::from(GROUPS));
    assert!(found.segments > 4, "{}", found.segments);
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn a_flipped_bit_is_named_by_file_and_entry_and_other_segments_are_read_on() {
    let dir = tempfile::tempdir().expect("a folder");
    several_segments(dir.path()).await;
    let file = dir.path().join("main/0000000002.seg");
    flip(&file, 4096 + 500);
    let (found, seen) = look(dir.path());
    assert_eq!(found.faults.len(), 1, "{:?}", found.faults);
    let said = found.faults[0].to_string();
    assert!(said.contains("0000000002.seg") && said.contains("(entry change/0/"), "{said}");
    assert!(seen.contains(&format!("change/0/{}", GROUPS - 1)) && seen.contains(&"access/0/39".to_owned()));
}

#[tokio::test]
async fn a_segment_that_is_gone_is_missed_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    several_segments(dir.path()).await;
    fs::remove_file(dir.path().join("main/0000000003.seg")).expect("a segment");
    let (found, _) = look(dir.path());
    let said: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    assert!(said[0].contains("0000000003.seg is missing"), "{said:?}");
    assert!(said.len() == 2 && said[1].contains("0000000004.seg") && said[1].contains("is missing, index"), "{said:?}");
}

#[tokio::test]
async fn the_newest_segment_that_is_gone_is_missed_by_the_index_of_the_one_before() {
    let dir = tempfile::tempdir().expect("a folder");
    several_segments(dir.path()).await;
    let newest = files(dir.path()).into_iter().map(|(path, _)| path);
    let newest =
        newest.filter(|path| path.starts_with(dir.path().join("main")) && path.extension().is_some_and(|e| e == "seg"));
    let newest = newest.max().expect("a segment");
    fs::remove_file(&newest).expect("a segment");
    let (found, _) = look(dir.path());
    let said: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].contains(&newest.display().to_string()), "{said:?}");
}

#[tokio::test]
async fn a_torn_tail_is_told_and_left_for_the_next_start_to_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    several_segments(dir.path()).await;
    let newest = fs::read_dir(dir.path().join("access")).expect("a folder").map(|e| e.expect("a file").path());
    let newest = newest.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().expect("a segment");
    let bytes = fs::read(&newest).expect("readable");
    let end = bytes.iter().rposition(|&b| b != 0).expect("a head") as u64 + 1;
    // Without the last group's commit frame nobody was promised the group.
    let file = OpenOptions::new().write(true).open(&newest).expect("a segment");
    let commit = end.next_multiple_of(8) - 32;
    file.write_all_at(&[0; 32], commit).expect("writable");
    let before = files(dir.path());
    let (found, seen) = look(dir.path());
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    assert_eq!((found.unfinished.len(), found.unfinished[0].torn_entries), (1, 1));
    assert!(!seen.contains(&"access/0/39".to_owned()) && seen.contains(&"access/0/38".to_owned()));
    assert_eq!(files(dir.path()), before);
}
