//! The commands that people type, run as `cargo xtask` runs them once everything is built: the program
//! `ferrolb-lab`, judged by what it prints, how it ends and what it leaves behind.

mod bench;
mod demo;
mod kept;
mod refused;
mod terminal;
