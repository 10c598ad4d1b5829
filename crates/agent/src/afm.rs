//! The Agent Fleet Managers that an agent works for.

mod connection;
mod wire;

pub(crate) use connection::{Afm, Answered, Delivered, Problem};
pub(crate) use wire::{HandedOut, Poll, PollExtensions, Result as TaskResult, capabilities};
