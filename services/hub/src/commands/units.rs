//! `hub units`: dated lists of administrative units.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use projection::units::UnitList;
use serde_json::json;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{ImportUnitsRequest, ListUnitsRequest, UnitList as WireList};

use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;
use crate::unit_files::read_list;

const DEFAULT_CALLER: &str = "operator/ops";

/// Arguments of `hub units`.
#[derive(Debug, Clone, Args)]
pub struct UnitsArgs {
    /// What to do with the lists.
    #[command(subcommand)]
    pub command: UnitsCommand,
}

/// Commands of `hub units`.
#[derive(Debug, Clone, Subcommand)]
pub enum UnitsCommand {
    /// Add a dated list from CSV files
    #[command(
        after_help = "Examples:\n  hub units import legacy_communes.csv --list-version 2004-01-01 --valid-from 2004-01-01 --reason 'list before the reform'\n  hub units import provinces.csv communes.csv province_map.csv legacy_to_new.csv --list-version 2025-07-01 --valid-from 2025-07-01 --previous 2004-01-01 --reason 'Resolution 202/2025/QH15'\n\nA file is known by its heading:\n  code,name,...                                              provinces\n  code,name,...,province_code                                communes\n  code,name,...,district_code,district,province_code,province communes of three levels\n  legacy_code,...,new_code                                   provinces of the list before, and where they went\n  legacy_province_code,legacy_district_code,legacy_commune_code,new_commune_code\n                                                             communes of the list before, and where they went"
    )]
    Import(ImportArgs),
    /// Show the lists in force
    #[command(after_help = "Example:\n  hub units list")]
    List(ConnectionArgs),
}

/// Arguments of `hub units import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The list's files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Version of the list, as records name it; never used twice
    #[arg(long, value_name = "VERSION")]
    pub list_version: String,
    /// First day on which the list holds, YYYY-MM-DD; the version when absent
    #[arg(long, value_name = "DATE")]
    pub valid_from: Option<String>,
    /// Version of the list that it replaces; none for the first
    #[arg(long, value_name = "VERSION")]
    pub previous: Option<String>,
    /// Why, kept with the list
    #[arg(long, value_name = "TEXT", required_unless_present = "out", default_value = "")]
    pub reason: String,
    /// Write the list to this file in the hub's own format, for 'unit_lists' of the configuration, instead of sending it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// A file is wrong; the hub refused or did not answer.
pub async fn run(args: &UnitsArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        UnitsCommand::Import(args) => import(args, context).await,
        UnitsCommand::List(connection) => list(connection, context).await,
    }
}

async fn import(args: &ImportArgs, context: &Context) -> Result<Exit, CommandError> {
    let version = args.list_version.clone();
    let valid_from = args.valid_from.clone().unwrap_or_else(|| version.clone());
    let previous = args.previous.clone().unwrap_or_default();
    let list = read_list(&args.files, version, valid_from, previous)?;
    if let Some(out) = &args.out {
        return write(&list, out, context);
    }
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = ImportUnitsRequest { document: list.encode(), reason: args.reason.clone() };
    let answer = AdminServiceClient::new(channel).import_units(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ImportUnitsResponse", &answer), || table(answer.list.as_slice()))?;
    Ok(Exit::Ok)
}

fn write(list: &UnitList, out: &PathBuf, context: &Context) -> Result<Exit, CommandError> {
    let bytes = list.encode();
    std::fs::write(out, &bytes).map_err(|error| {
        CommandError::failed(format!("cannot write {}: {error}", out.display()), "choose another place with --out")
    })?;
    let (mapped, split) = list.mapped_and_split();
    let units = list.units.len();
    let file = out.display().to_string();
    let written = json!({ "file": file, "version": list.version, "units": units, "mapped": mapped, "split": split });
    context.output.show(&written, || {
        format!("{file}: list {} with {units} units, {mapped} mapped, {split} split", list.version)
    })?;
    Ok(Exit::Ok)
}

async fn list(connection: &ConnectionArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = connection.connect(context, DEFAULT_CALLER).await?;
    let answer = AdminServiceClient::new(channel).list_units(ListUnitsRequest {}).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ListUnitsResponse", &answer), || table(&answer.lists))?;
    Ok(Exit::Ok)
}

fn table(lists: &[WireList]) -> String {
    let mut table = Table::new(["version", "valid from", "units", "mapped", "split"]);
    for list in lists.iter().cloned() {
        table.row([
            list.version,
            list.valid_from,
            list.units.to_string(),
            list.mapped.to_string(),
            list.split.to_string(),
        ]);
    }
    table.text()
}
