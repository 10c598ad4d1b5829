//! The Agent Fleet Managers that an agent works for.

mod connection;
mod problem;
mod wire;

pub(crate) use connection::{Afm, Answered, Delivered, SMALL};
pub(crate) use problem::Problem;
pub(crate) use wire::{HandedOut, Poll, PollExtensions, Result as TaskResult, capabilities};
