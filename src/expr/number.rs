//! Comparison of numbers by their exact value, whatever their types.
//!
//! The library compares an integer with a double by rounding the integer to a double first, so that 2^53 + 1 is equal to
//! 2^53. Here nothing is rounded.

use std::cmp::Ordering;

use cel::common::types::{CelDouble, CelInt, CelUInt};
use cel::common::value::Val;

/// A number of one of the three types that the language has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// `int` and `uint`.
    Integer(i128),
    /// `double`.
    Double(f64),
}

impl Number {
    /// The number that `value` is.
    pub fn of(value: &dyn Val) -> Option<Self> {
        if let Some(int) = value.downcast_ref::<CelInt>() {
            return Some(Self::Integer((*int.inner()).into()));
        }
        if let Some(uint) = value.downcast_ref::<CelUInt>() {
            return Some(Self::Integer((*uint.inner()).into()));
        }
        value.downcast_ref::<CelDouble>().map(|double| Self::Double(*double.inner()))
    }

    /// How it orders against `other`; `None` if either is no number at all (NaN).
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => Some(left.cmp(&right)),
            (Self::Double(left), Self::Double(right)) => left.partial_cmp(&right),
            (Self::Integer(left), Self::Double(right)) => compare_with_double(left, right),
            (Self::Double(left), Self::Integer(right)) => {
                compare_with_double(right, left).map(Ordering::reverse)
            }
        }
    }
}

/// `integer` has at most 65 bits.
fn compare_with_double(integer: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Exact for every double of fewer than 127 bits; a larger one saturates, which is beyond every integer here.
    let whole = double.trunc() as i128;
    // The same whole number leaves it to what follows the point.
    Some(integer.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&(double.fract() + 0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_doubles_compare_without_rounding() {
        const TWO_53: f64 = 9_007_199_254_740_992.0;
        for (integer, double, expected) in [
            (1_i128 << 53, TWO_53, Some(Ordering::Equal)),
            ((1 << 53) + 1, TWO_53, Some(Ordering::Greater)),
            (-(1 << 53) - 1, -TWO_53, Some(Ordering::Less)),
            (i64::MAX.into(), 9_223_372_036_854_775_808.0, Some(Ordering::Less)),
            (u64::MAX.into(), 18_446_744_073_709_551_616.0, Some(Ordering::Less)),
            (i64::MIN.into(), -9_223_372_036_854_775_808.0, Some(Ordering::Equal)),
            (0, -0.0, Some(Ordering::Equal)),
            (0, -5e-324, Some(Ordering::Greater)),
            (0, 5e-324, Some(Ordering::Less)),
            (-1, -1.5, Some(Ordering::Greater)),
            (1, 1.5, Some(Ordering::Less)),
            (u64::MAX.into(), f64::MAX, Some(Ordering::Less)),
            (0, f64::NEG_INFINITY, Some(Ordering::Greater)),
            (0, f64::NAN, None),
        ] {
            assert_eq!(compare_with_double(integer, double), expected, "{integer} and {double}");
        }
    }
}
