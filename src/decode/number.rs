//! Digits to numbers, rounded correctly: the short ways for what metrics have.

const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Powers of ten that 64 bits can hold.
pub(super) const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < 20 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// `mantissa` times ten to the power of `exponent`; none if that takes the long way.
#[inline]
pub(super) fn scaled(mantissa: u64, exponent: i64) -> Option<f64> {
    let power = usize::try_from(exponent.unsigned_abs()).ok()?;
    // A whole number below 2^53 times or through a power of ten that is exact: one rounding.
    if mantissa < 1 << 53 {
        let power = EXACT_POWERS.get(power)?;
        let value = mantissa as f64;
        return Some(if exponent < 0 { value / power } else { value * power });
    }
    if exponent < 0 { divided(mantissa, *POWERS.get(power)?) } else { None }
}

/// The quotient of two numbers, neither of them 0, rounded once.
#[inline]
fn divided(number: u64, divisor: u64) -> Option<f64> {
    let (up, divisor_up) = (number.leading_zeros(), divisor.leading_zeros());
    let number = u128::from(number.checked_shl(up)?) << 63;
    let divisor = divisor.checked_shl(divisor_up)?;
    // With the highest bit of both set, the quotient has 63 or 64 bits. That there is a rest shows in
    // its lowest, which is far below where it is rounded, and never a tie then.
    let quotient = u64::try_from(number / u128::from(divisor)).ok()?;
    let rest = (number as u64).wrapping_sub(quotient.wrapping_mul(divisor));
    let value = (quotient | u64::from(rest != 0)) as f64;
    // A power of two, which is exact: of an exponent between -74 and 0.
    let exponent = 1023 - 63 + u64::from(divisor_up) - u64::from(up);
    Some(value * f64::from_bits(exponent << 52))
}

/// The number that stands at the beginning of eight bytes, and how many digits it has.
#[inline]
pub(super) fn leading_digits(bytes: [u8; 8]) -> (u64, usize) {
    const ONES: u64 = u64::MAX / 0xff;
    let digits = u64::from_le_bytes(bytes) ^ (ONES * u64::from(b'0'));
    // The lowest mark is right: what is a digit carries nothing.
    let marks = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES << 7);
    let count = marks.trailing_zeros() / 8;
    // Zeros in front, in place of what is behind.
    let shift = 64 - 8 * count;
    let digits = digits.checked_shl(shift).unwrap_or_default();
    // Neighbours are put together: to pairs, to fours, to eight.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    (eight, count as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::decode::scan::Cursor;

    #[test]
    fn digits_are_counted_and_read_wherever_they_end() {
        for digits in 0..40 {
            for after in (0..=0xff_u8).filter(|byte| !byte.is_ascii_digit()) {
                for behind in [0, 1, 7, 9] {
                    let text: String = "9081726354".chars().cycle().take(digits).collect();
                    let mut bytes = text.clone().into_bytes();
                    bytes.push(after);
                    bytes.extend(vec![b'7'; behind]);
                    let (mut cursor, mut value) = (Cursor::new(&bytes), 0);
                    assert_eq!(cursor.digits(&mut value), digits, "{bytes:?}");
                    assert_eq!(cursor.at(), digits);
                    if digits < 20 {
                        let expected: u64 = text.parse().unwrap_or_default();
                        assert_eq!(value, expected, "{bytes:?}");
                    }
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn long_numbers_are_rounded_as_the_standard_library_does(
            mantissa in 0..10_000_000_000_000_000_000_u64, shift in 0..64u32, exponent in -30..30_i64,
            near in -2..=2_i64, value in proptest::num::f64::NORMAL,
        ) {
            // Halves between two doubles, and their neighbours.
            let half = ((1_u64 << 53) | (mantissa >> 12) | 1).wrapping_mul(1000);
            let half = half.wrapping_add_signed(near);
            for (mantissa, exponent) in [(mantissa >> shift, exponent), (half, -3), (half, -2)] {
                if let Some(value) = scaled(mantissa, exponent) {
                    let expected: f64 = format!("{mantissa}e{exponent}").parse().unwrap();
                    assert_eq!(value.to_bits(), expected.to_bits(), "{mantissa}e{exponent}");
                }
            }
            for text in [format!("{value:?}"), format!("{value:e}"), format!("{}", value % 1e6)] {
                let read = Cursor::new(text.as_bytes()).number().unwrap();
                assert_eq!(read.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
            }
        }
    }
}
