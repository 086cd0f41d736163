//! What every other module may lean on: bounds, budgets, the clock, bounded mail. It reads no files and opens no sockets.

pub mod bounds;
pub mod budget;
pub mod calendar;
pub mod clock;
pub mod mail;
