//! `hub dev-certs`: certificates for a development machine.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use identity::{CertPaths, DEV_SPIFFE_PATHS, DevCertsError, DevCertsOptions, DevCertsReport};
use serde_json::{Value, json};

use crate::config::Config;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::listening;
use crate::output::Table;

/// Arguments of `hub dev-certs`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub dev-certs\n  hub dev-certs --add --client register/tax\n  hub dev-certs --dir certs --server-name hub.example.org --days 30 --force"
)]
pub struct DevCertsArgs {
    /// Where to write; by default dev-certs in the data directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// A further client, by the path of its SPIFFE id, such as register/tax; may be repeated
    #[arg(long = "client", value_name = "PATH")]
    pub clients: Vec<String>,
    /// A further DNS name or IP address of the server; may be repeated
    #[arg(long = "server-name", value_name = "NAME", conflicts_with = "add")]
    pub server_names: Vec<String>,
    /// Days until the certificates end, 1 to 3650
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    pub days: u32,
    /// Let the authority that is there issue the clients named, and leave all else alone
    #[arg(long, requires = "clients")]
    pub add: bool,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
    /// Make none where the server's certificate is there already
    #[arg(long, conflicts_with_all = ["force", "add"])]
    pub keep: bool,
}

/// Makes the certificates.
///
/// # Errors
/// Files are there already, an argument is wrong, or a file cannot be written.
pub fn run(args: &DevCertsArgs, context: &Context) -> Result<Exit, CommandError> {
    let config = context.config()?;
    let dir = args.dir.clone().unwrap_or_else(|| config.dev_certs_dir());
    let trust_domain = listening::trust_domain(&config)?;
    let server = CertPaths::dev_server(&dir).cert;
    if args.keep && server.exists() {
        context
            .output
            .show(&json!({ "kept": server }), || format!("{} is there; nothing was made", server.display()))?;
        return Ok(Exit::Ok);
    }
    let mut clients = args.clients.clone();
    if !args.add {
        clients.extend(DEV_SPIFFE_PATHS.map(str::to_owned));
    }
    let options = DevCertsOptions {
        clients,
        server_names: args.server_names.clone(),
        valid_days: args.days,
        force: args.force,
        add: args.add,
        ..DevCertsOptions::new(trust_domain)
    };
    let report = identity::dev_certs(&dir, &options, SystemTime::now()).map_err(|error| explain(&error))?;
    context.output.show(&as_json(&report), || as_text(&report))?;
    Ok(Exit::Ok)
}

/// Makes the usual development certificates where there are none.
///
/// # Errors
/// Some of the files are there, or cannot be written.
pub fn ensure(config: &Config) -> Result<(), CommandError> {
    let dir = config.dev_certs_dir();
    if CertPaths::dev_server(&dir).cert.exists() {
        return Ok(());
    }
    let options = DevCertsOptions::new(listening::trust_domain(config)?);
    std::fs::create_dir_all(&dir).map_err(|error| {
        CommandError::failed(
            format!("cannot create {}: {error}", dir.display()),
            "choose another directory with --data-dir",
        )
    })?;
    identity::dev_certs(&dir, &options, SystemTime::now()).map(|_| ()).map_err(|error| explain(&error))
}

/// What to do about it.
pub(super) fn explain(error: &DevCertsError) -> CommandError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let what = format!("{error}{cause}");
    match error {
        DevCertsError::Exists(_) => {
            CommandError::failed(what, "use --force to replace all, or --add --client PATH to add a client")
        }
        DevCertsError::Client { .. } | DevCertsError::SameFiles(..) => {
            CommandError::usage(what, "write paths as KIND/NAME of letters, digits, '.', '-' and '_'")
        }
        DevCertsError::ServerName(_) => CommandError::usage(what, "correct --server-name"),
        DevCertsError::ValidDays(_) => CommandError::usage(what, "correct --days"),
        DevCertsError::Authority { .. } => CommandError::failed(what, "make an authority first with 'hub dev-certs'"),
        DevCertsError::Generate(_) => CommandError::failed(what, "try again"),
        DevCertsError::Write { .. } => CommandError::failed(what, "choose another place with --dir"),
    }
}

/// When the certificates end.
pub(super) fn ends(report: &DevCertsReport) -> String {
    jiff::Timestamp::try_from(report.not_after)
        .map_or_else(|_| "-".to_owned(), |end| end.round(jiff::Unit::Second).unwrap_or(end).to_string())
}

fn as_json(report: &DevCertsReport) -> Value {
    let files = |paths: &CertPaths| json!({ "ca": paths.ca, "cert": paths.cert, "key": paths.key });
    let clients = report.clients.iter().map(
        |(principal, paths)| json!({ "spiffe": principal.spiffe(), "path": principal.path(), "files": files(paths) }),
    );
    json!({
        "server": report.server.as_ref().map(files),
        "clients": clients.collect::<Vec<_>>(),
        "not_after": ends(report),
    })
}

fn as_text(report: &DevCertsReport) -> String {
    let mut table = Table::new(["who", "certificate", "key"]);
    if let Some(server) = &report.server {
        table.row(["server".to_owned(), server.cert.display().to_string(), server.key.display().to_string()]);
    }
    for (principal, paths) in &report.clients {
        table.row([principal.spiffe().to_owned(), paths.cert.display().to_string(), paths.key.display().to_string()]);
    }
    format!("{}valid until {}; for development only\n", table.text(), ends(report))
}
