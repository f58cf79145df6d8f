//! Guesses how columns are compared, from their names and from what stands in them.

use crate::date::{self, DateParts};
use crate::fold::{digits, fold_text, says_nothing, tokens};
use crate::spec::{ColumnSpec, Kind, Spec};
use crate::table::{RawColumn, Table, plain_name};

/// Distinct values that are looked at.
const LOOKED_AT: usize = 2_000;

/// Columns that hold the result of an earlier linkage: comparing them would compare opinions, not records.
const RESULTS: [&str; 13] = [
    "cluster",
    "clusterid",
    "trueid",
    "truth",
    "groundtruth",
    "entityid",
    "trueentity",
    "truecluster",
    "goldid",
    "matchid",
    "duplicateof",
    "clusternumber",
    "trueclusterid",
];

/// Columns that say where a record comes from, which says nothing of whom it is about; of at most [`SOURCES_MAX`] values.
const SOURCES: [&str; 16] = [
    "source",
    "src",
    "sourcefile",
    "sourcesystem",
    "sourcedataset",
    "dataset",
    "datasource",
    "database",
    "register",
    "registry",
    "registersource",
    "origin",
    "provenance",
    "system",
    "file",
    "filename",
];
const SOURCES_MAX: usize = 50;

/// What stands in a column, in shares of the values that were looked at.
#[derive(Debug, Default)]
struct Content {
    distinct: usize,
    filled: usize,
    dates: f64,
    emails: f64,
    numbers: f64,
    decimals: f64,
    phones: f64,
    with_digit: f64,
    points: f64,
    tokens: f64,
    length: f64,
    one_length: bool,
    most: f64,
}

/// Guesses a spec for a table: every column that holds something, but those that `ignore` names.
pub fn guess(table: &Table, ignore: &[String]) -> Spec {
    let mut spec = Spec { ignore: ignore.to_vec(), ..Spec::default() };
    for column in &table.columns {
        if ignore.contains(&column.name) {
            continue;
        }
        let content = content_of(column);
        let name = plain_name(&column.name);
        let source = SOURCES.contains(&name.as_str()) && content.distinct <= SOURCES_MAX;
        if content.distinct < 2 || source || RESULTS.contains(&name.as_str()) {
            spec.ignore.push(column.name.clone());
            continue;
        }
        let kind = kind_of(&name, &words_of(&column.name), &content);
        spec.columns.push(ColumnSpec { name: column.name.clone(), kind, longitude: None, swaps_with: None });
    }
    drop_repeats(&mut spec, table);
    join_points(&mut spec);
    find_swaps(&mut spec);
    spec
}

fn words_of(name: &str) -> Vec<String> {
    // `birthDate` is two words; what stands before `#` or `/` of an address of a vocabulary is not the name.
    let name = name.rsplit(['#', '/']).next().unwrap_or(name);
    let mut spaced = String::new();
    let mut last_low = false;
    for c in name.chars() {
        if c.is_uppercase() && last_low {
            spaced.push(' ');
        }
        last_low = c.is_lowercase();
        spaced.push(c);
    }
    let mut folded = Vec::new();
    fold_text(&spaced, &mut folded);
    tokens(&folded).map(|token| String::from_utf8_lossy(token).into_owned()).collect()
}

/// Distinct values are looked at in steps, so that all of the column takes part.
fn content_of(column: &RawColumn) -> Content {
    let mut content = Content {
        distinct: column.values.len().saturating_sub(1),
        filled: column.codes.iter().filter(|code| **code != 0).count(),
        one_length: true,
        ..Content::default()
    };
    content.most = most_frequent(column, content.filled);
    let step = (content.distinct / LOOKED_AT).max(1);
    let (mut seen, mut first_length) = (0.0f64, None);
    let mut folded = Vec::new();
    for place in (1..column.values.len()).step_by(step) {
        let raw = column.values.get(place);
        let text = column.values.text(place);
        fold_text(&text, &mut folded);
        if says_nothing(&folded) {
            continue;
        }
        seen += 1.0;
        let is = |yes: bool| f64::from(u8::from(yes));
        let number = number_of(&text);
        content.dates += is(is_date(&folded));
        content.emails += is(raw.iter().filter(|byte| **byte == b'@').count() == 1);
        content.numbers += is(number.is_some());
        content.decimals += is(number.is_some_and(|n| n.fract() != 0.0));
        content.phones += is(is_phone(raw));
        content.points += is(point_of(&text).is_some());
        content.with_digit += is(folded.iter().any(u8::is_ascii_digit));
        content.tokens += tokens(&folded).count() as f64;
        content.length += folded.len() as f64;
        content.one_length &= *first_length.get_or_insert(folded.len()) == folded.len();
    }
    for share in [
        &mut content.dates,
        &mut content.emails,
        &mut content.numbers,
        &mut content.decimals,
        &mut content.phones,
        &mut content.points,
        &mut content.with_digit,
        &mut content.tokens,
        &mut content.length,
    ] {
        *share /= seen.max(1.0);
    }
    if seen == 0.0 {
        content.distinct = 0;
    }
    content
}

fn most_frequent(column: &RawColumn, filled: usize) -> f64 {
    let mut counts = vec![0u32; column.values.len()];
    for code in &column.codes {
        counts[*code as usize] += 1;
    }
    f64::from(counts.iter().skip(1).copied().max().unwrap_or(0)) / filled.max(1) as f64
}

fn is_date(folded: &[u8]) -> bool {
    // A bare year is a number.
    let both = [date::Order::DayFirst, date::Order::MonthFirst].map(|order| date::parse(folded, order));
    let real = |date: &DateParts| date.is_plausible() && date.month() > 0 && date.year() > 1_200;
    both.iter().flatten().any(real)
}

fn is_phone(raw: &[u8]) -> bool {
    let count = digits(raw).len();
    (7..=15).contains(&count) && raw.iter().all(|byte| byte.is_ascii_digit() || b" +-.()/".contains(byte))
}

/// Reads a quantity: a currency sign, thousands' commas and a unit after it are let be.
pub(crate) fn number_of(text: &str) -> Option<f64> {
    let text = text.trim().trim_start_matches(['$', '€', '£', '¥', '~', '(']).trim();
    let text = text.trim_end_matches(['$', '€', '£', '¥', '₫', '%', ')', '.', ',']).trim();
    let plain: String = text.chars().filter(|c| *c != ',' && *c != ' ' && *c != '_').collect();
    let body = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    let fits = !body.is_empty() && body.len() <= 18 && body.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    // More than one point is a version or a date.
    (fits && body.bytes().filter(|b| *b == b'.').count() <= 1).then(|| plain.parse().ok()).flatten()
}

/// Reads `latitude,longitude`.
pub(crate) fn point_of(text: &str) -> Option<(f64, f64)> {
    let text = text.trim().trim_start_matches("POINT").trim_matches(['(', ')', '[', ']', ' ']);
    let (a, b) = text.split_once([',', ';', ' '])?;
    // Text that is no number is no point: the reason why it is none matters to nobody.
    let (a, b): (f64, f64) = (a.trim().parse().ok()?, b.trim().parse().ok()?);
    (a.abs() <= 90.0 && b.abs() <= 180.0 && text.contains('.')).then_some((a, b))
}

fn kind_of(name: &str, words: &[String], content: &Content) -> Kind {
    let says = |hints: &[&str]| {
        hints.iter().any(|hint| words.iter().any(|word| word == hint) || (hint.len() >= 5 && name.contains(hint)))
    };
    if content.emails > 0.6 {
        return Kind::Email;
    }
    if content.points > 0.8 {
        return Kind::Point;
    }
    if content.dates > 0.75 && !says(&["phone", "tel", "mobile", "fax"]) {
        return Kind::Date;
    }
    if says(&["phone", "tel", "telephone", "mobile", "fax", "msisdn", "sdt", "dienthoai", "cell", "phonenumber"])
        && content.with_digit > 0.6
    {
        return Kind::Phone;
    }
    if content.numbers > 0.8 {
        return number_kind(&says, content);
    }
    if content.phones > 0.7 && !content.one_length {
        return Kind::Phone;
    }
    text_kind(&says, content)
}

fn number_kind(says: &dyn Fn(&[&str]) -> bool, content: &Content) -> Kind {
    const QUANTITIES: [&str; 26] = [
        "price",
        "amount",
        "total",
        "year",
        "age",
        "count",
        "weight",
        "height",
        "size",
        "duration",
        "runtime",
        "minutes",
        "rating",
        "score",
        "enrollment",
        "number",
        "num",
        "quantity",
        "cost",
        "salary",
        "income",
        "nam",
        "tuoi",
        "gia",
        "lat",
        "volume",
    ];
    const IDS: [&str; 11] =
        ["id", "code", "ssn", "street", "house", "post", "zip", "postcode", "phone", "isbn", "provider"];
    let quantity = says(&QUANTITIES) || says(&["lng", "lon", "latitude", "longitude"]);
    if content.decimals > 0.05 || (quantity && !says(&IDS)) { Kind::Number } else { Kind::Code }
}

fn text_kind(says: &dyn Fn(&[&str]) -> bool, content: &Content) -> Kind {
    const PERSONS: [&str; 24] = [
        "given",
        "first",
        "forename",
        "fore",
        "surname",
        "last",
        "family",
        "middle",
        "firstname",
        "lastname",
        "fullname",
        "givenname",
        "hoten",
        "ho",
        "ten",
        "hovaten",
        "person",
        "mother",
        "father",
        "spouse",
        "maiden",
        "alias",
        "nickname",
        "director",
    ];
    const ADDRESSES: [&str; 10] =
        ["address", "addr", "street", "diachi", "road", "residence", "location", "address1", "address2", "duong"];
    const ORGANISATIONS: [&str; 17] = [
        "company",
        "organisation",
        "organization",
        "org",
        "agency",
        "employer",
        "venue",
        "journal",
        "booktitle",
        "brand",
        "manufacturer",
        "publisher",
        "institution",
        "school",
        "hospital",
        "coquan",
        "congty",
    ];
    const TEXTS: [&str; 12] = [
        "title",
        "description",
        "text",
        "abstract",
        "author",
        "authors",
        "editor",
        "tracks",
        "comment",
        "memo",
        "note",
        "tieude",
    ];
    let short = content.tokens <= 1.6 && content.length <= 20.0;
    if content.with_digit > 0.5 && short {
        return Kind::Code;
    }
    if says(&PERSONS) && content.tokens <= 8.0 {
        return Kind::Name;
    }
    let longish = content.tokens > 1.7;
    if says(&TEXTS) && longish {
        return Kind::Text;
    }
    if says(&ADDRESSES) && longish {
        return Kind::Address;
    }
    if says(&ORGANISATIONS) && longish {
        return Kind::Organisation;
    }
    match content {
        // A few values that all records share are categories; so are codes of letters.
        _ if content.distinct <= 40 && content.most > 0.02 && content.tokens < 1.5 => Kind::Code,
        _ if content.length <= 3.5 => Kind::Code,
        _ if content.with_digit > 0.5 && content.tokens <= 2.5 && content.length <= 14.0 => Kind::Code,
        _ if content.with_digit > 0.4 => Kind::Address,
        _ if content.tokens <= 4.0 && content.length <= 32.0 => Kind::Name,
        _ => Kind::Text,
    }
}

/// A latitude and a longitude are one point.
fn join_points(spec: &mut Spec) {
    let named = |column: &ColumnSpec, hints: &[&str]| {
        column.kind == Kind::Number && words_of(&column.name).iter().any(|word| hints.contains(&word.as_str()))
    };
    let latitude = spec.columns.iter().position(|column| named(column, &["lat", "latitude"]));
    let longitude = spec.columns.iter().position(|column| named(column, &["lng", "lon", "long", "longitude"]));
    if let (Some(latitude), Some(longitude)) = (latitude, longitude) {
        spec.columns[latitude].kind = Kind::Point;
        spec.columns[latitude].longitude = Some(spec.columns[longitude].name.clone());
        spec.columns.remove(longitude);
    }
}

/// Given name and surname, and the lines of an address, are written in each other's place.
fn find_swaps(spec: &mut Spec) {
    const GIVEN: [&str; 6] = ["given", "first", "firstname", "givenname", "forename", "ten"];
    const FAMILY: [&str; 6] = ["surname", "last", "family", "lastname", "familyname", "ho"];
    let is_one_of = |name: &str, hints: &[&str]| {
        let words = words_of(name);
        words.iter().any(|word| hints.contains(&word.as_str()))
            && !words.iter().any(|word| ["full", "and"].contains(&word.as_str()))
    };
    let find = |hints: &[&str], kind: fn(Kind) -> bool| {
        spec.columns.iter().position(|column| kind(column.kind) && is_one_of(&column.name, hints))
    };
    let names = (find(&GIVEN, |kind| kind == Kind::Name), find(&FAMILY, |kind| kind == Kind::Name));
    let mut lines = Vec::new();
    for (place, column) in spec.columns.iter().enumerate() {
        let words = words_of(&column.name).concat();
        if column.kind != Kind::Code && ["address1", "address2", "addressline1", "addressline2"].contains(&&*words) {
            lines.push(place);
        }
    }
    let lines = if let [a, b] = lines[..] { (Some(a), Some(b)) } else { (None, None) };
    for pair in [names, lines] {
        if let (Some(a), Some(b)) = pair {
            let (first, second) = (spec.columns[a].name.clone(), spec.columns[b].name.clone());
            spec.columns[a].swaps_with = Some(second);
            spec.columns[b].swaps_with = Some(first);
        }
    }
}

/// Records that are looked at for what columns repeat.
const RECORDS_LOOKED_AT: usize = 3_000;

/// Share of a column's words that stand in another column of the same record when it is a part of that column.
const PART_SHARE: f64 = 0.85;
/// Share of a column's words that stand in its parts when the parts can stand for it.
const COVERED_SHARE: f64 = 0.5;

/// Columns that repeat others would be counted twice. A column that is made of several others (`full_name` beside
/// `first_name` and `surname`) is left out for them; a column that is a part of one other (`street` beside `address`) is
/// left out for the whole.
fn drop_repeats(spec: &mut Spec, table: &Table) {
    let named = |kind: Kind| kind == Kind::Name || kind.has_tokens();
    let texts = spec.columns.iter().filter(|column| named(column.kind));
    let texts: Vec<&RawColumn> = texts.filter_map(|column| table.column(&column.name)).collect();
    let words = words_by_record(&texts, table.records());
    let mut dropped: Vec<usize> = Vec::new();
    // The longest first: it is the whole of most.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|place| (std::cmp::Reverse(words[*place].iter().map(Vec::len).sum::<usize>()), *place));
    for whole in order {
        if dropped.contains(&whole) {
            continue;
        }
        let left = (0..texts.len()).filter(|place| *place != whole && !dropped.contains(place));
        let parts: Vec<usize> = left.filter(|part| share_in(&words[*part], &[&words[whole]]) > PART_SHARE).collect();
        let lists: Vec<&Vec<Vec<Vec<u8>>>> = parts.iter().map(|part| &words[*part]).collect();
        match parts[..] {
            [] => {}
            [part] => dropped.push(part),
            _ if share_in(&words[whole], &lists) > COVERED_SHARE => dropped.push(whole),
            _ => dropped.extend(parts),
        }
    }
    let dropped: Vec<String> = dropped.into_iter().map(|place| texts[place].name.clone()).collect();
    spec.columns.retain(|column| !dropped.contains(&column.name));
    spec.ignore.extend(dropped);
}

/// By column and looked-at record, the words of the value.
fn words_by_record(columns: &[&RawColumn], records: usize) -> Vec<Vec<Vec<Vec<u8>>>> {
    let step = (records / RECORDS_LOOKED_AT).max(1);
    let mut folded = Vec::new();
    let mut words = |column: &RawColumn, record: usize| -> Vec<Vec<u8>> {
        fold_text(&column.values.text(column.codes[record] as usize), &mut folded);
        tokens(&folded).map(<[u8]>::to_vec).collect()
    };
    columns.iter().map(|column| (0..records).step_by(step).map(|record| words(column, record)).collect()).collect()
}

/// Share of a column's words that stand in one of the others, over all records that have the column.
fn share_in(own: &[Vec<Vec<u8>>], others: &[&Vec<Vec<Vec<u8>>>]) -> f64 {
    let (mut all, mut found) = (0usize, 0usize);
    for (record, words) in own.iter().enumerate() {
        all += words.len();
        found += words.iter().filter(|word| others.iter().any(|other| other[record].contains(word))).count();
    }
    if all < 20 { 0.0 } else { found as f64 / all as f64 }
}
