//! The members of a payload one after the other, as slices of its bytes.
//!
//! Finds where names and values begin and end and looks no further: what a value says is for who wants it. Not a
//! check of JSON: what lies between members that nobody asks for is only stepped over.

/// The bytes are no object, or end within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    begun: bool,
}

impl<'a> Members<'a> {
    /// The bytes must be an object from the first to the last of them, white space around it apart.
    pub fn new(payload: &'a [u8]) -> Result<Self, Malformed> {
        let bytes = payload.trim_ascii();
        match bytes {
            [b'{', .., b'}'] => Ok(Self { bytes, at: 1, begun: false }),
            _ => Err(Malformed),
        }
    }

    /// What stands between the quotes of the next member's name, escapes and all, and its value; `None` at the end.
    pub fn next_member(&mut self) -> Result<Option<(&'a [u8], &'a [u8])>, Malformed> {
        match (self.after_space()?, self.begun) {
            (b'}', _) if self.at + 1 == self.bytes.len() => return Ok(None),
            (b',', true) => self.at += 1,
            (b'"', false) => {}
            _ => return Err(Malformed),
        }
        self.begun = true;
        let name = match self.after_space()? {
            b'"' => self.string()?,
            _ => return Err(Malformed),
        };
        match self.after_space()? {
            b':' => self.at += 1,
            _ => return Err(Malformed),
        }
        let first = self.after_space()?;
        let start = self.at;
        self.step_over(first)?;
        let value = self.bytes.get(start..self.at).filter(|value| !value.is_empty()).ok_or(Malformed)?;
        Ok(Some((name, value)))
    }

    fn after_space(&mut self) -> Result<u8, Malformed> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Malformed),
            }
        }
    }

    /// Steps over the string that begins here; what is between its quotes.
    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(Malformed),
            }
        }
        self.at = at + 1;
        Ok(&self.bytes[start..at])
    }

    fn step_over(&mut self, first: u8) -> Result<(), Malformed> {
        match first {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.nested(),
            _ => {
                let rest = &self.bytes[self.at..];
                let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r');
                self.at += rest.iter().position(ends).ok_or(Malformed)?;
                Ok(())
            }
        }
    }

    fn nested(&mut self) -> Result<(), Malformed> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at).ok_or(Malformed)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Vec<(&str, &str)>, Malformed> {
        let mut members = Members::new(text.as_bytes())?;
        let mut found = Vec::new();
        while let Some((name, value)) = members.next_member()? {
            found.push((std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap()));
        }
        Ok(found)
    }

    #[test]
    fn names_and_values_are_found_whatever_is_in_them() {
        let text = " { \"a\\\"\" : -1.5e3 ,\"b\":\"}\\\\\\\"{\", \"c\": {\"x\": [\"]}\", {}]},\"d\":[ ],\"é\":null\n}\t";
        let expected =
            [("a\\\"", "-1.5e3"), ("b", "\"}\\\\\\\"{\""), ("c", "{\"x\": [\"]}\", {}]}"), ("d", "[ ]"), ("é", "null")];
        assert_eq!(members(text).unwrap(), expected);
        assert_eq!(members("{}").unwrap(), []);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            "[]",
            "{",
            "}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{\"a\":\"x}",
            "{\"a\":[1}",
            "{\"a\":1}}",
            "{\"a\":1",
            "{\"a\" 1}",
            "{\"a\\\"}",
            "{\"a\":1}{}",
        ] {
            assert_eq!(members(text), Err(Malformed), "{text}");
        }
    }

    /// What serde reads as an object is read as the same members here.
    #[test]
    fn objects_have_the_members_that_serde_finds() {
        use serde_json::value::RawValue;
        let pieces = ["{", "}", "[", "]", ",", ":", "\"", "a", "\\", " ", "1", "null", "\"a\":", "\"b\": {\"c\": [1, \"]\"]}"];
        let mut state = 7_u64;
        let mut next = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        let mut objects = 0;
        for _ in 0..200_000 {
            let text: String = (0..next(7)).map(|_| pieces[next(pieces.len())]).collect();
            let text = format!("{{{text}}}");
            if let Ok(object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
                objects += 1;
                let found = members(&text).unwrap_or_else(|_| panic!("{text}"));
                let names: std::collections::BTreeSet<String> =
                    found.iter().map(|(name, _)| serde_json::from_str(&format!("\"{name}\"")).unwrap()).collect();
                assert_eq!(names, object.keys().cloned().collect(), "{text}");
                for (name, value) in found {
                    assert!(serde_json::from_str::<&RawValue>(value).is_ok(), "{name} of {text}");
                }
            }
        }
        assert!(objects > 1_000, "only {objects} objects");
    }
}
