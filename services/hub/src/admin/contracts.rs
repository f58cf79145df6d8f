//! Contracts: a new register is a descriptor set.

use std::sync::Arc;

use access::HubAction;
use contract::Contract;
use event_log::EventLog;
use projection::state::{ControlState, KnownContract};
use record::control::{Control, Order};
use record::{Entry, Partition, Position, RegisterName, Stream};
use tonic::Request;
use wire::admin::{
    Break, Contract as WireContract, GetContractRequest, GetContractResponse, ListContractsResponse,
    RegisterContractRequest, RegisterContractResponse,
};

use super::error::Error;
use super::{Inner, on_a_thread};

/// Reasons of a dry run: it writes nothing, so that nobody reads them.
const DRY_RUN: &str = "dry run";

pub(super) async fn register(
    inner: &Arc<Inner>,
    mut request: Request<RegisterContractRequest>,
) -> Result<RegisterContractResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let reason = if body.dry_run { DRY_RUN } else { &body.reason };
    let turn = inner.turn(&request, HubAction::ContractsRegister, reason).await?;
    let descriptors = body.descriptors;
    let (contract, descriptors) = on_a_thread(move || match Contract::compile(&descriptors) {
        Ok(contract) => Ok((Arc::new(contract), descriptors)),
        Err(error) => Err(Error::Contract(Box::new(error))),
    })
    .await?;
    let register =
        RegisterName::try_from(contract.register()).map_err(|_| Error::RegisterName(contract.register().to_owned()))?;
    let current = inner.control().current(&register).cloned();
    let new_register = current.is_none();
    if let Some(known) = current.as_ref().filter(|known| known.contract.id() == contract.id()) {
        let contract = Some(wire_contract(known));
        return Ok(RegisterContractResponse { contract, new_register, unchanged: true, breaks: Vec::new() });
    }
    let breaks = match current {
        None => Vec::new(),
        Some(known) => {
            let contract = contract.clone();
            on_a_thread(move || Ok(contract::compat(&known.contract, &contract))).await?
        }
    };
    if body.dry_run {
        let breaks = breaks.into_iter().map(wire_break).collect();
        let contract = Some(described(&contract));
        return Ok(RegisterContractResponse { contract, new_register, unchanged: false, breaks });
    }
    if !breaks.is_empty() {
        return Err(Error::Incompatible(breaks));
    }
    inner.order(&turn, Order::Contract { register: register.clone(), descriptors }).await?;
    let state = inner.control();
    let known = state.current(&register).ok_or_else(|| {
        tracing::error!(%register, "a contract that was ordered is not in force");
        Error::Internal
    })?;
    Ok(RegisterContractResponse {
        contract: Some(wire_contract(known)),
        new_register,
        unchanged: false,
        breaks: Vec::new(),
    })
}

pub(super) fn list(state: &ControlState) -> ListContractsResponse {
    ListContractsResponse { contracts: state.registers().map(|(_, known)| wire_contract(known)).collect() }
}

/// The descriptors are read from the log: memory holds the compiled contract only.
pub(super) async fn get(
    log: &EventLog,
    state: &ControlState,
    request: GetContractRequest,
) -> Result<GetContractResponse, Error> {
    let unknown = || Error::UnknownRegister(shown(&request.register));
    let register = RegisterName::try_from(request.register.as_str()).map_err(|_| unknown())?;
    let known = state.current(&register).cloned().ok_or_else(unknown)?;
    let contract = Some(wire_contract(&known));
    let log = log.clone();
    let position = Position { stream: Stream::Control, partition: Partition(0), index: known.index };
    let descriptors = on_a_thread(move || {
        let logged = log.read_position(position).map_err(|error| unreadable(&error))?;
        let entry = Entry::decode(&logged.bytes).map_err(|error| unreadable(&error))?;
        let body = entry.plain_body().map_err(|error| unreadable(&error))?;
        match Control::decode(body).map_err(|error| unreadable(&error))?.subject() {
            Order::Contract { descriptors, .. } => Ok(descriptors.clone()),
            other => {
                tracing::error!(order = other.name(), position = %position, "no contract stands where one is known");
                Err(Error::Internal)
            }
        }
    });
    Ok(GetContractResponse { contract, descriptors: descriptors.await? })
}

fn unreadable(error: &dyn std::error::Error) -> Error {
    tracing::error!(error = %crate::error::told(error), "the entry of a contract cannot be read");
    Error::Log
}

/// What a caller sent as a register's name, as far as it looks like one.
fn shown(name: &str) -> String {
    let well_formed = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    if well_formed { name.to_owned() } else { "(malformed)".to_owned() }
}

fn described(contract: &Contract) -> WireContract {
    WireContract {
        register: contract.register().to_owned(),
        id: contract.id().to_hex(),
        record_types: contract.record_types().iter().map(|record_type| record_type.name().to_owned()).collect(),
        registered_by: String::new(),
        registered_at: None,
    }
}

fn wire_contract(known: &KnownContract) -> WireContract {
    let registered_by = if known.actor == "hub" { "built-in".to_owned() } else { known.actor.clone() };
    let registered_at = Some(wire::timestamp(known.recorded_at.0));
    WireContract { registered_by, registered_at, ..described(&known.contract) }
}

fn wire_break(broken: contract::Breaking) -> Break {
    Break { file: broken.file, path: broken.path, rule_id: broken.rule.to_owned(), message: broken.message }
}
