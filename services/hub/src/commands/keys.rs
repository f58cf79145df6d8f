//! `hub keys`: the keys that bodies are encrypted under. No command shows one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use key_store::{KeyStore, Status};
use record::Pseudonym;
use serde_json::json;
use wire::admin::RotateKeysRequest;
use wire::admin::admin_service_client::AdminServiceClient;

use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
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
    if let KeysCommand::Rotate(args) = &args.command {
        return rotate(args, context).await;
    }
    let config = context.config()?;
    let (dir, wrapping) = (dir(&config), wrapping(&config));
    let (done, status) = match &args.command {
        KeysCommand::Status => ("sound", KeyStore::inspect_dir(&dir, &wrapping)),
        KeysCommand::Backup(args) => ("copied and checked", KeyStore::backup(&dir, &wrapping, &args.file)),
        KeysCommand::Restore(args) => ("restored", KeyStore::restore(&dir, &wrapping, &args.file)),
        KeysCommand::Rotate(_) => unreachable!("handled above"),
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
