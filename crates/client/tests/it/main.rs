//! The client, with a real AFM.

mod afm;
mod endless;
mod fleet;
mod openapi;
mod secured;
mod tasks;
mod trouble;
