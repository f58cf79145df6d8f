//! `hub audit witness`: a witness of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use audit::witness::Witness;
use clap::Args;
use serde_json::json;
use tokio::sync::watch;

use super::check::policy_of;
use crate::context::Context;
use crate::error::{CommandError, Exit, told};
use crate::signals::Signals;

/// Arguments of `hub audit witness`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub audit trust > policy                      # at the hub\n  hub audit witness --dir witness --name witness.example/a --trust policy --listen 0.0.0.0:7450\n\nIt prints its own line for the hub's policy. Run it on another machine, by other people than the hub: it keeps the last\ncheckpoint that it cosigned, and never cosigns one that does not continue it. Its folder needs a backup, and no two\nwitnesses may run on copies of it. It speaks c2sp.org/tlog-witness over plain HTTP; put TLS in front of it."
)]
pub struct WitnessArgs {
    /// Folder of its key and of what it cosigned; begun when it is absent
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Its name in cosignatures, such as witness.example/a
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The logs that it cosigns: a policy's text, of which the log lines are read
    #[arg(long, value_name = "POLICY")]
    pub trust: PathBuf,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7450")]
    pub listen: SocketAddr,
}

/// Cosigns until SIGTERM or Ctrl-C.
///
/// # Errors
/// The folder cannot be used, or the address is taken.
pub async fn run(args: &WitnessArgs, context: &Context) -> Result<Exit, CommandError> {
    let mut signals = Signals::listen()?;
    let policy = policy_of(&args.trust)?;
    if policy.logs().is_empty() {
        let what = format!("{}: it names no log", args.trust.display());
        return Err(CommandError::usage(what, "add a line 'log KEY', as 'hub audit trust' prints it"));
    }
    let witness = Witness::open(&args.dir, &args.name, policy)
        .map_err(|error| CommandError::failed(told(&error), "mend what is named, or name another --dir"))?;
    let verifier = witness.verifier();
    let (stop, stopping) = watch::channel(false);
    let (address, serving) = witness.serve(args.listen, stopping).await.map_err(|error| {
        CommandError::failed(format!("cannot listen on {}: {error}", args.listen), "choose another --listen")
    })?;
    let url = format!("http://{address}");
    let short = args.name.rsplit('/').next().unwrap_or(&args.name);
    context
        .output
        .show(&json!({ "endpoint": url, "verifier": verifier }), || format!("witness {short} {verifier} {url}"))?;
    signals.next().await;
    stop.send_replace(true);
    match serving.await {
        Ok(Ok(())) => Ok(Exit::Ok),
        Ok(Err(error)) => Err(CommandError::failed(format!("the witness ended: {error}"), "start it again")),
        Err(panic) => Err(CommandError::failed(format!("the witness ended: {panic}"), "report it")),
    }
}
