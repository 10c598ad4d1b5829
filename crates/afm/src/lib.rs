//! The SLAMon Agent Fleet Manager.
