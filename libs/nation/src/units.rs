//! The nation's administrative units: invented names, codes that no real list uses, and a reform from three levels to two.
//!
//! As in the real reform, a new unit takes over the code of one of the old units in it, mostly under another name; so a code
//! means nothing without its list. Five old communes are split between two new ones.

use std::fmt::Write as _;

use crate::calendar::REFORM;

/// Version of the list before the reform, with districts.
pub const OLD_LIST: &str = "2004-01-01";
/// Version of the list from the reform on.
pub const NEW_LIST: &str = "2025-07-01";

/// Old provinces: code, name, code of the new province. The codes are assigned to no real province.
const PROVINCES: [(&str, &str, &str); 6] = [
    ("03", "Tỉnh Sơn Lâm", "03"),
    ("05", "Tỉnh Thanh Khê", "03"),
    ("07", "Tỉnh Hải Bình", "07"),
    ("09", "Tỉnh An Phước", "07"),
    ("13", "Tỉnh Kim Giang", "13"),
    ("18", "Thành phố Long Châu", "18"),
];
/// Provinces from the reform on.
const NEW_PROVINCES: [(&str, &str); 4] =
    [("03", "Tỉnh Sơn Lâm"), ("07", "Tỉnh Hải An"), ("13", "Tỉnh Kim Giang"), ("18", "Thành phố Long Châu")];
const FIRST: [&str; 12] = ["Tân", "Bình", "Phú", "Vĩnh", "An", "Đông", "Hòa", "Mỹ", "Thạch", "Xuân", "Yên", "Quảng"];
const SECOND: [&str; 12] =
    ["Lộc", "Thành", "Hưng", "Sơn", "Hải", "Thủy", "Phong", "Trạch", "Lĩnh", "Đức", "Khánh", "Ninh"];

/// Districts in each old province, communes in each district, and old communes that make one new commune.
const DISTRICTS: usize = 4;
const COMMUNES: usize = 6;
const MERGED: usize = 3;
/// Old communes in the whole nation.
pub(crate) const OLD_COMMUNES: u16 = (PROVINCES.len() * DISTRICTS * COMMUNES) as u16;
/// New communes in the whole nation.
pub(crate) const NEW_COMMUNES: u16 = OLD_COMMUNES / MERGED as u16;
/// Every so-manieth old commune is split.
const SPLIT_EVERY: u16 = 29;

/// One administrative unit of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Two digits for a province, three for an old district, five for a commune.
    pub code: String,
    /// Name with its type, such as "Xã Tân Lộc".
    pub name: String,
    /// Code of its province; its own for a province.
    pub province: String,
}

/// One dated list of administrative units, and the same as CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitListCsv {
    /// Version of the list, as records name it.
    pub version: &'static str,
    /// First day on which the list holds, `YYYY-MM-DD`.
    pub valid_from: &'static str,
    /// Version of the list that it replaces; empty for the first.
    pub previous: &'static str,
    /// Every unit of every level, ascending by code.
    pub units: Vec<Unit>,
    /// (code in the previous list, code in this list), ascending; several rows with one old code: that unit was split.
    pub map: Vec<(String, String)>,
    /// Files as an importer takes them: (name, text with a header line). The columns are those of the published tables of the
    /// real reform.
    pub files: Vec<(&'static str, String)>,
}

/// An administrative unit as records print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) code: u32,
    pub(crate) list: &'static str,
}

/// Code of an old commune.
pub(crate) fn old_code(commune: u16) -> u32 {
    90_001 + 3 * u32::from(commune)
}

/// The new commune of an old one; `half` decides for a split one.
pub(crate) fn successor(commune: u16, half: bool) -> u16 {
    let whole = commune / MERGED as u16;
    if !is_split(commune) || !half {
        return whole;
    }
    // The other half goes to the neighbour in the same province.
    let per_province = (DISTRICTS * COMMUNES / MERGED) as u16;
    let province = whole / per_province;
    province * per_province + (whole + 1) % per_province
}

/// True when the reform split the old commune.
pub(crate) fn is_split(commune: u16) -> bool {
    commune % SPLIT_EVERY == SPLIT_EVERY - 7
}

/// Code of a new commune: that of the second old commune in it.
pub(crate) fn new_code(commune: u16) -> u32 {
    old_code(commune * MERGED as u16 + 1)
}

/// The commune as a record of that day prints it.
pub(crate) fn printed(commune: u16, half: bool, day: i32) -> Printed {
    if day < REFORM {
        Printed { code: old_code(commune), list: OLD_LIST }
    } else {
        Printed { code: new_code(successor(commune, half)), list: NEW_LIST }
    }
}

/// Index of the old province of an old commune.
pub(crate) fn old_province(commune: u16) -> usize {
    usize::from(commune) / (DISTRICTS * COMMUNES)
}

/// Code of the province under which a record of that day falls.
pub(crate) fn province_code(commune: u16, day: i32) -> &'static str {
    let (old, _, new) = PROVINCES[old_province(commune)];
    if day < REFORM { old } else { new }
}

fn old_name(commune: u16) -> String {
    let n = usize::from(commune);
    let kind = if old_province(commune) == 5 { "Phường" } else { "Xã" };
    // 144 names over 144 communes, each once; 7 is prime to 144.
    let mixed = n * 7 % (FIRST.len() * SECOND.len());
    format!("{kind} {} {}", FIRST[mixed / SECOND.len()], SECOND[mixed % SECOND.len()])
}

fn new_name(commune: u16) -> String {
    // Two of three keep the name of the first unit in it, the third takes that of the one whose code it has.
    let source = commune * MERGED as u16 + u16::from(commune.is_multiple_of(3));
    old_name(source)
}

fn district_code(district: usize) -> String {
    format!("{}", 976 + district)
}

fn district_name(district: usize) -> String {
    format!("Huyện {} {}", SECOND[district % 12], FIRST[(district * 5 + 3) % 12])
}

/// The address of a house as a paper of that day prints it.
pub(crate) fn address(hamlet: u32, commune: u16, half: bool, day: i32) -> String {
    if day < REFORM {
        let district = usize::from(commune) / COMMUNES;
        let province = PROVINCES[old_province(commune)].1;
        return format!("Thôn {hamlet}, {}, {}, {province}", old_name(commune), district_name(district));
    }
    let target = successor(commune, half);
    let code = province_code(commune, day);
    let province = NEW_PROVINCES.iter().find(|(c, _)| *c == code).expect("every old province leads to a new one").1;
    format!("Thôn {hamlet}, {}, {province}", new_name(target))
}

/// Name of the commune's people's committee, which keeps the civil status books.
pub(crate) fn office(commune: u16, half: bool, day: i32) -> String {
    let name = if day < REFORM { old_name(commune) } else { new_name(successor(commune, half)) };
    format!("UBND {name}")
}

/// The two dated lists of the nation, oldest first.
pub(crate) fn lists() -> Vec<UnitListCsv> {
    vec![old_list(), new_list()]
}

fn old_list() -> UnitListCsv {
    let mut units = Vec::new();
    let mut csv = String::from("code,name,type,district_code,district,province_code,province\n");
    for (code, name, _) in PROVINCES {
        units.push(Unit { code: code.into(), name: name.into(), province: code.into() });
    }
    for district in 0..PROVINCES.len() * DISTRICTS {
        let province = PROVINCES[district / DISTRICTS].0.to_owned();
        units.push(Unit { code: district_code(district), name: district_name(district), province });
    }
    for commune in 0..OLD_COMMUNES {
        let (code, name, district) = (old_code(commune), old_name(commune), usize::from(commune) / COMMUNES);
        let (province, province_name, _) = PROVINCES[old_province(commune)];
        let kind = name.split(' ').next().expect("a name has a first word");
        let (district_code, district) = (district_code(district), district_name(district));
        writeln!(csv, "{code},{name},{kind},{district_code},{district},{province},{province_name}")
            .expect("writing to a string does not fail");
        units.push(Unit { code: code.to_string(), name, province: province.into() });
    }
    units.sort_by(|a, b| a.code.cmp(&b.code));
    let files = vec![("legacy_communes.csv", csv)];
    UnitListCsv { version: OLD_LIST, valid_from: OLD_LIST, previous: "", units, map: Vec::new(), files }
}

fn new_list() -> UnitListCsv {
    let mut units: Vec<Unit> = NEW_PROVINCES
        .iter()
        .map(|(code, name)| Unit { code: (*code).into(), name: (*name).into(), province: (*code).into() })
        .collect();
    for commune in 0..NEW_COMMUNES {
        let province = province_code(commune * MERGED as u16, REFORM).to_owned();
        units.push(Unit { code: new_code(commune).to_string(), name: new_name(commune), province });
    }
    units.sort_by(|a, b| a.code.cmp(&b.code));
    let mut map: Vec<(String, String)> = PROVINCES.iter().map(|(old, _, new)| ((*old).into(), (*new).into())).collect();
    for commune in 0..OLD_COMMUNES {
        for half in halves(commune) {
            map.push((old_code(commune).to_string(), new_code(successor(commune, *half)).to_string()));
        }
    }
    map.sort();
    let files = vec![
        ("provinces.csv", provinces_csv()),
        ("province_old_to_new.csv", province_map_csv()),
        ("communes.csv", communes_csv()),
        ("legacy_to_new.csv", commune_map_csv()),
    ];
    UnitListCsv { version: NEW_LIST, valid_from: NEW_LIST, previous: OLD_LIST, units, map, files }
}

fn halves(commune: u16) -> &'static [bool] {
    if is_split(commune) { &[false, true] } else { &[false] }
}

fn lines(header: &str, rows: impl Iterator<Item = String>) -> String {
    let mut text = format!("{header}\n");
    rows.for_each(|row| {
        text.push_str(&row);
        text.push('\n');
    });
    text
}

fn provinces_csv() -> String {
    let header = "code,name,type_2025_07_01,communes,legacy_provinces";
    lines(
        header,
        NEW_PROVINCES.iter().map(|(code, name)| {
            let olds: Vec<&str> = PROVINCES.iter().filter(|(_, _, new)| new == code).map(|(old, _, _)| *old).collect();
            let kind = if name.starts_with("Tỉnh") { "tỉnh" } else { "thành phố" };
            let communes = olds.len() * DISTRICTS * COMMUNES / MERGED;
            format!("{code},{name},{kind},{communes},{}", olds.join("|"))
        }),
    )
}

fn province_map_csv() -> String {
    lines(
        "legacy_code,legacy_name,id_number_prefix,new_code,new_name",
        PROVINCES.iter().map(|(old, name, new)| {
            let new_name =
                NEW_PROVINCES.iter().find(|(c, _)| c == new).expect("every old province leads to a new one").1;
            format!("{old},{name},099,{new},{new_name}")
        }),
    )
}

fn communes_csv() -> String {
    lines(
        "code,name,type_2025_07_01,province_code,code_also_in_legacy_list,legacy_name_same_code",
        (0..NEW_COMMUNES).map(|commune| {
            let name = new_name(commune);
            let kind = name.split(' ').next().expect("a name has a first word");
            let province = province_code(commune * MERGED as u16, REFORM);
            let before = old_name(commune * MERGED as u16 + 1);
            format!("{},{name},{kind},{province},1,{before}", new_code(commune))
        }),
    )
}

fn commune_map_csv() -> String {
    let rows: Vec<(u16, u16)> =
        (0..OLD_COMMUNES).flat_map(|old| halves(old).iter().map(move |half| (old, successor(old, *half)))).collect();
    lines(
        "legacy_province_code,legacy_district_code,legacy_commune_code,new_commune_code,relation,n_targets,n_sources_of_target",
        rows.iter().map(|(old, new)| {
            let sources = rows.iter().filter(|(_, to)| to == new).count();
            let relation = if is_split(*old) { "split_part" } else { "whole_into" };
            let province = PROVINCES[old_province(*old)].0;
            let district = district_code(usize::from(*old) / COMMUNES);
            let targets = halves(*old).len();
            format!("{province},{district},{},{},{relation},{targets},{sources}", old_code(*old), new_code(*new))
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_ascending_unique_and_the_map_leads_somewhere() {
        for list in lists() {
            assert!(list.units.windows(2).all(|w| w[0].code < w[1].code), "{}", list.version);
            assert!(list.map.windows(2).all(|w| w[0] < w[1]), "{}", list.version);
            for (_, new) in &list.map {
                assert!(list.units.iter().any(|unit| unit.code == *new), "{new}");
            }
        }
    }

    #[test]
    fn five_communes_are_split_within_their_province() {
        let split: Vec<u16> = (0..OLD_COMMUNES).filter(|c| is_split(*c)).collect();
        assert_eq!(split.len(), 5);
        for commune in split {
            let (a, b) = (successor(commune, false), successor(commune, true));
            assert_ne!(a, b);
            assert_eq!(province_code(a * 3, REFORM), province_code(b * 3, REFORM));
        }
    }

    #[test]
    fn most_new_codes_named_another_unit_before() {
        let renamed = (0..NEW_COMMUNES).filter(|c| new_name(*c) != old_name(c * 3 + 1)).count();
        assert!(renamed * 2 > usize::from(NEW_COMMUNES), "{renamed}");
    }

    #[test]
    fn old_commune_names_are_distinct() {
        let mut names: Vec<String> =
            (0..OLD_COMMUNES).map(|c| old_name(c).split_once(' ').expect("two words").1.into()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), usize::from(OLD_COMMUNES));
    }
}
