//! What every other module may lean on: bounds, the clock, bounded mail. It reads no files and opens no sockets.

pub mod bounds;
pub mod clock;
pub mod mail;
