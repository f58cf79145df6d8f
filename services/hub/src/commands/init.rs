//! `hub init`: a data directory with a configuration, certificates and a first policy that `hub serve` starts with.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use access::{BUILTIN_POLICY, PolicyDocument};
use clap::Args;
use identity::{DevCertsOptions, DevCertsReport, TrustDomain};
use serde_json::json;

use super::dev_certs;
use crate::config::{self, Config};
use crate::context::Context;
use crate::error::{CommandError, Exit, told};
use crate::listening;

/// The files that are written, within the data directory.
const CONFIG_FILE: &str = "hub.toml";
const POLICY_FILE: &str = "policy.toml";
/// Who may do what else than publish and ask; the paths are what commands call as by default.
const STAFF: [(&str, &str, &str); 3] = [
    ("operator/ops", "hub", "\"operator\""),
    ("reviewer/main", "hub", "\"reviewer\", \"monitor\""),
    ("auditor/main", "inspectorate", "\"auditor\", \"monitor\""),
];

/// Arguments of `hub init`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub init d --yes && hub serve --config d/hub.toml\n  hub init /var/lib/hub --trust-domain hub.example --server-name hub.example --listen 0.0.0.0:7443 --register civil --register tax --portal national\n  hub init d --kafka broker-1:9092,broker-2:9092,broker-3:9092 --yes\n\nAsks on a terminal for what no flag says; --yes takes the defaults instead. Nothing that is there is overwritten."
)]
pub struct InitArgs {
    /// The data directory to make
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// SPIFFE trust domain of every caller; hub.test when not said
    #[arg(long, value_name = "NAME")]
    pub trust_domain: Option<String>,
    /// DNS name or address that callers reach the hub by; may be repeated; localhost always is one
    #[arg(long = "server-name", value_name = "NAME")]
    pub server_names: Vec<String>,
    /// Address and port to listen on; 127.0.0.1:7443 when not said
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// A register that publishes, such as civil; may be repeated; civil, land and health when not said
    #[arg(long = "register", value_name = "NAME")]
    pub registers: Vec<String>,
    /// A portal that asks, such as national; may be repeated; national when not said
    #[arg(long = "portal", value_name = "NAME")]
    pub portals: Vec<String>,
    /// Put the log on Apache Kafka at these brokers, host:port separated by commas
    #[arg(long, value_name = "BOOTSTRAP")]
    pub kafka: Option<String>,
    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Days until the certificates end, 1 to 3650
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    pub days: u32,
    /// Ask nothing
    #[arg(long)]
    pub yes: bool,
}

/// Writes what a hub starts with.
///
/// # Errors
/// Something is there already, an answer is wrong, or a file cannot be written. Nothing is overwritten.
pub fn run(args: &InitArgs, context: &Context) -> Result<Exit, CommandError> {
    refuse_existing(&args.dir)?;
    let asked = if !args.yes && io::stdin().is_terminal() {
        ask(args, &mut io::stdin().lock(), &mut io::stderr()).map_err(|error| {
            CommandError::failed(format!("cannot ask: {error}"), "say --yes and what differs by flags")
        })?
    } else {
        args.clone()
    };
    let plan = Plan::new(&asked)?;
    let report = plan.write(asked.days)?;
    let shown = json!({
        "config": plan.config_path(),
        "policy": plan.dir.join(POLICY_FILE),
        "certificates": plan.config.dev_certs_dir(),
        "not_after": dev_certs::ends(&report),
        "clients": plan.clients,
        "next": plan.next(),
    });
    context.output.show(&shown, || plan.text(&report))?;
    Ok(Exit::Ok)
}

fn refuse_existing(dir: &Path) -> Result<(), CommandError> {
    let found = [CONFIG_FILE, POLICY_FILE, config::DEV_CERTS_DIR, "secret", "log", "keys"].map(|name| dir.join(name));
    match found.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(CommandError::failed(
            format!("{} is there already", path.display()),
            "name another directory; nothing is overwritten",
        )),
        None => Ok(()),
    }
}

/// Fills what no flag said with what is answered; an empty answer takes the default.
fn ask(args: &InitArgs, answers: &mut impl BufRead, questions: &mut impl Write) -> io::Result<InitArgs> {
    let mut asked = args.clone();
    let mut question = |text: &str, default: &str| -> io::Result<String> {
        write!(questions, "{text} [{default}]: ")?;
        questions.flush()?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let line = line.trim();
        Ok(if line.is_empty() { default.to_owned() } else { line.to_owned() })
    };
    let words = |line: String| -> Vec<String> {
        line.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    if asked.trust_domain.is_none() {
        asked.trust_domain = Some(question("Trust domain of the callers' certificates", "hub.test")?);
    }
    if asked.server_names.is_empty() {
        asked.server_names = words(question("Names that callers reach this hub by", "localhost")?);
        // It is always there.
        asked.server_names.retain(|name| name != "localhost");
    }
    if asked.listen.is_none() {
        let default = if asked.server_names.is_empty() { "127.0.0.1:7443" } else { "0.0.0.0:7443" };
        const TEXT: &str = "Address and port to listen on";
        let mut text = TEXT.to_owned();
        // At the end of the answers the default is taken.
        asked.listen = Some(loop {
            let answer = question(&text, default)?;
            match answer.parse::<SocketAddr>() {
                Ok(address) => break address,
                Err(error) => text = format!("'{answer}' is none: {error}. {TEXT}"),
            }
        });
    }
    if asked.registers.is_empty() {
        asked.registers = words(question("Registers that publish", "civil land health")?);
    }
    if asked.portals.is_empty() {
        asked.portals = words(question("Portals that ask", "national")?);
    }
    if asked.kafka.is_none() {
        let answer = question("Kafka brokers; 'none' keeps the log in files", "none")?;
        asked.kafka = (answer != "none").then_some(answer);
    }
    Ok(asked)
}

/// What is to be written.
struct Plan {
    dir: PathBuf,
    config: Config,
    trust_domain: TrustDomain,
    policy: String,
    /// Paths of the SPIFFE ids that get a certificate.
    clients: Vec<String>,
    server_names: Vec<String>,
}

impl Plan {
    fn new(args: &InitArgs) -> Result<Self, CommandError> {
        let dir = std::path::absolute(&args.dir)
            .map_err(|error| CommandError::usage(format!("{}: {error}", args.dir.display()), "name a directory"))?;
        let mut config = Config::default();
        config.top.data_dir.clone_from(&dir);
        args.trust_domain.iter().for_each(|name| config.top.trust_domain.clone_from(name));
        config.top.origin = format!("{}/log", config.top.trust_domain);
        config.top.policy = Some(POLICY_FILE.into());
        args.listen.iter().for_each(|listen| config.grpc.listen = *listen);
        config.telemetry.prometheus_listen = args.metrics;
        if let Some(bootstrap) = &args.kafka {
            config.log.kind = "kafka".to_owned();
            config.log_kafka.bootstrap.clone_from(bootstrap);
        }
        let trust_domain = listening::trust_domain(&config)?;
        let or = |given: &[String], default: &[&str]| -> Vec<String> {
            if given.is_empty() { default.iter().map(|name| (*name).to_owned()).collect() } else { given.to_vec() }
        };
        let registers = or(&args.registers, &["civil", "land", "health"]);
        let portals = or(&args.portals, &["national"]);
        registers.iter().try_for_each(|name| register_name(name))?;
        let policy = policy(&config.top.trust_domain, &registers, &portals);
        PolicyDocument::parse(policy.as_bytes()).map_err(|error| {
            CommandError::usage(told(&error), "write registers and portals as names of letters, digits and '-'")
        })?;
        let publishing = registers.iter().map(|name| format!("register/{name}"));
        let asking = portals.iter().map(|name| format!("portal/{name}"));
        let staff = STAFF.iter().map(|(path, ..)| (*path).to_owned());
        let clients = publishing.chain(asking).chain(staff).collect();
        Ok(Self { dir, config, trust_domain, policy, clients, server_names: args.server_names.clone() })
    }

    /// The certificates first: whatever is wrong with names shows before anything is written.
    fn write(&self, days: u32) -> Result<DevCertsReport, CommandError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(|error| cannot(&self.dir, &error))?;
        let options = DevCertsOptions {
            clients: self.clients.clone(),
            server_names: self.server_names.clone(),
            valid_days: days,
            ..DevCertsOptions::new(self.trust_domain.clone())
        };
        let report = identity::dev_certs(&self.config.dev_certs_dir(), &options, SystemTime::now())
            .map_err(|error| dev_certs::explain(&error))?;
        new_file(&self.dir.join(POLICY_FILE), &self.policy)?;
        new_file(&self.config_path(), &config::explain(&self.config))?;
        Ok(report)
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join(CONFIG_FILE)
    }

    fn next(&self) -> Vec<String> {
        let file = self.config_path();
        let kafka = (self.config.log.kind == "kafka").then(|| format!("hub kafka init --config {}", file.display()));
        kafka.into_iter().chain([format!("hub serve --config {}", file.display())]).collect()
    }

    fn text(&self, report: &DevCertsReport) -> String {
        let mut text = String::new();
        let certs = self.config.dev_certs_dir();
        for (path, what) in [
            (self.config_path(), "the configuration, every key with its meaning".to_owned()),
            (self.dir.join(POLICY_FILE), "who may do what: the policy that the log begins with".to_owned()),
            (
                certs,
                format!(
                    "certificates of the server and of {} callers, until {}",
                    self.clients.len(),
                    dev_certs::ends(report)
                ),
            ),
        ] {
            writeln!(text, "{}  {what}", path.display()).expect("writing to a String does not fail");
        }
        text + "The certificates are from an authority of their own, made for this directory: replace them by those of your trust domain before real data comes.\n\nnext: "
            + &self.next().join("\n      ")
            + "\n"
    }
}

/// As a register is named in contracts and in the log.
fn register_name(name: &str) -> Result<(), CommandError> {
    record::RegisterName::try_from(name).map(|_| ()).map_err(|error| {
        CommandError::usage(format!("--register '{name}': {error}"), "name registers as their contracts do")
    })
}

/// The built-in policies with grants for these callers.
fn policy(trust_domain: &str, registers: &[String], portals: &[String]) -> String {
    let rules = BUILTIN_POLICY.split("[[grant]]").next().unwrap_or_default();
    let rules = rules.split_once("\nversion").map_or(rules, |(_head, rest)| rest);
    let mut text = format!(
        "# Who may do what, trust domain {trust_domain}. The log begins with this document; afterwards change it with\n\
         # 'hub policy show > policy.toml' and 'hub policy put policy.toml --reason TEXT'.\n\nversion{rules}"
    );
    let mut grant = |path: &str, agency: &str, rest: String| {
        let id = path.replace('/', "-");
        write!(
            text,
            "[[grant]]\nid = \"{id}\"\nspiffe = \"spiffe://{trust_domain}/{path}\"\nagency = \"{agency}\"\n{rest}\n"
        )
        .expect("writing to a String does not fail");
    };
    for name in registers {
        let rest = format!("roles = [\"publisher\", \"monitor\"]\npublish = [{{ register = \"{name}\" }}]\n");
        grant(&format!("register/{name}"), name, rest);
    }
    for name in portals {
        let rest = "roles = [\"portal\", \"searcher\", \"citizen-desk\", \"monitor\"]\nprocedures = [\"*\"]\n\
                    kinds = [\"person\", \"parcel\"]\nclasses = [\"open\", \"basic\", \"identifier\"]\nrows = \"all\"\n";
        grant(&format!("portal/{name}"), &format!("portal-{name}"), rest.to_owned());
    }
    for (path, agency, roles) in STAFF {
        grant(path, agency, format!("roles = [{roles}]\n"));
    }
    text
}

fn new_file(path: &Path, text: &str) -> Result<(), CommandError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(
        format!("cannot write {}: {error}", path.display()),
        "name a directory that this user can write to",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> InitArgs {
        InitArgs {
            dir: "d".into(),
            trust_domain: None,
            server_names: Vec::new(),
            listen: None,
            registers: Vec::new(),
            portals: Vec::new(),
            kafka: None,
            metrics: None,
            days: 365,
            yes: false,
        }
    }

    #[test]
    fn answers_fill_what_no_flag_said_and_empty_ones_take_the_default() {
        let mut asked = Vec::new();
        let given = InitArgs { portals: vec!["one-stop".into()], ..args() };
        let answers = "hub.example\nhub.example, 10.0.0.7\nhub:port\n\ncivil tax\nnone\n";
        let found = ask(&given, &mut answers.as_bytes(), &mut asked).expect("answers");
        assert_eq!(found.trust_domain.as_deref(), Some("hub.example"));
        assert_eq!(found.server_names, ["hub.example", "10.0.0.7"]);
        assert_eq!(found.listen, Some("0.0.0.0:7443".parse().expect("an address")), "others are to reach it");
        assert_eq!((found.registers, found.portals), (vec!["civil".into(), "tax".into()], vec!["one-stop".into()]));
        assert_eq!(found.kafka, None);
        let asked = String::from_utf8(asked).expect("UTF-8");
        assert!(asked.contains("[0.0.0.0:7443]") && !asked.contains("Portals"), "{asked}");
        assert!(asked.contains("'hub:port' is none: "), "asked again: {asked}");
    }

    #[test]
    fn the_policy_grants_each_caller_its_own_and_parses() {
        let text = policy("hub.example", &["civil".into(), "tax".into()], &["national".into()]);
        PolicyDocument::parse(text.as_bytes()).expect("a policy");
        assert!(!text.contains("hub.test"), "{text}");
        assert_eq!(text.matches("[[grant]]").count(), 6);
        assert!(text.contains("spiffe = \"spiffe://hub.example/register/tax\""));
    }

    #[test]
    fn a_wrong_name_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let wrong = InitArgs { dir: dir.path().join("d"), registers: vec!["Ci vil".into()], ..args() };
        assert!(Plan::new(&wrong).is_err());
        assert!(!dir.path().join("d").exists());
    }
}
