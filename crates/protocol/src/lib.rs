//! Protocol 1 of SLAMon: wire types and their checks.
