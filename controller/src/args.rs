//! The controller's flags.

use std::collections::BTreeSet;

use clap::{ArgAction, Parser};
use ferrolb_crds::annotation::DEFAULT_LOAD_BALANCER_CLASS;
use ferrolb_runtime::VERSION;
use ferrolb_runtime::args::{AdminArgs, ClientArgs, LogArgs};

/// The admin server's port.
pub const ADMIN_PORT: u16 = 7980;

/// The Secret that speakers take their gossip key from.
const DEFAULT_GOSSIP_SECRET: &str = "ferrolb-gossip";

/// Lends addresses from AddressPools to Services of type LoadBalancer.
#[derive(Clone, Debug, Parser)]
#[command(name = "ferrolb-controller", version = VERSION)]
pub struct Args {
    /// How to reach the API server.
    #[command(flatten)]
    pub client: ClientArgs,

    /// What to log, and how.
    #[command(flatten)]
    pub log: LogArgs,

    /// Where the admin server listens.
    #[command(flatten)]
    pub admin: AdminArgs<ADMIN_PORT>,

    /// Write only while holding the Lease ferrolb-controller; off only for a replica that is alone
    #[arg(
        long,
        env = "FERROLB_LEADER_ELECT",
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        action = ArgAction::Set
    )]
    pub leader_elect: bool,

    /// Serve Services of this spec.loadBalancerClass; may be given several times or as a list
    #[arg(
        long = "load-balancer-class",
        env = "FERROLB_LOAD_BALANCER_CLASS",
        value_name = "CLASS",
        default_value = DEFAULT_LOAD_BALANCER_CLASS,
        value_delimiter = ',',
        value_parser = class
    )]
    pub load_balancer_classes: Vec<String>,

    /// Serve Services that name no class
    #[arg(
        long,
        env = "FERROLB_HANDLE_UNSET_CLASS",
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        action = ArgAction::Set
    )]
    pub handle_unset_class: bool,

    /// Keep Services that hold addresses from being gone before their addresses are given back, by
    /// the finalizer service.kubernetes.io/load-balancer-cleanup; off takes it off all Services
    #[arg(
        long,
        env = "FERROLB_SERVICE_FINALIZER",
        value_name = "BOOL",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        action = ArgAction::Set
    )]
    pub service_finalizer: bool,

    /// Secret to create with a random gossip key if it does not exist; empty to create none
    #[arg(
        long,
        env = "FERROLB_GOSSIP_SECRET",
        value_name = "NAME",
        default_value = DEFAULT_GOSSIP_SECRET
    )]
    pub gossip_secret: String,
}

// === impl Args ===

impl Args {
    /// The classes that are given more than once: each is handled once, and one of them may have been
    /// meant to be another.
    pub fn repeated_classes(&self) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let classes = self.load_balancer_classes.iter().map(String::as_str);
        classes.filter(|class| !seen.insert(*class)).collect()
    }
}

/// A class that a Service can have, by the API server's rule for `spec.loadBalancerClass`: anything else
/// is a mistake that would serve nobody.
fn class(text: &str) -> Result<String, String> {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    if domain.is_none_or(is_domain) && is_name(name) {
        return Ok(text.to_owned());
    }
    Err(
        "no Service can have this spec.loadBalancerClass: it is a name of letters, digits, \"-\", \"_\" and \".\" \
         (63 at most, a letter or digit first and last), alone or after a domain in lower case and a slash, as \
         ferrolb.io/layer2"
            .to_owned(),
    )
}

/// A DNS subdomain, as Kubernetes understands it.
fn is_domain(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = |label: &str| label.chars().all(is_allowed) && ends_well(label);
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    text.len() <= 63 && text.chars().all(is_allowed) && ends_well(text)
}

fn ends_well(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(is_plain) && text.ends_with(is_plain)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn mk_args(arguments: &[&str]) -> Args {
        Args::parse_from(std::iter::once("ferrolb-controller").chain(arguments.iter().copied()))
    }

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn classes_can_be_repeated_and_listed() {
        let args = mk_args(&["--load-balancer-class=a/b", "--load-balancer-class", "c/d,e/f"]);
        assert_eq!(args.load_balancer_classes, ["a/b", "c/d", "e/f"]);
        assert_eq!(mk_args(&[]).load_balancer_classes, ["ferrolb.io/layer2"]);
    }

    #[test]
    fn a_class_that_no_service_can_have_is_refused() {
        let long = "a".repeat(64);
        for class in [
            "",
            "a b",
            "/layer2",
            "ferrolb.io/",
            "a/-b",
            "a/b/c",
            "Ferrolb.io/layer2",
            "a..b/c",
            "a_b/c",
            &long,
        ] {
            let refused =
                Args::try_parse_from(["ferrolb-controller", &format!("--load-balancer-class={class}")]);
            let text = refused.err().map(|error| error.to_string()).unwrap_or_default();
            for word in [
                "--load-balancer-class",
                &format!("'{class}'"),
                "as ferrolb.io/layer2",
            ] {
                // clap has words of its own for nothing at all.
                assert!(text.contains(word) || class.is_empty(), "{class:?}: {text}");
            }
            assert!(text.contains("--load-balancer-class"), "{class:?}: {text}");
        }
        for allowed in ["layer2", "L", "a.b", "a-b.example/My_class.2"] {
            let args = mk_args(&["--load-balancer-class", allowed]);
            assert_eq!(args.load_balancer_classes, [allowed]);
        }
    }

    #[test]
    fn a_class_that_is_given_twice_is_noticed() {
        let args = mk_args(&["--load-balancer-class=a/b,c/d,a/b", "--load-balancer-class=a/b"]);
        assert_eq!(args.repeated_classes(), ["a/b"].into());
        assert_eq!(mk_args(&[]).repeated_classes(), BTreeSet::new());
    }

    #[test]
    fn booleans_have_a_default_and_take_a_value() {
        let args = mk_args(&["--leader-elect=false", "--handle-unset-class=false"]);
        assert!(!args.leader_elect && !args.handle_unset_class);
        let args = mk_args(&["--leader-elect"]);
        assert!(args.leader_elect && args.handle_unset_class && !args.service_finalizer);
        assert!(mk_args(&["--service-finalizer"]).service_finalizer);
    }
}
