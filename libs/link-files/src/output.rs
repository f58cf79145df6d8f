//! Writes what a run found into a folder.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::Error;
use crate::report::report;
use crate::result::{RecordPair, each_pair, record_clusters};
use crate::run::Outcome;
use crate::summary::{Summary, summarise};
use crate::table::Table;

/// Writes `clusters.csv`, `pairs.csv`, `model.json`, `spec.toml`, `summary.json` and `report.html` into a folder, which is
/// made when it is not there.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, table: &Table, outcome: &Outcome) -> Result<Summary, Error> {
    fs::create_dir_all(folder).map_err(|source| Error::Write { file: folder.to_owned(), source })?;
    let clusters = record_clusters(outcome);
    into(&folder.join("clusters.csv"), |out| write_clusters(out, table, &clusters))?;
    let mut passed = 0;
    into(&folder.join("pairs.csv"), |out| {
        passed = write_pairs(out, table, outcome)?;
        Ok(())
    })?;
    let summary = summarise(table, outcome, &clusters, passed);
    into(&folder.join("model.json"), |out| out.write_all(outcome.model.to_json().as_bytes()))?;
    into(&folder.join("spec.toml"), |out| out.write_all(outcome.spec.to_toml().as_bytes()))?;
    into(&folder.join("summary.json"), |out| {
        serde_json::to_writer_pretty(&mut *out, &summary).map_err(std::io::Error::from)?;
        out.write_all(b"\n")
    })?;
    into(&folder.join("report.html"), |out| out.write_all(report(table, outcome, &clusters, &summary).as_bytes()))?;
    Ok(summary)
}

fn into(file: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<(), Error> {
    let written = File::create(file).and_then(|open| {
        let mut out = BufWriter::with_capacity(1 << 18, open);
        fill(&mut out)?;
        out.flush()
    });
    written.map_err(|source| Error::Write { file: file.to_owned(), source })
}

/// How the files are called in `clusters.csv`: by their names, or by their paths when the names are the same.
fn file_names(table: &Table) -> Vec<String> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let names: Vec<Option<String>> = table.files.iter().map(|file| name(&file.path)).collect();
    let same = names.len() > 1 && names[0] == names[1];
    let own = |(file, name): (&crate::table::FileInfo, Option<String>)| match name {
        Some(name) if !same => name,
        _ => file.path.display().to_string(),
    };
    table.files.iter().zip(names).map(own).collect()
}

/// In the order of the files' records.
fn write_clusters(out: &mut impl Write, table: &Table, clusters: &[u32]) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let files = file_names(table);
    let two = files.len() > 1;
    csv.write_record(if two { &["record", "cluster", "file"][..] } else { &["record", "cluster"] })?;
    for (record, cluster) in clusters.iter().enumerate() {
        let cluster = cluster.to_string();
        let fields =
            [table.ids.get(record), cluster.as_bytes(), files[table.file_of(record).min(files.len() - 1)].as_bytes()];
        csv.write_record(&fields[..if two { 3 } else { 2 }])?;
    }
    csv.flush()
}

fn write_pairs(out: &mut impl Write, table: &Table, outcome: &Outcome) -> std::io::Result<u64> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["left", "right", "bits", "decision"])?;
    let passed = each_pair(outcome, |pair: RecordPair| -> std::io::Result<()> {
        let bits = format!("{:.3}", f64::from(pair.bits) / 1024.0);
        let decision: &[u8] = if pair.accepted { b"accepted" } else { b"refused" };
        let (left, right) = (table.ids.get(pair.left as usize), table.ids.get(pair.right as usize));
        csv.write_record([left, right, bits.as_bytes(), decision])?;
        Ok(())
    })?;
    csv.flush()?;
    Ok(passed)
}
