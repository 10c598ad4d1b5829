//! The client, with a real AFM.

mod afm;
mod fleet;
mod openapi;
mod tasks;
mod trouble;
