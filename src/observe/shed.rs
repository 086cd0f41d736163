//! Requests that no worker was given: why they were turned away.
//!
//! Owns the reasons and their names in metrics. Counted by the pool of each shard.

/// Why a request for the application was answered with 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// The queue was full when it came.
    Full,
    /// It waited in a full queue, and a more urgent one came.
    Displaced,
    /// It had waited for `queue_timeout`.
    Timeout,
    /// It had waited for `overload_timeout` while more came than could be served.
    Overload,
}

/// How many were turned away, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShedCounts([u64; Shed::ALL.len()]);

impl Shed {
    const ALL: [Shed; 4] = [Shed::Full, Shed::Displaced, Shed::Timeout, Shed::Overload];

    /// As metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            Shed::Full => "full",
            Shed::Displaced => "displaced",
            Shed::Timeout => "timeout",
            Shed::Overload => "overload",
        }
    }

    /// What the client is told.
    pub fn detail(self) -> &'static str {
        match self {
            Shed::Full | Shed::Displaced => "Too many requests wait already.",
            Shed::Timeout | Shed::Overload => "No worker took the request in time.",
        }
    }
}

impl ShedCounts {
    /// One more.
    pub fn count(&mut self, shed: Shed) {
        self.0[shed as usize] += 1;
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &ShedCounts) {
        self.0.iter_mut().zip(other.0).for_each(|(own, count)| *own += count);
    }

    /// All of them together.
    pub fn in_all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason and its count.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Shed::ALL.into_iter().zip(self.0).map(|(shed, count)| (shed.label(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_add_up() {
        let (mut one, mut other) = (ShedCounts::default(), ShedCounts::default());
        for (index, shed) in Shed::ALL.into_iter().enumerate() {
            assert_eq!(shed as usize, index);
        }
        one.count(Shed::Timeout);
        other.count(Shed::Timeout);
        other.count(Shed::Full);
        one.add(&other);
        assert_eq!(one.in_all(), 3);
        let all: Vec<_> = one.iter().collect();
        assert_eq!(all, [("full", 1), ("displaced", 0), ("timeout", 2), ("overload", 0)]);
    }
}
