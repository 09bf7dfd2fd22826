//! Real binaries as processes of node namespaces.

mod crash;
mod docs;
mod end;
mod join;
mod oracle;
mod ownership;
mod scale;
mod sharing;
mod start;
mod subnets;
mod traffic;
mod wire;
