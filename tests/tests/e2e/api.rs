//! The real API server alone.

mod chart;
mod start;
