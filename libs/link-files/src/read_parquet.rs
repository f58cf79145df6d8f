//! Reads Parquet files.

use std::fs::File;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::error::Error;
use crate::progress::Progress;
use crate::table::TableBuilder;

/// Reads a Parquet file into a table. Columns of lists, maps and groups are compared as their text.
///
/// # Errors
/// The file cannot be read or is malformed.
pub fn read_parquet(path: &Path, table: &mut TableBuilder, progress: &dyn Progress) -> Result<(), Error> {
    let file = File::open(path).map_err(|source| Error::Read { file: path.to_owned(), source })?;
    let fault = |error: ParquetError| Error::Parquet { file: path.to_owned(), what: error.to_string() };
    let reader = SerializedFileReader::new(file).map_err(fault)?;
    let metadata = reader.metadata().file_metadata();
    let names: Vec<String> = metadata.schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    progress.begin("reading", u64::try_from(metadata.num_rows()).unwrap_or(0));
    table.begin_file(path.to_owned(), &names)?;
    let mut cells: Vec<String> = vec![String::new(); names.len()];
    for (number, row) in reader.get_row_iter(None).map_err(fault)?.enumerate() {
        let row = row.map_err(fault)?;
        for (cell, (_, field)) in cells.iter_mut().zip(row.get_column_iter()) {
            *cell = text_of(field);
        }
        // Rows have no lines; a record's number from 1 takes the line's place.
        table.record(number as u64 + 1, cells.iter().map(|cell| cell.trim().as_bytes()))?;
        if number.is_multiple_of(16_384) {
            progress.at(number as u64);
        }
    }
    progress.end();
    Ok(())
}

fn text_of(field: &Field) -> String {
    const DAY_MS: i64 = 86_400_000;
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned(),
        Field::Date(days) => date_of(i64::from(*days)),
        Field::TimestampMillis(ms) if ms % DAY_MS == 0 => date_of(ms / DAY_MS),
        Field::TimestampMicros(us) if us % (1_000 * DAY_MS) == 0 => date_of(us / (1_000 * DAY_MS)),
        Field::Float(number) => number.to_string(),
        Field::Double(number) => number.to_string(),
        other => other.to_string(),
    }
}

/// The civil date of a day since 1970-01-01 (Hinnant's algorithm, proleptic Gregorian).
fn date_of(days: i64) -> String {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_civil_dates() {
        for (days, date) in [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (-25_567, "1900-01-01")] {
            assert_eq!(date_of(days), date);
        }
    }

    #[test]
    fn a_value_is_its_plain_text() {
        assert_eq!(text_of(&Field::Str("a \"b\"".to_owned())), "a \"b\"");
        assert_eq!(text_of(&Field::Int(7)), "7");
        assert_eq!(text_of(&Field::Null), "");
    }
}
