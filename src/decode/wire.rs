//! Protobuf's wire format, read in place.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>

/// Groups within groups that are skipped; CloudWatch sends none.
const GROUPS_MAX: u32 = 32;

/// A message's fields, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// A group with all that is in it.
    Group,
    Fixed32(u32),
}

/// The message cannot be read on from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline]
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What has not been read yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The fault for a field that has another wire type than it must.
    #[cold]
    pub(super) fn broken(&self) -> Broken<'a> {
        Broken { rest: self.rest }
    }

    /// The next field's number and value.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken<'a>> {
        // What most fields are: bytes behind a short tag and a short length.
        let (tag, length, after) = match self.rest {
            [] => return Ok(None),
            [tag @ 8..0x80, length @ 0..0x80, after @ ..] => (*tag, usize::from(*length), after),
            [tag @ 8..0x80, low, high @ 0..0x80, after @ ..] => {
                (*tag, usize::from(*low & 0x7f) | usize::from(*high) << 7, after)
            }
            _ => return self.any(),
        };
        if tag & 7 == 2
            && let Some((bytes, rest)) = after.split_at_checked(length)
        {
            self.rest = rest;
            return Ok(Some((u32::from(tag >> 3), Value::Bytes(bytes))));
        }
        self.any()
    }

    /// The next field, however it is written.
    #[inline(never)]
    fn any(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken<'a>> {
        let at = Broken { rest: self.rest };
        let tag = self.varint().and_then(|tag| u32::try_from(tag).ok()).ok_or(at)?;
        let value = self.value(tag, 0).ok_or(at)?;
        Ok(Some((tag >> 3, value)))
    }

    #[inline]
    fn value(&mut self, tag: u32, depth: u32) -> Option<Value<'a>> {
        if tag >> 3 == 0 {
            return None;
        }
        match tag & 7 {
            0 => self.varint().map(Value::Varint),
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
                self.rest = rest;
                Some(Value::Fixed64(u64::from_le_bytes(*bytes)))
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Some(Value::Bytes(bytes))
            }
            3 => self.group(tag, depth),
            5 => {
                let (bytes, rest) = self.rest.split_first_chunk::<4>()?;
                self.rest = rest;
                Some(Value::Fixed32(u32::from_le_bytes(*bytes)))
            }
            _ => None,
        }
    }

    #[cold]
    fn group(&mut self, tag: u32, depth: u32) -> Option<Value<'a>> {
        if depth == GROUPS_MAX {
            return None;
        }
        loop {
            let inner = u32::try_from(self.varint()?).ok()?;
            if inner & 7 == 4 {
                return (inner >> 3 == tag >> 3).then_some(Value::Group);
            }
            self.value(inner, depth + 1)?;
        }
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let (&first, rest) = self.rest.split_first()?;
        if first < 0x80 {
            self.rest = rest;
            return Some(u64::from(first));
        }
        let (value, rest) = varint(self.rest, 10)?;
        self.rest = rest;
        Some(value)
    }
}

/// A varint of at most `bytes_max` bytes, and what follows it.
pub(super) fn varint(bytes: &[u8], bytes_max: usize) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(bytes_max).enumerate() {
        // The tenth byte has room for one bit only.
        if index == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_type_is_read() {
        let message = [
            0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0x02, b'h', b'i', 0x25, 2, 0, 0,
            0, 0x2b, 0x08, 0x01, 0x33, 0x34, 0x2c, 0xf8, 0x01, 0x00,
        ];
        let mut fields = Fields::new(&message);
        assert_eq!(fields.next(), Ok(Some((1, Value::Varint(150)))));
        assert_eq!(fields.next(), Ok(Some((2, Value::Fixed64(1)))));
        assert_eq!(fields.next(), Ok(Some((3, Value::Bytes(b"hi")))));
        assert_eq!(fields.next(), Ok(Some((4, Value::Fixed32(2)))));
        assert_eq!(fields.next(), Ok(Some((5, Value::Group))));
        assert_eq!(fields.next(), Ok(Some((31, Value::Varint(0)))));
        assert_eq!(fields.next(), Ok(None));
    }

    #[test]
    fn damage_is_told_where_it_is() {
        let deep = [0x0b; 100];
        for message in [
            &[0x80][..],   // a tag without end
            &[0x00, 0x00], // field number 0
            &[0x08],       // no value
            &[0x08, 0xff], // a varint without end
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &[0x09, 1, 2, 3], // too short
            &[0x0d, 1, 2, 3],
            &[0x0a, 0x05, b'x'], // longer than what follows
            &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[0x0c],                            // the end of no group
            &[0x0b, 0x14],                      // the end of another group
            &[0x0b],                            // a group without end
            &[0x0e],                            // wire type 6
            &[0x88, 0x80, 0x80, 0x80, 0x10, 0], // a tag above 32 bits
            &deep,
        ] {
            assert_eq!(Fields::new(message).next(), Err(Broken { rest: message }), "{message:?}");
        }
        let mut fields = Fields::new(&[0x08, 0x01, 0x0a, 0x05]);
        fields.next().unwrap();
        assert_eq!(fields.next(), Err(Broken { rest: &[0x0a, 0x05] }));
    }
}
