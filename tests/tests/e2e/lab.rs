//! Real binaries as processes of node namespaces.

mod traffic;
