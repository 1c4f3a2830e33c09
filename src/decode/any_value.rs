//! OTLP's `KeyValue` and `AnyValue`, as far as a label needs them.
//!
//! Source: opentelemetry-proto, `common/v1/common.proto`, v0.7.0 and v1.0.0.

use std::borrow::Cow;

use super::wire::{Broken, Fields, Value};

/// A `KeyValue`, its value not yet looked into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) key: &'a [u8],
    /// The `AnyValue`, if it stands there exactly once.
    value: Option<&'a [u8]>,
    whole: &'a [u8],
}

/// What an `AnyValue` holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Any<'a> {
    Nothing,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Pairs,
    /// An array or bytes.
    Other,
}

impl<'a> Pair<'a> {
    pub(super) fn read(whole: &'a [u8]) -> Result<Self, Broken<'a>> {
        let mut pair = Self { key: b"", value: None, whole };
        let mut values = 0u32;
        let mut fields = Fields::new(whole);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => pair.key = bytes,
                (2, Value::Bytes(bytes)) => {
                    pair.value = Some(bytes);
                    values = values.saturating_add(1);
                }
                (1 | 2, _) => return Err(fields.broken()),
                _ => {}
            }
        }
        if values > 1 {
            pair.value = None;
        }
        Ok(pair)
    }

    /// What the value is. `piece` is told of every change on the way there: a list that goes on
    /// (messages that come several times are merged), or that something else has taken its place.
    pub(super) fn value(
        &self,
        mut piece: impl FnMut(Piece<'a>) -> Result<(), Broken<'a>>,
    ) -> Result<Any<'a>, Broken<'a>> {
        let mut any = Any::Nothing;
        if let Some(value) = self.value {
            read_any(value, &mut any, &mut piece)?;
            return Ok(any);
        }
        let mut fields = Fields::new(self.whole);
        while let Some((number, value)) = fields.next()? {
            if let (2, Value::Bytes(bytes)) = (number, value) {
                read_any(bytes, &mut any, &mut piece)?;
            }
        }
        Ok(any)
    }

    /// The value as text, if it is text or can be written as such.
    pub(super) fn text(&self) -> Result<Option<Cow<'a, [u8]>>, Broken<'a>> {
        Ok(match self.value(|_| Ok(()))? {
            Any::Nothing => Some(Cow::Borrowed(&[])),
            Any::Text(bytes) => Some(Cow::Borrowed(bytes)),
            Any::Bool(value) => Some(Cow::Owned(value.to_string().into_bytes())),
            Any::Int(value) => Some(Cow::Owned(value.to_string().into_bytes())),
            Any::Double(value) => Some(Cow::Owned(value.to_string().into_bytes())),
            Any::Pairs | Any::Other => None,
        })
    }
}

/// What happens while a value is read.
pub(super) enum Piece<'a> {
    /// Forget the pairs so far.
    Restart,
    /// One more `KeyValue` of the list.
    Pair(&'a [u8]),
}

fn read_any<'a>(
    message: &'a [u8],
    any: &mut Any<'a>,
    piece: &mut impl FnMut(Piece<'a>) -> Result<(), Broken<'a>>,
) -> Result<(), Broken<'a>> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        let next = match (number, value) {
            (1, Value::Bytes(bytes)) => Any::Text(bytes),
            (2, Value::Varint(value)) => Any::Bool(value != 0),
            (3, Value::Varint(value)) => Any::Int(value.cast_signed()),
            (4, Value::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
            (6, Value::Bytes(list)) => {
                read_list(list, piece)?;
                Any::Pairs
            }
            (5 | 7, Value::Bytes(_)) => Any::Other,
            (1..=7, _) => return Err(fields.broken()),
            _ => continue,
        };
        if *any == Any::Pairs && next != Any::Pairs {
            piece(Piece::Restart)?;
        }
        *any = next;
    }
    Ok(())
}

fn read_list<'a>(
    list: &'a [u8],
    piece: &mut impl FnMut(Piece<'a>) -> Result<(), Broken<'a>>,
) -> Result<(), Broken<'a>> {
    let mut fields = Fields::new(list);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(pair)) => piece(Piece::Pair(pair))?,
            (1, _) => return Err(fields.broken()),
            _ => {}
        }
    }
    Ok(())
}
