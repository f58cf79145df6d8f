//! A hub of its own process on the data that was published: how soon it answers after a kill, and what it costs when idle.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wire::query::query_service_client::QueryServiceClient;

use super::figure::{Budget, Figure};
use super::{connect_to, load};
use crate::config::Config;
use crate::error::CommandError;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// After the first answer, until the process has nothing left to do.
const SETTLING: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(5);

/// A running hub, killed when it is dropped.
struct Running {
    child: Child,
    address: std::net::SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(what: &str, error: impl std::fmt::Display) -> CommandError {
    CommandError::failed(format!("{what}: {error}"), "run with -v to see why")
}

fn start(data_dir: &Path) -> Result<Running, CommandError> {
    let exe = std::env::current_exe().map_err(|error| failed("the hub's own program cannot be found", error))?;
    let mut command = Command::new(exe);
    command.arg("--data-dir").arg(data_dir).args(["--json", "serve", "--listen", "127.0.0.1:0"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| failed("the hub cannot be started", error))?;
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it was asked for");
    let read = BufReader::new(stdout).read_line(&mut line);
    let address = read.ok().and_then(|_| serde_json::from_str::<serde_json::Value>(&line).ok());
    let address = address.and_then(|line| line["address"].as_str()?.parse().ok());
    let Some(address) = address else {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed("the hub did not start", "it told no address"));
    };
    Ok(Running { child, address })
}

/// Kills a hub that has just answered, starts it again, and leaves it alone. `config` is that of the data directory.
pub(super) async fn measure(config: &Config, id: &str) -> Result<Vec<Figure>, CommandError> {
    let data_dir = &config.top.data_dir;
    let first = start(data_dir)?;
    answered(config, &first, id).await?;
    drop(first);
    let begun = Instant::now();
    let again = start(data_dir)?;
    answered(config, &again, id).await?;
    let restart = begun.elapsed();
    tokio::time::sleep(SETTLING).await;
    let before = cpu(again.child.id());
    tokio::time::sleep(IDLE).await;
    let idle = cpu(again.child.id()).zip(before).map(|(now, before)| (now - before) / IDLE.as_secs_f64() * 100.0);
    let memory = status_kib(again.child.id(), "VmRSS");
    let figure = |name, value, unit, budget| Figure { name, value, unit, limit: None, budget };
    let mut figures = vec![figure("restart", restart.as_secs_f64(), "s", Budget::AtMost(2.0))];
    figures.extend(idle.map(|percent| figure("idle_cpu", percent, "% of a core", Budget::AtMost(1.0))));
    figures.extend(memory.map(|kib| figure("memory_restarted", kib / 1024.0, "MiB", Budget::AtMost(1024.0))));
    Ok(figures)
}

/// Waits for the first answer.
async fn answered(config: &Config, hub: &Running, id: &str) -> Result<(), CommandError> {
    let begun = Instant::now();
    loop {
        let asked = match connect_to(config, hub.address, "portal/national").await {
            Ok(channel) => QueryServiceClient::new(channel).get_subject(load::question(id)).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        match asked {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Seconds on the processor so far; absent where the system does not tell.
fn cpu(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may hold anything: fields 14 and 15 are ticks of 10 ms.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

/// A line of the process's status, in KiB; absent where the system does not tell.
pub(super) fn status_kib(process: u32, line: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}
