//! Points and what is made of them: text, binary, and the few facts that functions ask for.

use bytes::{BufMut, BytesMut};

use super::Written;
use crate::error::{Result, SqlError, SqlState};
use crate::types::complaint::{bad_binary, bad_message_length, bad_syntax};
use crate::types::number::{parse_float8, write_float8};

/// Coordinates. Of a line A, B and C, of a circle its centre and its radius; else x and y by turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub numbers: Vec<f64>,
    /// Of a path: whether it ends where it begins.
    pub closed: bool,
}

/// What points equal to this are held to be the same.
const EPSILON: f64 = 1e-6;

fn name(kind: Written) -> &'static str {
    match kind {
        Written::Lseg => "lseg",
        Written::Path => "path",
        Written::Box => "box",
        Written::Polygon => "polygon",
        Written::Line => "line",
        Written::Circle => "circle",
        _ => "point",
    }
}

pub fn read(kind: Written, text: &str) -> Result<String> {
    Ok(write(kind, &parse(kind, text)?))
}

/// From any of the forms that the type reads.
pub fn parse(kind: Written, text: &str) -> Result<Shape> {
    let bad = || bad_syntax(name(kind), text);
    let body = text.trim();
    if kind == Written::Line
        && let Some(inner) = body.strip_prefix('{')
    {
        let inner = inner.strip_suffix('}').ok_or_else(bad)?;
        let numbers = inner.split(',').map(parse_float8).collect::<Result<Vec<_>>>().map_err(|_| bad())?;
        if numbers.len() != 3 {
            return Err(bad());
        }
        if numbers[0].abs() <= EPSILON && numbers[1].abs() <= EPSILON {
            let message = "invalid line specification: A and B cannot both be zero";
            return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
        }
        return Ok(Shape { numbers, closed: false });
    }
    let mut reader = Reader { rest: body };
    let (numbers, closed) = match kind {
        Written::Circle => (reader.circle(), false),
        Written::Path => reader.path(),
        _ => (reader.points(kind), false),
    };
    let numbers = numbers.filter(|_| reader.rest.trim().is_empty()).ok_or_else(bad)?;
    let count = match kind {
        Written::Point => Some(2),
        Written::Lseg | Written::Box | Written::Line => Some(4),
        Written::Circle => Some(3),
        _ => None,
    };
    if count.is_some_and(|count| count != numbers.len())
        || numbers.is_empty()
        || (kind != Written::Circle && numbers.len() % 2 != 0)
    {
        return Err(bad());
    }
    match (kind, &numbers[..]) {
        (Written::Circle, [_, _, radius]) if *radius < 0.0 => Err(bad()),
        (Written::Box, [a, b, c, d]) => {
            Ok(Shape { numbers: vec![greater(*a, *c), greater(*b, *d), lesser(*a, *c), lesser(*b, *d)], closed })
        }
        (Written::Line, [a, b, c, d]) => Ok(Shape { numbers: line_through((*a, *b), (*c, *d))?, closed }),
        _ => Ok(Shape { numbers, closed }),
    }
}

fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

fn lesser(a: f64, b: f64) -> f64 {
    if a > b { b } else { a }
}

fn line_through(p: (f64, f64), q: (f64, f64)) -> Result<Vec<f64>> {
    let same = |a: f64, b: f64| a == b || (a - b).abs() <= EPSILON;
    if same(p.0, q.0) && same(p.1, q.1) {
        let message = "invalid line specification: must be two distinct points";
        return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
    }
    if same(p.0, q.0) {
        return Ok(vec![-1.0, 0.0, p.0]);
    }
    if same(p.1, q.1) {
        return Ok(vec![0.0, -1.0, p.1]);
    }
    let slope = (p.1 - q.1) / (p.0 - q.0);
    let offset = p.1 - slope * p.0;
    Ok(vec![slope, -1.0, if offset == 0.0 { 0.0 } else { offset }])
}

/// Reads coordinates from the front.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, mark: char) -> bool {
        match self.rest.trim_start().strip_prefix(mark) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn number(&mut self) -> Option<f64> {
        let text = self.rest.trim_start();
        let end = text.find([',', '(', ')', '[', ']', '<', '>']).unwrap_or(text.len());
        self.rest = text.get(end..)?;
        parse_float8(text.get(..end)?).ok()
    }

    /// `(x,y)` or `x,y`.
    fn point(&mut self, out: &mut Vec<f64>) -> Option<()> {
        let enclosed = self.eat('(');
        out.push(self.number()?);
        self.eat(',').then_some(())?;
        out.push(self.number()?);
        (!enclosed || self.eat(')')).then_some(())
    }

    fn list(&mut self) -> Option<Vec<f64>> {
        let mut out = Vec::new();
        loop {
            self.point(&mut out)?;
            if !self.eat(',') {
                return Some(out);
            }
        }
    }

    /// Whether parentheses around all the points open here.
    fn opens_outer(&self) -> bool {
        let text = self.rest.trim_start();
        let Some(inner) = text.strip_prefix('(') else { return false };
        // `((` begins points inside; `(1,2,3,4)` has more than the two numbers of a point.
        inner.trim_start().starts_with('(') || inner.split(')').next().is_some_and(|first| first.matches(',').count() > 1)
    }

    fn points(&mut self, kind: Written) -> Option<Vec<f64>> {
        let bracket = matches!(kind, Written::Lseg | Written::Line) && self.eat('[');
        let outer = !bracket && self.opens_outer() && self.eat('(');
        let out = self.list()?;
        (!bracket || self.eat(']')).then_some(())?;
        (!outer || self.eat(')')).then_some(out)
    }

    fn path(&mut self) -> (Option<Vec<f64>>, bool) {
        if self.eat('[') {
            let points = self.list();
            let ended = self.eat(']');
            return (points.filter(|_| ended), false);
        }
        (self.points(Written::Path), true)
    }

    /// `<(x,y),r>`, `((x,y),r)`, `(x,y),r` or `x,y,r`.
    fn circle(&mut self) -> Option<Vec<f64>> {
        let angle = self.eat('<');
        let outer = !angle && self.opens_outer() && self.eat('(');
        let mut out = Vec::new();
        self.point(&mut out)?;
        self.eat(',').then_some(())?;
        out.push(self.number()?);
        (!angle || self.eat('>')).then_some(())?;
        (!outer || self.eat(')')).then_some(out)
    }
}

pub fn write(kind: Written, shape: &Shape) -> String {
    let mut out = String::new();
    let points = |out: &mut String, numbers: &[f64]| {
        for (at, pair) in numbers.chunks(2).enumerate() {
            out.push_str(if at > 0 { ",(" } else { "(" });
            write_float8(out, pair[0]);
            out.push(',');
            write_float8(out, pair.get(1).copied().unwrap_or_default());
            out.push(')');
        }
    };
    let numbers = &shape.numbers;
    let (open, close) = match kind {
        Written::Lseg => ("[", "]"),
        Written::Path if !shape.closed => ("[", "]"),
        Written::Path | Written::Polygon => ("(", ")"),
        Written::Circle => {
            out.push('<');
            points(&mut out, numbers.get(..2).unwrap_or_default());
            out.push(',');
            write_float8(&mut out, numbers.get(2).copied().unwrap_or_default());
            out.push('>');
            return out;
        }
        Written::Line => {
            out.push('{');
            for (at, number) in numbers.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_float8(&mut out, *number);
            }
            out.push('}');
            return out;
        }
        _ => ("", ""),
    };
    out.push_str(open);
    points(&mut out, numbers);
    out.push_str(close);
    out
}

/// Numbers of eight bytes; before those of a path whether it is closed, and of a path or polygon how many points.
pub fn put(kind: Written, text: &str, out: &mut BytesMut) -> Result<()> {
    let shape = parse(kind, text)?;
    if kind == Written::Path {
        out.put_u8(u8::from(shape.closed));
    }
    if matches!(kind, Written::Path | Written::Polygon) {
        out.put_i32(i32::try_from(shape.numbers.len() / 2).unwrap_or_default());
    }
    shape.numbers.iter().for_each(|number| out.put_f64(*number));
    Ok(())
}

pub fn from_binary(kind: Written, bytes: &[u8]) -> Result<String> {
    let (closed, rest) = match (kind, bytes) {
        (Written::Path, [closed, rest @ ..]) => (*closed != 0, rest),
        (Written::Path, []) => return Err(bad_message_length()),
        _ => (false, bytes),
    };
    let (count, rest) = match kind {
        Written::Path | Written::Polygon => {
            let (count, rest) = rest.split_first_chunk::<4>().ok_or_else(bad_message_length)?;
            let count = usize::try_from(i32::from_be_bytes(*count)).ok().filter(|n| *n > 0 && *n <= rest.len() / 16);
            let bad = || bad_binary(format!("invalid number of points in external \"{}\" value", name(kind)));
            (count.ok_or_else(bad)? * 2, rest)
        }
        Written::Point => (2, rest),
        Written::Lseg | Written::Box => (4, rest),
        _ => (3, rest),
    };
    match rest.len() {
        len if len < count * 8 => return Err(bad_message_length()),
        len if len > count * 8 => return Err(bad_binary("incorrect binary data format")),
        _ => {}
    }
    let number = |bytes: &[u8]| f64::from_be_bytes(bytes.try_into().unwrap_or_default());
    let mut numbers: Vec<f64> = rest.chunks(8).map(number).collect();
    if let (Written::Box, [a, b, c, d]) = (kind, &numbers[..]) {
        numbers = vec![greater(*a, *c), greater(*b, *d), lesser(*a, *c), lesser(*b, *d)];
    }
    if kind == Written::Circle && numbers.last().is_some_and(|radius| *radius < 0.0) {
        return Err(bad_binary("invalid radius in external \"circle\" value"));
    }
    Ok(write(kind, &Shape { numbers, closed }))
}

/// x and y of a point's text.
pub fn point(text: &str) -> Result<(f64, f64)> {
    match parse(Written::Point, text)?.numbers[..] {
        [x, y] => Ok((x, y)),
        _ => Err(bad_syntax("point", text)),
    }
}

pub fn point_text(x: f64, y: f64) -> String {
    write(Written::Point, &Shape { numbers: vec![x, y], closed: false })
}

/// Whether two coordinates are the same, as far as shapes are concerned.
pub fn same(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= EPSILON || (a.is_nan() && b.is_nan())
}
