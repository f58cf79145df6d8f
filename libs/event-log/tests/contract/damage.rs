//! What opening and reading say about files that are not as they were written.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::suite::{entry, read_all};
use event_log::{Embedded, EventLog, LogOptions, OpenError, PartitionCounts, ReadError, StreamSet, Tuning};
use record::{Positions, Stream, Timestamp};

const PARTITIONS: PartitionCounts = PartitionCounts { change: 2, rejected: 1, access: 1 };

fn tuning() -> Tuning {
    // A time whose last byte has two bits set: no single flip makes it look like one that was not yet written.
    let clock = Arc::new(|| Timestamp(0x0306_0504_0302_0100));
    Tuning {
        segment_bytes: 16 << 10,
        access_segment_bytes: 16 << 10,
        index_interval_bytes: 4 << 10,
        clock,
        ..Tuning::default()
    }
}

fn create(dir: &Path) -> EventLog {
    let options = LogOptions { partitions: PARTITIONS, tuning: tuning() };
    EventLog::Embedded(Embedded::create(dir, &options, [7; 16]).expect("created"))
}

fn open(dir: &Path) -> Result<Embedded, OpenError> {
    Embedded::open_with(dir, &tuning())
}

fn segment(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("main/{number:010}.seg"))
}

/// Offset after the last byte of a file that is not zero.
fn written(file: &Path) -> usize {
    fs::read(file).expect("readable").iter().rposition(|&b| b != 0).expect("a segment has a head") + 1
}

/// Three groups of two entries each in one segment. Returns where each group begins and the last one ends.
async fn three_groups(dir: &Path) -> Vec<usize> {
    let log = create(dir);
    let mut bounds = vec![4096];
    for n in 1..=3u8 {
        let batch = vec![entry(Stream::Change, 0, vec![n; 21]), entry(Stream::Control, 0, vec![n | 64; 30])];
        log.append(batch).await.expect("appended");
        bounds.push(written(&segment(dir, 1)));
    }
    log.close().await;
    assert!(bounds.iter().all(|b| b % 8 == 0), "{bounds:?}");
    bounds
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a folder");
    fs::copy(from.join("LOG"), to.path().join("LOG")).expect("copied");
    for track in ["main", "access"] {
        fs::create_dir(to.path().join(track)).expect("created");
        for file in fs::read_dir(from.join(track)).expect("readable") {
            let name = file.expect("readable").file_name();
            fs::copy(from.join(track).join(&name), to.path().join(track).join(&name)).expect("copied");
        }
    }
    to
}

fn change(file: &Path, at: usize, f: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(file).expect("readable");
    f(&mut bytes[at..]);
    let file = OpenOptions::new().write(true).open(file).expect("writable");
    file.write_all_at(&bytes[at..], at as u64).expect("written");
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_and_reported() {
    let dir = tempfile::tempdir().expect("a folder");
    let bounds = three_groups(dir.path()).await;
    let whole = fs::read(segment(dir.path(), 1)).expect("readable");
    for cut in bounds[2]..bounds[3] {
        for keep_preallocated in [true, false] {
            let torn = copy(dir.path());
            let file = segment(torn.path(), 1);
            let mut bytes = whole[..cut].to_vec();
            if keep_preallocated {
                bytes.resize(whole.len(), 0);
            }
            fs::write(&file, &bytes).expect("written");
            let last = bytes.iter().rposition(|&b| b != 0).expect("a head") + 1;
            let log = open(torn.path()).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
            match log.recovered() {
                [] => assert_eq!(last, bounds[2], "cut at {cut}"),
                [one] => {
                    assert_eq!((one.at, one.torn_bytes), (bounds[2] as u64, (last - bounds[2]) as u64));
                    assert_eq!(one.file, file);
                }
                more => panic!("{more:?}"),
            }
            let log = EventLog::Embedded(log);
            assert_eq!(read_all(&log, &Positions::new(), StreamSet::ALL).len(), 4);
            let again = log.append(vec![entry(Stream::Change, 0, "again")]).await.expect("appended");
            assert_eq!((again[0].position.index.0, again[0].group), (2, 2));
            drop(log);
            let log = EventLog::Embedded(open(torn.path()).expect("sound"));
            assert_eq!(read_all(&log, &Positions::new(), StreamSet::ALL).len(), 5);
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever the entries and wherever the writing stopped: exactly the groups that were wholly written are there.
    #[test]
    fn a_log_cut_anywhere_keeps_its_whole_groups(
        groups in proptest::collection::vec(
            proptest::collection::vec((0u16..2, proptest::collection::vec(0u8..3, 0..700)), 1..5), 1..8),
        cut in 0.0f64..1.0,
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let file = segment(dir.path(), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut ends = vec![4096];
        runtime.block_on(async {
            let log = create(dir.path());
            for group in &groups {
                let batch = group.iter().map(|(p, bytes)| entry(Stream::Change, *p, bytes.clone())).collect();
                log.append(batch).await.expect("appended");
                ends.push(written(&file));
            }
        });
        let mut bytes = fs::read(&file).expect("readable");
        let last = *ends.last().expect("the head's end");
        let at = 4096 + ((last - 4096) as f64 * cut) as usize;
        bytes[at..].fill(0);
        fs::write(&file, &bytes).expect("written");
        let stopped = bytes.iter().rposition(|&b| b != 0).expect("a head") + 1;
        let whole = ends.iter().filter(|&&end| end <= stopped).count().saturating_sub(1);

        let log = open(dir.path()).expect("torn is no damage");
        let clean = stopped == ends[whole] || stopped < 4096;
        proptest::prop_assert_eq!(log.recovered().is_empty(), clean);
        let found: Vec<_> = read_all(&EventLog::Embedded(log), &Positions::new(), StreamSet::ALL)
            .into_iter().map(|e| (e.position.partition.0, e.bytes.to_vec())).collect();
        let expected: Vec<_> = groups[..whole].iter().flatten().cloned().collect();
        proptest::prop_assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_group_with_an_unwritten_sector_is_torn_though_its_end_is_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = create(dir.path());
    log.append(vec![entry(Stream::Change, 0, "kept")]).await.expect("appended");
    let from = written(&segment(dir.path(), 1));
    log.append(vec![entry(Stream::Change, 0, vec![1; 3_000]), entry(Stream::Change, 1, vec![2; 10])])
        .await
        .expect("appended");
    drop(log);
    for sector in (from.div_ceil(512)..(from + 3_000) / 512).map(|n| n * 512) {
        let torn = copy(dir.path());
        change(&segment(torn.path(), 1), sector, |b| b[..512].fill(0));
        let log = open(torn.path()).expect("torn is no damage");
        assert_eq!(log.recovered().len(), 1);
        assert_eq!(read_all(&EventLog::Embedded(log), &Positions::new(), StreamSet::ALL).len(), 1);
    }
}

#[tokio::test]
async fn every_flipped_bit_of_every_frame_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let bounds = three_groups(dir.path()).await;
    let damaged = copy(dir.path());
    let file = segment(damaged.path(), 1);
    for at in bounds[0]..bounds[3] {
        for bit in 0..8 {
            change(&file, at, |b| b[0] ^= 1 << bit);
            match open(damaged.path()) {
                Err(OpenError::Read(ReadError::Damaged(d))) => {
                    assert_eq!(d.file, file);
                    assert!((d.offset as usize) <= at && at - (d.offset as usize) < 64, "byte {at}: {d}");
                }
                other => panic!("byte {at} bit {bit}: {other:?}"),
            }
            change(&file, at, |b| b[0] ^= 1 << bit);
        }
    }
    assert!(open(damaged.path()).expect("whole again").recovered().is_empty());
}

#[tokio::test]
async fn damage_names_the_entry_when_its_head_is_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let bounds = three_groups(dir.path()).await;
    change(&segment(dir.path(), 1), bounds[1] + 40, |b| b[0] ^= 1);
    let error = open(dir.path()).expect_err("damaged");
    let OpenError::Read(ReadError::Damaged(d)) = &error else { panic!("{error}") };
    assert_eq!(d.position, Some(crate::suite::at(Stream::Change, 0, 1)));
    assert_eq!(d.offset as usize, bounds[1]);
    assert!(error.to_string().contains("entry change/0/1"), "{error}");
}

async fn many_segments(dir: &Path) -> Vec<event_log::Appended> {
    let log = create(dir);
    let mut out = Vec::new();
    for n in 0..40u8 {
        out.extend(log.append(vec![entry(Stream::Change, 0, vec![n; 1_500])]).await.expect("appended"));
    }
    out
}

#[tokio::test]
async fn damage_in_a_sealed_segment_stops_the_reader_there_each_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let appended = many_segments(dir.path()).await;
    change(&segment(dir.path(), 2), 4096 + 200, |b| b[0] ^= 4);
    let log = EventLog::Embedded(open(dir.path()).expect("the newest segment is sound"));
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    let before = reader.next_batch(1_000, 1 << 20).expect("the first segment is sound").entries.len();
    for _ in 0..2 {
        let error = reader.next_batch(1_000, 1 << 20).expect_err("damaged");
        let ReadError::Damaged(d) = &error else { panic!("{error}") };
        assert_eq!((&d.file, d.offset, d.position), (&segment(dir.path(), 2), 4096, Some(appended[before].position)));
    }
    assert_eq!(reader.positions().total(), before as u64);
    assert!(matches!(log.read(appended[before].locator), Err(ReadError::Damaged(_))));
    assert!(matches!(log.read_position(appended[before].position), Err(ReadError::Damaged(_))));
    assert!(log.read(appended[before + 1].locator).is_ok());
}

#[tokio::test]
async fn a_sealed_segment_cut_between_groups_is_a_gap() {
    let dir = tempfile::tempdir().expect("a folder");
    many_segments(dir.path()).await;
    let file = segment(dir.path(), 2);
    let bytes = fs::metadata(&file).expect("there").len();
    let group = bytes - (32 + 1_504 + 32);
    OpenOptions::new().write(true).open(&file).expect("writable").set_len(group).expect("cut");
    let log = EventLog::Embedded(open(dir.path()).expect("the newest segment is sound"));
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    while let Ok(batch) = reader.next_batch(1_000, 1 << 20) {
        assert!(!batch.entries.is_empty(), "the reader passed over the gap");
    }
    let error = reader.next_batch(1, 1).expect_err("a gap");
    assert!(matches!(&error, ReadError::Gap { found, expected, .. } if found.0 == expected.index.0 + 1), "{error}");
}

#[tokio::test]
async fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    many_segments(dir.path()).await;
    let last = (1..).take_while(|n| segment(dir.path(), *n).exists()).last().expect("several");
    assert!(last >= 4);
    for number in [1, 2, last] {
        let copy = copy(dir.path());
        fs::remove_file(segment(copy.path(), number)).expect("removed");
        let error = open(copy.path()).expect_err("a segment is missing");
        assert!(
            matches!(&error, OpenError::MissingSegment { file } if *file == segment(copy.path(), number)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_index_file_is_made_again_when_it_is_damaged_or_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let appended = many_segments(dir.path()).await;
    let index = |n: u32| dir.path().join(format!("main/{n:010}.idx"));
    let (second, third) = (fs::read(index(2)).expect("there"), fs::read(index(3)).expect("there"));
    assert!(second.len() > 100, "the index has points");
    change(&index(2), 20, |b| b[0] ^= 1);
    fs::remove_file(index(3)).expect("removed");
    let log = open(dir.path()).expect("sound");
    for a in &appended {
        assert_eq!(log.read_position(a.position).expect("kept").locator, a.locator);
    }
    assert_eq!((fs::read(index(2)).expect("there"), fs::read(index(3)).expect("there")), (second, third));
}

/// A log of format 1 as the first version of this program wrote it.
const FORMAT_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1");

fn format_1_entries() -> Vec<event_log::Append> {
    let streams =
        [(Stream::Change, 0), (Stream::Control, 0), (Stream::Change, 1), (Stream::Rejected, 0), (Stream::Access, 0)];
    (0..15u8)
        .map(|n| entry(streams[usize::from(n) % 5].0, streams[usize::from(n) % 5].1, vec![n; 40 * usize::from(n)]))
        .collect()
}

#[tokio::test]
#[ignore = "writes tests/fixtures/format-1 once, for a format that never changes again"]
async fn writes_the_format_1_log() {
    let log = create(Path::new(FORMAT_1));
    for three in format_1_entries().chunks(3) {
        log.append(three.to_vec()).await.expect("appended");
    }
    // A group too large for what is left of the segment seals it.
    log.append(vec![entry(Stream::Change, 1, vec![9; 12_000])]).await.expect("appended");
    drop(log);
    for track in ["main", "access"] {
        for file in fs::read_dir(Path::new(FORMAT_1).join(track)).expect("readable") {
            let file = file.expect("readable").path();
            let keep = written(&file).next_multiple_of(4096) as u64;
            if file.extension().is_some_and(|e| e == "seg") && keep < fs::metadata(&file).expect("there").len() {
                OpenOptions::new().write(true).open(&file).expect("writable").set_len(keep).expect("cut");
            }
        }
    }
    fs::remove_file(Path::new(FORMAT_1).join("LOCK")).expect("removed");
}

#[tokio::test]
async fn a_log_of_format_1_is_still_read_and_continued() {
    let dir = copy(Path::new(FORMAT_1));
    assert!(segment(dir.path(), 2).exists() && dir.path().join("main/0000000001.idx").exists());
    let log = EventLog::Embedded(open(dir.path()).expect("opened"));
    let mut due: Vec<_> = format_1_entries().iter().map(|a| (a.stream, a.partition, a.bytes.clone())).collect();
    due.push((Stream::Change, record::Partition(1), vec![9; 12_000].into()));
    due.sort_by_key(|(stream, ..)| *stream == Stream::Access);
    let found = read_all(&log, &Positions::new(), StreamSet::ALL);
    assert!(found.iter().all(|e| e.appended_at == Timestamp(0x0306_0504_0302_0100)));
    let found: Vec<_> = found.into_iter().map(|e| (e.position.stream, e.position.partition, e.bytes)).collect();
    assert_eq!(found, due);
    let next = log.append(vec![entry(Stream::Control, 0, "next")]).await.expect("appended");
    assert_eq!((next[0].position.index.0, next[0].group), (3, 6));
}

#[tokio::test]
async fn what_is_no_log_of_this_program_is_refused_and_left_alone() {
    let empty = tempfile::tempdir().expect("a folder");
    assert!(matches!(open(empty.path()), Err(OpenError::NotALog { .. })));
    assert!(matches!(open(&empty.path().join("absent")), Err(OpenError::NotALog { .. })));
    assert_eq!(fs::read_dir(empty.path()).expect("readable").count(), 0);

    fs::write(empty.path().join("note"), "mine").expect("written");
    let options = LogOptions { partitions: PARTITIONS, tuning: tuning() };
    assert!(matches!(Embedded::create(empty.path(), &options, [7; 16]), Err(OpenError::NotEmpty { .. })));

    let dir = tempfile::tempdir().expect("a folder");
    drop(create(dir.path()));
    assert!(matches!(Embedded::create(dir.path(), &options, [7; 16]), Err(OpenError::NotEmpty { .. })));

    let other = copy(dir.path());
    change(&other.path().join("LOG"), 8, |b| b[0] = 9);
    assert!(matches!(open(other.path()), Err(OpenError::Version { found: 9, .. })));
    change(&other.path().join("LOG"), 0, |b| b[0] = b'X');
    assert!(matches!(open(other.path()), Err(OpenError::Foreign { .. })));

    for byte in 12..40 {
        let other = copy(dir.path());
        change(&other.path().join("LOG"), byte, |b| b[0] ^= 1);
        assert!(matches!(open(other.path()), Err(OpenError::ManifestDamaged { .. })), "byte {byte}");
    }
    for byte in 0..64 {
        let other = copy(dir.path());
        change(&segment(other.path(), 1), byte, |b| b[0] ^= 1);
        assert!(matches!(open(other.path()), Err(OpenError::Read(ReadError::Damaged(_)))), "byte {byte}");
    }
    let stranger = tempfile::tempdir().expect("a folder");
    drop(Embedded::create(stranger.path(), &options, [8; 16]).expect("created"));
    fs::copy(segment(stranger.path(), 1), segment(dir.path(), 1)).expect("copied");
    assert!(matches!(open(dir.path()), Err(OpenError::OtherLog { .. })));
}

#[tokio::test]
async fn an_interrupted_creation_can_be_repeated() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(create(dir.path()));
    fs::write(dir.path().join("CREATING"), "").expect("written");
    fs::remove_file(dir.path().join("LOG")).expect("removed");
    assert!(matches!(open(dir.path()), Err(OpenError::NotALog { .. })));
    assert!(!Embedded::is_begun(dir.path()).expect("readable"));
    let log = create(dir.path());
    assert!(Embedded::is_begun(dir.path()).expect("readable"));
    log.append(vec![entry(Stream::Control, 0, "first")]).await.expect("appended");
}

#[test]
fn a_log_without_its_manifest_is_still_begun() {
    let dir = tempfile::tempdir().expect("a folder");
    assert!(!Embedded::is_begun(&dir.path().join("absent")).expect("readable"));
    drop(create(dir.path()));
    fs::remove_file(dir.path().join("LOG")).expect("removed");
    assert!(Embedded::is_begun(dir.path()).expect("readable"), "its segments may hold what was acknowledged");
}

#[tokio::test]
async fn a_log_in_use_names_its_holder() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = create(dir.path());
    let reader = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    let error = open(dir.path()).expect_err("in use").to_string();
    assert!(error.contains(&format!("in use by process {}", std::process::id())) && !error.contains('\n'), "{error}");
    drop(log);
    assert!(matches!(open(dir.path()), Err(OpenError::Locked { .. })), "a reader keeps the log open");
    drop(reader);
    open(dir.path()).expect("free again");
}

#[test]
fn options_outside_their_range_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let wrong = [
        LogOptions { partitions: PartitionCounts { change: 0, ..PARTITIONS }, tuning: tuning() },
        LogOptions { partitions: PartitionCounts { access: 5_000, ..PARTITIONS }, tuning: tuning() },
        LogOptions { partitions: PARTITIONS, tuning: Tuning { segment_bytes: 1, ..tuning() } },
        LogOptions { partitions: PARTITIONS, tuning: Tuning { queue_bytes_max: 1, ..tuning() } },
    ];
    for options in wrong {
        assert!(matches!(Embedded::create(dir.path(), &options, [0; 16]), Err(OpenError::Options { .. })));
    }
}
