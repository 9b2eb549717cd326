//! Tests of single parts; whole files are read in tests/golden.rs and tests/kdb.rs.
