//! The server as its clients see it: over real HTTP, on real databases.
