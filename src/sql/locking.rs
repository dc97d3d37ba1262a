//! FOR UPDATE and its kin: which tables of a SELECT they lock, and which SELECTs have none to lock.

use datafusion::sql::sqlparser::ast::{self, LockClause, LockType, NonBlock, SetExpr, TableFactor};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::is_keyword;
use crate::error::{Result, SqlError, SqlState};

/// One table whose rows a SELECT locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedTable {
    pub schema: Option<String>,
    pub name: String,
    /// What the SELECT calls it.
    pub alias: String,
    /// FOR SHARE and FOR KEY SHARE.
    pub shared: bool,
    pub no_wait: bool,
    pub skip_locked: bool,
}

/// `FOR NO KEY UPDATE` as `FOR UPDATE` and `FOR KEY SHARE` as `FOR SHARE`, which exclude no less; `FOR READ ONLY` says nothing.
pub fn without_keys(tokens: &mut Vec<TokenWithSpan>) {
    let is = |tokens: &[TokenWithSpan], at: usize, word: &str| tokens.get(at).is_some_and(|t| is_keyword(&t.token, word));
    let mut at = 0;
    while at < tokens.len() {
        if is(tokens, at, "FOR") && is(tokens, at + 1, "NO") && is(tokens, at + 2, "KEY") && is(tokens, at + 3, "UPDATE") {
            tokens.drain(at + 1..at + 3);
        } else if is(tokens, at, "FOR") && is(tokens, at + 1, "KEY") && is(tokens, at + 2, "SHARE") {
            tokens.remove(at + 1);
        } else if is(tokens, at, "FOR") && is(tokens, at + 1, "READ") && is(tokens, at + 2, "ONLY") {
            tokens.drain(at..at + 3);
        }
        at += 1;
    }
}

/// Locking clauses that stand before LIMIT, OFFSET or FETCH go behind them, where the parser looks for them.
pub fn behind_limits(tokens: &mut [TokenWithSpan]) {
    let mut at = 0;
    while at < tokens.len() {
        let clause = clause_end(tokens, at);
        let limits = |t: &TokenWithSpan| ["LIMIT", "OFFSET", "FETCH"].iter().any(|word| is_keyword(&t.token, word));
        if clause == at || !tokens.get(clause).is_some_and(limits) {
            at += 1;
            continue;
        }
        let end = end_of_query(tokens, clause);
        if let Some(part) = tokens.get_mut(at..end) {
            part.rotate_left(clause - at);
        }
        at = end;
    }
}

/// Where the locking clauses that begin at a place end; the place itself where none does.
fn clause_end(tokens: &[TokenWithSpan], from: usize) -> usize {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|t| is_keyword(&t.token, word));
    let mut at = from;
    while is(at, "FOR") && (is(at + 1, "UPDATE") || is(at + 1, "SHARE")) {
        at += 2;
        if is(at, "OF") {
            at += 2;
            while tokens.get(at).is_some_and(|t| matches!(t.token, Token::Comma | Token::Period)) {
                at += 2;
            }
        }
        at += usize::from(is(at, "NOWAIT"));
        at += 2 * usize::from(is(at, "SKIP") && is(at + 1, "LOCKED"));
    }
    at
}

fn end_of_query(tokens: &[TokenWithSpan], from: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return at,
            Token::RParen => depth -= 1,
            Token::EOF | Token::SemiColon if depth == 0 => return at,
            _ => {}
        }
    }
    tokens.len()
}

/// The tables that a query's locking clauses are about. 0A000 for a query whose rows are not those of tables,
/// 42P01 for an OF that names none of FROM.
pub fn locked_tables(query: &ast::Query) -> Result<Vec<LockedTable>> {
    let Some(first) = query.locks.first() else { return Ok(Vec::new()) };
    let verb = verb(first);
    let not_allowed =
        |with: &str| Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{verb} is not allowed with {with}")));
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { .. } => return not_allowed("UNION/INTERSECT/EXCEPT"),
        SetExpr::Values(_) => {
            let message = format!("{verb} cannot be applied to VALUES");
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        _ => return Err(unsupported(verb, "a query in parentheses")),
    };
    if select.distinct.is_some() {
        return not_allowed("DISTINCT clause");
    }
    let grouped = match &select.group_by {
        ast::GroupByExpr::Expressions(by, _) => !by.is_empty(),
        ast::GroupByExpr::All(_) => true,
    };
    if grouped {
        return not_allowed("GROUP BY clause");
    }
    if select.having.is_some() {
        return not_allowed("HAVING clause");
    }
    let mut relations = Vec::new();
    for from in &select.from {
        collect(from, false, &mut relations);
    }
    let ctes: Vec<String> = query.with.iter().flat_map(|w| &w.cte_tables).map(|cte| fold(&cte.alias.name)).collect();
    let mut locked: Vec<LockedTable> = Vec::new();
    for clause in &query.locks {
        let of = clause.of.as_ref().map(|name| name.0.last().and_then(|p| p.as_ident()).map(fold).unwrap_or_default());
        let chosen: Vec<&Relation> = relations.iter().filter(|r| of.as_ref().is_none_or(|of| *of == r.alias)).collect();
        if let Some(of) = of.filter(|_| chosen.is_empty()) {
            let message = format!("relation \"{of}\" in {verb} clause not found in FROM clause");
            return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
        }
        for relation in chosen {
            let Some((schema, name)) = &relation.table else {
                return Err(unsupported(verb, "a subquery or function in FROM"));
            };
            if schema.is_none() && ctes.contains(name) {
                continue;
            }
            if relation.nullable {
                let message = format!("{verb} cannot be applied to the nullable side of an outer join");
                return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
            let lock = lock_of(clause, schema.clone(), name.clone(), relation.alias.clone());
            match locked.iter_mut().find(|l| l.alias == lock.alias) {
                // Of several clauses the strictest counts.
                Some(known) => {
                    known.shared &= lock.shared;
                    known.no_wait |= lock.no_wait;
                    known.skip_locked |= lock.skip_locked;
                }
                None => locked.push(lock),
            }
        }
    }
    Ok(locked)
}

fn lock_of(clause: &LockClause, schema: Option<String>, name: String, alias: String) -> LockedTable {
    LockedTable {
        schema,
        name,
        alias,
        shared: matches!(clause.lock_type, LockType::Share),
        no_wait: matches!(clause.nonblock, Some(NonBlock::Nowait)),
        skip_locked: matches!(clause.nonblock, Some(NonBlock::SkipLocked)),
    }
}

fn verb(clause: &LockClause) -> &'static str {
    match clause.lock_type {
        LockType::Share => "FOR SHARE",
        LockType::Update => "FOR UPDATE",
    }
}

fn unsupported(verb: &str, of: &str) -> SqlError {
    SqlError::unsupported(
        format!("{verb} of {of} is not supported"),
        "Name the tables whose rows are to be locked with OF, in FROM itself.",
    )
}

struct Relation {
    alias: String,
    /// Schema and name; `None` for what is no table.
    table: Option<(Option<String>, String)>,
    nullable: bool,
}

fn collect(from: &ast::TableWithJoins, nullable: bool, into: &mut Vec<Relation>) {
    use ast::JoinOperator::{FullOuter, Left, LeftOuter, Right, RightOuter};
    let first = into.len();
    factor(&from.relation, nullable, into);
    for join in &from.joins {
        let (left, right) = match &join.join_operator {
            Left(_) | LeftOuter(_) => (false, true),
            Right(_) | RightOuter(_) => (true, false),
            FullOuter(_) => (true, true),
            _ => (false, false),
        };
        if left {
            into.iter_mut().skip(first).for_each(|relation| relation.nullable = true);
        }
        factor(&join.relation, nullable || right, into);
    }
}

fn factor(factor: &TableFactor, nullable: bool, into: &mut Vec<Relation>) {
    let named = |alias: &Option<ast::TableAlias>| alias.as_ref().map(|a| fold(&a.name));
    match factor {
        TableFactor::Table { name, alias, args: None, version: None, .. } => {
            let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(fold).collect();
            let (table, schema) = match parts.as_slice() {
                [.., schema, table] => (table.clone(), Some(schema.clone())),
                [table] => (table.clone(), None),
                [] => return,
            };
            into.push(Relation { alias: named(alias).unwrap_or_else(|| table.clone()), table: Some((schema, table)), nullable });
        }
        TableFactor::NestedJoin { table_with_joins, alias: None } => collect(table_with_joins, nullable, into),
        TableFactor::Table { name, alias, .. } => {
            let last = name.0.last().and_then(|p| p.as_ident()).map(fold).unwrap_or_default();
            into.push(Relation { alias: named(alias).unwrap_or(last), table: None, nullable });
        }
        TableFactor::Derived { alias, .. } | TableFactor::Function { alias, .. } => {
            into.push(Relation { alias: named(alias).unwrap_or_default(), table: None, nullable });
        }
        _ => into.push(Relation { alias: String::new(), table: None, nullable }),
    }
}

fn fold(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Statement;

    fn locked(text: &str) -> Result<Vec<String>> {
        let Statement::Query(query) = crate::sql::parse(text)?.remove(0).statement else { panic!("{text}") };
        let shown = |l: LockedTable| {
            let how = [(l.shared, "s"), (l.no_wait, "n"), (l.skip_locked, "k")];
            let how: String = how.into_iter().filter(|(on, _)| *on).map(|(_, letter)| letter).collect();
            format!("{}:{}:{how}", l.name, l.alias)
        };
        Ok(locked_tables(&query)?.into_iter().map(shown).collect())
    }

    #[test]
    fn clauses_lock_the_tables_of_from() {
        assert_eq!(locked("SELECT * FROM t FOR UPDATE").unwrap(), ["t:t:"]);
        assert_eq!(locked("SELECT * FROM t a JOIN public.u ON true FOR NO KEY UPDATE OF a NOWAIT").unwrap(), ["t:a:n"]);
        assert_eq!(locked("SELECT * FROM t, u FOR KEY SHARE SKIP LOCKED").unwrap(), ["t:t:sk", "u:u:sk"]);
        assert_eq!(locked("SELECT * FROM t LEFT JOIN u ON true FOR UPDATE OF t").unwrap(), ["t:t:"]);
        assert_eq!(locked("WITH c AS (SELECT 1) SELECT * FROM c, t FOR UPDATE").unwrap(), ["t:t:"]);
        assert_eq!(locked("SELECT * FROM t, u FOR SHARE OF u FOR UPDATE OF t").unwrap(), ["u:u:s", "t:t:"]);
    }

    #[test]
    fn what_has_no_rows_of_tables_is_refused() {
        for text in [
            "SELECT DISTINCT a FROM t FOR UPDATE",
            "SELECT count(*) FROM t GROUP BY a FOR UPDATE",
            "SELECT * FROM t LEFT JOIN u ON true FOR UPDATE",
            "SELECT * FROM (SELECT * FROM t) s FOR UPDATE",
            "SELECT * FROM t FOR SYSTEM_TIME AS OF '2025-01-01' FOR UPDATE",
            "SELECT * FROM (SELECT * FROM t FOR UPDATE) s",
            "INSERT INTO t SELECT * FROM u FOR UPDATE",
        ] {
            let code = match crate::sql::parse(text).map(|mut p| p.remove(0).statement) {
                Ok(Statement::Query(query)) => locked_tables(&query).expect_err(text).code(),
                Ok(_) => panic!("{text} parsed"),
                Err(error) => error.code(),
            };
            assert_eq!(code, SqlState::FEATURE_NOT_SUPPORTED, "{text}");
        }
        assert_eq!(locked("SELECT * FROM t FOR UPDATE OF u").unwrap_err().code(), SqlState::UNDEFINED_TABLE);
    }
}
