//! Request ids: UUIDs in shape, as Firehose's are, that hold the run and the number.

/// The request ids of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestIds {
    run: u64,
}

/// Bits of a number in an id.
const NUMBER_BITS: u32 = 48;

impl RequestIds {
    /// Of a run's name.
    #[must_use]
    pub fn of(run: &str) -> Self {
        // FNV-1a: the same on every machine.
        let hash = run.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { run: hash }
    }

    /// The id of a request; its number has 48 bits.
    #[must_use]
    pub fn id(self, number: u64) -> String {
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            self.run >> 32,
            self.run >> 16 & 0xffff,
            self.run >> 8 & 0xfff,
            self.run & 0xfff,
            number & ((1 << NUMBER_BITS) - 1),
        )
    }

    /// The number in an id of this run.
    #[must_use]
    pub fn number(self, id: &str) -> Option<u64> {
        let (_, number) = id.rsplit_once('-')?;
        let number = u64::from_str_radix(number, 16).ok()?;
        (self.id(number) == id).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn numbers_are_read_back_by_their_run_only(number in 0u64..1 << NUMBER_BITS, run in ".{0,9}") {
            let ids = RequestIds::of(&run);
            let id = ids.id(number);
            assert_eq!((id.len(), ids.number(&id)), (36, Some(number)));
            assert_eq!(RequestIds::of(&format!("{run}x")).number(&id), None);
        }
    }

    #[test]
    fn what_is_no_id_has_no_number() {
        for text in
            ["", "-", "x-1", "00000000-0000-4000-8000-0000000000001", "ffffffffffffffffffff"]
        {
            assert_eq!(RequestIds::of("run").number(text), None, "{text}");
        }
    }
}
