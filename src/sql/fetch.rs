//! DECLARE, FETCH, MOVE and CLOSE: the SQL form of cursors.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::query;
use super::statement::{Declare, Fetch, FetchTo, Statement};
use crate::error::{Result, SqlError, SqlState};

pub fn declare(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("DECLARE")?;
    let name = cursor.ident()?;
    let (mut binary, mut scroll) = (false, None);
    loop {
        let position = cursor.position();
        if cursor.accept("BINARY") {
            binary = true;
        } else if cursor.accept("INSENSITIVE") || cursor.accept("ASENSITIVE") {
            // Every cursor reads one snapshot.
        } else if cursor.accept("SCROLL") || cursor.accept_all(&["NO", "SCROLL"]) {
            let back = cursor.index().checked_sub(2).and_then(|i| cursor.slice().get(i));
            let wanted = !back.is_some_and(|token| super::cursor::is_keyword(token, "NO"));
            if scroll.replace(wanted).is_some_and(|before| before != wanted) {
                let message = "cannot specify both SCROLL and NO SCROLL";
                return Err(SqlError::new(SqlState::INVALID_CURSOR_DEFINITION, message).at(position));
            }
        } else {
            break;
        }
    }
    cursor.expect("CURSOR")?;
    let hold = cursor.accept_all(&["WITH", "HOLD"]);
    if !hold {
        cursor.accept_all(&["WITHOUT", "HOLD"]);
    }
    cursor.expect("FOR")?;
    let rest = cursor.rest();
    if rest.is_empty() {
        return Err(cursor.syntax());
    }
    cursor.seek(cursor.slice().len());
    let query = query::parse_query(rest)?;
    Ok(Statement::Declare(Box::new(Declare { name, binary, scroll, hold, query })))
}

pub fn fetch(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let only_move = cursor.accept_any(&["FETCH", "MOVE"]) == Some("MOVE");
    let to = direction(cursor)?;
    cursor.accept_any(&["FROM", "IN"]);
    Ok(Statement::Fetch(Fetch { cursor: cursor.ident()?, to, only_move }))
}

fn direction(cursor: &mut Cursor<'_>) -> Result<FetchTo> {
    // A word that nothing follows is the cursor's name.
    let alone = cursor.peek_at(1).is_none();
    let word = if alone {
        None
    } else {
        cursor.accept_any(&["NEXT", "PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "ALL", "FORWARD", "BACKWARD"])
    };
    Ok(match word {
        Some("NEXT") => FetchTo::Rows(1),
        Some("PRIOR") => FetchTo::Rows(-1),
        Some("FIRST") => FetchTo::Absolute(1),
        Some("LAST") => FetchTo::Absolute(-1),
        Some("ABSOLUTE") => FetchTo::Absolute(cursor.integer()?),
        Some("RELATIVE") => FetchTo::Relative(cursor.integer()?),
        Some("ALL") => FetchTo::AllForward,
        Some("FORWARD") if cursor.accept("ALL") => FetchTo::AllForward,
        Some("BACKWARD") if cursor.accept("ALL") => FetchTo::AllBackward,
        Some("FORWARD") if counts(cursor) => FetchTo::Rows(cursor.integer()?),
        Some("BACKWARD") if counts(cursor) => FetchTo::Rows(cursor.integer()?.saturating_neg()),
        Some("FORWARD") => FetchTo::Rows(1),
        Some(_) => FetchTo::Rows(-1),
        None if counts(cursor) => FetchTo::Rows(cursor.integer()?),
        None => FetchTo::Rows(1),
    })
}

fn counts(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.peek(), Some(Token::Number(..) | Token::Minus | Token::Plus))
}

pub fn close(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("CLOSE")?;
    if cursor.accept("ALL") {
        return Ok(Statement::Close(None));
    }
    Ok(Statement::Close(Some(cursor.ident()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, to: FetchTo, only_move: bool) {
        let parsed = crate::sql::parse(text).unwrap().remove(0).statement;
        let Statement::Fetch(fetch) = parsed else { panic!("{text} is no FETCH") };
        assert_eq!(fetch, Fetch { cursor: "c".to_owned(), to, only_move }, "{text}");
    }

    #[test]
    fn every_direction_is_read() {
        check("FETCH c", FetchTo::Rows(1), false);
        check("FETCH FROM c", FetchTo::Rows(1), false);
        check("FETCH NEXT IN c", FetchTo::Rows(1), false);
        check("FETCH PRIOR c", FetchTo::Rows(-1), false);
        check("FETCH 5 FROM c", FetchTo::Rows(5), false);
        check("FETCH -5 c", FetchTo::Rows(-5), false);
        check("FETCH ALL IN c", FetchTo::AllForward, false);
        check("FETCH FORWARD 3 FROM c", FetchTo::Rows(3), false);
        check("FETCH BACKWARD ALL FROM c", FetchTo::AllBackward, false);
        check("FETCH BACKWARD FROM c", FetchTo::Rows(-1), false);
        check("MOVE LAST FROM c", FetchTo::Absolute(-1), true);
        check("MOVE ABSOLUTE 0 c", FetchTo::Absolute(0), true);
        check("FETCH RELATIVE -2 FROM c", FetchTo::Relative(-2), false);
    }

    #[test]
    fn a_cursor_may_bear_a_directions_name() {
        let Statement::Fetch(fetch) = crate::sql::parse("FETCH next").unwrap().remove(0).statement else { panic!() };
        assert_eq!((fetch.cursor.as_str(), fetch.to), ("next", FetchTo::Rows(1)));
    }

    #[test]
    fn declarations_tell_scroll_and_hold() {
        let declared = |text: &str| match crate::sql::parse(text).unwrap().remove(0).statement {
            Statement::Declare(declare) => (declare.scroll, declare.hold, declare.binary),
            _ => panic!("{text}"),
        };
        assert_eq!(declared("DECLARE c CURSOR FOR SELECT 1"), (None, false, false));
        assert_eq!(declared("DECLARE c NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1"), (Some(false), false, false));
        assert_eq!(declared("DECLARE c BINARY INSENSITIVE SCROLL CURSOR WITH HOLD FOR VALUES (1)"), (Some(true), true, true));
    }
}
