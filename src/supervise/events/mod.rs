//! Events and their listeners, as Supervisor has them: what happens to processes, what they write, the passing of time.
//!
//! `bus` is where things are told and from where they go to the pools of listeners (`pool`), each of whose processes speaks the protocol (`talk`);
//! `stream` and `capture` find events in what processes write, `payload` writes them as listeners read them, `ticks` knows the
//! periods, `workers` tells of the web workers as of processes. Listeners are programs: `programs` starts and stops them.

mod bus;
mod capture;
mod payload;
mod pool;
mod stream;
mod talk;
mod ticks;
mod workers;

pub(super) use bus::{Bus, Sender};
pub(super) use payload::{Details, Subject};
pub(super) use stream::{Spoken, Wishes};
pub(super) use workers::{Seen, Workers};
