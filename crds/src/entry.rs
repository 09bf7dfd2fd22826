//! One entry of a pool's address lists, and the rules by which the API server refuses a bad one.
//!
//! The rules sit on the item, so that the API server's answer names the index of the bad entry,
//! and each message quotes what was written. The order of an IPv6 range cannot be computed in
//! CEL; the controller finds it and says so in the pool's `Ready` condition.
//!
//! The API server bounds the cost of a rule before it ever runs: it takes `split` to yield as many
//! parts as the text has characters, so the rules index the parts instead of iterating over them.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest text that can mean anything: two IPv6 addresses, a dash, and some blanks.
const MAX_LENGTH: u32 = 83;

/// Is `self` of the form "address/number"? What the number may be is another rule.
const HAS_PREFIX_FORM: &str = "(self.split('/').size() == 2 && isIP(self.split('/')[0].trim()) && self.split('/')[1].trim().matches('^[0-9]+$'))";

/// Is `self` a pair of addresses joined by a dash?
const IS_RANGE: &str =
    "(self.split('-').size() == 2 && isIP(self.split('-')[0].trim()) && isIP(self.split('-')[1].trim()))";

/// A CIDR, a `first-last` range, or a single address, as a person wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressEntry(pub String);

// === impl AddressEntry ===

impl Deref for AddressEntry {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for AddressEntry {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for AddressEntry {
    fn schema_name() -> Cow<'static, str> {
        "AddressEntry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let form = format!("isIP(self.trim()) || {HAS_PREFIX_FORM} || {IS_RANGE}");
        let prefix = format!("!{HAS_PREFIX_FORM} || isCIDR(self.trim())");
        let family = format!(
            "!{IS_RANGE} || ip(self.split('-')[0].trim()).family() == ip(self.split('-')[1].trim()).family()"
        );
        let order = format!(
            "!{IS_RANGE} || self.contains(':') || \
             [[0, 1].map(end, [0, 1, 2, 3].map(i, int(self.split('-')[end].trim().split('.')[i]) * \
             [16777216, 65536, 256, 1][i]).sum())].all(n, n[0] <= n[1])"
        );
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_LENGTH,
            "x-kubernetes-validations": [
                {
                    "rule": form,
                    "messageExpression": "'\"' + self + '\" is neither an address, nor a CIDR such as 192.168.1.0/24, \
                        nor a range such as 192.168.1.200-192.168.1.240'",
                },
                {
                    "rule": prefix,
                    "messageExpression": "'the prefix length of \"' + self + '\" must be a number from 0 to ' + \
                        (self.contains(':') ? '128' : '32')",
                },
                {
                    "rule": family,
                    "messageExpression": "'the range \"' + self + '\" mixes IPv4 and IPv6'",
                },
                {
                    "rule": order,
                    "messageExpression": "'the range \"' + self + '\" is backwards: its first address is above its last'",
                },
            ],
        })
    }
}
