//! Input that nobody wants, within bounds and said in the summary.

mod common;

use common::{Made, dir, linked, persons};
use link_files::output;
use link_files::result::record_clusters;
use link_files::table::TableBuilder;
use link_files::{Error, Silent, read_csv};

fn row(cells: &[&str]) -> (Vec<String>, usize) {
    (cells.iter().map(|cell| (*cell).to_owned()).collect(), 0)
}

#[test]
fn many_equal_records_are_compared_once_and_told() {
    let mut made = persons(300, 2, 10, 5, 21);
    let copy = made.rows[0].0.clone();
    made.rows.extend((0..50_000).map(|n| {
        let mut cells = copy.clone();
        cells[0] = format!("copy{n}");
        (cells, 0)
    }));
    let dir = dir();
    let (table, outcome) = linked(dir.path(), &[&made]);
    let summary = output::write(&dir.path().join("out"), &table, &outcome).expect("a writable directory");
    assert!(summary.distinct_records < 700 && summary.most_equal_records > 50_000);
    assert!(summary.notes.iter().any(|note| note.contains("equal in every compared column")), "{:?}", summary.notes);
    let clusters = record_clusters(&outcome);
    let (first, last) = (clusters[table.records() - 50_000], clusters[table.records() - 1]);
    assert_eq!(first, last);
    assert!(summary.pairs_not_listed > 1_000_000);
}

#[test]
fn a_name_that_many_share_does_not_chain_them() {
    let mut made = persons(500, 2, 10, 5, 22);
    let entities = 500;
    for n in 0..20_000usize {
        let born = format!("{}-{:02}-{:02}", 1930 + n % 80, 1 + n / 80 % 12, 1 + n / 960 % 28);
        let number = format!("{:07}", 2_000_000 + n * 37);
        let cells = [format!("s{n}"), "wilham".into(), "sonton".into(), born, String::new(), String::new(), number];
        made.rows.push((cells.to_vec(), entities + n));
    }
    let dir = dir();
    let (table, outcome) = linked(dir.path(), &[&made]);
    let mut clusters = record_clusters(&outcome);
    clusters.sort_unstable();
    let largest = clusters.chunk_by(|a, b| a == b).map(<[u32]>::len).max().expect("records");
    assert!(largest < 60, "{largest} of {}", table.records());
}

#[test]
fn composed_and_decomposed_names_are_one_record() {
    use unicode_normalization::UnicodeNormalization;
    let mut made = persons(200, 2, 10, 5, 23);
    let name = "Nguyễn Thị Thủy";
    let born = "1990-05-06";
    for (id, text) in
        [("nfc", name.nfc().collect::<String>()), ("nfd", name.nfd().collect()), ("tone", "Nguyễn Thị Thuỷ".into())]
    {
        let cells =
            [id.to_owned(), text, "Trần".into(), born.into(), "1 street x".into(), "hue".into(), "7654321".into()];
        made.rows.push((cells.to_vec(), 9_999));
    }
    let dir = dir();
    let (table, outcome) = linked(dir.path(), &[&made]);
    let clusters = record_clusters(&outcome);
    let last = &clusters[table.records() - 3..];
    assert!(last[0] == last[1] && last[1] == last[2]);
    assert_eq!(outcome.data.nodes(), {
        let mut rows: Vec<Vec<String>> =
            made.rows[..made.rows.len() - 3].iter().map(|(row, _)| row[1..].to_vec()).collect();
        rows.sort();
        rows.dedup();
        rows.len() + 1
    });
}

#[test]
fn empty_and_absurd_fields_link_nothing() {
    let mut made = persons(300, 2, 10, 5, 24);
    let long = "x".repeat(100_000);
    for n in 0..200 {
        made.rows.push(row(&[&format!("e{n}"), "", "", "", "", "", ""]));
    }
    made.rows.push(row(&["l1", &long, "N/A", "99999999", "-", "?", "0"]));
    made.rows.push(row(&["l2", "\u{0}\u{1}\u{202e}", "unknown", "not a date", "''", "….", "0"]));
    let dir = dir();
    let (table, outcome) = linked(dir.path(), &[&made]);
    let clusters = record_clusters(&outcome);
    let mut empty: Vec<u32> = clusters[table.records() - 202..].to_vec();
    empty.sort_unstable();
    empty.dedup();
    assert_eq!(empty.len(), 202, "what is empty is not equal");
}

#[test]
fn the_page_holds_no_markup_of_the_records() {
    let mut made = persons(200, 3, 10, 5, 25);
    for (row, _) in &mut made.rows {
        row[4] = "</script><img src=x onerror=alert(1)>".to_owned() + &row[4];
    }
    let dir = dir();
    let (table, outcome) = linked(dir.path(), &[&made]);
    let out = dir.path().join("out");
    output::write(&out, &table, &outcome).expect("a writable directory");
    let page = std::fs::read_to_string(out.join("report.html")).expect("the page");
    assert!(page.contains("onerror") && !page.contains("<img"));
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org").count());
    assert!(!page.contains("https://"));
}

#[test]
fn faults_name_file_line_and_column() {
    let dir = dir();
    let read = |text: &str| {
        let file = dir.path().join("f.csv");
        std::fs::write(&file, text).expect("a writable directory");
        let mut builder = TableBuilder::new("id");
        read_csv(&file, None, &mut builder, &Silent).map(|()| builder)
    };
    let told = |text: &str| read(text).expect_err("a fault").to_string();
    assert!(told("id,a\n1,x\n2,y,z\n").contains("f.csv, line 3: 3 cells"));
    assert!(told("id,a\n1,x\n,y\n").contains("f.csv, line 3, column 'id': the id is empty"));
    assert!(told("id,a\n1,x\n1,y\n").contains("line 3, column 'id': the id '1' stands in line 2"));
    assert!(told("key,a\n1,x\n").contains("has no column 'id'; it has 'key', 'a'"));
    assert!(told("id,a,a\n1,x,x\n").contains("two columns are called 'a'"));
    assert!(told("").contains("line 1: the file is empty"));
    assert!(matches!(read("id,a\n1,x\n").expect("a file").finish(), Err(Error::TooFew(1))));
    assert!(read("\u{feff}id;a\n1;x\n2;y\n").is_ok());
}

#[test]
fn cells_of_the_output_are_quoted() {
    let mut made = Made { head: vec!["id", "surname", "number"], rows: Vec::new() };
    for n in 0..60 {
        made.rows.push(row(&[&format!("a,\"{n}"), &format!("name{n}"), &format!("{}", 1_000_000 + n * 7_919)]));
        made.rows.push(row(&[&format!("b\n{n}"), &format!("name{n}"), &format!("{}", 1_000_000 + n * 7_919)]));
    }
    let dir = dir();
    let (table, outcome) = linked(dir.path(), &[&made]);
    let out = dir.path().join("out");
    output::write(&out, &table, &outcome).expect("a writable directory");
    let mut reader = csv::Reader::from_path(out.join("clusters.csv")).expect("a CSV file");
    assert_eq!(reader.headers().expect("a heading"), vec!["record", "cluster"]);
    let ids: Vec<String> = reader.records().map(|record| record.expect("a record")[0].to_owned()).collect();
    assert!(ids.contains(&"a,\"7".to_owned()) && ids.contains(&"b\n7".to_owned()));
    let mut pairs = csv::Reader::from_path(out.join("pairs.csv")).expect("a CSV file");
    assert_eq!(pairs.headers().expect("a heading"), vec!["left", "right", "bits", "decision"]);
}
