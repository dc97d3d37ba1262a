//! A deployment copied into a data directory: every version with its period and its commit, read without MongoDB.

use std::path::Path;
use std::process::Command;

use super::Served;
use super::writes::rows;
use crate::harness::{TestServer, connect};

/// What is asked of each table, there and here.
const ASKED: [&str; 3] = [
    "SELECT _id, _version, _op, _commit, _system_from, _system_to, _end_op, _end_commit FROM {history} ORDER BY _id, _version",
    "SELECT * FROM {table} ORDER BY _id",
    "SELECT _id, _actor, _reason FROM {history} ORDER BY _id, _version",
];

pub async fn check(served: &Served) {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("copy");
    let mut expected = Vec::new();
    for context in served.contexts() {
        let client = served.connect(&context.database).await;
        let sql = |asked: &str| asked.replace("{history}", &context.suffixed("__history")).replace("{table}", &context.table);
        let mut asked: Vec<String> = ASKED.iter().map(|asked| sql(asked)).collect();
        for instant in served.sample.expected["asOf"].as_array().expect("instants") {
            let at = instant["at"].as_str().expect("an instant");
            asked.push(format!("SELECT _id, _version FROM {} FOR SYSTEM_TIME AS OF '{at}' ORDER BY _id", context.table));
        }
        for sql in asked {
            expected.push((context.database.clone(), rows(&client, &sql).await, sql));
        }
    }
    assert!(expected.iter().filter(|(_, rows, _)| rows.len() > 5).count() > 10, "there is something to copy");
    let told = copy(&served.config, &to).await;
    let server = TestServer::start_with(|settings| settings.data = to.clone()).await;
    for (database, before, sql) in expected {
        let client = connect(server.config().dbname(&database)).await.expect("connects");
        let after = rows(&client, &sql).await;
        // Of several writers in one millisecond the library's versions tell one each or none, their commit tells all.
        let is_told = |before: &str, after: &str| before == "-" || after.split(", ").any(|one| one == before) || before == after;
        let is_same = |before: &str, after: &str| match sql.contains("_actor") {
            true => before.split('|').zip(after.split('|')).all(|(before, after)| is_told(before, after)),
            false => before == after,
        };
        let differs = before.iter().zip(&after).find(|(before, after)| !is_same(before, after));
        assert!(
            before.len() == after.len() && differs.is_none(),
            "{database}: {sql}: {} {} {differs:?}",
            before.len(),
            after.len()
        );
    }
    // They are tables like any others.
    let client = connect(server.config().dbname("acme")).await.expect("connects");
    client.batch_execute("UPDATE users SET status = 'copied'; CREATE INDEX ON users (email)").await.expect("written");
    let id = rows(&client, "INSERT INTO users (email) VALUES ('new@example.org') RETURNING length(_id)").await;
    assert_eq!(id, ["24"]);
    assert!(told.lines().any(|line| line.starts_with("acme.public.users: ")), "{told}");
    server.stop().await;
}

async fn copy(config: &Path, to: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronogate"));
    command.arg("copy").arg("--from").arg(config).arg("--to").arg(to);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary runs")).await.expect("no panic");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}
