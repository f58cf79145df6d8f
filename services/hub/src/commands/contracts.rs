//! `hub contracts`: what registers promise.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use contract::{Contract, RecordType};
use serde_json::{Value, json};
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{GetContractRequest, ListContractsRequest, RegisterContractRequest, RegisterContractResponse};

use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit, told};
use crate::http_api;
use crate::output::{self, Table};
use crate::protos;

const DEFAULT_CALLER: &str = "operator/ops";

/// Arguments of `hub contracts`.
#[derive(Debug, Clone, Args)]
pub struct ContractsArgs {
    /// What to do with the contracts.
    #[command(subcommand)]
    pub command: ContractsCommand,
}

/// Commands of `hub contracts`.
#[derive(Debug, Clone, Subcommand)]
pub enum ContractsCommand {
    /// Show the contracts in force
    #[command(after_help = "Example:\n  hub contracts list")]
    List(ConnectionArgs),
    /// Show one register's contract: record types, mentions, freshness
    #[command(after_help = "Example:\n  hub contracts show civil")]
    Show(ShowArgs),
    /// Bring a register, or a new version of its contract
    #[command(
        after_help = "Examples:\n  hub contracts register population.proto --reason 'fourth register'\n  buf build -o population.binpb && hub contracts register population.binpb --reason 'fourth register'"
    )]
    Register(RegisterArgs),
    /// Say what would refuse a contract, without registering it
    #[command(
        after_help = "Example:\n  hub contracts check population.binpb\n\nThe exit code is 3 when it would be refused."
    )]
    Check(CheckContractArgs),
    /// Write all .proto files that a publisher or a portal needs: the API, the contracts, what they import
    #[command(after_help = "Example:\n  hub contracts export --dir contracts")]
    Export(ExportArgs),
    /// Print the OpenAPI 3.1 description of the API as JSON over HTTP, as a hub serves it at /openapi.json
    #[command(after_help = "Example:\n  hub contracts openapi > openapi.json")]
    Openapi,
}

/// Arguments of `hub contracts show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The register
    pub register: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub contracts register`.
#[derive(Debug, Clone, Args)]
pub struct RegisterArgs {
    /// The register's .proto file, or a serialised FileDescriptorSet with all imports
    #[arg(value_name = "FILE.proto|FILE.binpb")]
    pub descriptors: PathBuf,
    /// Why, kept with the contract
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Where a .proto file's imports are, besides the hub's own; by default where the file is
    #[arg(long, value_name = "DIR")]
    pub include: Option<PathBuf>,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub contracts check`.
#[derive(Debug, Clone, Args)]
pub struct CheckContractArgs {
    /// The register's .proto file, or a serialised FileDescriptorSet with all imports
    #[arg(value_name = "FILE.proto|FILE.binpb")]
    pub descriptors: PathBuf,
    /// Where a .proto file's imports are, besides the hub's own; by default where the file is
    #[arg(long, value_name = "DIR")]
    pub include: Option<PathBuf>,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub contracts export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Where to write
    #[arg(long, default_value = "contracts", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Runs what was asked for.
///
/// # Errors
/// A file cannot be read or written; the hub refused or did not answer.
pub async fn run(args: &ContractsArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        ContractsCommand::List(connection) => list(connection, context).await,
        ContractsCommand::Show(args) => show(args, context).await,
        ContractsCommand::Register(args) => register(args, context).await,
        ContractsCommand::Check(args) => check(args, context).await,
        ContractsCommand::Export(args) => export(args, context),
        ContractsCommand::Openapi => openapi(),
    }
}

fn openapi() -> Result<Exit, CommandError> {
    let mut description = http_api::described();
    description.push(b'\n');
    output::print(&description)?;
    Ok(Exit::Ok)
}

async fn list(connection: &ConnectionArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = connection.connect(context, DEFAULT_CALLER).await?;
    let answer = AdminServiceClient::new(channel).list_contracts(ListContractsRequest {}).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ListContractsResponse", &answer), || {
        let mut table = Table::new(["register", "contract", "registered by", "at", "record types"]);
        for contract in &answer.contracts {
            let at = time_of(contract.registered_at.as_ref());
            let contract = contract.clone();
            table.row([contract.register, contract.id, contract.registered_by, at, contract.record_types.join(" ")]);
        }
        table.text()
    })?;
    Ok(Exit::Ok)
}

async fn show(args: &ShowArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = GetContractRequest { register: args.register.clone() };
    let mut client = AdminServiceClient::new(channel).max_decoding_message_size(contract::DESCRIPTOR_SET_BYTES_MAX * 2);
    let answer = client.get_contract(request).await?.into_inner();
    let contract = Contract::compile(&answer.descriptors).map_err(|error| {
        CommandError::failed(
            format!("the hub's contract cannot be read: {}", told(&error)),
            "use a program of the hub's version",
        )
    })?;
    context.output.show(&described(&contract), || text(&contract))?;
    Ok(Exit::Ok)
}

fn described(contract: &Contract) -> Value {
    let record_type = |record_type: &RecordType| {
        let role = |role: &contract::Role| json!({ "name": role.name, "kind": role.kind.name(), "once": role.once });
        json!({
            "name": record_type.name(),
            "title": record_type.title(),
            "message": record_type.message(),
            "freshness_seconds": record_type.freshness_seconds(),
            "fresh_from": fresh_from(record_type),
            "roles": record_type.roles().iter().map(role).collect::<Vec<_>>(),
        })
    };
    json!({
        "register": contract.register(),
        "title": contract.title(),
        "agency": contract.agency(),
        "file": contract.file(),
        "id": contract.id().to_hex(),
        "record_types": contract.record_types().iter().map(record_type).collect::<Vec<_>>(),
    })
}

/// The day from which a record type's promise of freshness holds; none when it covers every change.
fn fresh_from(record_type: &RecordType) -> Option<String> {
    let from = record_type.fresh_from_us();
    let at = prost_types::Timestamp { seconds: from.div_euclid(1_000_000), nanos: 0 };
    (from != i64::MIN).then(|| at.to_string()[..10].to_owned())
}

fn text(contract: &Contract) -> String {
    let mut table = Table::new(["record type", "message", "freshness", "since", "mentions"]);
    for record_type in contract.record_types() {
        let roles = record_type.roles().iter().map(|role| {
            let once = if role.once { ", once" } else { "" };
            format!("{} ({}{once})", role.name, role.kind.name())
        });
        table.row([
            record_type.name().to_owned(),
            record_type.message().to_owned(),
            format!("{} h", record_type.freshness_seconds() / 3_600),
            fresh_from(record_type).unwrap_or_else(|| "always".to_owned()),
            roles.collect::<Vec<_>>().join(", "),
        ]);
    }
    let (register, title, agency) = (contract.register(), contract.title(), contract.agency());
    format!("{register}: {title}, of agency {agency}\n{} {}\n{}", contract.file(), contract.id().to_hex(), table.text())
}

/// A descriptor set: read, or compiled from a `.proto` file.
fn descriptors(path: &Path, include: Option<&Path>) -> Result<Vec<u8>, CommandError> {
    if path.extension().is_none_or(|extension| extension != "proto") {
        return fs::read(path)
            .map_err(|error| CommandError::usage(format!("{}: {error}", path.display()), "name a readable file"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let include = include.unwrap_or(parent);
    let name = path.strip_prefix(include).unwrap_or(path).to_string_lossy().replace('\\', "/");
    protos::register(include, &name).map_err(|error| {
        CommandError::usage(
            format!("{} does not compile: {}", path.display(), told(&error)),
            "correct the file, or name the folder of its imports with --include",
        )
    })
}

async fn send(
    connection: &ConnectionArgs,
    context: &Context,
    request: RegisterContractRequest,
) -> Result<RegisterContractResponse, CommandError> {
    let channel = connection.connect(context, DEFAULT_CALLER).await?;
    Ok(AdminServiceClient::new(channel).register_contract(request).await?.into_inner())
}

async fn register(args: &RegisterArgs, context: &Context) -> Result<Exit, CommandError> {
    let descriptors = descriptors(&args.descriptors, args.include.as_deref())?;
    let request = RegisterContractRequest { descriptors, reason: args.reason.clone(), dry_run: false };
    let answer = send(&args.connection, context, request).await?;
    context.output.show(&as_json("hub.admin.v1.RegisterContractResponse", &answer), || {
        let contract = answer.contract.clone().unwrap_or_default();
        let what = match (answer.unchanged, answer.new_register) {
            (true, _) => "was in force already",
            (false, true) => "is in force; the register is new",
            (false, false) => "is in force, in place of the one before",
        };
        format!(
            "contract {} of register {} {what}; record types: {}",
            contract.id,
            contract.register,
            contract.record_types.join(" ")
        )
    })?;
    Ok(Exit::Ok)
}

async fn check(args: &CheckContractArgs, context: &Context) -> Result<Exit, CommandError> {
    let descriptors = descriptors(&args.descriptors, args.include.as_deref())?;
    let request = RegisterContractRequest { descriptors, reason: String::new(), dry_run: true };
    let answer = send(&args.connection, context, request).await?;
    context.output.show(&as_json("hub.admin.v1.RegisterContractResponse", &answer), || {
        if answer.breaks.is_empty() {
            return format!("register {}: would be taken", answer.contract.clone().unwrap_or_default().register);
        }
        let mut table = Table::new(["where", "rule", "what breaks", "file"]);
        for broken in answer.breaks.iter().cloned() {
            table.row([broken.path, broken.rule_id, broken.message, broken.file]);
        }
        format!("{}would be refused: {} breaks", table.text(), answer.breaks.len())
    })?;
    Ok(if answer.breaks.is_empty() { Exit::Ok } else { Exit::Refused })
}

fn export(args: &ExportArgs, context: &Context) -> Result<Exit, CommandError> {
    let mut written = Vec::new();
    for (name, text) in contract::export().iter().chain(wire::protos()) {
        let path = args.dir.join(name);
        let parent = path.parent().expect("a file lies in a directory");
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).map_err(|error| {
            CommandError::failed(format!("cannot write {}: {error}", path.display()), "choose another place with --dir")
        })?;
        written.push(path.display().to_string());
    }
    context.output.show(&json!({ "files": written }), || written.join("\n"))?;
    Ok(Exit::Ok)
}
