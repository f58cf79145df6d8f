//! One valid sample per record type. All persons are invented; their numbers start with 099, a
//! province code that was never given.
use contract::{Contract, builtin};
use serde_json::{Value, json};

/// A built-in contract, or the population's, which is compiled from its file.
pub fn contract(register: &str) -> Contract {
    match builtin().iter().find(|found| found.register == register) {
        Some(found) => Contract::compile(found.descriptor_set).expect("a built-in contract compiles"),
        None => Contract::compile(&compile_file(&format!("hub/register/{register}/v1/{register}.proto"), &[]))
            .expect("the contract compiles"),
    }
}

/// The descriptor set of a file under `proto/`, some of its text replaced.
pub fn compile_file(name: &str, replacements: &[(&str, &str)]) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut text = std::fs::read_to_string(format!("{folder}/{name}")).expect("the file is in the repository");
    for (from, to) in replacements {
        assert!(text.contains(from), "{name} does not say {from:?}");
        text = text.replace(from, to);
    }
    compile_text(name, &text)
}

/// The descriptor set of a file with this text, which may import everything that is exported.
pub fn compile_text(name: &str, text: &str) -> Vec<u8> {
    let mut resolver = protox::file::ChainFileResolver::new();
    resolver.add(Texts(vec![(name.to_owned(), text.to_owned())]));
    resolver.add(Texts(contract::export().iter().map(|(path, text)| ((*path).into(), (*text).into())).collect()));
    resolver.add(protox::file::GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(name).expect("the file compiles");
    compiler.encode_file_descriptor_set()
}

struct Texts(Vec<(String, String)>);

impl protox::file::FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        match self.0.iter().find(|(path, _)| path == name) {
            Some((path, text)) => protox::file::File::from_source(path, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

pub fn body(contract: &Contract, record_type: &str, sample: &Value) -> Vec<u8> {
    contract.json_to_body(record_type, sample).expect("the sample fits the record type")
}

/// Every sample: register, record type, JSON.
pub fn all() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("civil", "birth", birth()),
        ("civil", "death", death()),
        ("civil", "marriage", marriage()),
        ("civil", "parent_recognition", parent_recognition()),
        ("civil", "marital_status", marital_status()),
        ("civil", "change", change()),
        ("land", "parcel", parcel()),
        ("land", "right", right()),
        ("land", "restriction", restriction()),
        ("health", "insurance_card", insurance_card()),
        ("health", "encounter", encounter()),
        ("health", "health_book", health_book()),
        ("health", "vaccination", vaccination()),
        ("population", "residence", residence()),
        ("population", "household", household()),
        ("population", "identity_card", identity_card()),
    ]
}

fn unit(code: &str, list_version: &str) -> Value {
    json!({"code": code, "list_version": list_version})
}

fn entry() -> Value {
    json!({
        "number": "12/2015", "book": "01/2015", "page": "7", "registered_on": "09.03.2015",
        "registration_type": 1, "office": "UBND phường Mẫu", "office_unit": unit("00004", "2015-01-01"),
        "signer": "Lê Thị Dung", "signer_title": "Phó Chủ tịch", "clerk": "Phạm Văn Em",
    })
}

pub fn birth() -> Value {
    json!({
        "entry": entry(),
        "child": {
            "full_name": "Nguyễn Văn An", "sex": "Nam", "birth_date": "02.03.2015",
            "birthplace": "Bệnh viện Mẫu", "birthplace_unit": unit("00004", "2015-01-01"),
            "hometown": "Xã Mẫu", "ethnicity": "Kinh", "nationality": "Việt Nam", "birth_type": 1,
            "personal_id": "099215123456", "residence_unit": unit("00004", "2015-01-01"),
        },
        "mother": {
            "full_name": "Trần Thị Bình", "birth_date": "1990", "ethnicity": "Kinh",
            "identity_paper_type": 2, "identity_paper_no": "099190000025",
        },
        "father": {
            "full_name": "Nguyễn Văn Cường", "birth_date": "05.06.1985",
            "identity_paper_type": 1, "identity_paper_no": "123456789",
        },
        "requester": {"full_name": "Nguyễn Văn Cường", "relation": "cha"},
    })
}

pub fn death() -> Value {
    json!({
        "entry": entry(),
        "deceased": {
            "full_name": "Hoàng Văn Phúc", "sex": "Nam", "birth_date": "1940",
            "identity_paper_type": 1, "identity_paper_no": "987654321",
            "death_date": "01.03.2015", "death_time": "14:05", "death_place": "Tại nhà", "death_cause": "Tuổi già",
        },
        "notice": {"notice_type": 1, "number": "5", "issued_on": "01.03.2015", "issuer": "Trạm y tế Mẫu"},
    })
}

pub fn marriage() -> Value {
    json!({
        "entry": entry(),
        "husband": {
            "full_name": "Nguyễn Văn Cường", "sex": "Nam", "birth_date": "05.06.1985",
            "identity_paper_type": 2, "identity_paper_no": "099085000017",
        },
        "wife": {
            "full_name": "Trần Thị Bình", "sex": "Nữ", "birth_date": "07.08.1990",
            "identity_paper_type": 2, "identity_paper_no": "099190000025",
        },
    })
}

pub fn parent_recognition() -> Value {
    json!({
        "entry": entry(),
        "parent": {"full_name": "Nguyễn Văn Cường", "birth_date": "05.06.1985", "identity_paper_no": "099085000017"},
        "child": {"full_name": "Nguyễn Văn An", "birth_date": "02.03.2015", "identity_paper_no": "099215123456"},
        "decision_no": "3/QĐ", "recognition_type": 1,
        "mother_name": "Trần Thị Bình", "father_name": "Nguyễn Văn Cường",
    })
}

pub fn marital_status() -> Value {
    json!({
        "entry": entry(),
        "person": {"full_name": "Vũ Thị Giang", "birth_date": "01.02.1995", "identity_paper_no": "099195000031"},
        "status_text": "Chưa đăng ký kết hôn với ai", "residence_from": "2010", "residence_until": "09.03.2015",
        "status": "single", "purpose": "Kết hôn",
    })
}

pub fn change() -> Value {
    json!({
        "entry": entry(),
        "person": {
            "full_name": "Nguyễn Văn Cường", "sex": "Nam", "birth_date": "05.06.1985",
            "identity_paper_no": "099085000017",
        },
        "decision_no": "8/QĐ",
        "changes": [{"field_name": "GioiTinh", "old_value": "Nữ", "new_value": "Nam"}],
        "previous_personal_id": "099185000017",
    })
}

pub fn parcel() -> Value {
    json!({
        "parcel_id": "w7er8u0evss2", "unit": unit("07954", "2025-07-01"), "sheet": "1", "number": "2",
        "address_as_printed": "Thôn 1, xã Mẫu, huyện Mẫu, tỉnh Mẫu", "address": "Xã Mẫu, tỉnh Mẫu",
        "area": "120.5", "data_state": "usable",
        "land_uses": [
            {"code": "ODT", "area": "100", "origin": "CNQ-CTT", "form": "own", "term": "long-term"},
            {"code": "CLN", "area": "20.5", "origin": "NTK", "form": "own", "term": "31/12/2043"},
        ],
        "derived_from": [{"parcel_id": "w3gvk1c5zpv8", "unit": unit("07954", "2024-01-01")}],
        "surveyed_on": "02/03/2019",
    })
}

pub fn right() -> Value {
    json!({
        "certificate": {"serial": "AD 123456", "issued_on": "02/03/2019", "registry_no": "CH 00001", "area": "120.5"},
        "parcel": {
            "parcel_id": "w7er8u0evss2", "unit": unit("07954", "2025-07-01"), "sheet": "1", "number": "2",
            "address": "Xã Mẫu, tỉnh Mẫu", "area": "120.5",
            "land_uses": [
                {"code": "ODT", "area": "100", "origin": "CNQ-CTT", "form": "own", "term": "long-term"},
                {"code": "CLN", "area": "20.5", "origin": "NTK", "form": "own", "term": "long-term"},
            ],
        },
        "parties": [
            {"type": "spouses", "name": "Nguyễn Văn Cường", "identity_no": "099085000017", "birth_date": "1985",
             "sex": "Nam", "address": "Xã Mẫu", "role": "owner"},
            {"type": "spouses", "name": "Trần Thị Bình", "address": "Xã Mẫu", "role": "co_owner"},
            {"type": "organisation", "name": "Ngân hàng Mẫu", "organisation_id": "0100233488", "role": "mortgagee"},
        ],
        "current_user": {"name": "Nguyễn Văn Cường", "identity_no": "099085000017", "change_reason": "Thừa kế"},
        "assets": [{"type": "house", "built_area": "80", "floor_area": "160", "ownership": "own"}],
    })
}

pub fn restriction() -> Value {
    json!({
        "parcel": {"parcel_id": "w7er8u0evss2", "unit": unit("07954", "2025-07-01")},
        "type": "mortgage",
        "holder": {"type": "person", "name": "Đỗ Văn Hải", "identity_no": "099080000019", "role": "mortgagee"},
        "registry_no": "55", "registered_on": "03/04/2022",
    })
}

fn patient(sample: Value) -> Value {
    let mut patient = json!({
        "full_name": "Trần Thị Bình", "personal_id": "099190000025", "birth_date": "19900807", "sex": 2,
        "residence_unit": unit("00004", "2025-07-01"),
    });
    let fields = patient.as_object_mut().expect("an object");
    fields.extend(sample.as_object().expect("an object").clone());
    patient
}

pub fn insurance_card() -> Value {
    patient(json!({
        "card_no": "DN4010123456789", "insurance_no": "0123456789", "valid_from": "20250101",
        "valid_until": "20251231", "insurance_group": "DN", "first_facility": "01001",
        "address": "Phường Mẫu", "phone": "0900000000",
    }))
}

pub fn encounter() -> Value {
    patient(json!({
        "encounter_id": "LK-1", "patient_id": "BN-1", "card_nos": "DN4010123456789;0123456789",
        "admitted_at": "202509010800", "discharged_at": "202509031000", "diagnosis": "Viêm phổi",
        "main_icd10": "J18.9", "other_icd10": "I10;E11.9", "outcome": 1, "facility": "01001",
    }))
}

pub fn health_book() -> Value {
    patient(json!({
        "blood_group": "O+", "allergies": ["penicillin"], "chronic_conditions": ["I10"],
        "entered_at": "202509031000", "facility": "01001", "height_cm": 158, "weight_g": 52000,
        "systolic_mmhg": 120, "diastolic_mmhg": 80,
    }))
}

pub fn vaccination() -> Value {
    patient(json!({
        "vaccine": "VGB", "dose": 1, "given_at": "201503031000", "lot_no": "L1", "facility": "01001",
        "mother_name": "Lê Thị Hoa",
    }))
}

pub fn residence() -> Value {
    json!({
        "full_name": "Trần Thị Bình", "personal_id": "099190000025", "old_id": "111222333",
        "birth_date": "1990-08-07", "sex": "Nữ", "hometown": "Xã Mẫu", "ethnicity": "Kinh", "nationality": "Việt Nam",
        "permanent_address": "Phường Mẫu", "permanent_unit": unit("00004", "2025-07-01"),
        "household_no": "HS-1", "marital_status": "married", "mother_name": "Lê Thị Hoa",
        "previous_personal_ids": ["099190000017"],
        "dwelling": {"parcel_id": "w7er8u0evss2"},
    })
}

pub fn household() -> Value {
    json!({
        "household_no": "HS-1", "address": "Phường Mẫu", "unit": unit("00004", "2025-07-01"),
        "head": {"full_name": "Nguyễn Văn Cường", "personal_id": "099085000017", "birth_date": "1985-06-05",
                 "relation_to_head": "head"},
        "members": [
            {"full_name": "Trần Thị Bình", "personal_id": "099190000025", "birth_date": "1990-08-07",
             "relation_to_head": "spouse"},
            {"full_name": "Nguyễn Văn An", "personal_id": "099215123456", "birth_date": "2015-03-02",
             "relation_to_head": "child"},
        ],
    })
}

pub fn identity_card() -> Value {
    json!({
        "card_no": "099190000025", "personal_id": "099190000025", "old_id": "111222333",
        "full_name": "Trần Thị Bình", "birth_date": "1990-08-07", "sex": "Nữ", "nationality": "Việt Nam",
        "issued_on": "2021-05-04", "valid_until": "2030-08-07",
        "residence_unit": unit("00004", "2025-07-01"), "residence": "Phường Mẫu",
    })
}
