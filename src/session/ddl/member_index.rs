//! What an index of a collection may be over: columns, and members of jsonb columns by their names.

use datafusion::sql::sqlparser::ast::{self, BinaryOperator};

use super::verify::parse_expression;
use crate::error::{Result, SqlError};
use crate::history::{ColumnDef, TableDef, can_be_indexed, member_part};
use crate::plan::catalog::operator_class;
use crate::sql::{CreateIndex, IndexKey};
use crate::versions::{IndexId, MemberForm, MemberIndex, MemberPart};

/// 0A000 for an index that a collection cannot have.
pub fn check(table: &TableDef, create: &CreateIndex) -> Result<()> {
    if create.predicate.is_some() {
        return Err(SqlError::unsupported(
            format!("\"{}\" is a collection of a deployment: an index cannot be over some of its documents", table.name.name),
            "Leave out WHERE. Documents that lack a member are in no way of one.",
        ));
    }
    if create.method.as_deref().is_some_and(|method| method != operator_class::BTREE) {
        return Err(SqlError::unsupported(
            format!("\"{}\" is a collection of a deployment: its indexes are those that the server has", table.name.name),
            "Leave out USING.",
        ));
    }
    create.parts.iter().try_for_each(|part| part_of(&table.columns, &part.key).map(drop))
}

/// 0A000 for a constraint over columns that a collection cannot have.
pub fn check_columns(table: &TableDef, names: &[String]) -> Result<()> {
    names.iter().try_for_each(|name| part_of(&table.columns, &IndexKey::Column(name.clone())).map(drop))
}

/// The members that an index with expressions is over.
pub fn of_expressions(columns: &[ColumnDef], create: &CreateIndex, id: IndexId) -> Result<MemberIndex> {
    let parts = create.parts.iter().map(|part| part_of(columns, &part.key)).collect::<Result<_>>()?;
    Ok(MemberIndex { id, unique: create.unique, parts })
}

fn part_of(columns: &[ColumnDef], key: &IndexKey) -> Result<MemberPart> {
    let found = match key {
        IndexKey::Column(name) => column(columns, name),
        IndexKey::Expression(text) => path_of(columns, &parse_expression(text)?),
    };
    let (path, form) = found.ok_or_else(unfit)?;
    match path.iter().all(|name| can_be_indexed(name)) {
        true => Ok(MemberPart { path: path.join("."), form }),
        false => Err(SqlError::unsupported(
            format!("member {} of a document cannot be indexed", path.join("->")),
            "The names of indexed members are no numbers and have no dots or brackets. The _id needs no index.",
        )),
    }
}

fn column(columns: &[ColumnDef], name: &str) -> Option<(Vec<String>, MemberForm)> {
    let column = columns.iter().find(|column| !column.dropped && column.name == name)?;
    Some((vec![column.field.clone()], member_part(column).form))
}

/// The members that `column->'a'->>'b'` goes through, and what is found at its end.
fn path_of(columns: &[ColumnDef], expression: &ast::Expr) -> Option<(Vec<String>, MemberForm)> {
    match expression {
        ast::Expr::Nested(inner) => path_of(columns, inner),
        ast::Expr::Identifier(name) => column(columns, &name.value),
        ast::Expr::BinaryOp { left, op, right } => {
            let form = match op {
                BinaryOperator::Arrow => MemberForm::Json,
                BinaryOperator::LongArrow => MemberForm::AsText,
                _ => return None,
            };
            let (mut path, MemberForm::Json) = path_of(columns, left)? else { return None };
            path.push(name_of(right)?);
            Some((path, form))
        }
        _ => None,
    }
}

fn name_of(expression: &ast::Expr) -> Option<String> {
    match expression {
        ast::Expr::Nested(inner) => name_of(inner),
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn unfit() -> SqlError {
    SqlError::unsupported(
        "an index of a collection is over columns and members of jsonb columns",
        "Write each part as a column or as (column->'a'->>'b').",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ColumnId;
    use crate::types::PgType;

    fn part(text: &str) -> std::result::Result<(String, MemberForm), String> {
        let columns = [("_id", PgType::TEXT), ("n", PgType::INT8), ("j", PgType::JSONB), ("a.b", PgType::TEXT)];
        let columns: Vec<_> = (1..).zip(columns).map(|(id, (name, ty))| ColumnDef::plain(ColumnId(id), name, ty)).collect();
        let key = match text.strip_prefix('=') {
            Some(expression) => IndexKey::Expression(expression.to_owned()),
            None => IndexKey::Column(text.to_owned()),
        };
        part_of(&columns, &key).map(|part| (part.path, part.form)).map_err(|error| error.code().code().to_owned())
    }

    #[test]
    fn parts_are_columns_and_members_by_name() {
        assert_eq!(part("n"), Ok(("n".to_owned(), MemberForm::Integer)));
        assert_eq!(part("j"), Ok(("j".to_owned(), MemberForm::Json)));
        assert_eq!(part("=(j->'x')->>'y'"), Ok(("j.x.y".to_owned(), MemberForm::AsText)));
        assert_eq!(part("=j->'x'"), Ok(("j.x".to_owned(), MemberForm::Json)));
        for other in ["_id", "a.b", "=n->>'x'", "=j->>0", "=j->>'0'", "=j->>'x.y'", "=j->>'x'->'y'", "=lower(n)", "=j#>>'{a,b}'"]
        {
            assert_eq!(part(other), Err("0A000".to_owned()), "{other}");
        }
    }
}
