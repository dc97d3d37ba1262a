//! Functions that give rows: what each gives per column, as a function that gives a list.
//!
//! A call in a select list becomes `unnest` of that function, a call in FROM the rows of one (`from`). Lists are
//! made whole: one of more than [`MOST`] values is refused with 54000.

mod catalog;
mod from;
mod json;
pub mod records;
mod series;
mod typed;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use super::functions::define::Function;

pub use from::plan_from;
pub use series::SERIES;
pub use typed::typed;

/// Values that one call may give.
pub const MOST: usize = 10_000_000;

/// The columns of a function that gives rows: their names and the functions that give them as lists.
pub type Columns = &'static [(&'static str, &'static str)];

/// `information_schema._pg_expandarray`, whose rows a select list may take whole.
pub const EXPAND_ARRAY: &str = "_pg_expandarray";

pub use catalog::EXPANDED;

/// What gives the list itself: its argument is one.
pub const IDENTITY: &str = "";

const TABLE: &[(&str, Columns)] = &[
    ("generate_series", &[("generate_series", series::SERIES)]),
    ("generate_subscripts", &[("generate_subscripts", series::SUBSCRIPTS)]),
    ("unnest", &[("unnest", IDENTITY)]),
    ("regexp_matches", &[("regexp_matches", "pg_regexp_matches")]),
    ("regexp_split_to_table", &[("regexp_split_to_table", "regexp_split_to_array")]),
    ("string_to_table", &[("string_to_table", "string_to_array")]),
    ("jsonb_array_elements", &[("value", json::ELEMENTS)]),
    ("json_array_elements", &[("value", json::ELEMENTS)]),
    ("jsonb_array_elements_text", &[("value", json::ELEMENT_TEXTS)]),
    ("json_array_elements_text", &[("value", json::ELEMENT_TEXTS)]),
    ("jsonb_path_query", &[("jsonb_path_query", "pg_json_path_query")]),
    ("jsonb_object_keys", &[("jsonb_object_keys", json::KEYS)]),
    ("json_object_keys", &[("json_object_keys", json::KEYS)]),
    ("jsonb_each", &[("key", json::KEYS), ("value", json::VALUES)]),
    ("json_each", &[("key", json::KEYS), ("value", json::VALUES)]),
    ("jsonb_each_text", &[("key", json::KEYS), ("value", json::VALUE_TEXTS)]),
    ("pg_options_to_table", &[("option_name", catalog::OPTION_NAMES), ("option_value", catalog::OPTION_VALUES)]),
    (
        "pg_get_keywords",
        &[
            ("word", catalog::KEYWORDS[0]),
            ("catcode", catalog::KEYWORDS[1]),
            ("barelabel", catalog::KEYWORDS[2]),
            ("catdesc", catalog::KEYWORDS[3]),
            ("baredesc", catalog::KEYWORDS[4]),
        ],
    ),
    ("pg_partition_ancestors", &[("relid", catalog::ANCESTORS)]),
    (EXPAND_ARRAY, &[("x", IDENTITY), ("n", series::ORDINALS)]),
    ("json_each_text", &[("key", json::KEYS), ("value", json::VALUE_TEXTS)]),
];

/// The columns of the function of this name, if it gives rows.
pub fn columns_of(name: &str) -> Option<Columns> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, columns)| *columns)
}

/// The functions that give lists, to be registered.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let all: [&[Function]; 3] = [series::FUNCTIONS, json::FUNCTIONS, catalog::FUNCTIONS];
    all.into_iter().flatten().map(|f| f.clone().udf()).collect()
}
