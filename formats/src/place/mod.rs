//! Where bytes live: sources to read, probes to recognise them by, staging to write into.
//!
//! Nothing in here knows a format. Formats read from a [`Source`] and write only into a [`Staging`];
//! `storeset` alone moves what was staged into place.

mod name;
mod source;
mod staging;

pub use name::{path_hex, path_text};
pub(crate) use source::cannot_read;
pub use source::reason;
pub use source::{FileFacts, Identity, Probe, Source};
pub(crate) use staging::PIECE;
pub use staging::{StagedFile, Staging};
