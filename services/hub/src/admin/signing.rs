//! Changing the key that receipts and checkpoints are signed with, while the hub serves.

use std::sync::Arc;

use access::HubAction;
use record::control::Order;
use tonic::Request;
use wire::admin::{RotateSigningKeyRequest, RotateSigningKeyResponse};

use super::error::Error;
use super::{Inner, on_a_thread};
use crate::server::signing::Drawn;

/// The next key is on the disk before the log names it, and signs after: whenever the hub is killed, the next start finds the key
/// that the log names.
pub(super) async fn rotate(
    inner: &Arc<Inner>,
    mut request: Request<RotateSigningKeyRequest>,
) -> Result<RotateSigningKeyResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::Keys, &body.reason).await?;
    let (files, announce) = (inner.signing.clone(), body.announce);
    let announced = inner.control().signing.iter().rev().find(|period| period.from.is_none()).cloned();
    let announced = announced.map(|period| period.verifier).filter(|_| !announce);
    let Drawn { former, next } = on_a_thread(move || Ok(files.draw(announced.as_deref())?)).await?;
    let order = Order::SigningKey { former: former.clone(), next: next.clone(), serves: !announce };
    let index = inner.order(&turn, order).await?;
    let (files, state) = (inner.signing.clone(), inner.control());
    on_a_thread(move || Ok(files.settle(&state)?)).await?;
    tracing::info!(former, next, announce, "the signing key was changed, or the next one announced");
    Ok(RotateSigningKeyResponse { former, next, index: index.0 })
}
