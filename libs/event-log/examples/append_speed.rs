//! How many 500-byte entries a second the embedded log makes durable, beside what the disk does by itself.
//!
//! `cargo run --release -p event-log --example append_speed [SECONDS_PER_ROW] [FOLDER]`

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::{Append, Embedded, EventLog, LogOptions, StreamSet};
use record::{Partition, Positions, Stream};

const ENTRY_BYTES: usize = 500;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let seconds: f64 = args.next().map_or(Ok(1.0), |s| s.parse())?;
    let parent = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("append_speed-{}", std::process::id()));
    let limit = Duration::from_secs_f64(seconds);
    let (log, raw) = (dir.join("log"), dir.join("raw"));
    std::fs::create_dir_all(&dir)?;
    let measured = measure(&log, &raw, limit).await;
    std::fs::remove_dir_all(&dir)?;
    measured
}

async fn measure(dir: &Path, raw: &Path, limit: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let log = EventLog::Embedded(Embedded::create(dir, &LogOptions::default(), [1; 16])?);
    println!("{:>8} {:>8} {:>12} {:>12} {:>9} {:>9}", "callers", "batch", "entries/s", "p50 us", "p99 us", "of disk");
    for (callers, batch) in [(1, 1), (1, 64), (1, 1_024), (4, 64), (16, 64), (4, 1_024)] {
        let disk = bare(raw, batch * ENTRY_BYTES, limit / 4)? * batch as f64;
        let (rate, mut times) = append(&log, callers, batch, limit).await?;
        times.sort_unstable();
        let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_micros();
        println!("{callers:>8} {batch:>8} {rate:>12.0} {:>12} {:>9} {:>9.2}", at(0.5), at(0.99), rate / disk);
    }
    read(&log)
}

/// Writes and flushes per second of one file that has been filled with zeros.
fn bare(path: &Path, bytes: usize, limit: Duration) -> std::io::Result<f64> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 256 << 20)?;
    let zeros = vec![0; 1 << 20];
    let limit_bytes = 256u64 << 20;
    for at in (0..limit_bytes).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let buffer = vec![7; bytes];
    let (start, mut n) = (Instant::now(), 0u64);
    while start.elapsed() < limit && (n + 1) * (bytes as u64) < limit_bytes {
        file.write_all_at(&buffer, n * bytes as u64)?;
        file.sync_data()?;
        n += 1;
    }
    Ok(n as f64 / start.elapsed().as_secs_f64())
}

async fn append(
    log: &EventLog,
    callers: usize,
    batch: usize,
    limit: Duration,
) -> Result<(f64, Vec<Duration>), Box<dyn std::error::Error>> {
    let bytes = Bytes::from(vec![7; ENTRY_BYTES]);
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (log, bytes) = (log.clone(), bytes.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < limit {
                    let of = |n| Append {
                        stream: Stream::Change,
                        partition: Partition(((n + caller) % 64) as u16),
                        bytes: bytes.clone(),
                    };
                    let entries: Vec<_> = (0..batch).map(of).collect();
                    let called = Instant::now();
                    log.append(entries).await?;
                    times.push(called.elapsed());
                }
                Ok::<_, event_log::AppendError>(times)
            })
        })
        .collect();
    let mut times: Vec<Duration> = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(((times.len() * batch) as f64 / start.elapsed().as_secs_f64(), times))
}

fn read(log: &EventLog) -> Result<(), Box<dyn std::error::Error>> {
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL_BUT_ACCESS)?;
    let (start, mut entries, mut locators) = (Instant::now(), 0u64, Vec::new());
    loop {
        let batch = reader.next_batch(4_096, 4 << 20)?;
        let Some(first) = batch.entries.first() else { break };
        locators.push((first.locator, first.position));
        entries += batch.entries.len() as u64;
    }
    println!("read in order: {:.0} entries/s", entries as f64 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    let mut reads = 0u32;
    while start.elapsed() < Duration::from_millis(500) {
        log.read(locators[reads as usize % locators.len()].0)?;
        reads += 1;
    }
    println!("read by locator: {:.0} entries/s", f64::from(reads) / start.elapsed().as_secs_f64());
    let start = Instant::now();
    let mut reads = 0u32;
    while start.elapsed() < Duration::from_millis(500) {
        log.read_position(locators[reads as usize % locators.len()].1)?;
        reads += 1;
    }
    println!("read by position: {:.0} entries/s", f64::from(reads) / start.elapsed().as_secs_f64());
    Ok(())
}
