//! keyferry: ferries certificates and keys between keystores, and keeps a client's keystores current.
//!
//! The program is thin: it reads arguments and passwords, calls one function of `formats::jobs`, and
//! prints. Start reading at `commands/mod.rs`.

mod commands;
mod config;
mod error;
mod failpoint;
mod fetch;
mod files;
mod history;
#[cfg(feature = "parquet")]
mod parquet;
mod place;
mod rebuilt;
mod report;
mod rights;
mod secrets;
mod sets;
mod status;
mod time;
mod ui;

fn main() -> std::process::ExitCode {
    commands::main()
}
