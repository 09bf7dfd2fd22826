//! Placeholder while the first slice is written.
