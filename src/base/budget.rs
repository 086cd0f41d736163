//! Memory that many hold together up to a bound.
//!
//! Owns the sum only. Pure; belongs to one thread. A claim gives back what it has when it is dropped, whatever happens to its holder.

use std::cell::Cell;
use std::rc::Rc;

/// A sum of bytes with a bound. Cloning it is cheap and shares the sum.
#[derive(Clone, Debug)]
pub struct Budget(Rc<Sum>);

#[derive(Debug)]
struct Sum {
    used: Cell<usize>,
    max: usize,
}

impl Budget {
    /// Nothing is used of `max_bytes`.
    pub fn new(max_bytes: usize) -> Budget {
        Budget(Rc::new(Sum { used: Cell::new(0), max: max_bytes }))
    }

    /// A claim to no bytes yet.
    pub fn claim(&self) -> Claim {
        Claim { budget: self.clone(), bytes: 0 }
    }

    /// Bytes that are claimed at present.
    pub fn used(&self) -> usize {
        self.0.used.get()
    }
}

/// One holder's part of a [`Budget`].
#[derive(Debug)]
pub struct Claim {
    budget: Budget,
    bytes: usize,
}

impl Claim {
    /// Claims `more` bytes. `false`, and nothing changes, if the budget has no room for them.
    pub fn grow(&mut self, more: usize) -> bool {
        let sum = &self.budget.0;
        match sum.used.get().checked_add(more) {
            Some(used) if used <= sum.max => {
                self.grow_beyond(more);
                true
            }
            _ => false,
        }
    }

    /// Claims `more` bytes even if there is no room for them: for what can't be elsewhere.
    pub fn grow_beyond(&mut self, more: usize) {
        self.budget.0.used.set(self.budget.0.used.get().saturating_add(more));
        self.bytes = self.bytes.saturating_add(more);
    }

    /// Gives `fewer` bytes back, at most those that it has.
    pub fn shrink(&mut self, fewer: usize) {
        let fewer = fewer.min(self.bytes);
        self.bytes -= fewer;
        self.budget.0.used.set(self.budget.0.used.get() - fewer);
    }

    /// Bytes that it has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_share_a_bound_and_give_back_what_they_have() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.claim(), budget.claim());
        assert!(one.grow(60) && !other.grow(41) && other.grow(40));
        one.shrink(10);
        assert_eq!((one.bytes(), budget.used()), (50, 90));
        other.grow_beyond(500);
        assert!(!one.grow(1) && !one.grow(usize::MAX));
        drop(other);
        assert_eq!(budget.used(), 50);
        one.shrink(usize::MAX);
        assert_eq!((one.bytes(), budget.used()), (0, 0));
    }
}
