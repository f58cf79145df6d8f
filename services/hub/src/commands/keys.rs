//! `hub keys`: the keys that bodies are encrypted under. No command shows one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use key_store::{KeyStore, Status};
use record::Pseudonym;
use serde_json::json;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{RotateKeysRequest, RotateSigningKeyRequest};
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{GetKeysRequest, SigningKey};

use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;
use crate::server::keys::{dir, refused, wrapping};

/// Arguments of `hub keys`.
#[derive(Debug, Clone, Args)]
pub struct KeysArgs {
    /// What to do with the keys.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// Commands of `hub keys`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Check the key file of the data directory, to its last seed, and say what it is
    Status,
    /// Copy the key file and check the copy; the wrapping key is not in it
    #[command(after_help = "Example:\n  hub keys backup /mnt/backup/hub-keys-2026-11-22")]
    Backup(FileArgs),
    /// Put a copy of the key file in its place; what was erased since is erased again at the next start
    Restore(FileArgs),
    /// Exchange the key that the key file is encrypted under, and destroy the former one: copies from before become worthless
    #[command(
        after_help = "Example:\n  hub keys rotate --reason 'yearly' && hub keys backup /mnt/backup/hub-keys-2027"
    )]
    Rotate(RotateArgs),
    /// List or change the key that receipts and checkpoints are signed with
    Signing(SigningArgs),
}

/// Arguments of `hub keys signing`.
#[derive(Debug, Clone, Args)]
pub struct SigningArgs {
    /// What to do with the signing key.
    #[command(subcommand)]
    pub command: SigningCommand,
}

/// Commands of `hub keys signing`.
#[derive(Debug, Clone, Subcommand)]
pub enum SigningCommand {
    /// List the keys that signed, sign, or are announced, each with its time
    #[command(after_help = "Example:\n  hub keys signing list")]
    List(ListSigningArgs),
    /// Draw the next key and tell it, so that witnesses and auditors can trust it before it signs
    #[command(
        after_help = "Example:\n  hub keys signing announce --reason 'yearly' && hub audit trust > policy\n\nHand the policy to witnesses and auditors, then rotate."
    )]
    Announce(RotateArgs),
    /// Sign with another key from now on: the one that was announced, or a new one. What former keys signed stays good
    #[command(
        after_help = "Example:\n  hub keys signing rotate --reason 'yearly' && hub audit trust > policy\n\nThe hub goes on serving. A witness that does not trust the key yet does not cosign: announce it first. The former key's\nsecret is gone after; take a new copy of the folder 'secret'."
    )]
    Rotate(RotateArgs),
}

/// Arguments of `hub keys signing list`.
#[derive(Debug, Clone, Args)]
pub struct ListSigningArgs {
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// A copy of the key file.
#[derive(Debug, Clone, Args)]
pub struct FileArgs {
    /// The copy
    pub file: PathBuf,
}

/// Arguments of `hub keys rotate`.
#[derive(Debug, Clone, Args)]
pub struct RotateArgs {
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The keys are missing, damaged or wrapped by another key; the hub refused or did not answer.
pub async fn run(args: &KeysArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        KeysCommand::Rotate(args) => return rotate(args, context).await,
        KeysCommand::Signing(args) => return signing(&args.command, context).await,
        KeysCommand::Status | KeysCommand::Backup(_) | KeysCommand::Restore(_) => {}
    }
    let config = context.config()?;
    let (dir, wrapping) = (dir(&config), wrapping(&config));
    let (done, status) = match &args.command {
        KeysCommand::Status => ("sound", KeyStore::inspect_dir(&dir, &wrapping)),
        KeysCommand::Backup(args) => ("copied and checked", KeyStore::backup(&dir, &wrapping, &args.file)),
        KeysCommand::Restore(args) => ("restored", KeyStore::restore(&dir, &wrapping, &args.file)),
        KeysCommand::Rotate(_) | KeysCommand::Signing(_) => unreachable!("handled above"),
    };
    let status = status.map_err(|error| refused(&error))?;
    context.output.show(&shown(&status), || {
        let Status { seeds, bytes, generation, .. } = status;
        format!(
            "{done}: keys {}, {seeds} live seeds in {bytes} bytes, written {generation} times, wrapped ({}) by {}\n",
            Pseudonym(status.ring.0),
            wrapping.kind_name(),
            status.wrapping.to_hex()
        )
    })?;
    Ok(Exit::Ok)
}

fn shown(status: &Status) -> serde_json::Value {
    json!({
        "ring": Pseudonym(status.ring.0).to_hex(),
        "log": Pseudonym(status.log).to_hex(),
        "generation": status.generation,
        "wrapping_key": status.wrapping.to_hex(),
        "seeds": status.seeds,
        "bytes": status.bytes,
    })
}

async fn rotate(args: &RotateArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "operator/ops").await?;
    let request = RotateKeysRequest { reason: args.reason.clone() };
    let answer = AdminServiceClient::new(channel).rotate_keys(request).await?.into_inner().keys.unwrap_or_default();
    context.output.show(&as_json("hub.admin.v1.Keys", &answer), || {
        format!(
            "wrapped ({}) by {} now, entry control/0/{}; take a new backup: older copies cannot be read any more\n",
            answer.wrapping, answer.wrapping_key, answer.index
        )
    })?;
    Ok(Exit::Ok)
}

async fn signing(command: &SigningCommand, context: &Context) -> Result<Exit, CommandError> {
    match command {
        SigningCommand::List(args) => list_signing(args, context).await,
        SigningCommand::Announce(args) => change_signing(args, true, context).await,
        SigningCommand::Rotate(args) => change_signing(args, false, context).await,
    }
}

async fn list_signing(args: &ListSigningArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "operator/ops").await?;
    let answer = IngestServiceClient::new(channel).get_keys(GetKeysRequest {}).await?.into_inner();
    context.output.show(&as_json("hub.ingest.v1.GetKeysResponse", &answer), || listed(&answer.keys))?;
    Ok(Exit::Ok)
}

fn listed(keys: &[SigningKey]) -> String {
    let mut table = Table::new(["key", "from", "until", ""]);
    for key in keys {
        let state = match (key.signs, key.valid_from.is_some()) {
            (true, _) => "signs",
            (false, true) => "former",
            (false, false) => "announced",
        };
        table.row([
            key.verifier.clone(),
            time_of(key.valid_from.as_ref()),
            time_of(key.valid_until.as_ref()),
            state.to_owned(),
        ]);
    }
    table.text()
}

async fn change_signing(args: &RotateArgs, announce: bool, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "operator/ops").await?;
    let request = RotateSigningKeyRequest { reason: args.reason.clone(), announce };
    let answer = AdminServiceClient::new(channel).rotate_signing_key(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.RotateSigningKeyResponse", &answer), || {
        let signs = if announce { "is announced" } else { "signs now" };
        format!(
            "{} {signs}, entry control/0/{}; 'hub audit trust' prints the policy that trusts it and those before it\n",
            answer.next, answer.index
        )
    })?;
    Ok(Exit::Ok)
}
