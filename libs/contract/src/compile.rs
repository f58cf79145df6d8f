//! From a descriptor set to a [`Contract`].

use std::collections::BTreeSet;
use std::sync::Arc;

use prost_reflect::{FileDescriptor, MessageDescriptor};
use record::ContractId;
use validate::Schema;

use crate::canonical;
use crate::date;
use crate::error::{ContractError, UnknownRecordType};
use crate::model::RecordType;
use crate::options::{self, DateFormat, OnFile, OnMessage};
use crate::record_type;
use crate::value::PartialDate;

/// Largest descriptor set, in bytes, inclusive.
pub const DESCRIPTOR_SET_BYTES_MAX: usize = 4 << 20;
/// Most message types in a descriptor set, inclusive.
pub const MESSAGES_MAX: usize = 2048;
/// Longest name of a register, record type or role, in bytes, inclusive.
pub const NAME_BYTES_MAX: usize = 32;

/// What a register promises about its records, compiled from a descriptor set.
#[derive(Debug)]
pub struct Contract {
    id: ContractId,
    file: String,
    register: String,
    title: String,
    agency: String,
    pub(crate) schema: Schema,
    pub(crate) record_types: Vec<RecordType>,
}

impl Contract {
    /// Compiles an encoded `google.protobuf.FileDescriptorSet` with all imports.
    ///
    /// # Errors
    ///
    /// The first thing that makes the set no contract, with its place and what to do.
    pub fn compile(descriptor_set: &[u8]) -> Result<Self, ContractError> {
        if descriptor_set.len() > DESCRIPTOR_SET_BYTES_MAX {
            return Err(ContractError::TooLarge { len: descriptor_set.len(), max: DESCRIPTOR_SET_BYTES_MAX });
        }
        let schema = Schema::from_file_descriptor_set(descriptor_set).map_err(ContractError::Schema)?;
        let count = schema.pool().all_messages().len();
        if count > MESSAGES_MAX {
            return Err(ContractError::TooManyMessages { count, max: MESSAGES_MAX });
        }
        let (file, stated) = register_file(&schema)?;
        let record_types = compile_record_types(&schema, &file, &stated)?;
        Ok(Contract {
            id: canonical::id(&file),
            file: file.name().to_owned(),
            register: stated.name,
            title: stated.title,
            agency: stated.agency,
            schema,
            record_types,
        })
    }

    /// Identity of the contract: a hash of its canonical descriptors. Comments, the order of files
    /// and files that the register does not import do not change it.
    pub fn id(&self) -> ContractId {
        self.id
    }

    /// Name of the register, such as "civil".
    pub fn register(&self) -> &str {
        &self.register
    }

    /// Title of the register for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Identifier of the agency that answers for the register.
    pub fn agency(&self) -> &str {
        &self.agency
    }

    /// The file that states the register.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its record types, by name.
    pub fn record_types(&self) -> &[RecordType] {
        &self.record_types
    }

    /// The record type of this name.
    ///
    /// # Errors
    ///
    /// When there is none; the error lists those that there are.
    pub fn record_type(&self, name: &str) -> Result<&RecordType, UnknownRecordType> {
        match self.record_types.binary_search_by(|found| found.name.as_str().cmp(name)) {
            Ok(index) => Ok(&self.record_types[index]),
            Err(_) => Err(self.unknown(name)),
        }
    }

    /// Freshness promise of a record type, in seconds.
    ///
    /// # Errors
    ///
    /// When there is no such record type.
    pub fn freshness_seconds(&self, record_type: &str) -> Result<i64, UnknownRecordType> {
        self.record_type(record_type).map(RecordType::freshness_seconds)
    }

    #[cold]
    fn unknown(&self, name: &str) -> UnknownRecordType {
        let known: Vec<_> = self.record_types.iter().map(RecordType::name).collect();
        // The name comes from a caller: bounded, so that an error stays small.
        let record_type = name.chars().take(NAME_BYTES_MAX).collect();
        UnknownRecordType { register: self.register.clone(), record_type, known: known.join(", ") }
    }
}

fn register_file(schema: &Schema) -> Result<(FileDescriptor, options::Register), ContractError> {
    let mut found: Option<(FileDescriptor, options::Register)> = None;
    for file in schema.pool().files() {
        let on: OnFile = options::read(&file.options()).map_err(|source| {
            register_error(&file, format!("the option cannot be read ({source}): use the hub's own options.proto"))
        })?;
        let Some(register) = on.register else { continue };
        if let Some((first, _)) = &found {
            return Err(ContractError::SeveralRegisters { first: first.name().into(), second: file.name().into() });
        }
        found = Some((file, register));
    }
    let (file, register) = found.ok_or(ContractError::NoRegister)?;
    check_name(&register.name).map_err(|problem| register_error(&file, format!("name {problem}")))?;
    if register.agency.is_empty() || register.agency.len() > 64 {
        return Err(register_error(
            &file,
            "agency must be 1 to 64 bytes: name the agency that answers for the register".into(),
        ));
    }
    if register.freshness_seconds < 0 {
        return Err(register_error(&file, "freshness_seconds is negative: state a number of seconds".into()));
    }
    if fresh_from_us(&register).is_none() {
        return Err(register_error(
            &file,
            "fresh_from must be a day such as \"2024-01-01\", or empty when every change is promised".into(),
        ));
    }
    Ok((file, register))
}

/// First instant of the register's promise; `i64::MIN` when it covers every change, `None` when the option is no day.
fn fresh_from_us(register: &options::Register) -> Option<i64> {
    if register.fresh_from.is_empty() {
        return Some(i64::MIN);
    }
    date::parse(DateFormat::Iso, &register.fresh_from).filter(|day| day.is_full()).map(PartialDate::start_us)
}

fn register_error(file: &FileDescriptor, problem: String) -> ContractError {
    ContractError::Register { file: file.name().to_owned(), problem }
}

/// Lower-case letters, digits and underscores, starting with a letter.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if first && rest && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(format!("must be a lower-case letter and then up to {} letters, digits or underscores", NAME_BYTES_MAX - 1))
}

fn compile_record_types(
    schema: &Schema,
    file: &FileDescriptor,
    register: &options::Register,
) -> Result<Vec<RecordType>, ContractError> {
    let mut record_types = Vec::new();
    let mut names = BTreeSet::new();
    for message in file.messages() {
        let at = Place { file: file.name(), message: &message };
        let on: OnMessage = options::read(&message.options()).map_err(|source| {
            at.problem(format!("its options cannot be read ({source}): use the hub's own options.proto"))
        })?;
        let Some(mut stated) = on.record_type else { continue };
        check_name(&stated.name).map_err(|problem| at.problem(format!("record_type.name {problem}")))?;
        if !names.insert(stated.name.clone()) {
            return Err(at.problem(format!("record type {:?} is stated twice: give it another name", stated.name)));
        }
        if stated.freshness_seconds < 0 {
            return Err(at.problem("record_type.freshness_seconds is negative: state a number of seconds".into()));
        }
        if stated.freshness_seconds == 0 {
            stated.freshness_seconds = register.freshness_seconds;
        }
        let plan = schema.plan(message.full_name()).map_err(|source| ContractError::Rules {
            file: file.name().to_owned(),
            message: message.full_name().to_owned(),
            source: Box::new(source),
        })?;
        let fresh_from_us = fresh_from_us(register).expect("the day was checked with the register's option");
        record_types.push(record_type::compile(at, stated, fresh_from_us, Arc::clone(&plan))?);
    }
    if record_types.is_empty() {
        return Err(ContractError::NoRecordTypes { file: file.name().to_owned() });
    }
    record_types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(record_types)
}

/// Where an error is.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub file: &'a str,
    pub message: &'a MessageDescriptor,
}

impl Place<'_> {
    pub(crate) fn problem(&self, problem: String) -> ContractError {
        ContractError::Message { file: self.file.to_owned(), message: self.message.full_name().to_owned(), problem }
    }

    pub(crate) fn field(&self, field: &str, problem: String) -> ContractError {
        ContractError::Field {
            file: self.file.to_owned(),
            message: self.message.full_name().to_owned(),
            field: field.to_owned(),
            problem,
        }
    }

    pub(crate) fn path(&self, option: &'static str, source: validate::PathError) -> ContractError {
        ContractError::Path {
            file: self.file.to_owned(),
            message: self.message.full_name().to_owned(),
            option,
            source: Box::new(source),
        }
    }
}
