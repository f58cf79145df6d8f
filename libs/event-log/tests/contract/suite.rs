//! What every variant of `EventLog` promises, as functions over a fixture that opens one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use event_log::{
    APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Append, AppendError, Appended, ENTRY_BYTES_MAX, EventLog, Locator, Logged,
    ReadError, StreamSet,
};
use record::{Index, Partition, Position, Positions, Stream, Timestamp};

/// One test per claim, for one variant.
macro_rules! every_claim {
    ($variant:ident, $fixture:expr) => {
        every_claim!($variant, $fixture,
            indexes_follow_without_gaps_in_order_of_append,
            acknowledged_entries_are_there_after_reopening,
            locators_and_positions_lead_to_the_same_entry,
            what_is_not_in_the_log_is_named,
            concurrent_appenders_share_one_gapless_order,
            a_reader_resumes_from_any_positions,
            a_reader_gives_only_the_streams_asked_for,
            batches_stay_within_their_bounds,
            large_entries_pass_and_oversize_ones_are_refused,
            a_waiting_reader_is_woken_by_an_append,
            a_closed_log_takes_nothing_and_still_reads,
            the_first_entry_at_or_after_a_time_is_found,
            a_call_is_one_group,
            readers_keep_up_while_entries_are_appended,
            several_readers_do_not_disturb_each_other,
            what_was_read_can_be_read_again_by_its_locator,
            appending_while_reading_and_looking_up_keeps_every_promise,
        );
    };
    ($variant:ident, $fixture:expr, $($claim:ident),* $(,)?) => {
        mod $variant {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    suite::$claim(&mut $fixture).await;
                }
            )*
        }
    };
}

/// One log that can be opened, closed and opened again. It has 4 partitions of `change`, 2 of `rejected`, 2 of `access`.
pub trait Fixture {
    /// Whether a reader gives entries of all partitions in the order in which they were appended, and fills every batch that it can.
    const ONE_SEQUENCE: bool;
    /// Every how many entries a reader begins anew where that is tried: 1 where it costs nothing.
    const RESUME_STEP: usize;
    /// Opens the log, which is created the first time. At most one is open at a time.
    fn open(&mut self) -> EventLog;
    /// Sets the clock that gives append times, in microseconds.
    fn set_clock(&self, micros: i64);
}

pub fn entry(stream: Stream, partition: u16, bytes: impl Into<Bytes>) -> Append {
    Append { stream, partition: Partition(partition), bytes: bytes.into() }
}

pub fn at(stream: Stream, partition: u16, index: u64) -> Position {
    Position { stream, partition: Partition(partition), index: Index(index) }
}

pub fn read_all(log: &EventLog, from: &Positions, streams: StreamSet) -> Vec<Logged> {
    let mut reader = log.reader(from, streams).expect("the reader starts");
    let mut out = Vec::new();
    loop {
        let batch = reader.next_batch(1_000, 1 << 20).expect("the log is sound");
        if batch.entries.is_empty() {
            return out;
        }
        out.extend(batch.entries);
    }
}

/// Fills a log with entries over all streams; the bytes say where each is. Returns them in the order appended.
pub async fn fill(log: &EventLog, batches: u64) -> Vec<(Appended, Bytes)> {
    let mut out = Vec::new();
    for n in 0..batches {
        let batch: Vec<_> = (0..1 + n % 7)
            .map(|i| {
                let k = (n * 31 + i * 17) % 11;
                let (stream, partition) = match k {
                    0 => (Stream::Control, 0),
                    1 => (Stream::Rejected, (n % 2) as u16),
                    2 => (Stream::Access, (n % 2) as u16),
                    k => (Stream::Change, (k % 4) as u16),
                };
                entry(stream, partition, vec![n as u8; (n * 13 + i) as usize % 300])
            })
            .collect();
        let bytes: Vec<_> = batch.iter().map(|a| a.bytes.clone()).collect();
        out.extend(log.append(batch).await.expect("appended").into_iter().zip(bytes));
    }
    out
}

fn sorted(entries: &[Logged]) -> Vec<(Position, Bytes)> {
    let mut out: Vec<_> = entries.iter().map(|e| (e.position, e.bytes.clone())).collect();
    out.sort();
    out
}

pub async fn indexes_follow_without_gaps_in_order_of_append(f: &mut impl Fixture) {
    let log = f.open();
    let appended = fill(&log, 50).await;
    let mut next = BTreeMap::new();
    for (a, _) in &appended {
        let due: &mut u64 = next.entry((a.position.stream, a.position.partition)).or_default();
        assert_eq!(a.position.index.0, *due);
        *due += 1;
    }
    let main = read_all(&log, &Positions::new(), StreamSet::ALL_BUT_ACCESS);
    let expected: Vec<_> = appended
        .iter()
        .filter(|(a, _)| a.position.stream != Stream::Access)
        .map(|(a, b)| (a.position, b.clone()))
        .collect();
    let found: Vec<_> = main.iter().map(|e| (e.position, e.bytes.clone())).collect();
    for ((stream, partition), end) in next {
        assert_eq!(log.ends().get(stream, partition), Index(end));
        let of = |all: &[(Position, Bytes)]| -> Vec<_> {
            all.iter().filter(|(p, _)| (p.stream, p.partition) == (stream, partition)).cloned().collect()
        };
        assert_eq!(of(&found), of(&expected));
    }
}

pub async fn acknowledged_entries_are_there_after_reopening(f: &mut impl Fixture) {
    let log = f.open();
    let appended = fill(&log, 60).await;
    let ends = log.ends();
    log.close().await;
    drop(log);
    let log = f.open();
    assert_eq!(log.ends(), ends);
    let mut expected: Vec<_> = appended.iter().map(|(a, b)| (a.position, b.clone())).collect();
    expected.sort();
    assert_eq!(sorted(&read_all(&log, &Positions::new(), StreamSet::ALL)), expected);
    let more = log.append(vec![entry(Stream::Change, 1, "more")]).await.expect("appended");
    assert_eq!(more[0].position.index, ends.get(Stream::Change, Partition(1)));
}

pub async fn locators_and_positions_lead_to_the_same_entry(f: &mut impl Fixture) {
    let log = f.open();
    let appended = fill(&log, 80).await;
    drop(log);
    let log = f.open();
    for (a, bytes) in &appended {
        let by_locator = log.read(a.locator).expect("kept");
        assert_eq!(
            (by_locator.position, &by_locator.bytes, by_locator.appended_at),
            (a.position, bytes, a.appended_at)
        );
        assert_eq!(log.read_position(a.position).expect("kept"), by_locator);
    }
}

pub async fn what_is_not_in_the_log_is_named(f: &mut impl Fixture) {
    let log = f.open();
    let appended = log.append(vec![entry(Stream::Change, 0, "a")]).await.expect("appended");
    let beyond = log.read_position(at(Stream::Change, 0, 1)).expect_err("nothing there");
    assert!(matches!(beyond, ReadError::BeyondEnd { end: Index(1), .. }), "{beyond}");
    let none = log.read_position(at(Stream::Change, 4, 0)).expect_err("no such partition");
    assert!(matches!(none, ReadError::NoSuchPartition { .. }), "{none}");
    assert!(log.read(Locator(appended[0].locator.0 + 1_000)).is_err());
    let mut from = Positions::new();
    from.set(Stream::Change, Partition(0), Index(2));
    let beyond = log.reader(&from, StreamSet::ALL).expect_err("a position of another log");
    assert!(matches!(beyond, ReadError::BeyondEnd { .. }), "{beyond}");
    log.reader(&from, StreamSet::empty().with(Stream::Control)).expect("a stream that is not read does not matter");
    let refused = log.append(vec![entry(Stream::Control, 1, "a")]).await.expect_err("no such partition");
    assert!(matches!(refused, AppendError::NoSuchPartition { count: 1, .. }), "{refused}");
}

pub async fn concurrent_appenders_share_one_gapless_order(f: &mut impl Fixture) {
    let log = f.open();
    let tasks: Vec<_> = (0..16u8)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for n in 0..40u8 {
                    let batch = (0..3).map(|i| entry(Stream::Change, u16::from(task % 4), vec![task, n, i])).collect();
                    mine.extend(log.append(batch).await.expect("appended").iter().map(|a| a.position));
                }
                mine
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        let mine = task.await.expect("no panic");
        assert!(mine.is_sorted(), "a caller's entries keep their order");
        all.extend(mine);
    }
    all.sort();
    let expected: Vec<_> = (0..4).flat_map(|p| (0..480).map(move |i| at(Stream::Change, p, i))).collect();
    assert_eq!(all, expected);
    assert_eq!(read_all(&log, &Positions::new(), StreamSet::ALL).len(), all.len());
}

pub async fn a_reader_resumes_from_any_positions<F: Fixture>(f: &mut F) {
    let log = f.open();
    fill(&log, 60).await;
    let whole = read_all(&log, &Positions::new(), StreamSet::ALL);
    let mut seen = Positions::new();
    for (n, entry) in whole.iter().enumerate() {
        if n % F::RESUME_STEP == 0 {
            let rest = read_all(&log, &seen, StreamSet::ALL);
            assert_eq!(sorted(&rest), sorted(&whole[n..]), "after {n}");
        }
        seen.include(entry.position);
    }
    assert!(read_all(&log, &seen, StreamSet::ALL).is_empty());
    // Positions that no reader has ever been at: one partition at its end, the rest at the start.
    for (stream, partition, end) in log.ends().iter() {
        let mut from = Positions::new();
        from.set(stream, partition, end);
        let rest = read_all(&log, &from, StreamSet::ALL);
        let expected: Vec<_> = whole
            .iter()
            .filter(|e| (e.position.stream, e.position.partition) != (stream, partition))
            .cloned()
            .collect();
        assert_eq!(sorted(&rest), sorted(&expected));
    }
}

pub async fn a_reader_gives_only_the_streams_asked_for(f: &mut impl Fixture) {
    let log = f.open();
    fill(&log, 40).await;
    let whole = read_all(&log, &Positions::new(), StreamSet::ALL);
    for stream in Stream::ALL {
        let some = read_all(&log, &Positions::new(), StreamSet::empty().with(stream));
        let expected: Vec<_> = whole.iter().filter(|e| e.position.stream == stream).cloned().collect();
        assert!(!expected.is_empty());
        assert_eq!(sorted(&some), sorted(&expected));
    }
}

pub async fn batches_stay_within_their_bounds<F: Fixture>(f: &mut F) {
    let log = f.open();
    for n in 0..20 {
        log.append(vec![entry(Stream::Change, n % 4, vec![1; 100])]).await.expect("appended");
    }
    log.append(vec![entry(Stream::Change, 0, vec![2; 5_000])]).await.expect("appended");
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    let mut sizes = Vec::new();
    let mut seen = Positions::new();
    loop {
        let batch = reader.next_batch(7, 350).expect("sound");
        let bytes: usize = batch.entries.iter().map(|e| e.bytes.len()).sum();
        assert!(batch.entries.len() <= 7 && (bytes <= 350 || batch.entries.len() == 1));
        for e in &batch.entries {
            assert_eq!(
                e.position.index,
                seen.get(e.position.stream, e.position.partition),
                "none twice, none left out"
            );
            seen.include(e.position);
        }
        assert_eq!((&batch.next, reader.positions()), (&seen, &seen));
        if batch.entries.is_empty() {
            break;
        }
        sizes.push(bytes);
    }
    if F::ONE_SEQUENCE {
        assert_eq!(sizes, [300, 300, 300, 300, 300, 300, 200, 5_000]);
    }
    assert_eq!(sizes.iter().sum::<usize>(), 7_000, "an empty batch says that the end was reached");
    assert_eq!(reader.positions(), &log.ends());
    assert!(reader.next_batch(0, 10).expect("sound").entries.is_empty());
}

pub async fn large_entries_pass_and_oversize_ones_are_refused(f: &mut impl Fixture) {
    let log = f.open();
    let large: Bytes = (0..ENTRY_BYTES_MAX).map(|n| (n / 3) as u8).collect();
    let batch =
        vec![entry(Stream::Change, 0, "small"), entry(Stream::Change, 0, large.clone()), entry(Stream::Change, 0, "")];
    let appended = log.append(batch).await.expect("appended");
    assert_eq!(log.read(appended[1].locator).expect("kept").bytes, large);
    let all = read_all(&log, &Positions::new(), StreamSet::ALL);
    assert_eq!(all.iter().map(|e| e.bytes.len()).collect::<Vec<_>>(), [5, ENTRY_BYTES_MAX, 0]);

    let over =
        log.append(vec![entry(Stream::Change, 0, "x"), entry(Stream::Change, 0, vec![0; ENTRY_BYTES_MAX + 1])]).await;
    assert!(matches!(over, Err(AppendError::TooLarge { bytes }) if bytes == ENTRY_BYTES_MAX + 1));
    let over = log.append(vec![entry(Stream::Change, 0, large); APPEND_BYTES_MAX / ENTRY_BYTES_MAX + 1]).await;
    assert!(matches!(over, Err(AppendError::BatchTooLarge { .. })));
    let over = log.append(vec![entry(Stream::Change, 0, ""); APPEND_ENTRIES_MAX + 1]).await;
    assert!(matches!(over, Err(AppendError::BatchTooLarge { .. })));
    assert!(log.append(Vec::new()).await.expect("nothing to do").is_empty());
    assert_eq!(log.ends().total(), 3, "what was refused left no trace");
}

pub async fn a_waiting_reader_is_woken_by_an_append(f: &mut impl Fixture) {
    let log = f.open();
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    assert!(reader.next_batch(10, 1_000).expect("sound").entries.is_empty());
    assert!(!reader.wait(Duration::from_millis(1)));
    let blocked = std::thread::spawn(move || {
        assert!(reader.wait(Duration::from_secs(60)));
        reader.next_batch(10, 1_000).expect("sound").entries.len()
    });
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { log.wait_beyond(&Positions::new(), StreamSet::empty().with(Stream::Control)).await }
    });
    log.append(vec![entry(Stream::Change, 0, "not waited for")]).await.expect("appended");
    assert_eq!(blocked.join().expect("no panic"), 1);
    log.append(vec![entry(Stream::Control, 0, "waited for")]).await.expect("appended");
    assert!(waiting.await.expect("no panic"));
    assert!(log.wait_beyond(&Positions::new(), StreamSet::ALL).await, "what is there needs no waiting");
}

pub async fn a_closed_log_takes_nothing_and_still_reads(f: &mut impl Fixture) {
    let log = f.open();
    let appended = log.append(vec![entry(Stream::Change, 0, "a")]).await.expect("appended");
    let ends = log.ends();
    let waiting = tokio::spawn({
        let (log, ends) = (log.clone(), ends.clone());
        async move { log.wait_beyond(&ends, StreamSet::ALL).await }
    });
    log.close().await;
    log.close().await;
    assert!(!waiting.await.expect("no panic"));
    let refused = log.append(vec![entry(Stream::Change, 0, "b")]).await;
    assert!(matches!(refused, Err(AppendError::Closed)));
    assert_eq!(log.read(appended[0].locator).expect("kept").bytes, "a");
    assert_eq!(log.ends(), ends);
}

pub async fn the_first_entry_at_or_after_a_time_is_found(f: &mut impl Fixture) {
    let mut log = f.open();
    let mut times: Vec<(Position, Timestamp)> = Vec::new();
    for n in 0..120u64 {
        // The clock stands still at times, and goes back once: append times do not.
        let clock = if n == 60 { 10 } else { 1_000 + (n as i64 / 3) * 10 };
        f.set_clock(clock);
        let batch =
            vec![entry(Stream::Change, (n % 4) as u16, vec![n as u8; 200]), entry(Stream::Access, 0, vec![0; 50])];
        times.extend(log.append(batch).await.expect("appended").iter().map(|a| (a.position, a.appended_at)));
    }
    for _ in 0..2 {
        for (stream, partition) in
            [(Stream::Change, 0), (Stream::Change, 3), (Stream::Access, 0), (Stream::Rejected, 1)]
        {
            let of: Vec<_> = times.iter().filter(|(p, _)| (p.stream, p.partition.0) == (stream, partition)).collect();
            assert!(of.is_sorted_by_key(|(_, time)| time));
            for t in (985..1_405).step_by(5) {
                let expected = of.iter().find(|(_, time)| time.0 >= t).map_or(of.len() as u64, |(p, _)| p.index.0);
                let found = log.find_time(stream, Partition(partition), Timestamp(t)).expect("sound");
                assert_eq!(found.0, expected, "{stream:?}/{partition} at {t}");
            }
        }
        drop(log);
        log = f.open();
    }
}

pub async fn a_call_is_one_group(f: &mut impl Fixture) {
    let log = f.open();
    let batch: Vec<_> = (0..100).map(|n| entry(Stream::Change, n % 4, vec![0; 100])).collect();
    let first = log.append(batch.clone()).await.expect("appended");
    let second = log.append(batch).await.expect("appended");
    assert!(first.iter().all(|a| a.group == first[0].group));
    assert!(second.iter().all(|a| a.group == second[0].group && a.group > first[0].group));
}

pub async fn readers_keep_up_while_entries_are_appended(f: &mut impl Fixture) {
    const ENTRIES: u64 = 3_000;
    let log = f.open();
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL_BUT_ACCESS).expect("the reader starts");
    let reading = std::thread::spawn(move || {
        let mut next = 0;
        while next < ENTRIES {
            for e in reader.next_batch(64, 1 << 20).expect("sound").entries {
                assert_eq!((e.position.index.0, &e.bytes[..8]), (next, &next.to_le_bytes()[..]));
                next += 1;
            }
            assert!(next == ENTRIES || reader.wait(Duration::from_secs(60)), "stuck at {next}");
        }
    });
    for n in (0..ENTRIES).step_by(20) {
        let batch = (n..n + 20).map(|n| entry(Stream::Change, 2, n.to_le_bytes().repeat(10))).collect();
        log.append(batch).await.expect("appended");
    }
    reading.join().expect("every entry was read, in order");
}

pub async fn several_readers_do_not_disturb_each_other(f: &mut impl Fixture) {
    let log = f.open();
    fill(&log, 60).await;
    let whole = sorted(&read_all(&log, &Positions::new(), StreamSet::ALL));
    let mut slow = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    let mut taken = slow.next_batch(3, 1 << 20).expect("sound").entries;
    let mut later = log.reader(slow.positions(), StreamSet::ALL).expect("the reader starts");
    let rest = later.next_batch(usize::MAX, 1 << 20).expect("sound").entries;
    let quick = sorted(&read_all(&log, &Positions::new(), StreamSet::ALL));
    assert_eq!(quick, whole);
    loop {
        let more = slow.next_batch(5, 1 << 20).expect("sound").entries;
        if more.is_empty() {
            break;
        }
        taken.extend(more);
    }
    assert_eq!(sorted(&taken), whole);
    assert!(rest.iter().all(|e| whole.contains(&(e.position, e.bytes.clone()))));
}

pub async fn what_was_read_can_be_read_again_by_its_locator(f: &mut impl Fixture) {
    let log = f.open();
    fill(&log, 60).await;
    let whole = read_all(&log, &Positions::new(), StreamSet::ALL);
    for _ in 0..2 {
        for e in &whole {
            assert_eq!(&log.read(e.locator).expect("kept"), e);
        }
        for e in &whole {
            assert_eq!(&log.read_position(e.position).expect("kept"), e);
        }
    }
}

pub async fn appending_while_reading_and_looking_up_keeps_every_promise(f: &mut impl Fixture) {
    let log = f.open();
    let writers: Vec<_> = (0..4u16)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for n in 0..60u64 {
                    let bytes = format!("{task}-{n}").into_bytes();
                    let two =
                        vec![entry(Stream::Change, task, bytes.clone()), entry(Stream::Rejected, task % 2, bytes)];
                    for a in log.append(two).await.expect("appended") {
                        // What was acknowledged is there at once, for everybody.
                        assert!(log.ends().covers(a.position));
                        mine.push((a, format!("{task}-{n}")));
                    }
                }
                mine
            })
        })
        .collect();
    let mut all = Vec::new();
    for writer in writers {
        all.extend(writer.await.expect("no panic"));
    }
    for (a, text) in &all {
        assert_eq!(log.read(a.locator).expect("kept").bytes, text.as_bytes());
    }
    assert_eq!(read_all(&log, &Positions::new(), StreamSet::ALL).len(), all.len());
}
