//! The real API server alone, and our controller with it.

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
mod scale;
mod settled;
mod shared;
mod start;
mod startup;
mod tenant;
