//! The real API server alone, and our controller with it.

use crate::{churn, tenant};

mod adoption;
mod arrival;
mod automatic;
mod chart;
mod classes;
mod crash;
mod finalizer;
mod lending;
mod malformed;
mod outage;
mod pools;
mod reasons;
mod release;
mod replicas;
mod reservations;
mod rules;
mod samples;
mod settled;
mod shared;
mod sharing;
mod start;
mod startup;
mod vandals;
