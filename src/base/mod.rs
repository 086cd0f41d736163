//! What every other module may lean on: bounds, the clock, bounded mail. No I/O of its own.

pub mod bounds;
pub mod clock;
