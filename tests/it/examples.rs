//! Every sql_examples/NN_topic.sql prints its .out when psql runs it on an empty database.
//!
//! `CHRONOGATE_BLESS=1` writes the outputs instead; read the difference before you commit it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{TestServer, run};

#[test]
fn examples_print_what_they_say() {
    let files = examples();
    assert!(files.len() >= 5, "the examples were not found");
    let differences: Vec<String> = files.iter().filter_map(|file| difference(file)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql_examples");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("sql_examples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    files
}

/// What psql printed and what was expected, when they are not the same.
fn difference(file: &Path) -> Option<String> {
    let printed = run(print(file));
    let expected_file = file.with_extension("out");
    if std::env::var_os("CHRONOGATE_BLESS").is_some() {
        std::fs::write(&expected_file, &printed).expect("an output that can be written");
        return None;
    }
    let expected = std::fs::read_to_string(&expected_file).unwrap_or_default();
    if printed == expected {
        return None;
    }
    let line = printed.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| text.lines().skip(line).take(6).collect::<Vec<_>>().join("\n");
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Some(format!("{name}: from line {}, expected\n{}\nbut psql printed\n{}", line + 1, around(&expected), around(&printed)))
}

/// psql's output and errors, in one, for a file run on a new server.
async fn print(file: &Path) -> String {
    let server = TestServer::start().await;
    let address = server.address();
    let file_name = file.file_name().expect("a file").to_owned();
    let folder = file.parent().expect("a folder").to_owned();
    let psql = tokio::task::spawn_blocking(move || {
        Command::new("sh")
            .args(["-c", "exec psql -X -q -a -f \"$0\" 2>&1"])
            .arg(file_name)
            .current_dir(folder)
            .env("PGHOST", address.ip().to_string())
            .env("PGPORT", address.port().to_string())
            .env("PGUSER", "chronogate")
            .env("PGDATABASE", "chronogate")
            .env("PGCLIENTENCODING", "UTF8")
            .output()
            .expect("psql runs; ./scripts/test installs it")
    });
    let output = psql.await.expect("psql ends");
    server.stop().await;
    String::from_utf8(output.stdout).expect("psql prints UTF-8")
}
