//! Real binaries as processes of node namespaces.

mod oracle;
mod end;
mod traffic;
