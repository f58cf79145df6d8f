//! `hub doctor`: looks at a configuration and a data directory, and says what is wrong.

use std::time::SystemTime;

use clap::Args;
use serde_json::json;

use crate::config::{self, Config};
use crate::context::Context;
use crate::doctor::{Finding, State, examine};
use crate::error::{CommandError, Exit};
use crate::output::{Output, Table};

/// Arguments of `hub doctor`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub doctor --config hub.toml\n  hub doctor --data-dir d --quick\n\nChanges nothing, and needs no running hub. Ends with 1 when there is a fault; warnings and notes are told only."
)]
pub struct DoctorArgs {
    /// Leave out reading log, ledger and views through
    #[arg(long)]
    pub quick: bool,
}

/// Looks, and tells.
///
/// # Errors
/// Standard output cannot be written. What is wrong with a hub is told, and ends with [`Exit::Failed`].
pub async fn run(args: &DoctorArgs, context: &Context) -> Result<Exit, CommandError> {
    let (findings, config) = match configuration(context) {
        Ok(config) => {
            let (quick, looked_at) = (args.quick, config.clone());
            let looking = tokio::task::spawn_blocking(move || examine(&looked_at, quick, SystemTime::now()));
            let findings =
                looking.await.map_err(|panic| CommandError::failed(format!("looking: {panic}"), "report this"))?;
            (findings, Some(config))
        }
        Err(finding) => (vec![finding], None),
    };
    let count = |state: State| findings.iter().filter(|finding| finding.state == state).count();
    let (faults, warnings) = (count(State::Fault), count(State::Warning));
    let data_dir = config.map(|config| config.top.data_dir);
    let shown = json!({ "sound": faults == 0, "faults": faults, "warnings": warnings, "data_dir": data_dir, "findings": findings });
    context.output.show(&shown, || text(&findings, faults, warnings, context.output))?;
    Ok(if faults == 0 { Exit::Ok } else { Exit::Failed })
}

/// The configuration; a file that is wrong is a finding, not an error.
fn configuration(context: &Context) -> Result<Config, Finding> {
    context.config().map_err(|error| Finding {
        part: "configuration",
        state: State::Fault,
        what: error.what,
        what_to_do: match context.global.config.as_deref().map(config::load) {
            Some(Err(config::ConfigError::Read { .. })) => error.what_to_do,
            _ => format!("{}; until then nothing else can be looked at", error.what_to_do),
        },
        file: context.global.config.clone(),
        entry: None,
    })
}

fn text(findings: &[Finding], faults: usize, warnings: usize, output: Output) -> String {
    let mut table = Table::new(["part", "state", "what"]);
    for finding in findings {
        let state = match finding.state {
            State::Ok => output.good("ok"),
            State::Note => "note".to_owned(),
            State::Warning => output.warn("warning"),
            State::Fault => output.bad("FAULT"),
        };
        table.row([finding.part.to_owned(), state, finding.what.clone()]);
        if !finding.what_to_do.is_empty() {
            table.row([String::new(), String::new(), format!("→ {}", finding.what_to_do)]);
        }
    }
    let verdict = match (faults, warnings) {
        (0, 0) => "sound".to_owned(),
        (0, warnings) => format!("sound, {warnings} warnings"),
        (faults, 0) => format!("{faults} faults"),
        (faults, warnings) => format!("{faults} faults, {warnings} warnings"),
    };
    format!("{}{verdict}\n", table.text())
}
