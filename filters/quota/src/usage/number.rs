//! Numbers as JSON writes them, digit by digit and however long.

/// The greatest number that counts, in thousandths: 1e9. What is greater counts as that.
pub(super) const MAX_MILLI: u64 = 1_000_000_000_000;
/// From here on a further digit no longer fits, nor does it change a number below the bound.
const FULL: u64 = 1_000_000_000_000_000_000;

/// How far a number has come: named by its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Minus,
    /// A zero at the front: no digit may follow.
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Part {
    /// What a number begins with.
    pub(super) fn first(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Whole),
            _ => None,
        }
    }

    /// What the next byte makes of it, if it belongs to the number.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Whole, b'0'..=b'9') => Some(Self::Whole),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            (Self::Minus, b'0'..=b'9') => Self::first(byte),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            _ => None,
        }
    }

    /// Whether a number may end here.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

/// The value of a number: `digits` times ten to the power of `scale` and of the written one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decimal {
    negative: bool,
    /// The first digits that count, 19 at most; later ones are cut off, and only move the scale.
    digits: u64,
    scale: i64,
    power: i64,
    power_negative: bool,
}

impl Decimal {
    /// Takes in the next byte, which led to `part`.
    pub(super) fn push(&mut self, part: Part, byte: u8) {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        match part {
            Part::Minus => self.negative = true,
            Part::Sign => self.power_negative = byte == b'-',
            Part::Power => {
                self.power = self.power.saturating_mul(10).saturating_add(digit as i64);
            }
            Part::Zero | Part::Whole if self.digits < FULL => {
                self.digits = self.digits * 10 + digit;
            }
            Part::Whole => self.scale = self.scale.saturating_add(1),
            Part::Fraction if self.digits < FULL => {
                self.digits = self.digits * 10 + digit;
                self.scale = self.scale.saturating_sub(1);
            }
            Part::Zero | Part::Fraction | Part::Point | Part::Exponent => {}
        }
    }

    /// In thousandths, what is less cut off. Negative numbers count as 0, great ones as
    /// [`MAX_MILLI`].
    pub(super) fn milli(&self) -> u64 {
        if self.negative || self.digits == 0 {
            return 0;
        }
        let power = if self.power_negative { self.power.saturating_neg() } else { self.power };
        let scale = self.scale.saturating_add(power).saturating_add(3);
        let factor = u32::try_from(scale.unsigned_abs()).ok().and_then(|by| 10u64.checked_pow(by));
        let milli = match factor {
            Some(factor) if scale < 0 => self.digits / factor,
            None if scale < 0 => 0,
            factor => factor.and_then(|by| self.digits.checked_mul(by)).unwrap_or(MAX_MILLI),
        };
        milli.min(MAX_MILLI)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milli(text: &str) -> Option<u64> {
        let mut bytes = text.bytes();
        let mut decimal = Decimal::default();
        let first = bytes.next()?;
        let mut part = Part::first(first)?;
        decimal.push(part, first);
        for byte in bytes {
            part = part.next(byte)?;
            decimal.push(part, byte);
        }
        part.is_whole().then(|| decimal.milli())
    }

    #[test]
    fn numbers_are_cut_to_thousandths() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("7", 7_000),
            ("1234567", 1_234_567_000),
            ("12.5", 12_500),
            ("0.29", 290),
            ("1.9999", 1_999),
            ("0.0009", 0),
            ("1e3", 1_000_000),
            ("1.5E+2", 150_000),
            ("1500e-2", 15_000),
            ("0e99999999999999999999", 0),
            ("123456789.987654321987654321987654321", 123_456_789_987),
        ] {
            assert_eq!(milli(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn absurd_ones_are_bounded() {
        for text in ["-1", "-1e30", "1e-4", "1e-99999999999999999999"] {
            assert_eq!(milli(text), Some(0), "{text}");
        }
        for text in ["1000000000", "1000000000.001", "1e9", "1e10", "1e99999999999999999999"] {
            assert_eq!(milli(text), Some(MAX_MILLI), "{text}");
        }
        assert_eq!(milli("999999999.9999"), Some(MAX_MILLI - 1));
    }

    #[test]
    fn long_ones_are_exact() {
        let zeros = "0".repeat(100_000);
        assert_eq!(milli(&format!("0.{zeros}25e100001")), Some(2_500));
        assert_eq!(milli(&format!("3{zeros}e-100000")), Some(3_000));
        assert_eq!(milli(&format!("3{zeros}.{zeros}")), Some(MAX_MILLI));
        assert_eq!(milli(&"9".repeat(100_000)), Some(MAX_MILLI));
    }

    #[test]
    fn what_json_does_not_write_is_none() {
        for text in ["-", "01", "-01", "1.", ".5", "+1", "1e", "1e+", "1.e1", "0x1", "1.5.2", "--1"]
        {
            assert_eq!(milli(text), None, "{text}");
        }
    }
}
