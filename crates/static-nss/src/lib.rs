//! Linked into a static program, this has it look up hosts in `/etc/hosts` and by DNS, and users in `/etc/passwd`, instead of by
//! modules of the system, which end it where the system's libc has another version. It has no effect on other programs.
//!
//! ```
//! use slamon_static_nss as _;
//! ```
