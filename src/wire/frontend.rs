//! What a client may send once it is let in, decoded from one frame.
//!
//! A message borrows its frame; parameter values share it. Every count and length is checked against what the frame
//! holds, and a frame must be used up exactly. Never reads a socket.

use bytes::Bytes;

use super::channel::{Ended, Frame, violation};
use crate::error::{SqlError, SqlState};
use crate::types::Oid;

#[derive(Debug, PartialEq)]
pub enum Message<'a> {
    Query(&'a str),
    Parse {
        statement: &'a str,
        text: &'a str,
        types: Vec<Oid>,
    },
    Bind(Bind<'a>),
    Describe {
        target: Target,
        name: &'a str,
    },
    /// `max_rows` 0 is all of them.
    Execute {
        portal: &'a str,
        max_rows: u32,
    },
    Close {
        target: Target,
        name: &'a str,
    },
    Flush,
    Sync,
    Terminate,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    /// The fast-path call of a function by its number: refused, but it is not an extended-query message.
    FunctionCall,
    /// A password outside authentication.
    Password,
}

#[derive(Debug, PartialEq)]
pub struct Bind<'a> {
    pub portal: &'a str,
    pub statement: &'a str,
    pub parameter_formats: Vec<i16>,
    pub parameters: Vec<Option<Bytes>>,
    pub result_formats: Vec<i16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Statement,
    Portal,
}

/// Why a frame is not a message.
#[derive(Debug)]
pub enum Unreadable {
    /// Not the protocol; the connection ends.
    Malformed(Ended),
    /// Text that is not UTF-8: 22021, an error of this message only.
    NotText(SqlError),
}

/// Whether any message begins with this byte.
pub fn is_known(tag: u8) -> bool {
    b"QPBDECHSXdcfFp".contains(&tag)
}

/// Whether the byte begins a message of the extended protocol, after whose failure everything up to Sync is skipped.
pub fn is_extended(tag: u8) -> bool {
    b"PBDEC".contains(&tag)
}

impl<'a> Message<'a> {
    pub fn read(frame: &'a Frame) -> Result<Self, Unreadable> {
        let mut body = Reader { frame: &frame.body, rest: &frame.body };
        let message = match frame.tag {
            b'Q' => Self::Query(body.text()?),
            b'P' => Self::Parse { statement: body.text()?, text: body.text()?, types: body.types()? },
            b'B' => Self::Bind(body.bind()?),
            b'D' => Self::Describe { target: body.target()?, name: body.text()? },
            b'E' => Self::Execute { portal: body.text()?, max_rows: u32::try_from(body.i32()?).unwrap_or(0) },
            b'C' => Self::Close { target: body.target()?, name: body.text()? },
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            b'd' => return Ok(Self::CopyData(frame.body.clone())),
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(body.lossy()?),
            b'F' => return Ok(Self::FunctionCall),
            b'p' => return Ok(Self::Password),
            tag => return Err(Unreadable::Malformed(violation(format!("invalid frontend message type {tag}")))),
        };
        body.finish()?;
        Ok(message)
    }
}

fn malformed() -> Unreadable {
    Unreadable::Malformed(violation("invalid message format"))
}

/// Reads a body from its front.
pub struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, rest: frame }
    }

    pub fn finish(&self) -> Result<(), Unreadable> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed()) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn i32(&mut self) -> Result<i32, Unreadable> {
        self.array().map(i32::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16, Unreadable> {
        self.array().map(i16::from_be_bytes)
    }

    /// A count of things of at least `size` bytes each that must still be there.
    fn count(&mut self, size: usize) -> Result<usize, Unreadable> {
        let count = usize::from(self.array().map(u16::from_be_bytes)?);
        if count * size > self.rest.len() { Err(malformed()) } else { Ok(count) }
    }

    fn zero_ended(&mut self) -> Result<&'a [u8], Unreadable> {
        let end = self.rest.iter().position(|b| *b == 0).ok_or_else(malformed)?;
        let taken = self.take(end)?;
        self.take(1)?;
        Ok(taken)
    }

    pub fn text(&mut self) -> Result<&'a str, Unreadable> {
        let bytes = self.zero_ended()?;
        std::str::from_utf8(bytes).map_err(|error| Unreadable::NotText(not_utf8(bytes, error)))
    }

    fn lossy(&mut self) -> Result<String, Unreadable> {
        Ok(String::from_utf8_lossy(self.zero_ended()?).into_owned())
    }

    /// The rest of the body, sharing its memory.
    pub fn remainder(&mut self) -> Bytes {
        let rest = self.frame.slice_ref(self.rest);
        self.rest = &[];
        rest
    }

    fn target(&mut self) -> Result<Target, Unreadable> {
        match self.array()? {
            [b'S'] => Ok(Target::Statement),
            [b'P'] => Ok(Target::Portal),
            _ => Err(malformed()),
        }
    }

    fn types(&mut self) -> Result<Vec<Oid>, Unreadable> {
        (0..self.count(4)?).map(|_| self.array().map(u32::from_be_bytes)).collect()
    }

    fn formats(&mut self) -> Result<Vec<i16>, Unreadable> {
        (0..self.count(2)?).map(|_| self.i16()).collect()
    }

    fn value(&mut self) -> Result<Option<Bytes>, Unreadable> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| malformed())?;
                let bytes = self.take(length)?;
                Ok(Some(self.frame.slice_ref(bytes)))
            }
        }
    }

    fn bind(&mut self) -> Result<Bind<'a>, Unreadable> {
        Ok(Bind {
            portal: self.text()?,
            statement: self.text()?,
            parameter_formats: self.formats()?,
            parameters: (0..self.count(4)?).map(|_| self.value()).collect::<Result<_, _>>()?,
            result_formats: self.formats()?,
        })
    }
}

fn not_utf8(bytes: &[u8], error: std::str::Utf8Error) -> SqlError {
    let bad = bytes.iter().skip(error.valid_up_to()).take(error.error_len().unwrap_or(1));
    let shown: Vec<String> = bad.map(|b| format!("0x{b:02x}")).collect();
    SqlError::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Frame {
        Frame { tag, body: Bytes::copy_from_slice(body) }
    }

    #[test]
    fn a_bind_is_read_to_its_last_byte() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x03abc\xff\xff\xff\xff\0\0";
        let bind = Bind {
            portal: "p",
            statement: "s",
            parameter_formats: vec![1],
            parameters: vec![Some(Bytes::from_static(b"abc")), None],
            result_formats: vec![],
        };
        assert_eq!(Message::read(&frame(b'B', body)).expect("valid"), Message::Bind(bind));
    }

    #[test]
    fn a_frame_with_too_little_or_too_much_is_malformed() {
        for (tag, body) in [
            (b'Q', &b"select 1"[..]),
            (b'Q', b"select 1\0x"),
            (b'S', b"x"),
            (b'P', b"\0select 1\0\0\x05\0\0"),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x09abc\0\0"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
            (b'D', b"X\0"),
            (b'E', b"\0\0\0"),
        ] {
            let read = frame(tag, body);
            assert!(matches!(Message::read(&read), Err(Unreadable::Malformed(_))), "{tag} {body:?}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error_of_the_message() {
        match Message::read(&frame(b'Q', b"select '\xe2\x28'\0")) {
            Err(Unreadable::NotText(error)) => {
                assert_eq!(error.code(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
                assert_eq!(error.message(), "invalid byte sequence for encoding \"UTF8\": 0xe2");
            }
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tag in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Message::read(&frame(tag, &body));
        }
    }
}
