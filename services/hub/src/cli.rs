//! The command line. A command is one module in `commands` and one variant here.

use clap::{Parser, Subcommand};

use crate::commands::{
    accesses, audit, bench, check, compare, completions, config, conformance, contracts, demo, dev_certs, doctor,
    errors, explain, findings, get, heads, init, keys, link, log, orders, policy, procedures, publish, quality,
    quarantine, receipt, register, rejected, review, search, serve, status, units, views, watch,
};
use crate::context::{Context, GlobalArgs};
use crate::error::{CommandError, Exit};

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  tried and failed
  2  the command line or the configuration is wrong
  3  the hub refused
  4  the hub did not answer

Example:
  hub init d --yes && hub serve --config d/hub.toml";

/// National Data-Sharing Hub: takes record changes from registers, keeps them in a provable log, and answers portals
/// with the least data that a purpose needs.
#[derive(Debug, Parser)]
#[command(name = "hub", version, after_help = AFTER_HELP, propagate_version = true, subcommand_required = true)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make a data directory: configuration, certificates and a first policy
    Init(init::InitArgs),
    /// Run the hub
    Serve(serve::ServeArgs),
    /// Send record changes of one register
    Publish(publish::PublishArgs),
    /// Show the whole main job on a synthetic nation: published, linked, queried, replayed
    Demo(demo::DemoArgs),
    /// Ask for one subject's attributes, each with its source
    Get(get::GetArgs),
    /// Check every item of a public service: available, or what is missing
    Check(check::CheckArgs),
    /// Link the records of files: find duplicates, match two files, learn, measure
    Link(link::LinkArgs),
    /// Look a subject up; at most 20 masked hits
    Search(search::SearchArgs),
    /// Show why mentions are one subject, or why two are not, in bits
    Explain(explain::ExplainArgs),
    /// Show subjects that change, as they change
    Watch(watch::WatchArgs),
    /// List pairs that a reviewer should look at, decide on them, list decisions
    Review(review::ReviewArgs),
    /// Show who looked at a subject's records
    Accesses(accesses::AccessesArgs),
    /// Show how correct, sufficient, clean and alive the data is
    Quality(quality::QualityArgs),
    /// List what is wrong with a register's records: faulty, there twice, in dispute
    Findings(findings::FindingsArgs),
    /// Show what the hub has of records, by their ids
    Heads(heads::HeadsArgs),
    /// Compare what a register's database holds with what the hub has of it
    Compare(compare::CompareArgs),
    /// Show or drive again what a register's publisher was refused
    Rejected(rejected::RejectedArgs),
    /// Check receipts without a hub
    Receipt(receipt::ReceiptArgs),
    /// Play a scripted publisher and portal against a hub, and tell what passed
    Conformance(conformance::ConformanceArgs),
    /// Show changes that cannot be applied; try them again, or drop them
    Quarantine(quarantine::QuarantineArgs),
    /// Show how far the hub is
    Status(status::StatusArgs),
    /// State a register anew, as a whole
    Register(register::RegisterArgs),
    /// Prove the views, fold others beside them, let those take over
    Views(views::ViewsArgs),
    /// Prove, check and replay what the log holds
    Audit(audit::AuditArgs),
    /// Show, approve or reject orders that wait for a second person
    Orders(orders::OrdersArgs),
    /// Check, back up, restore or rotate the keys of bodies; list or rotate those that sign
    Keys(keys::KeysArgs),
    /// Show, register, check or export contracts
    Contracts(contracts::ContractsArgs),
    /// Import or show lists of administrative units
    Units(units::UnitsArgs),
    /// Show or replace who may do what
    Policy(policy::PolicyArgs),
    /// Show or replace what each public service may ask for
    Procedures(procedures::ProceduresArgs),
    /// Make certificates for a development machine: authority, server, clients
    DevCerts(dev_certs::DevCertsArgs),
    /// Look at a configuration and a data directory, and say what is wrong
    Doctor(doctor::DoctorArgs),
    /// Explain a reason, a rule or an exit code
    Errors(errors::ErrorsArgs),
    /// Measure rates on this machine
    Bench(bench::BenchArgs),
    /// Copy the log between the embedded kind and Kafka
    Log(log::LogArgs),
    /// Make or check the topics of a log on Apache Kafka
    #[cfg(feature = "kafka")]
    Kafka(crate::commands::kafka::KafkaArgs),
    /// Explain or check the configuration
    Config(config::ConfigArgs),
    /// Print what a shell needs to complete commands and flags
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// What it could not do, why, and what the user can do about it.
    pub async fn run(&self, context: &Context) -> Result<Exit, CommandError> {
        match self {
            Self::Init(args) => init::run(args, context),
            Self::Serve(args) => serve::run(args, context).await,
            Self::Publish(args) => publish::run(args, context).await,
            Self::Demo(args) => demo::run(args, context).await,
            Self::Get(args) => get::run(args, context).await,
            Self::Check(args) => check::run(args, context).await,
            Self::Link(args) => link::run(args, context).await,
            Self::Search(args) => search::run(args, context).await,
            Self::Explain(args) => explain::run(args, context).await,
            Self::Watch(args) => watch::run(args, context).await,
            Self::Review(args) => review::run(args, context).await,
            Self::Accesses(args) => accesses::run(args, context).await,
            Self::Quality(args) => quality::run(args, context).await,
            Self::Findings(args) => findings::run(args, context).await,
            Self::Heads(args) => heads::run(args, context).await,
            Self::Compare(args) => compare::run(args, context).await,
            Self::Rejected(args) => rejected::run(args, context).await,
            Self::Receipt(args) => receipt::run(args, context),
            Self::Conformance(args) => conformance::run(args, context).await,
            Self::Quarantine(args) => quarantine::run(args, context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Register(args) => register::run(args, context).await,
            Self::Views(args) => views::run(args, context).await,
            Self::Audit(args) => audit::run(args, context).await,
            Self::Orders(args) => orders::run(args, context).await,
            Self::Keys(args) => keys::run(args, context).await,
            Self::Contracts(args) => contracts::run(args, context).await,
            Self::Units(args) => units::run(args, context).await,
            Self::Policy(args) => policy::run(args, context).await,
            Self::Procedures(args) => procedures::run(args, context).await,
            Self::DevCerts(args) => dev_certs::run(args, context),
            Self::Doctor(args) => doctor::run(args, context).await,
            Self::Errors(args) => errors::run(args, context),
            Self::Bench(args) => bench::run(args, context).await,
            Self::Log(args) => log::run(args, context).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(args) => crate::commands::kafka::run(args, context),
            Self::Config(args) => config::run(args, context),
            Self::Completions(args) => completions::run(args, context),
        }
    }
}
