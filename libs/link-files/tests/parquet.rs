//! Parquet files are read as CSV files are.

mod common;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use common::dir;
use link_files::table::{Table, TableBuilder};
use link_files::{Error, Silent, read_csv, read_parquet};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const SCHEMA: &str = "message people {
    REQUIRED BYTE_ARRAY id (UTF8);
    OPTIONAL BYTE_ARRAY name (UTF8);
    OPTIONAL INT32 born (DATE);
    OPTIONAL DOUBLE height;
}";
const CSV: &str = "id,name,born,height\n1,Nguyễn An,1990-05-06,1.62\n2,,1970-01-01,\n3,Lê Bình,,1.8\n";

fn write(file: &Path, compression: Compression) {
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let open = File::create(file).expect("a writable directory");
    let mut writer = SerializedFileWriter::new(open, schema, properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    let texts = |list: &[&str]| list.iter().map(|text| ByteArray::from(*text)).collect::<Vec<_>>();
    let mut column = group.next_column().expect("a column").expect("the id");
    column.typed::<ByteArrayType>().write_batch(&texts(&["1", "2", "3"]), None, None).expect("ids");
    column.close().expect("a column");
    let mut column = group.next_column().expect("a column").expect("the name");
    let names = texts(&["Nguyễn An", "Lê Bình"]);
    column.typed::<ByteArrayType>().write_batch(&names, Some(&[1, 0, 1]), None).expect("names");
    column.close().expect("a column");
    let mut column = group.next_column().expect("a column").expect("the day of birth");
    column.typed::<Int32Type>().write_batch(&[7_430, 0], Some(&[1, 1, 0]), None).expect("days");
    column.close().expect("a column");
    let mut column = group.next_column().expect("a column").expect("the height");
    column.typed::<DoubleType>().write_batch(&[1.62, 1.8], Some(&[1, 0, 1]), None).expect("heights");
    column.close().expect("a column");
    group.close().expect("a row group");
    writer.close().expect("a file");
}

/// By record, its id and its values.
fn cells(table: &Table) -> Vec<Vec<String>> {
    let row = |record: usize| {
        let id = table.ids.text(record).into_owned();
        let values = table.columns.iter().map(|c| c.values.text(c.codes[record] as usize).into_owned());
        std::iter::once(id).chain(values).collect()
    };
    (0..table.records()).map(row).collect()
}

#[test]
fn parquet_gives_the_table_that_csv_gives() {
    let dir = dir();
    let csv = dir.path().join("people.csv");
    std::fs::write(&csv, CSV).expect("a writable directory");
    let mut builder = TableBuilder::new("id");
    read_csv(&csv, None, &mut builder, &Silent).expect("a CSV file");
    let expected = builder.finish().expect("records");
    for compression in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default()), Compression::LZ4_RAW]
    {
        let file = dir.path().join("people.parquet");
        write(&file, compression);
        let mut builder = TableBuilder::new("id");
        read_parquet(&file, &mut builder, &Silent).expect("a Parquet file");
        let table = builder.finish().expect("records");
        assert_eq!(cells(&table), cells(&expected), "{compression:?}");
        assert!(table.columns.iter().zip(&expected.columns).all(|(a, b)| a.name == b.name));
    }
}

#[test]
fn what_is_no_parquet_file_is_told_by_name() {
    let dir = dir();
    let file = dir.path().join("people.parquet");
    std::fs::write(&file, CSV).expect("a writable directory");
    let fault = read_parquet(&file, &mut TableBuilder::new("id"), &Silent).expect_err("no Parquet file");
    assert!(matches!(&fault, Error::Parquet { .. }) && fault.to_string().contains("people.parquet"), "{fault}");
}
