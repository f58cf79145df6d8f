//! compat
use crate::compile::Contract;
/// x
pub struct Breaking;
/// x
pub fn compat(_o: &Contract, _n: &Contract) -> Vec<Breaking> {
    Vec::new()
}
