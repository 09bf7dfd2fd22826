//! The real API server alone, and our controller with it.

use crate::{churn, tenant};

mod adoption;
mod chart;
mod classes;
mod crash;
mod lending;
mod outage;
mod pools;
mod release;
mod replicas;
mod samples;
mod settled;
mod shared;
mod start;
mod startup;
