//! What a caller may ask the hub to do.

use std::fmt;

/// Every action that a policy decides on. The names are those of the policy schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Read a subject's attributes.
    GetSubject,
    /// Ask which items of a procedure are at hand; releases states, not values.
    CheckProcedure,
    /// Look a subject up; releases masked hits.
    Search,
    /// List who read a person's or parcel's records.
    ListAccesses,
    /// Read the quality counters.
    GetQuality,
    /// Read the hub's own state.
    GetStatus,
    /// Register a contract.
    ContractsRegister,
    /// Import a list of administrative units.
    UnitsImport,
    /// Drive refused changes again.
    Redrive,
    /// Replace the policy document or the procedure profiles.
    Policies,
    /// Fold the log from scratch and compare with the live views.
    VerifyViews,
    /// Prepare other views, let them take over, switch models, redo a register.
    SwitchViews,
    /// See what a reviewer should look at, and decide on it.
    Review,
    /// Read entries of the log as they are: replays, and proofs of records and answers.
    Audit,
    /// Erase records, or ask for it where a second person must approve.
    Erase,
    /// Approve or reject an erasure that another one asked for.
    ApproveErasure,
    /// See the state of the keys of bodies, and rotate the key that wraps them.
    Keys,
    /// Publish record changes.
    Publish,
}

impl Action {
    /// The action's name in policies, answers and access entries.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetSubject => "get_subject",
            Self::CheckProcedure => "check_procedure",
            Self::Search => "search",
            Self::ListAccesses => "list_accesses",
            Self::GetQuality => "get_quality",
            Self::GetStatus => "get_status",
            Self::ContractsRegister => "contracts_register",
            Self::UnitsImport => "units_import",
            Self::Redrive => "redrive",
            Self::Policies => "policies",
            Self::VerifyViews => "verify_views",
            Self::SwitchViews => "switch_views",
            Self::Review => "review",
            Self::Audit => "audit",
            Self::Erase => "erase",
            Self::ApproveErasure => "approve_erasure",
            Self::Keys => "keys",
            Self::Publish => "publish",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The three actions that read subjects and therefore need a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// [`Action::GetSubject`].
    GetSubject,
    /// [`Action::CheckProcedure`].
    CheckProcedure,
    /// [`Action::Search`].
    Search,
}

impl Query {
    pub(crate) const COUNT: usize = 3;

    /// The action that policies see.
    pub fn action(self) -> Action {
        match self {
            Self::GetSubject => Action::GetSubject,
            Self::CheckProcedure => Action::CheckProcedure,
            Self::Search => Action::Search,
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::GetSubject => 0,
            Self::CheckProcedure => 1,
            Self::Search => 2,
        }
    }
}

/// The actions on the hub as a whole: neither a purpose nor a record type is involved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HubAction {
    /// [`Action::GetQuality`].
    GetQuality,
    /// [`Action::GetStatus`].
    GetStatus,
    /// [`Action::ContractsRegister`].
    ContractsRegister,
    /// [`Action::UnitsImport`].
    UnitsImport,
    /// [`Action::Redrive`].
    Redrive,
    /// [`Action::Policies`].
    Policies,
    /// [`Action::VerifyViews`].
    VerifyViews,
    /// [`Action::SwitchViews`].
    SwitchViews,
    /// [`Action::Review`].
    Review,
    /// [`Action::Audit`].
    Audit,
    /// [`Action::Erase`].
    Erase,
    /// [`Action::ApproveErasure`].
    ApproveErasure,
    /// [`Action::Keys`].
    Keys,
}

impl HubAction {
    /// The action that policies see.
    pub fn action(self) -> Action {
        match self {
            Self::GetQuality => Action::GetQuality,
            Self::GetStatus => Action::GetStatus,
            Self::ContractsRegister => Action::ContractsRegister,
            Self::UnitsImport => Action::UnitsImport,
            Self::Redrive => Action::Redrive,
            Self::Policies => Action::Policies,
            Self::VerifyViews => Action::VerifyViews,
            Self::SwitchViews => Action::SwitchViews,
            Self::Review => Action::Review,
            Self::Audit => Action::Audit,
            Self::Erase => Action::Erase,
            Self::ApproveErasure => Action::ApproveErasure,
            Self::Keys => Action::Keys,
        }
    }
}
