//! Who may do what: the tokens that the database has, in memory.

mod held_tokens;
pub mod token_text;

pub use held_tokens::HeldTokens;
pub(crate) use held_tokens::{HeldToken, Refused};
