//! Reads of one item whose texts differ in their literals: recognised once, filled in for each text.
//!
//! A template is made from a read that the general road recognised, by recognising the same text with parameters
//! in place of its literals; filled with the literals of the first text it must be the first read again. A
//! literal that has no plain meaning as its part of the key or as the instant leaves the text to the general road.

use super::PointRead;
use super::read::{At, dated_instant};
use super::shape::{KeyValue, literal_part};
use crate::plan::StatementContext;
use crate::sql::Statement;
use crate::sql::shape::{Literal, Shape};
use crate::types::{PgType, Zone};
use crate::versions::Timestamp;

/// A recognised read with places for literals, each of them a part of the key or the instant.
#[derive(Debug)]
pub struct Template {
    read: PointRead,
    /// The number of the parameter that stands for the first literal.
    first: usize,
    zone: Zone,
}

impl Template {
    /// `None` when not every literal is surely a part of the key or the instant.
    pub fn of(ctx: &StatementContext, known: &PointRead, shape: &Shape<'_>, declared: &[Option<PgType>]) -> Option<Self> {
        let first = shape.parameters().max(declared.len()).max(known.parameters.len()) + 1;
        let mut parsed = crate::sql::parse(&shape.parametrised(first)).ok()?;
        let only = parsed.pop().filter(|only| parsed.is_empty() && only.context.is_none() && only.notices.is_empty())?;
        let Statement::Query(query) = &only.statement else { return None };
        let mut read = PointRead::recognise(ctx, query, declared)?;
        let is_used_once =
            |n: usize| read.key.parameters().filter(|(at, _)| *at == n).count() + usize::from(read.at == At::Parameter(n)) == 1;
        if !(first..first + shape.literals.len()).all(is_used_once) {
            return None;
        }
        read.parameters.truncate(known.parameters.len());
        let template = Self { read, first, zone: Zone::parse(&ctx.time_zone).ok()? };
        template.fill(&shape.literals).is_some_and(|filled| filled.is(known)).then_some(template)
    }

    /// The read that a text with these literals is.
    pub fn fill(&self, literals: &[Literal<'_>]) -> Option<PointRead> {
        let literal = |n: usize| n.checked_sub(self.first).map(|n| literals.get(n).copied());
        let mut read = self.read.clone();
        for value in &mut read.key.values {
            if let KeyValue::Parameter(n, ty) = value
                && let Some(literal) = literal(*n)
            {
                *value = KeyValue::Constant(literal_part(literal?, *ty, self.zone)?);
            }
        }
        if let At::Parameter(n) = read.at
            && let Some(literal) = literal(n)
        {
            let Literal::Text(text) = literal? else { return None };
            read.at = At::Time(Timestamp::from_micros(dated_instant(text, self.zone)?));
        }
        Some(read)
    }
}
