//! The MongoDB indexes that the library makes on a collection's documents.

use crate::config::deployment::CollectionMap;

/// One index, as `createIndexes` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub name: String,
    /// Fields with their direction, 1 or -1.
    pub keys: Vec<(String, i32)>,
    pub unique: bool,
    /// Only documents that have this field.
    pub where_exists: Option<String>,
}

fn plain(name: &str, keys: &[(&str, i32)], unique: bool) -> Index {
    let keys = keys.iter().map(|(field, direction)| ((*field).to_owned(), *direction)).collect();
    Index { name: name.to_owned(), keys, unique, where_exists: None }
}

/// Of `<C>_head`: five of every collection, then one for each indexed path.
pub fn head(map: Option<&CollectionMap>) -> Vec<Index> {
    let of_all = [
        plain("idx_head_itemId", &[("itemId", 1)], true),
        plain("idx_head_ov", &[("ov", -1)], false),
        plain("idx_head_cv", &[("cv", -1)], false),
        plain("idx_head_updatedAt", &[("updatedAt", -1)], false),
        plain("idx_head_deletedAt", &[("deletedAt", 1)], false),
    ];
    let paths = map.into_iter().flat_map(|map| &map.indexed);
    of_all.into_iter().chain(paths.map(|path| of_path(path))).collect()
}

/// Of `<C>_ver`.
pub fn versions() -> Vec<Index> {
    vec![
        plain("idx_ver_itemId_ov", &[("itemId", 1), ("ov", -1)], false),
        plain("idx_ver_ov", &[("ov", -1)], false),
        plain("idx_ver_cv", &[("cv", -1)], false),
        plain("idx_ver_at", &[("at", -1)], false),
        plain("idx_ver_op", &[("op", 1)], false),
        plain("idx_ver_at_ov", &[("at", -1), ("ov", -1)], false),
    ]
}

/// Of `<C>_locks`. None expires rows by itself, whatever its name says.
pub fn locks() -> Vec<Index> {
    vec![
        plain("itemId_unique", &[("itemId", 1)], true),
        plain("expiresAt_ttl", &[("expiresAt", 1)], false),
        plain("serverId_index", &[("serverId", 1)], false),
        plain("serverId_expiresAt_compound", &[("serverId", 1), ("expiresAt", 1)], false),
    ]
}

/// Of one path under `metaIndexed`. Its name keeps every dot but the first.
pub fn of_path(path: &str) -> Index {
    let field = format!("metaIndexed.{}", path.replacen("[]", "", 1));
    let name = format!("meta_{}_1", path.replacen('.', "_", 1).replacen("[]", "_array", 1));
    Index { name, keys: vec![(field.clone(), 1)], unique: false, where_exists: Some(field) }
}
