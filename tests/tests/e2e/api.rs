//! The real API server alone.

mod start;
