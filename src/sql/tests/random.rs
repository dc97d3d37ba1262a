//! Texts made of pieces that matter to the parser, in any order: an answer or an error, never a panic, and
//! every position within the text.

use proptest::prelude::*;

use super::*;

const PIECES: &[&str] = &[
    "SELECT",
    "*",
    "a",
    "t",
    "FROM",
    "JOIN",
    "ON",
    "USING",
    "WHERE",
    "WITH",
    "RECURSIVE",
    "UNION",
    "TABLE",
    "ONLY",
    "(",
    ")",
    ",",
    ";",
    ".",
    "=",
    "-",
    "+",
    "1",
    "1.5",
    "$1",
    "'x'",
    "'v12'",
    "'-4h'",
    "E'\\''",
    "$$x$$",
    "$a$",
    "\"q\"",
    "'",
    "\"",
    "é",
    "𝄞",
    "\n",
    "--",
    "/*",
    "*/",
    "/*Bemi {\"a\":1} Bemi*/",
    "/*Bemi ",
    " Bemi*/",
    "/*k='v'*/",
    "FOR",
    "SYSTEM_TIME",
    "ALL",
    "AS",
    "OF",
    "AT",
    "BEFORE",
    "TIMESTAMP",
    "VERSION",
    "VERSIONS",
    "BETWEEN",
    "AND",
    "TO",
    "CONTAINED",
    "IN",
    "SCN",
    "MINVALUE",
    "SYSTEM",
    "TIME",
    "OFFSET",
    "=>",
    "INTERVAL",
    "now()",
    "::",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "CREATE",
    "ALTER",
    "DROP",
    "INDEX",
    "VIEW",
    "SEQUENCE",
    "ROLE",
    "int",
    "text",
    "[",
    "]",
    "PRIMARY KEY",
    "DEFAULT",
    "CHECK",
    "NOT NULL",
    "NULL",
    "GRANT",
    "REVOKE",
    "COPY",
    "STDIN",
    "BEGIN",
    "COMMIT",
    "EXPLAIN",
    "PREPARE",
    "EXECUTE",
    "SHOW",
    "RESET",
    "OPERATOR",
    "ANY",
    "LATERAL",
    "RESTART",
    "START",
    "ADD",
    "COLUMN",
    "TYPE",
    "IDENTITY",
    "GENERATED",
    "BY",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_text_makes_the_parser_panic(picks in proptest::collection::vec((0..PIECES.len(), any::<bool>()), 0..24)) {
        let text: String = picks.iter().map(|(i, space)| format!("{}{}", PIECES[*i], if *space { " " } else { "" })).collect();
        let characters = text.chars().count();
        match parse(&text) {
            Ok(parsed) => {
                for statement in parsed {
                    prop_assert!(statement.offset <= characters, "{}", text);
                }
            }
            Err(error) => {
                let position = error.fields().position.unwrap_or(1);
                prop_assert!((1..=characters + 1).contains(&position), "{}: {}", text, error);
            }
        }
    }
}
