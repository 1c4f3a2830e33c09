//! Whole numbers as Java's `Double.toString` writes them, which is what CloudWatch's JSON has:
//! `5.0`, `8.77130197E8`.

/// Below this, no power of ten is written.
const PLAIN_MAX: u64 = 10_000_000;

/// Text of a number, on the stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    bytes: [u8; 32],
    length: usize,
}

impl Decimal {
    /// A whole number below 2^53, as a double.
    pub(super) fn double(number: u64) -> Self {
        let digits = Self::whole(number);
        let mut text = Self::EMPTY;
        if number < PLAIN_MAX {
            text.put(digits.as_bytes());
            text.put(b".0");
            return text;
        }
        let (head, tail) = digits.as_bytes().split_at(1);
        let kept = tail.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
        text.put(head);
        text.put(b".");
        text.put(tail.get(..kept).unwrap_or_default());
        text.put(b"E");
        text.put(Self::whole(tail.len() as u64).as_bytes());
        text
    }

    /// A whole number.
    pub(super) fn whole(mut number: u64) -> Self {
        let mut digits = [0; 20];
        let mut from = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
            from -= 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        let mut text = Self::EMPTY;
        text.put(digits.get(from..).unwrap_or_default());
        text
    }

    const EMPTY: Self = Self { bytes: [0; 32], length: 0 };

    fn put(&mut self, piece: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + piece.len()) {
            room.copy_from_slice(piece);
            self.length += piece.len();
        }
    }

    /// The text.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_java_does() {
        for (number, text) in [
            (1, "1.0"),
            (9_999_999, "9999999.0"),
            (10_000_000, "1.0E7"),
            (12_300_000, "1.23E7"),
            (877_130_197, "8.77130197E8"),
            ((1 << 53) - 1, "9.007199254740991E15"),
        ] {
            assert_eq!(Decimal::double(number).as_bytes().escape_ascii().to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_number_is_read_back_exactly(number in 0u64..1 << 53, zeros in 0u32..15) {
            let number = number / 10u64.pow(zeros) * 10u64.pow(zeros);
            let double = Decimal::double(number);
            let text = std::str::from_utf8(double.as_bytes()).unwrap();
            assert_eq!(text.parse::<f64>().unwrap(), number as f64);
            assert_eq!(Decimal::whole(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
