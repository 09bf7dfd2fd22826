//! Real binaries as processes of node namespaces.

mod end;
mod traffic;
