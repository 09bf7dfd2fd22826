//! Claims: for the speakers what ownership depends on, for the controller who holds the address.

mod facts;
mod partial;
mod parts;
mod stored;

use std::net::IpAddr;

use ferrolb_core::address::parse_claim_name;

use crate::address_claim::AddressClaim;

pub use facts::{claim_facts, status_epoch};
pub use partial::partial;
pub use stored::{api_spec, claim, new_claim};

/// The address of a claim; `None` when name and spec disagree, which the API server's rules make
/// impossible.
pub fn address(claim: &AddressClaim) -> Option<IpAddr> {
    let address = parse_claim_name(claim.metadata.name.as_deref()?)?;
    (claim.spec.address.parse() == Ok(address)).then_some(address)
}
