//! storeset.
