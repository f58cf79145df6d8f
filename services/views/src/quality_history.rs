//! What the quality counters were, hour by hour and day by day, so that a trend can be told.
//!
//! Samples of numbers without personal data, in small files beside the views. They belong to no view and no digest: a file that is
//! lost or damaged costs a point of a curve. Every hour of the last two days is kept, then one sample a day, for 92 days.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use projection::quality::{Cell, Counts};
use record::Timestamp;
use telemetry::told;
use view_store::{KeyRange, Table, View};

use crate::fold::{FoldError, decode_counter};

const HOUR_US: i64 = 3_600_000_000;
const DAY_HOURS: i64 = 24;
/// Hours of which each is kept.
const HOURLY: i64 = 48;
/// Days of which one sample is kept.
const DAYS: i64 = 92;
const MAGIC: &[u8; 16] = b"hub.quality/v1\n\0";
/// Largest file: a cell takes about 60 bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Why a sample was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The views cannot be read.
    #[error("the views cannot be read")]
    Views(#[from] FoldError),
    /// The folder cannot be used.
    #[error("the samples of quality cannot be kept")]
    Files(#[from] io::Error),
}

/// The folder of samples.
#[derive(Debug, Clone)]
pub struct QualityHistory(PathBuf);

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken, to the hour.
    pub at: Timestamp,
    /// The counters of every cell.
    pub cells: Vec<(Cell, Counts)>,
}

impl QualityHistory {
    /// Samples in this folder, which is made when the first is taken.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// Keeps what the counters say now, unless this hour has its sample or nothing is counted yet; then lets go of what is too many.
    /// Whether one was taken.
    ///
    /// # Errors
    /// [`SampleError`].
    pub fn sample(&self, view: &View, now: Timestamp) -> Result<bool, SampleError> {
        let hour = now.0.div_euclid(HOUR_US);
        let hours = self.hours()?;
        if hours.contains(&hour) {
            return Ok(false);
        }
        let rows = view.range(Table::Counter, KeyRange::All, usize::MAX).map_err(FoldError::from)?;
        if rows.is_empty() {
            // The oldest sample is what a new hub's trend begins with.
            return Ok(false);
        }
        let cells: Result<Vec<_>, _> = rows.iter().map(|(key, value)| decode_counter(key, value)).collect();
        fs::create_dir_all(&self.0)?;
        let beside = self.0.join("new");
        fs::write(&beside, encode(&cells?))?;
        fs::rename(&beside, self.path(hour))?;
        for old in too_many(&hours, hour) {
            fs::remove_file(self.path(old))?;
        }
        Ok(true)
    }

    fn path(&self, hour: i64) -> PathBuf {
        self.0.join(hour.to_string())
    }

    /// Hours that have a sample.
    fn hours(&self) -> io::Result<BTreeSet<i64>> {
        let names = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(error),
        };
        let hour = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
        names.map(hour).filter_map(Result::transpose).collect()
    }

    /// The newest sample that is at least as old as `at`; where none is that old, the oldest of all. `None` without a sample
    /// that can be read.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn before(&self, at: Timestamp) -> io::Result<Option<Sample>> {
        let hours = self.hours()?;
        let wanted = at.0.div_euclid(HOUR_US);
        let older = hours.range(..=wanted).rev();
        let younger = hours.range(wanted + 1..);
        Ok(older.chain(younger).find_map(|hour| self.read(*hour)))
    }

    /// At most `max` samples, the newest and then evenly over the time of all of them; oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn curve(&self, max: usize) -> io::Result<impl Iterator<Item = Sample>> {
        let hours: Vec<i64> = self.hours()?.into_iter().collect();
        let step = hours.len().div_ceil(max.max(1)).max(1);
        let mut picked: Vec<i64> = hours.iter().rev().step_by(step).copied().collect();
        picked.reverse();
        let history = self.clone();
        Ok(picked.into_iter().filter_map(move |hour| history.read(hour)))
    }

    fn read(&self, hour: i64) -> Option<Sample> {
        let path = self.path(hour);
        let found = read(&path).and_then(|bytes| decode(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into()));
        match found {
            Ok(cells) => Some(Sample { at: Timestamp(hour.saturating_mul(HOUR_US)), cells }),
            Err(error) => {
                tracing::warn!(hour, error = %told(&error), "a sample of quality cannot be read; a trend leaves it out");
                None
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    fs::read(path)
}

/// Of the samples before `now`, those to let go of: of days past the hourly ones all but the first, and all that are too old.
fn too_many(hours: &BTreeSet<i64>, now: i64) -> Vec<i64> {
    let mut days = BTreeSet::new();
    let goes = |hour: &i64| {
        let day = hour.div_euclid(DAY_HOURS);
        let first = days.insert(day);
        *hour < now - HOURLY && (!first || day < now.div_euclid(DAY_HOURS) - DAYS)
    };
    let mut goes = goes;
    hours.iter().copied().filter(|hour| goes(hour)).collect()
}

fn encode(cells: &[(Cell, Counts)]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for (cell, counts) in cells {
        for part in [cell.key(), counts.encode()] {
            // A key has four short names, counters a few numbers.
            out.extend_from_slice(&u16::try_from(part.len()).expect("a short text").to_le_bytes());
            out.extend_from_slice(&part);
        }
    }
    let sum = blake3::hash(&out);
    out.extend_from_slice(sum.as_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Vec<(Cell, Counts)>> {
    let (body, sum) = bytes.split_last_chunk::<32>()?;
    if blake3::hash(body) != *sum {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    let mut part = || -> Option<&[u8]> {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (part, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        rest = after;
        Some(part)
    };
    let mut cells = Vec::new();
    while let Some(key) = part() {
        // Counters of another version are no point of this curve.
        cells.push((Cell::from_key(key)?, Counts::decode(part()?).ok()?));
    }
    Some(cells)
}

#[cfg(test)]
mod tests {
    use record::RegisterName;

    use super::*;

    fn cells(records: u64) -> Vec<(Cell, Counts)> {
        let cell = Cell {
            register: RegisterName::try_from("civil").expect("a name"),
            agency: "moj".into(),
            commune: "00004".into(),
            list_version: "2025".into(),
        };
        vec![(cell, Counts { records, violated: 1, ..Counts::default() })]
    }

    #[test]
    fn a_sample_reads_as_it_was_written_and_a_damaged_one_not_at_all() {
        let bytes = encode(&cells(7));
        assert_eq!(decode(&bytes), Some(cells(7)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn the_sample_before_a_time_is_the_nearest_that_is_old_enough() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let history = QualityHistory::new(dir.path().join("quality"));
        assert_eq!(history.before(Timestamp(0)).expect("no folder yet"), None);
        fs::create_dir(dir.path().join("quality")).expect("writable");
        for hour in [100, 200, 300] {
            fs::write(history.path(hour), encode(&cells(hour as u64))).expect("writable");
        }
        fs::write(history.path(250), b"damaged").expect("writable");
        let records = |hour: i64| {
            let sample = history.before(Timestamp(hour * HOUR_US + 5)).expect("readable").expect("a sample");
            sample.cells[0].1.records
        };
        assert_eq!([50, 100, 199, 260, 299, 400].map(records), [100, 100, 100, 200, 200, 300]);
        let curve: Vec<u64> = history.curve(10).expect("readable").map(|s| s.cells[0].1.records).collect();
        assert_eq!(curve, [100, 200, 300]);
    }

    #[test]
    fn hours_of_two_days_and_one_of_each_earlier_day_stay() {
        let now = 200 * DAY_HOURS;
        let hours: BTreeSet<i64> = (0..now).collect();
        let gone = too_many(&hours, now);
        let kept = hours.len() - gone.len();
        // Of the days, the last two have every hour.
        assert_eq!(kept as i64, HOURLY + DAYS - HOURLY / DAY_HOURS);
        assert!(!gone.contains(&(now - HOURLY)) && gone.contains(&(now - HOURLY - 1)));
        assert!(!gone.contains(&(150 * DAY_HOURS)) && gone.contains(&(150 * DAY_HOURS + 1)));
    }
}
