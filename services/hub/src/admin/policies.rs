//! The policy document and the procedure profiles: each is checked against the other before it is written.

use std::sync::Arc;

use access::HubAction;
use record::control::Order;
use tonic::Request;
use views::runtime::{AccessError, access_from};
use wire::admin::{
    GetPolicyRequest, GetPolicyResponse, GetProceduresResponse, PutPolicyRequest, PutPolicyResponse,
    PutProceduresRequest, PutProceduresResponse,
};

use super::error::Error;
use super::{Inner, on_a_thread};

pub(super) async fn put_policy(
    inner: &Arc<Inner>,
    mut request: Request<PutPolicyRequest>,
) -> Result<PutPolicyResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::Policies, &body.reason).await?;
    let procedures = inner.control().procedures.clone().ok_or(AccessError::Absent("procedures"))?;
    let (document, policy) = on_a_thread(move || {
        let access = access_from(&body.document, &procedures.bytes)?;
        Ok((body.document, access.policy_hash().to_string()))
    })
    .await?;
    inner.order(&turn, Order::Policy { document }).await?;
    Ok(PutPolicyResponse { policy })
}

pub(super) async fn put_procedures(
    inner: &Arc<Inner>,
    mut request: Request<PutProceduresRequest>,
) -> Result<PutProceduresResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::Policies, &body.reason).await?;
    let policy = inner.control().policy.clone().ok_or(AccessError::Absent("policy"))?;
    let (document, procedures) = on_a_thread(move || {
        let access = access_from(&policy.bytes, &body.document)?;
        Ok((body.document, access.procedures().len()))
    })
    .await?;
    inner.order(&turn, Order::Procedures { document }).await?;
    Ok(PutProceduresResponse { procedures: u32::try_from(procedures).unwrap_or(u32::MAX) })
}

/// The document in force, with the hash that answers name.
pub(super) async fn get_policy(
    inner: &Arc<Inner>,
    request: &Request<GetPolicyRequest>,
) -> Result<GetPolicyResponse, Error> {
    inner.permit(request, HubAction::Policies)?;
    let control = inner.control();
    let policy = control.policy.clone().ok_or(AccessError::Absent("policy"))?;
    let procedures = control.procedures.clone().ok_or(AccessError::Absent("procedures"))?;
    on_a_thread(move || {
        let access = access_from(&policy.bytes, &procedures.bytes)?;
        Ok(GetPolicyResponse { document: policy.bytes.to_vec(), policy: access.policy_hash().to_string() })
    })
    .await
}

pub(super) fn get_procedures(inner: &Inner) -> Result<GetProceduresResponse, Error> {
    let document = inner.control().procedures.clone().ok_or(AccessError::Absent("procedures"))?;
    Ok(GetProceduresResponse { document: document.bytes.to_vec() })
}
