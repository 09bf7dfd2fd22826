//! The real API server alone.

mod chart;
mod samples;
mod start;
