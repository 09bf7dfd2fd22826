//! The controller's flags.

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

/// A class that a Service can have: anything else is a mistake that would serve nobody.
fn class(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let ends_well = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric();
        part.starts_with(is_plain) && part.ends_with(is_plain)
    };
    if !text.chars().all(is_allowed) || !text.split('/').all(ends_well) {
        return Err("a class is a name such as ferrolb.io/layer2, as in spec.loadBalancerClass".to_owned());
    }
    Ok(text.to_owned())
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
        for class in ["", "a b", "/layer2", "ferrolb.io/", "a/-b"] {
            let refused =
                Args::try_parse_from(["ferrolb-controller", &format!("--load-balancer-class={class}")]);
            let text = refused.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains("--load-balancer-class"), "{class:?}: {text}");
        }
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
