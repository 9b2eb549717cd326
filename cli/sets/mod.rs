//! Sets of stores that are kept together: found by the patterns of the configuration, worked on by processes that
//! belong to the stores' owners.
//!
//! ```text
//! walk     what a pattern finds and whose it is, without following anybody astray
//! whose    whose a path is that a command writes to
//! user     the rights of another user, for a look or for good
//! plan     configuration → sets
//! order    a set and what to make of it, as JSON from the program to a worker, and its answer
//! work     what a worker does: one rebuild of the set, hooks included
//! run      workers started, a few at a time, answers in the order of the sets
//! child    a program waited for, for a limited time
//! ```

mod child;
mod hook;
pub mod order;
pub mod plan;
pub mod run;
pub mod user;
mod walk;
pub mod whose;
pub mod work;
