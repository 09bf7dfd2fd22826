//! Real binaries as processes of node namespaces.

mod end;
mod oracle;
mod traffic;
mod wire;
