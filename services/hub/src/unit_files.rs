//! Lists of administrative units from CSV files. A file is known by the columns of its heading; other columns are not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use projection::units::{Unit, UnitList};

use crate::error::CommandError;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Provinces,
    Communes,
    /// Communes with district and province in the same row.
    ThreeLevels,
    ProvinceMap,
    CommuneMap,
}

#[derive(Default)]
struct Gathered {
    units: BTreeMap<String, Unit>,
    map: BTreeSet<(String, String)>,
}

/// Reads the files of one list.
///
/// # Errors
/// A file cannot be read, its heading is not known, a row lacks a value, or the list does not fit together.
pub fn read_list(
    files: &[PathBuf],
    version: String,
    valid_from: String,
    previous: String,
) -> Result<UnitList, CommandError> {
    let mut gathered = Gathered::default();
    files.iter().try_for_each(|file| gathered.read(file))?;
    if previous.is_empty() && !gathered.map.is_empty() {
        return Err(CommandError::usage("the files map units of a list before", "name that list with --previous"));
    }
    let (units, map) = (gathered.units.into_values().collect(), gathered.map.into_iter().collect());
    let list = UnitList { version, valid_from, previous, units, map };
    list.check().map_err(|error| CommandError::usage(error.to_string(), "correct the files or the flags"))?;
    Ok(list)
}

impl Gathered {
    fn read(&mut self, path: &Path) -> Result<(), CommandError> {
        let wrong = |what: String| {
            CommandError::usage(format!("{}: {what}", path.display()), "see 'hub units import --help' for the columns")
        };
        let mut reader = csv::Reader::from_path(path).map_err(|error| wrong(error.to_string()))?;
        let heading = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
        let columns = Columns { heading };
        let holds = columns.holds().ok_or_else(|| wrong("the heading is none of a unit file".to_owned()))?;
        for row in reader.records() {
            let row = row.map_err(|error| wrong(error.to_string()))?;
            let line = row.position().map_or(0, csv::Position::line);
            self.take(holds, &columns, &row).map_err(|column| wrong(format!("line {line}: '{column}' is empty")))?;
        }
        Ok(())
    }

    fn take(&mut self, holds: Holds, columns: &Columns, row: &StringRecord) -> Result<(), &'static str> {
        let value = |column: &'static str| columns.value(row, column).ok_or(column);
        match holds {
            Holds::Provinces => {
                let code = value("code")?;
                self.unit(&code, value("name")?, &code);
            }
            Holds::Communes => {
                self.unit(&value("code")?, columns.full_name(row, value("name")?), &value("province_code")?)
            }
            Holds::ThreeLevels => {
                let province = value("province_code")?;
                self.unit(&province, value("province")?, &province);
                self.unit(&value("district_code")?, value("district")?, &province);
                self.unit(&value("code")?, value("name")?, &province);
            }
            Holds::ProvinceMap => {
                self.map.insert((value("legacy_code")?, value("new_code")?));
            }
            Holds::CommuneMap => {
                // An island district without communes went over as a whole: its own code is mapped.
                let old =
                    columns.value(row, "legacy_commune_code").map_or_else(|| value("legacy_district_code"), Ok)?;
                self.map.insert((old, value("new_commune_code")?));
            }
        }
        Ok(())
    }

    fn unit(&mut self, code: &str, name: String, province: &str) {
        let unit = || Unit { code: code.to_owned(), name, province: province.to_owned() };
        self.units.entry(code.to_owned()).or_insert_with(unit);
    }
}

struct Columns {
    heading: StringRecord,
}

impl Columns {
    fn has(&self, column: &str) -> bool {
        self.heading.iter().any(|name| name.trim_start_matches('\u{feff}').trim() == column)
    }

    fn holds(&self) -> Option<Holds> {
        let all = |columns: &[&str]| columns.iter().all(|column| self.has(column));
        if all(&["legacy_district_code", "legacy_commune_code", "new_commune_code"]) {
            Some(Holds::CommuneMap)
        } else if all(&["legacy_code", "new_code"]) {
            Some(Holds::ProvinceMap)
        } else if all(&["code", "name", "district_code", "district", "province_code", "province"]) {
            Some(Holds::ThreeLevels)
        } else if all(&["code", "name", "province_code"]) {
            Some(Holds::Communes)
        } else if all(&["code", "name"]) {
            Some(Holds::Provinces)
        } else {
            None
        }
    }

    fn value(&self, row: &StringRecord, column: &str) -> Option<String> {
        let at = self.heading.iter().position(|name| name.trim_start_matches('\u{feff}').trim() == column)?;
        row.get(at).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// Some files have the type of a unit beside its name and not in it.
    fn full_name(&self, row: &StringRecord, name: String) -> String {
        match self.value(row, "type_2025_07_01") {
            Some(kind) if !name.to_lowercase().starts_with(&kind.to_lowercase()) => format!("{kind} {name}"),
            _ => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path, files: &[(&str, &str)]) -> Vec<PathBuf> {
        let write = |(name, text): &(&str, &str)| {
            std::fs::write(dir.join(name), text).expect("writable");
            dir.join(name)
        };
        files.iter().map(write).collect()
    }

    #[test]
    fn the_nations_files_make_the_nations_lists() {
        let nation = nation::Nation::new(nation::Config { persons: 100, seed: 1 }).expect("within bounds");
        let dir = tempfile::tempdir().expect("a temporary directory");
        for expected in nation.unit_lists() {
            let texts: Vec<(&str, &str)> = expected.files.iter().map(|(name, text)| (*name, text.as_str())).collect();
            let paths = files(dir.path(), &texts);
            let list = read_list(&paths, expected.version.into(), expected.valid_from.into(), expected.previous.into());
            let list = list.expect("the files fit together");
            let codes: Vec<&str> = list.units.iter().map(|unit| unit.code.as_str()).collect();
            assert_eq!(codes, expected.units.iter().map(|unit| unit.code.as_str()).collect::<Vec<_>>());
            assert!(
                list.map.len() >= expected.map.len() && expected.map.iter().all(|row| list.map.contains(row)),
                "{}",
                list.version
            );
        }
    }

    #[test]
    fn an_island_district_is_mapped_by_its_own_code() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let paths = files(
            dir.path(),
            &[
                ("c.csv", "code,name,type_2025_07_01,province_code\n00004,Ba Đình,Phường,01\n"),
                ("p.csv", "code,name\n01,Hà Nội\n"),
                (
                    "m.csv",
                    "legacy_province_code,legacy_district_code,legacy_commune_code,new_commune_code\n01,498,,00004\n",
                ),
            ],
        );
        let list = read_list(&paths, "2".into(), "2025-07-01".into(), "1".into()).expect("the files fit together");
        assert_eq!(list.map, [("498".to_owned(), "00004".to_owned())]);
        assert_eq!(list.unit("00004").map(|unit| unit.name.as_str()), Some("Phường Ba Đình"));
    }

    #[test]
    fn a_broken_row_names_file_line_and_column() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let paths = files(dir.path(), &[("p.csv", "code,name\n01,Hà Nội\n02,\n")]);
        let error = read_list(&paths, "1".into(), "2004-01-01".into(), String::new()).expect_err("a name is missing");
        assert!(error.what.ends_with("p.csv: line 3: 'name' is empty"), "{}", error.what);
        let paths = files(dir.path(), &[("x.csv", "a,b\n1,2\n")]);
        assert!(read_list(&paths, "1".into(), "2004-01-01".into(), String::new()).is_err());
    }
}
