//! Sets of stores that are kept together: found by the patterns of the configuration, worked on by processes that
//! belong to the stores' owners.
//!
//! ```text
//! plan     configuration → sets: what the stars of the patterns stand for, and whose the stores are
//! order    a set and what to make of it, as JSON from the program to a worker, and its answer
//! work     what a worker does: one rebuild of the set, hooks included
//! run      workers started, a few at a time, answers in the order of the sets
//! ```

mod hook;
pub mod order;
pub mod plan;
pub mod run;
pub mod work;
