//! What this process does of what a hub does.

use record::RegisterName;

use crate::config::Config;
use crate::error::CommandError;

const NAMES: [&str; 3] = ["ingest", "views", "audit"];

/// The roles of a process, by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Takes changes.
    pub(crate) ingest: bool,
    /// Folds them and answers questions.
    pub(crate) views: bool,
    /// Folds them, keeps the ledger, writes cuts, and gives the log's secrets to the others.
    pub(crate) audit: bool,
    /// Registers whose changes are taken; empty for all.
    pub(crate) registers: Vec<RegisterName>,
}

impl Roles {
    /// Reads and checks them.
    ///
    /// # Errors
    /// An unknown role or register name; roles apart, or secrets of others, on a log of one process.
    pub(crate) fn of(config: &Config) -> Result<Self, CommandError> {
        let names: Vec<&str> = config.roles.serve.split(',').map(str::trim).collect();
        let unknown = names.iter().find(|name| !NAMES.contains(name));
        if let Some(unknown) = unknown {
            return Err(CommandError::usage(
                format!("roles.serve: '{unknown}' is no role"),
                format!("name some of {}, separated by commas", NAMES.join(", ")),
            ));
        }
        let has = |name: &str| names.contains(&name);
        let registers = config.roles.registers.iter().map(|name| {
            RegisterName::try_from(name.as_str()).map_err(|error| {
                CommandError::usage(format!("roles.registers: '{name}': {error}"), "name registers, such as land")
            })
        });
        let roles = Self {
            ingest: has("ingest"),
            views: has("views"),
            audit: has("audit"),
            registers: registers.collect::<Result<_, _>>()?,
        };
        roles.check(config)?;
        Ok(roles)
    }

    fn check(&self, config: &Config) -> Result<(), CommandError> {
        if !self.ingest && !self.registers.is_empty() {
            return Err(CommandError::usage(
                "roles.registers is for the role ingest, which this process does not have",
                "add the role, or leave the registers out",
            ));
        }
        let alone = config.log.kind != "kafka";
        if alone && !(self.ingest && self.views && self.audit) {
            return Err(CommandError::usage(
                "roles.serve leaves roles to other processes, and an embedded log has only one",
                "serve all roles, or put the log on Kafka (log.kind = \"kafka\")",
            ));
        }
        if config.peers.views_from.is_some() && (alone || !self.fold()) {
            return Err(CommandError::usage(
                "peers.views_from names processes to take views from, and this one keeps no views that others fold too",
                "leave it out, or give the process the role views or audit and put the log on Kafka (log.kind = \"kafka\")",
            ));
        }
        if alone && config.peers.keys_from.is_some() {
            return Err(CommandError::usage(
                "peers.keys_from names other processes, and an embedded log has only one",
                "leave it out, or put the log on Kafka (log.kind = \"kafka\")",
            ));
        }
        Ok(())
    }

    /// Whether this process folds the log into views of its own.
    pub(crate) fn fold(&self) -> bool {
        self.views || self.audit
    }

    /// Their names, as the configuration writes them.
    pub(crate) fn names(&self) -> String {
        let has = [self.ingest, self.views, self.audit];
        let names: Vec<&str> = NAMES.into_iter().zip(has).filter_map(|(name, has)| has.then_some(name)).collect();
        names.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: &str, serve: &str, registers: &[&str]) -> Config {
        let mut config = Config::default();
        config.log.kind = kind.to_owned();
        config.roles.serve = serve.to_owned();
        config.roles.registers = registers.iter().map(|name| (*name).to_owned()).collect();
        config
    }

    #[test]
    fn a_process_has_the_roles_that_are_named() {
        let roles = Roles::of(&config("kafka", "ingest, audit", &["land"])).expect("sound");
        assert_eq!((roles.ingest, roles.views, roles.audit, roles.fold()), (true, false, true, true));
        assert_eq!(roles.names(), "ingest,audit");
        assert!(!Roles::of(&config("kafka", "ingest", &[])).expect("sound").fold());
        assert!(Roles::of(&Config::default()).expect("sound").views);
    }

    #[test]
    fn views_are_taken_from_others_only_where_others_fold_the_same_log() {
        for (kind, serve) in [("embedded", "ingest,views,audit"), ("kafka", "ingest")] {
            let mut config = config(kind, serve, &[]);
            config.peers.views_from = Some("https://hub-views-0:7443".to_owned());
            assert!(Roles::of(&config).expect_err(serve).what.contains("peers.views_from"));
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_what_to_do() {
        for (kind, serve, registers) in [
            ("kafka", "ingest,portal", &[][..]),
            ("kafka", "views", &["land"]),
            ("embedded", "views,audit", &[]),
            ("kafka", "ingest", &["Land!"]),
        ] {
            let error = Roles::of(&config(kind, serve, registers)).expect_err(serve);
            assert!(!error.what_to_do.is_empty() && error.what.contains("roles."), "{error:?}");
        }
    }
}
