//! Real binaries as processes of node namespaces.

mod docs;
mod end;
mod join;
mod oracle;
mod ownership;
mod start;
mod traffic;
mod wire;
