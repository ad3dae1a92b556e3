//! From numbers in a response to units.

use std::rc::Rc;

use super::json::Found;
use super::pointer::{PointerError, Pointers};

/// A response never costs more: no limit is greater.
pub const MAX_UNITS: u64 = 1_000_000_000;
/// Numbers and weights are both in thousandths.
const PARTS: u128 = 1_000_000;

/// What a response costs: numbers in it, each times its weight, added up.
#[derive(Clone, Debug)]
pub struct Cost {
    pointers: Rc<Pointers>,
    weights: Box<[i64]>,
}

impl Cost {
    /// Of terms: a JSON pointer (RFC 6901) and a weight in thousandths, which may be negative.
    ///
    /// # Errors
    /// A pointer is malformed or too long, there are no terms, or too many of them.
    pub fn new(terms: &[(&str, i64)]) -> Result<Self, PointerError> {
        let pointers = Pointers::parse(terms.iter().map(|(pointer, _)| *pointer))?;
        let weights = terms.iter().map(|(_, milli)| *milli).collect();
        Ok(Self { pointers: Rc::new(pointers), weights })
    }

    pub(super) fn pointers(&self) -> &Rc<Pointers> {
        &self.pointers
    }

    /// The sum, rounded up to whole units; what was not found counts 0. `None`: nothing was found
    /// at all.
    pub(super) fn units(&self, found: &Found) -> Option<u64> {
        let mut sum = 0_i128;
        let mut any = false;
        for (milli, weight) in found.iter().zip(&self.weights) {
            if let Some(milli) = milli {
                any = true;
                sum = sum.saturating_add(i128::from(*milli).saturating_mul(i128::from(*weight)));
            }
        }
        let units = u128::try_from(sum).unwrap_or_default().div_ceil(PARTS);
        any.then(|| u64::try_from(units).map_or(MAX_UNITS, |units| units.min(MAX_UNITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::number::MAX_MILLI;

    fn units(terms: &[(u64, i64)]) -> Option<u64> {
        let pointers: Vec<_> = terms.iter().map(|(_, weight)| ("/a", *weight)).collect();
        let mut found = Found::default();
        for (place, (milli, _)) in found.iter_mut().zip(terms) {
            *place = Some(*milli);
        }
        Cost::new(&pointers).unwrap().units(&found)
    }

    #[test]
    fn weighted_sums_are_rounded_up_once() {
        assert_eq!(units(&[(21_000, 1_000)]), Some(21));
        assert_eq!(units(&[(21_000, 100)]), Some(3));
        assert_eq!(units(&[(20_000, 100)]), Some(2));
        assert_eq!(units(&[(1, 1)]), Some(1));
        assert_eq!(units(&[(0, 1_000)]), Some(0));
        // two halves are one, not two
        assert_eq!(units(&[(1_000, 500), (1_000, 500)]), Some(1));
        // cached tokens are part of the input, at a tenth of its weight
        assert_eq!(units(&[(100_000, 1_000), (10_000, 3_000), (80_000, -900)]), Some(58));
    }

    #[test]
    fn sums_stay_in_their_bounds() {
        assert_eq!(units(&[(5_000, 1_000), (6_000, -1_000)]), Some(0));
        assert_eq!(units(&[(MAX_MILLI, i64::MIN); 8]), Some(0));
        assert_eq!(units(&[(MAX_MILLI, i64::MAX); 8]), Some(MAX_UNITS));
        assert_eq!(units(&[(MAX_MILLI, 1_000), (MAX_MILLI, 1_000)]), Some(MAX_UNITS));
        assert_eq!(
            units(&[(MAX_MILLI, i64::MAX), (MAX_MILLI, -i64::MAX), (3_000, 1_000)]),
            Some(3)
        );
    }

    #[test]
    fn one_of_them_is_enough() {
        let cost = Cost::new(&[("/a", 1_000), ("/b", 2_000)]).unwrap();
        let mut found = Found::default();
        assert_eq!(cost.units(&found), None);
        found[1] = Some(4_000);
        assert_eq!(cost.units(&found), Some(8));
    }
}
