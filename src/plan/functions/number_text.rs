//! `to_char` of numbers and `to_number`: PostgreSQL's number patterns, in the C locale.

use crate::error::{Result, SqlError, SqlState};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    Nine,
    Zero,
    Point,
    Comma,
    Currency,
    Minus,
    Plus,
    Sign,
    LeadingSign,
    Bracket,
    Roman { upper: bool },
    Ordinal { upper: bool },
    Literal(char),
    Nothing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum SignPlace {
    #[default]
    None,
    Before,
    After,
}

/// A pattern, read once.
#[derive(Debug, Default)]
pub struct NumberPattern {
    nodes: Vec<Node>,
    pre: usize,
    post: usize,
    multi: usize,
    zero_start: usize,
    zero_end: usize,
    sign: SignPlace,
    sign_at: usize,
    decimal: bool,
    multiplied: bool,
    zero: bool,
    fill: bool,
    bracket: bool,
    minus: bool,
    plus: bool,
    roman: bool,
    scientific: bool,
}

const WORDS: &[&str] =
    &["EEEE", "FM", "MI", "PL", "PR", "RN", "SG", "SP", "TH", "B", "C", "D", "G", "L", "S", "V", "9", "0", ",", "."];

impl NumberPattern {
    /// 42601 for marks that exclude each other, 0A000 for those not supported.
    pub fn parse(pattern: &str) -> Result<Self> {
        let mut this = Self::default();
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            if c == '"' {
                let (text, tail) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
                this.nodes.extend(text.chars().map(Node::Literal));
                rest = tail;
                continue;
            }
            let word = WORDS.iter().find(|w| rest.get(..w.len()).is_some_and(|r| r == **w || r == w.to_ascii_lowercase()));
            match word {
                Some(word) => {
                    let upper = rest.starts_with(*word);
                    let node = this.read(word, upper)?;
                    this.nodes.push(node);
                    rest = &rest[word.len()..];
                }
                None => {
                    this.nodes.push(Node::Literal(c));
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        Ok(this)
    }

    fn read(&mut self, word: &str, upper: bool) -> Result<Node> {
        let bad = |message: &str| SqlError::syntax(message.to_owned());
        Ok(match word {
            "9" => {
                if self.bracket {
                    return Err(bad("\"9\" must be ahead of \"PR\""));
                }
                if self.multiplied {
                    self.multi += 1;
                } else if self.decimal {
                    self.post += 1;
                } else {
                    self.pre += 1;
                }
                Node::Nine
            }
            "0" => {
                if !self.zero && !self.decimal {
                    self.zero = true;
                    self.zero_start = self.pre;
                }
                if self.decimal {
                    self.post += 1;
                } else {
                    self.pre += 1;
                }
                self.zero_end = self.pre + self.post;
                Node::Zero
            }
            "." | "D" => {
                if self.decimal {
                    return Err(bad("multiple decimal points"));
                }
                if self.multiplied {
                    return Err(bad("cannot use \"V\" and decimal point together"));
                }
                self.decimal = true;
                Node::Point
            }
            "," | "G" => Node::Comma,
            "L" => Node::Currency,
            "FM" => {
                self.fill = true;
                Node::Nothing
            }
            "S" => {
                if self.sign != SignPlace::None {
                    return Err(bad("cannot use \"S\" twice"));
                }
                self.sign = if self.decimal { SignPlace::After } else { SignPlace::Before };
                self.sign_at = self.pre;
                Node::LeadingSign
            }
            "MI" => {
                self.minus = true;
                Node::Minus
            }
            "PL" => {
                self.plus = true;
                Node::Plus
            }
            "SG" => {
                (self.minus, self.plus) = (true, true);
                Node::Sign
            }
            "PR" => {
                self.bracket = true;
                Node::Bracket
            }
            "RN" => {
                self.roman = true;
                Node::Roman { upper }
            }
            "TH" => Node::Ordinal { upper },
            "V" => {
                if self.decimal {
                    return Err(bad("cannot use \"V\" and decimal point together"));
                }
                self.multiplied = true;
                Node::Nothing
            }
            "EEEE" => {
                self.scientific = true;
                Node::Nothing
            }
            other => {
                let message = format!("to_char pattern \"{other}\" is not supported");
                return Err(SqlError::unsupported(message, "Leave it out of the pattern."));
            }
        })
    }

    /// Digits that the value has to be rounded to after the point, and by which power of ten it is multiplied first.
    pub fn digits(&self) -> (usize, usize) {
        (self.post, self.multi)
    }

    pub fn is_roman(&self) -> bool {
        self.roman
    }

    pub fn is_scientific(&self) -> bool {
        self.scientific
    }

    /// The text of a number that was rounded to [`Self::digits`], given as plain digits.
    pub fn write(&self, digits: &str) -> String {
        let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |d| (true, d));
        let pre = self.pre + self.multi;
        let whole = digits.find('.').unwrap_or(digits.len());
        let overflow = whole > pre;
        let number: String = if overflow {
            let mut hashes = "#".repeat(pre + self.post + 1);
            hashes.replace_range(pre..=pre, ".");
            hashes
        } else {
            digits.to_owned()
        };
        Writer {
            pattern: self,
            number: number.as_bytes(),
            at: 0,
            negative,
            blanks: if overflow { 0 } else { pre - whole },
            count: (self.post + pre).saturating_sub(1),
            current: 0,
            sign_written: false,
            sign: self.sign,
            in_number: false,
            bracket: self.bracket,
            last_relevant: None,
            out: String::new(),
        }
        .run(pre)
    }

    /// Roman numerals for 1 to 3999, `#` for the rest.
    pub fn write_roman(&self, number: Option<i64>) -> String {
        let upper = self.nodes.iter().any(|n| matches!(n, Node::Roman { upper: true }));
        let roman = match number.filter(|n| (1..4000).contains(n)) {
            Some(n) => roman(n),
            None => "#".repeat(15),
        };
        let roman = if upper { roman } else { roman.to_lowercase() };
        if self.fill { roman } else { format!("{roman:>15}") }
    }
}

fn roman(mut n: i64) -> String {
    const PARTS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut out = String::new();
    for (value, letters) in PARTS {
        while n >= value {
            out.push_str(letters);
            n -= value;
        }
    }
    out
}

struct Writer<'a> {
    pattern: &'a NumberPattern,
    number: &'a [u8],
    /// The next digit.
    at: usize,
    negative: bool,
    /// Places before the first digit.
    blanks: usize,
    count: usize,
    current: usize,
    sign_written: bool,
    sign: SignPlace,
    in_number: bool,
    bracket: bool,
    /// The last digit that FM keeps.
    last_relevant: Option<usize>,
    out: String,
}

impl Writer<'_> {
    fn run(mut self, pre: usize) -> String {
        let p = self.pattern;
        if p.plus || p.minus {
            self.sign_written = !p.plus || p.minus;
        } else {
            if !self.negative && p.bracket && p.fill {
                self.bracket = false;
            }
            self.sign_written = !self.negative && p.fill && p.sign == SignPlace::None;
            if self.sign == SignPlace::Before && pre == p.sign_at {
                self.sign = SignPlace::After;
            }
        }
        if p.fill && p.decimal {
            self.last_relevant = self.last_kept();
        }
        if !self.sign_written && self.blanks == 0 {
            self.count += 1;
        }
        for node in &p.nodes {
            match node {
                Node::Nine => self.place(false),
                Node::Zero => self.place(true),
                Node::Point => self.place(false),
                Node::Comma if self.in_number => self.out.push(','),
                Node::Comma | Node::Currency if p.fill => {}
                Node::Comma | Node::Currency => self.out.push(' '),
                Node::Minus if self.negative => self.out.push('-'),
                Node::Plus if !self.negative => self.out.push('+'),
                Node::Minus | Node::Plus if p.fill => {}
                Node::Minus | Node::Plus => self.out.push(' '),
                Node::Sign => self.out.push(if self.negative { '-' } else { '+' }),
                Node::Ordinal { upper } => {
                    if !self.negative && !p.decimal && self.number.first() != Some(&b'#') {
                        let ending = ordinal(self.number);
                        self.out.push_str(&if *upper { ending.to_uppercase() } else { ending.to_owned() });
                    }
                }
                Node::Literal(c) => self.out.push(*c),
                Node::LeadingSign | Node::Bracket | Node::Roman { .. } | Node::Nothing => {}
            }
        }
        self.out
    }

    fn last_kept(&self) -> Option<usize> {
        let point = self.number.iter().position(|b| *b == b'.')?;
        let kept = (point + 1..self.number.len()).rev().find(|i| self.number[*i] != b'0').unwrap_or(point);
        // Zeros that the pattern asks for stay.
        let zeros = if self.pattern.zero_end > self.blanks {
            (self.pattern.zero_end - self.blanks).min(self.number.len() - 1)
        } else {
            0
        };
        Some(kept.max(zeros))
    }

    fn digit(&self) -> Option<u8> {
        self.number.get(self.at).copied()
    }

    /// A zero before the point that the pattern leaves blank.
    fn is_leading_zero(&self) -> bool {
        !self.pattern.zero && self.at == 0 && self.number.first() == Some(&b'0') && self.pattern.post != 0
    }

    fn ends_in_point(&self) -> bool {
        self.last_relevant.is_some_and(|at| self.number.get(at) == Some(&b'.'))
    }

    fn place(&mut self, zero: bool) {
        let p = self.pattern;
        self.in_number = false;
        let begins = self.current >= self.blanks || (p.zero && p.zero_start == self.current);
        if !self.sign_written && begins && (!self.is_leading_zero() || self.ends_in_point()) {
            self.write_sign();
        }
        let before_zeros = p.zero_start > self.current || !p.zero;
        if self.current < self.blanks && before_zeros {
            if !p.fill {
                self.out.push(' ');
            }
        } else if p.zero && self.current < self.blanks {
            self.out.push('0');
            self.in_number = true;
        } else {
            self.write_digit(zero);
        }
        let mut end = self.count + usize::from(self.blanks > 0) + usize::from(p.decimal);
        if self.last_relevant == Some(self.at) {
            end = self.current;
        }
        if self.current + 1 == end {
            if self.sign_written && self.bracket {
                self.out.push(if self.negative { '>' } else { ' ' });
            } else if self.sign == SignPlace::After {
                self.out.push(if self.negative { '-' } else { '+' });
            }
        }
        self.current += 1;
    }

    fn write_sign(&mut self) {
        match self.sign {
            SignPlace::Before => {
                self.out.push(if self.negative { '-' } else { '+' });
                self.sign_written = true;
            }
            SignPlace::After => {}
            SignPlace::None => {
                if self.bracket {
                    self.out.push(if self.negative { '<' } else { ' ' });
                } else if self.negative {
                    self.out.push('-');
                } else if !self.pattern.fill {
                    self.out.push(' ');
                }
                self.sign_written = true;
            }
        }
    }

    fn write_digit(&mut self, zero: bool) {
        match self.digit() {
            Some(b'.') => self.out.push('.'),
            Some(_) if self.last_relevant.is_some_and(|last| self.at > last) && !zero => {}
            Some(_) if self.is_leading_zero() => {
                if !self.pattern.fill {
                    self.out.push(' ');
                } else if self.ends_in_point() {
                    self.out.push('0');
                }
            }
            Some(digit) => {
                self.out.push(char::from(digit));
                self.in_number = true;
            }
            None => {}
        }
        if self.at < self.number.len() {
            self.at += 1;
        }
    }
}

fn ordinal(number: &[u8]) -> &'static str {
    let last = number.last().copied().unwrap_or(b'0');
    let teen = number.len() > 1 && number[number.len() - 2] == b'1';
    match last {
        b'1' if !teen => "st",
        b'2' if !teen => "nd",
        b'3' if !teen => "rd",
        _ => "th",
    }
}

/// The digits of a number written by a pattern. 22P02 where the text does not follow it.
pub fn read_number(text: &str, pattern: &str) -> Result<String> {
    let parsed = NumberPattern::parse(pattern)?;
    if parsed.roman || parsed.scientific || parsed.multiplied {
        return Err(SqlError::unsupported("to_number with RN, V or EEEE is not supported", "Cast the text to numeric."));
    }
    let mut negative = false;
    let (mut whole, mut fraction, mut seen_point) = (String::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '-' | '<' => negative = true,
            '0'..='9' if seen_point => {
                let room = fraction.len() < parsed.post;
                fraction.extend(room.then_some(c));
            }
            '0'..='9' if whole.len() < parsed.pre => whole.push(c),
            '0'..='9' => break,
            '.' if parsed.decimal && !seen_point => seen_point = true,
            '.' => break,
            _ => {}
        }
    }
    if whole.is_empty() && fraction.is_empty() {
        let message = format!("invalid input syntax for type numeric: \"{}\"", text.trim());
        return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
    }
    let sign = if negative { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { &whole };
    Ok(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_postgresql() {
        for (digits, pattern, expected) in [
            ("1234.50", "9,999.99", " 1,234.50"),
            ("12", "0000", " 0012"),
            ("-12", "999", " -12"),
            ("-12", "S999", " -12"),
            ("12", "MI999", "  12"),
            ("0.5", "9.9", "  .5"),
            ("0.5", "0.9", " 0.5"),
            ("1234567", "FM9,999,999", "1,234,567"),
            ("123", "99", " ##"),
            ("485", "999th", " 485th"),
            ("-485", "999PR", "<485>"),
            ("0.10", "FM9.99", ".1"),
            ("12.30", "FM99.99", "12.3"),
            ("12.00", "FM99.99", "12."),
        ] {
            assert_eq!(NumberPattern::parse(pattern).unwrap().write(digits), expected, "{digits} {pattern}");
        }
        assert_eq!(read_number("-12.5", "S99.9").unwrap(), "-12.5");
    }
}
