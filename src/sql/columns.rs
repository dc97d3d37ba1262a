//! The names PostgreSQL gives to output columns.

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator, DataType, Expr, Ident, ObjectName, SelectItem, SetExpr, TrimWhereField,
};

use super::type_name;

/// The name of an expression that has none.
pub const UNNAMED: &str = "?column?";

/// Names of a query's output columns as PostgreSQL reports them, duplicates included; `None` for an item that
/// stands for several columns (`*`, `t.*`).
pub fn output_names(query: &ast::Query) -> Vec<Option<String>> {
    body_names(&query.body)
}

fn body_names(body: &SetExpr) -> Vec<Option<String>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(item_name).collect(),
        SetExpr::Query(query) => output_names(query),
        SetExpr::SetOperation { left, .. } => body_names(left),
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.len());
            (1..=width).map(|i| Some(format!("column{i}"))).collect()
        }
        SetExpr::Table(_) | SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => vec![None],
    }
}

/// The name of one item of SELECT or RETURNING; `None` for a wildcard.
pub fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(name_of(expr).map_or(UNNAMED.to_owned(), |(name, _)| name)),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => None,
    }
}

/// How much a name says: a cast's type gives way to the name of what is cast.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    Weak,
    Strong,
}

fn strong(name: impl Into<String>) -> Option<(String, Strength)> {
    Some((name.into(), Strength::Strong))
}

fn name_of(expr: &Expr) -> Option<(String, Strength)> {
    match expr {
        Expr::Identifier(ident) => strong(folded(ident)),
        Expr::CompoundIdentifier(parts) => strong(folded(parts.last()?)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::CompoundFieldAccess { root, access_chain } => accessed(root, access_chain),
        Expr::Cast { expr, data_type, .. } => or_weak(name_of(expr), || type_label(data_type)),
        Expr::TypedString(typed) => Some((type_label(&typed.data_type), Strength::Weak)),
        Expr::Interval(_) => Some(("interval".to_owned(), Strength::Weak)),
        Expr::Case { else_result, .. } => or_weak(else_result.as_deref().and_then(name_of), || "case".to_owned()),
        Expr::Function(function) => strong(function_name(&function.name)?),
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Subquery(query) => strong(output_names(query).into_iter().next()??),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::BinaryOp { op: BinaryOperator::Overlaps, .. } => strong("overlaps"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Position { .. } => strong("position"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            Some(TrimWhereField::Both) | None => "btrim",
        }),
        _ => None,
    }
}

fn or_weak(inner: Option<(String, Strength)>, weak: impl FnOnce() -> String) -> Option<(String, Strength)> {
    match inner {
        Some((name, Strength::Strong)) => Some((name, Strength::Strong)),
        _ => Some((weak(), Strength::Weak)),
    }
}

fn accessed(root: &Expr, chain: &[AccessExpr]) -> Option<(String, Strength)> {
    let field = chain.iter().rev().find_map(|access| match access {
        AccessExpr::Dot(Expr::Identifier(ident)) => Some(folded(ident)),
        _ => None,
    });
    match field {
        Some(field) => strong(field),
        None => name_of(root),
    }
}

fn function_name(name: &ObjectName) -> Option<String> {
    name.0.last()?.as_ident().map(folded)
}

fn type_label(ty: &DataType) -> String {
    match type_name::of_data_type(ty) {
        Some(ty) => ty.element().internal_name(),
        None => match ty {
            DataType::Custom(name, _) => function_name(name).unwrap_or_else(|| UNNAMED.to_owned()),
            other => other.to_string().to_ascii_lowercase(),
        },
    }
}

fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}
