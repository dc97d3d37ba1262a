//! The text of a path to its tree.

use super::{Comparison, Method, Node, Path, Pattern, Step};
use crate::error::{Result, SqlError, SqlState};
use crate::types::numeric::Numeric;

/// Deeper expressions are refused with 54001.
const MAX_DEPTH: usize = 40;

pub fn path(text: &str) -> Result<Path> {
    let mut reader = Reader { text, at: 0, depth: 0, filters: 0, subscripts: 0 };
    let strict = reader.word("strict");
    if !strict {
        reader.word("lax");
    }
    let root = reader.or()?;
    reader.blanks();
    if reader.at < text.len() { Err(reader.syntax()) } else { Ok(Path { strict, root }) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Filters around this place, where `@` has a meaning.
    filters: usize,
    /// Subscripts around it, where `last` has one.
    subscripts: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let Some(comment) = trimmed.strip_prefix("/*") else { return };
            self.at += comment.find("*/").map_or(trimmed.len(), |end| end + 4);
        }
    }

    fn syntax(&self) -> SqlError {
        let rest = self.rest().trim_start();
        let message = match rest.chars().next() {
            None => "syntax error at end of jsonpath input".to_owned(),
            Some(c) if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                format!("syntax error at or near \"{}\" of jsonpath input", rest.get(..end).unwrap_or_default())
            }
            Some(c) => format!("syntax error at or near \"{c}\" of jsonpath input"),
        };
        SqlError::new(SqlState::SYNTAX_ERROR, message)
    }

    fn mark(&mut self, mark: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(mark);
        if found {
            self.at += mark.len();
        }
        found
    }

    fn expect(&mut self, mark: &str) -> Result<()> {
        if self.mark(mark) { Ok(()) } else { Err(self.syntax()) }
    }

    /// A word as such, and not as the beginning of a longer one.
    fn word(&mut self, word: &str) -> bool {
        self.blanks();
        let rest = self.rest();
        let longer = rest.get(word.len()..).and_then(|after| after.chars().next()).is_some_and(is_name);
        let found = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) && !longer;
        if found {
            self.at += word.len();
        }
        found
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "jsonpath is nested too deeply"));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn or(&mut self) -> Result<Node> {
        self.deeper(|reader| {
            let mut left = reader.and()?;
            while reader.mark("||") {
                let right = reader.and()?;
                left = Node::Or(Box::new(reader.predicate(left)?), Box::new(reader.predicate(right)?));
            }
            Ok(left)
        })
    }

    fn and(&mut self) -> Result<Node> {
        let mut left = self.not()?;
        while self.mark("&&") {
            let right = self.not()?;
            left = Node::And(Box::new(self.predicate(left)?), Box::new(self.predicate(right)?));
        }
        Ok(left)
    }

    fn predicate(&self, node: Node) -> Result<Node> {
        if node.is_predicate() { Ok(node) } else { Err(self.syntax()) }
    }

    fn value(&self, node: Node) -> Result<Node> {
        if node.is_predicate() { Err(self.syntax()) } else { Ok(node) }
    }

    fn not(&mut self) -> Result<Node> {
        self.blanks();
        if !self.rest().starts_with("!=") && self.mark("!") {
            self.expect("(").map_err(|_| self.syntax())?;
            let inner = self.or()?;
            self.expect(")")?;
            return Ok(Node::Not(Box::new(self.predicate(inner)?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node> {
        const OPERATORS: [(&str, Comparison); 8] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<>", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
            ("=", Comparison::Equal),
        ];
        let left = self.sum()?;
        for (mark, comparison) in OPERATORS {
            if self.mark(mark) {
                let left = self.value(left)?;
                let right = self.sum()?;
                return Ok(Node::Compare(comparison, Box::new(left), Box::new(self.value(right)?)));
            }
        }
        if self.word("starts") {
            if !self.word("with") {
                return Err(self.syntax());
            }
            let left = self.value(left)?;
            let initial = self.primary()?;
            if !matches!(initial, Node::Text(_) | Node::Variable(_)) {
                return Err(self.syntax());
            }
            return Ok(Node::StartsWith(Box::new(left), Box::new(initial)));
        }
        if self.word("like_regex") {
            let left = self.value(left)?;
            let pattern = self.string()?;
            let flags = if self.word("flag") { self.string()? } else { String::new() };
            return Ok(Node::LikeRegex(Box::new(left), compiled(&pattern, &flags)?));
        }
        if left.is_predicate() && self.word("is") {
            return if self.word("unknown") { Ok(Node::IsUnknown(Box::new(left))) } else { Err(self.syntax()) };
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Node> {
        let mut left = self.product()?;
        while let Some(op) = ['+', '-'].into_iter().find(|op| self.mark(op.encode_utf8(&mut [0; 4]))) {
            let (a, b) = (self.value(left)?, self.product()?);
            left = Node::Arithmetic(op, Box::new(a), Box::new(self.value(b)?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Node> {
        let mut left = self.signed()?;
        while let Some(op) = ['*', '/', '%'].into_iter().find(|op| self.mark(op.encode_utf8(&mut [0; 4]))) {
            let (a, b) = (self.value(left)?, self.signed()?);
            left = Node::Arithmetic(op, Box::new(a), Box::new(self.value(b)?));
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Node> {
        if self.mark("-") {
            let inner = self.deeper(Self::signed)?;
            return Ok(Node::Negative(Box::new(self.value(inner)?)));
        }
        if self.mark("+") {
            let inner = self.deeper(Self::signed)?;
            return Ok(Node::Positive(Box::new(self.value(inner)?)));
        }
        let primary = self.primary()?;
        let steps = self.steps()?;
        match steps.is_empty() {
            true => Ok(primary),
            false => Ok(Node::Steps(Box::new(primary), steps)),
        }
    }

    fn primary(&mut self) -> Result<Node> {
        self.blanks();
        let Some(first) = self.rest().chars().next() else { return Err(self.syntax()) };
        match first {
            '(' => {
                self.at += 1;
                let inner = self.or()?;
                self.expect(")")?;
                Ok(inner)
            }
            '$' => {
                self.at += 1;
                let next = self.rest().chars().next();
                if next == Some('"') {
                    return self.string().map(Node::Variable);
                }
                match self.name() {
                    Some(name) => Ok(Node::Variable(name)),
                    None => Ok(Node::Root),
                }
            }
            '@' if self.filters > 0 => {
                self.at += 1;
                Ok(Node::Current)
            }
            '@' => Err(SqlError::syntax("@ is not allowed in root expressions")),
            '"' => self.string().map(Node::Text),
            c if c.is_ascii_digit() || c == '.' => self.number(),
            _ if self.word("exists") => {
                self.expect("(")?;
                let inner = self.or()?;
                self.expect(")")?;
                Ok(Node::Exists(Box::new(self.value(inner)?)))
            }
            _ if self.word("null") => Ok(Node::Null),
            _ if self.word("true") => Ok(Node::Bool(true)),
            _ if self.word("false") => Ok(Node::Bool(false)),
            _ if self.subscripts > 0 && self.word("last") => Ok(Node::Last),
            _ if self.word("last") => Err(SqlError::syntax("LAST is allowed only in array subscripts")),
            _ => Err(self.syntax()),
        }
    }

    fn name(&mut self) -> Option<String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        let name = rest.get(..end).filter(|name| !name.is_empty())?;
        self.at += end;
        Some(name.to_owned())
    }

    fn string(&mut self) -> Result<String> {
        self.blanks();
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end.filter(|_| rest.starts_with('"')) else { return Err(self.syntax()) };
        let raw = rest.get(..end + 1).unwrap_or_default();
        self.at += end + 1;
        crate::types::json::decode_string(raw).map_err(|_| self.syntax())
    }

    fn number(&mut self) -> Result<Node> {
        let rest = self.rest();
        let digits = |from: usize| rest.get(from..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
        let mut end = digits(0);
        if rest[end..].starts_with('.') && (digits(end + 1) > 0 || end > 0 && !rest[end + 1..].starts_with(is_name)) {
            end += 1 + digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let text = rest.get(..end).filter(|text| text.bytes().any(|b| b.is_ascii_digit())).ok_or_else(|| self.syntax())?;
        self.at += end;
        if self.rest().starts_with(is_name) {
            let message = format!("trailing junk after numeric literal at or near \"{text}\" of jsonpath input");
            return Err(SqlError::syntax(message));
        }
        Ok(Node::Number(Numeric::parse(text)?.to_string()))
    }

    fn steps(&mut self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if self.mark("?") {
                self.expect("(")?;
                self.filters += 1;
                let inner = self.or();
                self.filters -= 1;
                let inner = inner?;
                self.expect(")")?;
                steps.push(Step::Filter(self.predicate(inner)?));
            } else if self.mark("[") {
                steps.push(self.places()?);
            } else if self.mark(".") {
                steps.push(self.member()?);
            } else {
                return Ok(steps);
            }
        }
    }

    fn member(&mut self) -> Result<Step> {
        if self.mark("**") {
            return self.levels();
        }
        if self.mark("*") {
            return Ok(Step::AnyMember);
        }
        self.blanks();
        if self.rest().starts_with('"') {
            return self.string().map(Step::Member);
        }
        let name = self.name().ok_or_else(|| self.syntax())?;
        if !self.mark("(") {
            return Ok(Step::Member(name));
        }
        let method = match name.as_str() {
            "type" => Method::Type,
            "size" => Method::Size,
            "double" => Method::Double,
            "ceiling" => Method::Ceiling,
            "floor" => Method::Floor,
            "abs" => Method::Abs,
            "datetime" | "keyvalue" => {
                let message = format!("jsonpath item method .{name}() is not supported");
                return Err(SqlError::unsupported(message, "Take the value out of the document and cast it."));
            }
            _ => return Err(self.syntax()),
        };
        self.expect(")")?;
        Ok(Step::Method(method))
    }

    fn levels(&mut self) -> Result<Step> {
        if !self.mark("{") {
            return Ok(Step::Descend(Some(0), None));
        }
        let first = self.level()?;
        let last = if self.word("to") { self.level()? } else { first };
        self.expect("}")?;
        Ok(Step::Descend(first, last))
    }

    fn level(&mut self) -> Result<Option<u32>> {
        if self.word("last") {
            return Ok(None);
        }
        match self.number()? {
            Node::Number(digits) => digits.parse().map(Some).map_err(|_| self.syntax()),
            _ => Err(self.syntax()),
        }
    }

    fn places(&mut self) -> Result<Step> {
        if self.mark("*") {
            self.expect("]")?;
            return Ok(Step::AnyPlace);
        }
        self.subscripts += 1;
        let places = self.listed_places();
        self.subscripts -= 1;
        self.expect("]")?;
        places.map(Step::Places)
    }

    fn listed_places(&mut self) -> Result<Vec<(Node, Option<Node>)>> {
        let mut places = Vec::new();
        loop {
            let from = self.deeper(Self::sum)?;
            let to = if self.word("to") { Some(self.deeper(Self::sum)?) } else { None };
            places.push((self.value(from)?, to.map(|to| self.value(to)).transpose()?));
            if !self.mark(",") {
                return Ok(places);
            }
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A pattern of `like_regex` with its flags.
fn compiled(pattern: &str, flags: &str) -> Result<Pattern> {
    let (mut builder_flags, mut literal) = ((false, false, false), false);
    for flag in flags.chars() {
        match flag {
            'i' => builder_flags.0 = true,
            's' => builder_flags.1 = true,
            'm' => builder_flags.2 = true,
            'q' => literal = true,
            'x' => {
                let message = "XQuery \"x\" flag (expanded regular expressions) is not implemented";
                return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
            other => {
                let message = format!("unrecognized flag character \"{other}\" in LIKE_REGEX predicate");
                return Err(SqlError::syntax(message));
            }
        }
    }
    let source = if literal { regex::escape(pattern) } else { pattern.to_owned() };
    let regex = regex::RegexBuilder::new(&source)
        .case_insensitive(builder_flags.0)
        .dot_matches_new_line(builder_flags.1)
        .multi_line(builder_flags.2)
        .build()
        .map_err(|_| SqlError::new(SqlState::INVALID_REGULAR_EXPRESSION, "invalid regular expression in jsonpath"))?;
    Ok(Pattern(regex))
}
