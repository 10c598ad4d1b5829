//! What tests run against.
