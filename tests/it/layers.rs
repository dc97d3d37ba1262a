//! Dependencies point one way: which module may name which.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Open to every module; they may name each other but nothing above.
const GROUND: &[&str] = &["error", "runtime", "types", "config", "observe"];

/// What each module may name besides the ground and itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("runtime", &[]),
    ("types", &[]),
    ("config", &[]),
    ("observe", &[]),
    ("versions", &[]),
    ("store", &["versions"]),
    ("history", &["versions", "store"]),
    ("auth", &["versions", "history"]),
    ("tenancy", &["versions", "store", "history", "auth"]),
    ("services", &["versions", "history", "tenancy"]),
    ("sql", &[]),
    ("plan", &["versions", "store", "history", "sql"]),
    ("session", &["versions", "store", "history", "tenancy", "auth", "sql", "plan"]),
    ("wire", &["session", "auth", "tenancy", "plan"]),
    ("server", &["versions", "store", "history", "tenancy", "auth", "services", "sql", "plan", "session", "wire"]),
];

/// Only the composition root may name a concrete store (tests of a module may, to have one).
const CONCRETE_STORES: &[&str] = &["store::sqlite", "store::memory", "SqliteIndex", "SqliteStore", "MemoryIndex"];

#[test]
fn no_module_names_one_above_it() {
    let mut broken = Vec::new();
    for file in sources() {
        let module = module_of(&file);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            assert!(["lib", "main"].contains(&module.as_str()), "{module} has no row in MAY_USE");
            continue;
        };
        for (line, named) in named_modules(&file) {
            if named != module && !GROUND.contains(&named.as_str()) && !allowed.contains(&named.as_str()) {
                broken.push(format!("{}:{line}: {module} names {named}", file.display()));
            }
            if GROUND.contains(&module.as_str()) && !GROUND.contains(&named.as_str()) {
                broken.push(format!("{}:{line}: the ground ({module}) names {named}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "arrows that point up:\n{}", broken.join("\n"));
}

#[test]
fn only_the_composition_root_names_a_concrete_store() {
    let mut broken = Vec::new();
    for file in sources() {
        if ["store", "server"].contains(&module_of(&file).as_str()) {
            continue;
        }
        for (number, line) in production_lines(&file) {
            if CONCRETE_STORES.iter().any(|store| line.contains(store)) {
                broken.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "concrete stores outside server:\n{}", broken.join("\n"));
}

#[test]
fn the_pure_domain_has_no_io_clock_async_or_arrow() {
    let forbidden = ["tokio", "arrow", "datafusion", "rusqlite", "std::fs", "std::net", "std::time", "async fn", "runtime::"];
    let mut broken = Vec::new();
    for file in sources().into_iter().filter(|f| module_of(f) == "versions") {
        for (number, line) in production_lines(&file) {
            if forbidden.iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_stored_format_of_chronos_has_no_io_and_no_driver() {
    let forbidden = ["tokio", "mongodb", "bson", "object_store", "std::fs", "std::net", "std::time", "async fn", "runtime::"];
    let mut broken = Vec::new();
    for file in sources().into_iter().filter(|f| f.components().any(|part| part.as_os_str() == "chronos")) {
        for (number, line) in production_lines(&file) {
            if forbidden.iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_source_file_says_what_it_owns() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|f| !fs::read_to_string(f).is_ok_and(|text| text.starts_with("//!")))
        .map(|f| f.display().to_string())
        .collect();
    assert!(silent.is_empty(), "files without an opening //! comment:\n{}", silent.join("\n"));
}

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(folder).expect("src is readable");
        for entry in entries.map(|e| e.expect("entry is readable").path()) {
            let is_test = entry.ends_with("tests") || entry.ends_with("tests.rs");
            if entry.is_dir() && !is_test {
                walk(&entry, out);
            } else if entry.extension().is_some_and(|e| e == "rs") && !is_test {
                out.push(entry);
            }
        }
    }
    let mut out = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut out);
    out.sort();
    assert!(out.len() > 20, "the sources were not found");
    out
}

/// `src/plan/scan.rs` and `src/plan/mod.rs` are both `plan`.
fn module_of(file: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let inner = file.strip_prefix(root).expect("a source below src");
    let first = inner.components().next().expect("a file name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Lines before the file's `#[cfg(test)]` module, comments left out, with their numbers.
fn production_lines(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).expect("source is readable");
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(i, line)| (i + 1, line.to_owned()))
        .collect()
}

/// Every module that a file's production code names by a `crate::` path, groups (`crate::{a, b::c}`) included.
fn named_modules(file: &Path) -> Vec<(usize, String)> {
    let lines = production_lines(file);
    let mut starts = BTreeMap::new();
    let mut text = String::new();
    for (number, line) in &lines {
        starts.insert(text.len(), *number);
        text.push_str(line);
        text.push('\n');
    }
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = *starts.range(..=at).next_back().expect("a line starts before").1;
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group_heads(group).into_iter().map(|head| (line, head)));
        } else {
            found.push((line, identifier(rest)));
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first path segment of each member of a `use` group whose opening brace has been taken.
fn group_heads(text: &str) -> Vec<String> {
    let (mut heads, mut depth, mut member) = (Vec::new(), 0, String::new());
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(identifier(std::mem::take(&mut member).trim_start())),
            _ => {}
        }
        if c != ',' || depth > 0 {
            member.push(c);
        }
    }
    heads.push(identifier(member.trim_start()));
    heads.retain(|head| !head.is_empty());
    heads
}
