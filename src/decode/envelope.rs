//! The body of a Firehose request: `{"requestId": …, "timestamp": …, "records": [{"data": …}]}`.
//!
//! Keys may come in any order, unknown ones are passed over, of equal ones the last counts. The whole
//! body must be JSON; what a record holds is nobody's business here.
//!
//! Source: the Firehose developer guide, "HTTP endpoint delivery request and response
//! specifications", request body schema.

use std::borrow::Cow;

use base64_simd::{AsOut, STANDARD};

use super::{
    Reason,
    scan::{Broken, Cursor, Text},
};

/// Records that one request can have, after the schema.
pub const RECORDS_MAX: usize = 10_000;

/// An opened request body; everything in it borrows from the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<'a> {
    /// The request's id, which the answer must repeat.
    pub request_id: Cow<'a, str>,
    /// When Firehose made this request, milliseconds since 1970; the schema does not require it, and
    /// nothing depends on it: what is no whole number counts as missing.
    pub timestamp_ms: Option<i64>,
    /// The records, still in base64.
    pub records: Vec<Data<'a>>,
}

/// Why a body cannot be opened. Displayed, it is short and says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// The body is not JSON, or a value in it is nested too deep.
    #[error("the body is not JSON at byte {at}: {what}")]
    Json {
        /// Offset of the fault.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A string is not UTF-8, or the request id has half a surrogate pair.
    #[error("the body is not UTF-8 in the string at byte {at}")]
    Utf8 {
        /// Offset of the string.
        at: usize,
    },
    /// The body is JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// There is no `requestId`, or it is no string.
    #[error("the body has no requestId string")]
    MissingRequestId,
    /// There is no `records`, or it is no array.
    #[error("the body has no records array")]
    MissingRecords,
    /// There are more than [`RECORDS_MAX`] records.
    #[error("more than {RECORDS_MAX} records at byte {at}")]
    TooManyRecords {
        /// Offset of the first record that is too many.
        at: usize,
    },
}

/// What one record has as its `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// A string without escapes: base64, if all is well.
    Plain(&'a [u8]),
    /// A string with JSON escapes (`\/` is legal), not yet undone.
    Escaped(&'a [u8]),
    /// No string, or the record is no object.
    Missing,
}

impl Data<'_> {
    /// Undoes the base64 (standard alphabet, padded) into a buffer that grows as needed and is meant
    /// to be used again. Empty data gives an empty record.
    ///
    /// # Errors
    /// [`Reason::Base64`] if it is none, [`Reason::Field`] if there is no data.
    pub fn decode<'s>(&self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Reason> {
        match *self {
            Self::Plain(text) => {
                let bytes = STANDARD.decoded_length(text).map_err(|_| Reason::Base64)?;
                if scratch.len() < bytes {
                    scratch.resize(bytes, 0);
                }
                let out = scratch.get_mut(..bytes).ok_or(Reason::Base64)?;
                STANDARD.decode(text, out.as_out()).map(|out| &*out).map_err(|_| Reason::Base64)
            }
            Self::Escaped(raw) => {
                let text = Text::escaped(raw).unescaped().ok_or(Reason::Base64)?;
                scratch.clear();
                scratch.extend_from_slice(text.as_bytes());
                STANDARD.decode_inplace(scratch).map(|out| &*out).map_err(|_| Reason::Base64)
            }
            Self::Missing => Err(Reason::Field),
        }
    }
}

/// Opens a body that has been decompressed.
///
/// # Errors
/// An [`EnvelopeFault`] if no request can be made of it. A record without usable data is no fault.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, EnvelopeFault> {
    let mut cursor = Cursor::new(body);
    let found = Found::read(&mut cursor);
    let found = found.map_err(|Broken(what)| EnvelopeFault::Json { at: cursor.at(), what })?;
    let request_id = found.request_id.map(|text| cursor.content(&text));
    if let Some(at) = cursor.garbled {
        return Err(EnvelopeFault::Utf8 { at });
    }
    if !found.object {
        return Err(EnvelopeFault::NotAnObject);
    }
    let request_id = request_id.ok_or(EnvelopeFault::MissingRequestId)?;
    let records = found.records.ok_or(EnvelopeFault::MissingRecords)?;
    if let Some(at) = records.too_many_at {
        return Err(EnvelopeFault::TooManyRecords { at });
    }
    Ok(Envelope { request_id, timestamp_ms: found.timestamp_ms, records: records.data })
}

/// What has been read of a body.
#[derive(Debug, Default)]
struct Found<'a> {
    object: bool,
    request_id: Option<Text<'a>>,
    timestamp_ms: Option<i64>,
    records: Option<Records<'a>>,
}

#[derive(Debug, Default)]
struct Records<'a> {
    data: Vec<Data<'a>>,
    too_many_at: Option<usize>,
}

impl<'a> Found<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Broken> {
        let mut found = Self::default();
        cursor.blank();
        found.object = cursor.peek() == Some(b'{');
        if found.object {
            let mut more = cursor.enter(b'{', b'}')?;
            while more {
                let key = cursor.key()?;
                found.field(&key, cursor)?;
                more = cursor.more(b'}')?;
            }
        } else {
            cursor.skip()?;
        }
        cursor.blank();
        match cursor.peek() {
            Some(_) => Err(Broken("more after the end")),
            None => Ok(found),
        }
    }

    fn field(&mut self, key: &Text<'a>, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        let next = cursor.peek();
        match key.name().as_ref() {
            b"requestId" => {
                self.request_id = None;
                if next == Some(b'"') {
                    self.request_id = Some(cursor.string()?);
                    return Ok(());
                }
            }
            b"timestamp" => {
                let from = cursor.rest();
                cursor.skip()?;
                let text = from.get(..from.len() - cursor.rest().len()).unwrap_or_default();
                let text = std::str::from_utf8(text).unwrap_or_default();
                self.timestamp_ms = text.parse().ok();
                return Ok(());
            }
            b"records" => {
                self.records = None;
                if next == Some(b'[') {
                    self.records = Some(Records::read(cursor)?);
                    return Ok(());
                }
            }
            _ => {}
        }
        cursor.skip()
    }
}

impl<'a> Records<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Broken> {
        let mut records = Self::default();
        let mut more = cursor.enter(b'[', b']')?;
        while more {
            let at = cursor.at();
            let data = record(cursor)?;
            if records.data.len() < RECORDS_MAX {
                records.data.push(data);
            } else {
                records.too_many_at = records.too_many_at.or(Some(at));
            }
            more = cursor.more(b']')?;
        }
        Ok(records)
    }
}

/// One element of `records`.
fn record<'a>(cursor: &mut Cursor<'a>) -> Result<Data<'a>, Broken> {
    let mut data = Data::Missing;
    if cursor.peek() != Some(b'{') {
        cursor.skip()?;
        return Ok(data);
    }
    let mut more = cursor.enter(b'{', b'}')?;
    while more {
        let key = cursor.key()?;
        if key.name().as_ref() != b"data" {
            cursor.skip()?;
        } else if cursor.peek() == Some(b'"') {
            let text = cursor.long_string()?;
            data = if text.escaped { Data::Escaped(text.raw) } else { Data::Plain(text.raw) };
        } else {
            cursor.skip()?;
            data = Data::Missing;
        }
        more = cursor.more(b'}')?;
    }
    Ok(data)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bodies_open_whatever_their_order_and_spacing() {
        for body in [
            r#"{"requestId":"r","timestamp":5,"records":[{"data":"aGk="},{"data":""}]}"#,
            " {\n\t\"records\" : [ {\"x\":[{}], \"data\" : \"aGk=\" } , {\"data\":\"\"}] ,\r\n\
             \"other\":{\"a\":[1,null,true,\"\\u00e9\"]},\"timestamp\":5,\"requestId\":\"r\"} ",
            r#"{"requestId":1,"records":3,"timestamp":null,"request\u0049d":"\u0072",
                "records":[{"data":1,"data":"aGk="},{"data":""}],"timestamp":5}"#,
        ] {
            let envelope = open(body.as_bytes()).unwrap();
            assert_eq!((envelope.request_id.as_ref(), envelope.timestamp_ms), ("r", Some(5)));
            assert_eq!(envelope.records, [Data::Plain(b"aGk="), Data::Plain(b"")], "{body}");
        }
    }

    #[test]
    fn a_record_without_data_fails_alone() {
        let body = r#"{"requestId":"","records":[1,{},{"data":{}},{"data":"aGk="},{"data":"aG\/r"},
            {"data":"\ud800"},{"data":"a"},{"data":"-_-_"},{"data":"aGk"},{"data":"aGk= "},[],null]}"#;
        let envelope = open(body.as_bytes()).unwrap();
        let mut scratch = Vec::new();
        let decoded: Vec<_> = envelope
            .records
            .iter()
            .map(|data| data.decode(&mut scratch).map(<[u8]>::to_vec))
            .collect();
        let field = Err(Reason::Field);
        let base64 = Err(Reason::Base64);
        let expected = [
            field.clone(),
            field.clone(),
            field.clone(),
            Ok(b"hi".to_vec()),
            Ok(b"h\x6f\xeb".to_vec()),
            base64.clone(),
            base64.clone(),
            base64.clone(),
            base64.clone(),
            base64,
            field.clone(),
            field,
        ];
        assert_eq!(decoded, expected);
        assert_eq!((envelope.timestamp_ms, envelope.request_id.as_ref()), (None, ""));
    }

    #[test]
    fn faults_say_where_they_are() {
        use EnvelopeFault::{Json, MissingRecords, MissingRequestId, NotAnObject, Utf8};
        let json = |at, what| Json { at, what };
        for (body, fault) in [
            (&b""[..], json(0, "expected a value")),
            (b"[1]", NotAnObject),
            (b"{}", MissingRequestId),
            (br#"{"requestId":5,"records":[]}"#, MissingRequestId),
            (br#"{"requestId":"r"}"#, MissingRecords),
            (br#"{"requestId":"r","records":{}}"#, MissingRecords),
            (br#"{"requestId":"r","records":[]}x"#, json(30, "more after the end")),
            (
                br#"{"requestId":"r","records":[]"#,
                json(29, "expected a comma or the end of the object or array"),
            ),
            (b"{\"records\":[{\"data\":\"aa\naa\"}]}", json(23, "control character in a string")),
            (b"{\"requestId\":\"\xff\",\"records\":[]}", Utf8 { at: 14 }),
            (b"{\"requestId\":\"\",\"records\":[{\"data\":\"\xff\"}]}", Utf8 { at: 36 }),
            (br#"{"requestId":"\ud800","records":[]}"#, Utf8 { at: 14 }),
            (b"\xff", json(0, "expected a value")),
        ] {
            assert_eq!(open(body), Err(fault), "{}", body.escape_ascii());
        }
        let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert!(matches!(open(deep.as_bytes()), Err(Json { what: "nested too deep", .. })));
    }

    #[test]
    fn records_are_bounded() {
        let body = |records: usize| {
            format!(
                r#"{{"requestId":"r","records":[{}]}}"#,
                vec![r#"{"data":""}"#; records].join(",")
            )
        };
        assert_eq!(open(body(RECORDS_MAX).as_bytes()).unwrap().records.len(), RECORDS_MAX);
        let at = 28 + 12 * RECORDS_MAX;
        assert_eq!(
            open(body(RECORDS_MAX + 1).as_bytes()),
            Err(EnvelopeFault::TooManyRecords { at })
        );
    }
}
