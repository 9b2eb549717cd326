//! keyferry: ferries certificates and keys between keystores, and keeps a client's keystores current.
//!
//! The program is thin: it reads arguments and passwords, calls one function of `formats::jobs`, and
//! prints. Start reading at `commands/mod.rs`.

mod commands;
mod error;
mod failpoint;
#[cfg(feature = "parquet")]
mod parquet;
mod place;
mod report;
mod secrets;
mod time;
mod ui;

fn main() -> std::process::ExitCode {
    commands::main()
}
