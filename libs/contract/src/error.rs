//! What can be wrong with a contract.

use validate::{PathError, PlanError, SchemaError};

/// A descriptor set that is no contract. Every variant names the place and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// The set is larger than a contract may be.
    #[error(
        "the descriptor set has {len} bytes, at most {max} are allowed: leave out files that the register does not import"
    )]
    TooLarge {
        /// Bytes received.
        len: usize,
        /// The bound, inclusive.
        max: usize,
    },
    /// The bytes are no consistent descriptor set.
    #[error("not a usable descriptor set: write it with all imports (`buf build -o`, or `protoc --include_imports`)")]
    Schema(#[source] SchemaError),
    /// The set defines too many message types.
    #[error("the descriptor set defines {count} message types, at most {max} are allowed")]
    TooManyMessages {
        /// Message types found.
        count: usize,
        /// The bound, inclusive.
        max: usize,
    },
    /// No file states a register.
    #[error("no file of the set has the option (hub.contract.v1.register): add it to the register's file")]
    NoRegister,
    /// More than one file states a register.
    #[error("both {first} and {second} have the option (hub.contract.v1.register): register them one by one")]
    SeveralRegisters {
        /// A file that states a register.
        first: String,
        /// Another one.
        second: String,
    },
    /// The register's file has no record type.
    #[error("{file}: no message has the option (hub.contract.v1.record_type): add it to each message that is a record")]
    NoRecordTypes {
        /// The register's file.
        file: String,
    },
    /// The register's own option is wrong.
    #[error("{file}: option (hub.contract.v1.register): {problem}")]
    Register {
        /// The register's file.
        file: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An option of a message is wrong.
    #[error("{file}: message {message}: {problem}")]
    Message {
        /// The file.
        file: String,
        /// Full name of the message.
        message: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An option of a field is wrong.
    #[error("{file}: message {message}, field {field}: {problem}")]
    Field {
        /// The file.
        file: String,
        /// Full name of the message.
        message: String,
        /// Name of the field.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A field path in an option leads nowhere.
    #[error("{file}: message {message}: {option}: correct the path")]
    Path {
        /// The file.
        file: String,
        /// Full name of the message whose options name the path.
        message: String,
        /// The option that names it.
        option: &'static str,
        /// Why it leads nowhere.
        #[source]
        source: Box<PathError>,
    },
    /// The rules of a record type do not compile.
    #[error("{file}: message {message}: its rules do not compile")]
    Rules {
        /// The file.
        file: String,
        /// Full name of the message.
        message: String,
        /// Which rule, and why.
        #[source]
        source: Box<PlanError>,
    },
}

/// The contract has no record type of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("register {register} has no record type {record_type:?}; it has: {known}")]
pub struct UnknownRecordType {
    /// The register.
    pub register: String,
    /// The name asked for.
    pub record_type: String,
    /// The names that there are, separated by commas.
    pub known: String,
}
