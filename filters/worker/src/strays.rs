//! Which routes of the proxy can be taken for granted.
//!
//! Routes and filter parameters reach the proxy one after the other, so that for a moment there are
//! routes that only the replaced parameters know; and a proxy that refused its newer routes keeps them
//! for long. A request's route is the dearest thing to ask for: where all routes lead to the same, it
//! is asked for only now and then.

use std::collections::HashMap;

use identity::hashing::Named;

/// How long a route of replaced parameters is remembered, in microseconds.
const GRACE_US: u64 = 10_000_000;
/// A route that need not be asked for is asked for only this often: to notice a proxy whose routes are
/// older than its parameters.
const LOOK_EVERY: u32 = 64;

/// Routes that only replaced parameters know. `K`: what such a route leads to.
#[derive(Debug)]
pub struct Strays<K> {
    former: HashMap<Box<[u8]>, Former<K>, Named>,
    /// Until when a request may have come by a route that the parameters do not have any more.
    until_us: u64,
    /// How many requests may still come before one is looked at again.
    unlooked: u32,
}

#[derive(Debug)]
struct Former<K> {
    leads_to: K,
    until_us: u64,
}

impl<K> Default for Strays<K> {
    fn default() -> Self {
        Self { former: HashMap::default(), until_us: 0, unlooked: 0 }
    }
}

impl<K> Strays<K> {
    /// Parameters were replaced. `routes`: theirs, and where each led to; `known`: whether the new ones
    /// have it.
    pub fn replaced<'a>(
        &mut self,
        routes: impl Iterator<Item = (&'a [u8], K)>,
        known: impl Fn(&[u8]) -> bool,
        now_us: u64,
    ) {
        let until_us = now_us.saturating_add(GRACE_US);
        self.former.retain(|_, former| former.until_us > now_us);
        for (route, leads_to) in routes {
            if !known(route) {
                self.until_us = until_us;
            }
            self.former.insert(route.into(), Former { leads_to, until_us });
        }
    }

    /// Whether the route of a request that has come now has to be asked for, although all routes of
    /// the parameters lead to the same.
    pub fn look(&mut self, now_us: u64) -> bool {
        if now_us < self.until_us {
            self.unlooked = 0;
            return true;
        }
        let left = self.unlooked.checked_sub(1);
        self.unlooked = left.unwrap_or(LOOK_EVERY);
        left.is_none()
    }

    /// A request has come by a route that the parameters do not have: where it led to lately.
    pub fn met(&mut self, route: &[u8], now_us: u64) -> Option<&K> {
        // One that the proxy should have dropped: there may be more of them.
        self.until_us = now_us.saturating_add(GRACE_US);
        let former = self.former.get(route).filter(|former| former.until_us > now_us)?;
        Some(&former.leads_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_replaced_route_is_known_for_a_while() {
        let mut strays = Strays::default();
        strays.replaced([(&b"old"[..], 7)].into_iter(), |_| false, SECOND);
        assert_eq!(strays.met(b"old", 2 * SECOND), Some(&7));
        assert_eq!(strays.met(b"other", 2 * SECOND), None);
        assert_eq!(strays.met(b"old", 12 * SECOND), None);
    }

    #[test]
    fn routes_are_looked_at_now_and_then_and_after_a_stray_always() {
        let mut strays = Strays::<()>::default();
        let looked = |strays: &mut Strays<()>, at| (0..130).filter(|_| strays.look(at)).count();
        assert_eq!(looked(&mut strays, 0), 2);
        strays.met(b"other", 0);
        assert_eq!(looked(&mut strays, 9 * SECOND), 130);
        assert_eq!(looked(&mut strays, 10 * SECOND), 2);
    }

    #[test]
    fn routes_that_stay_are_no_strays() {
        let mut strays = Strays::default();
        strays.replaced([(&b"shop"[..], 7)].into_iter(), |_| true, SECOND);
        assert!((0..130).filter(|_| strays.look(SECOND)).count() < 3);
    }
}
