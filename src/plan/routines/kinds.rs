//! What the types of arguments, results and variables are: values, rows of known columns, any row.

use datafusion::sql::sqlparser::ast::{DataType, ObjectName};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, RoutineType, TEMPORARY, is_temporary_schema};
use crate::plan::expand::fold;
use crate::plan::type_planner::pg_type_with;
use crate::types::{PgType, Qualified, TypeName};

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Plain(PgType),
    /// Rows of these columns.
    Rows(Vec<(String, PgType)>),
    Record,
    Void,
    Trigger,
}

/// Definitions, and the schemas that names are looked for in.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub catalog: &'a Catalog,
    pub path: &'a [String],
}

impl Names<'_> {
    /// A type by its text, as a definition keeps it. 42704 when there is none, 0A000 for polymorphic ones and domains.
    pub fn routine_type(&self, text: &str) -> Result<RoutineType> {
        let lower = text.trim().to_ascii_lowercase();
        match lower.as_str() {
            "record" => return Ok(RoutineType::Record),
            "void" => return Ok(RoutineType::Void),
            "trigger" => return Ok(RoutineType::Trigger),
            _ => {}
        }
        if lower.starts_with("any")
            && ["anyelement", "anyarray", "anynonarray", "anyenum", "anycompatible"].contains(&lower.as_str())
        {
            let message = format!("functions of type {lower} are not supported");
            return Err(SqlError::unsupported(message, "Write one function for each type."));
        }
        if let Some(row) = without_suffix(text, "rowtype") {
            return self.relation(row).map(RoutineType::Rows).ok_or_else(|| no_relation(row));
        }
        if let Some(column) = without_suffix(text, "type") {
            return self.column_type(column).map(RoutineType::Plain);
        }
        let refused = || SqlError::syntax(format!("invalid type name \"{text}\""));
        let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).and_then(|mut parser| {
            let ty = parser.parse_data_type()?;
            Ok((ty, parser.peek_token_ref().token == datafusion::sql::sqlparser::tokenizer::Token::EOF))
        });
        let Ok((ty, true)) = parsed else { return Err(refused()) };
        self.parsed_type(&ty, text)
    }

    fn parsed_type(&self, ty: &DataType, text: &str) -> Result<RoutineType> {
        let mut domain = false;
        let found = pg_type_with(ty, &mut |schema, name| {
            let found = self.catalog.type_named(self.path, schema, name)?;
            domain |= found.def.domain().is_some();
            Some(if found.array { found.def.ty().array_of() } else { found.def.ty() })
        });
        match found {
            Ok(_) if domain => {
                let message = format!("domain {text} in a function is not supported");
                Err(SqlError::unsupported(message, "Use the domain's base type."))
            }
            Ok(ty) => Ok(RoutineType::Plain(ty)),
            Err(error) => self.relation(text).map(RoutineType::Rows).ok_or(error),
        }
    }

    /// The number of a table or view.
    fn relation(&self, text: &str) -> Option<u32> {
        let mut parts = parts_of(text)?;
        let name = parts.pop()?;
        self.relation_named(parts.pop().as_deref(), &name)
    }

    fn relation_named(&self, schema: Option<&str>, name: &str) -> Option<u32> {
        let in_schema = |schema: &str| {
            let name = Qualified::new(schema, name);
            let table = self.catalog.tables.get(&name).map(|def| def.id.0);
            table.or_else(|| self.catalog.views.get(&name).map(|def| def.id))
        };
        match schema {
            Some(TEMPORARY) => self.path.iter().filter(|s| is_temporary_schema(s)).find_map(|s| in_schema(s)),
            Some(schema) => in_schema(schema),
            None => self.path.iter().find_map(|schema| in_schema(schema)),
        }
    }

    fn column_type(&self, text: &str) -> Result<PgType> {
        let missing = || SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation of \"{text}%TYPE\" does not exist"));
        let mut parts = parts_of(text).ok_or_else(missing)?;
        let column = parts.pop().ok_or_else(missing)?;
        let relation = parts.pop().ok_or_else(missing)?;
        let id = self.relation_named(parts.pop().as_deref(), &relation).ok_or_else(|| no_relation(&relation))?;
        let columns = self.columns(id).ok_or_else(missing)?;
        let found = columns.into_iter().find(|(name, _)| *name == column).map(|(_, ty)| ty);
        found.ok_or_else(|| {
            let message = format!("column \"{column}\" of relation \"{relation}\" does not exist");
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })
    }

    /// The columns of a table or view.
    fn columns(&self, relation: u32) -> Option<Vec<(String, PgType)>> {
        if let Some(table) = self.catalog.table_by_id(crate::versions::TableId(relation)) {
            return Some(table.live_columns().map(|c| (c.name.clone(), self.catalog.shaped(c.ty))).collect());
        }
        self.catalog.view_by_id(relation).map(|view| view.columns.clone())
    }

    /// What a type of a definition is now.
    pub fn kind(&self, ty: RoutineType) -> Result<Kind> {
        Ok(match ty {
            RoutineType::Plain(ty) => {
                let ty = self.catalog.shaped(ty);
                match ty.name {
                    TypeName::Composite(user) if !ty.array => Kind::Rows(user.fields().to_vec()),
                    _ => Kind::Plain(ty),
                }
            }
            RoutineType::Rows(relation) => {
                let gone =
                    || SqlError::new(SqlState::UNDEFINED_TABLE, "the table of a function's row type does not exist any more");
                Kind::Rows(self.columns(relation).ok_or_else(gone)?)
            }
            RoutineType::Record => Kind::Record,
            RoutineType::Void => Kind::Void,
            RoutineType::Trigger => Kind::Trigger,
        })
    }

    /// A variable's type by its text.
    pub fn variable(&self, text: &str) -> Result<Kind> {
        self.kind(self.routine_type(text)?)
    }
}

/// What stands before `%TYPE` and its like.
pub fn without_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (before, after) = text.rsplit_once('%')?;
    after.trim().eq_ignore_ascii_case(suffix).then(|| before.trim())
}

/// The folded parts of a name.
pub fn parts_of(text: &str) -> Option<Vec<String>> {
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).and_then(|mut p| p.parse_object_name(false));
    let name: ObjectName = parsed.ok()?;
    name.0.iter().map(|part| part.as_ident().map(fold)).collect()
}

fn no_relation(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
}

/// A type as messages name it.
pub fn type_text(names: Names<'_>, ty: RoutineType) -> String {
    match ty {
        RoutineType::Plain(ty) => names.catalog.shaped(ty).with_modifier(-1).sql_name(),
        RoutineType::Rows(relation) => {
            let table = names.catalog.table_by_id(crate::versions::TableId(relation)).map(|def| def.name.name.clone());
            let view = || names.catalog.view_by_id(relation).map(|def| def.name.name.clone());
            table.or_else(view).unwrap_or_else(|| "record".to_owned())
        }
        RoutineType::Record => "record".to_owned(),
        RoutineType::Void => "void".to_owned(),
        RoutineType::Trigger => "trigger".to_owned(),
    }
}
