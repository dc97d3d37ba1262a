//! `chronogate check` against live servers: what it finds is what is there, and what is broken is found.

use std::path::Path;
use std::process::{Command, Output};

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::sample::Sample;
use super::servers::{Mongo, S3};
use crate::harness::run;

/// Databases of this test's own: others load the same sample.
const SUFFIX: &str = "_checked";

fn check(config: &Path) -> (bool, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_chronogate")).args(["check", "--config"]).arg(config).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.success(), text(stdout), text(stderr))
}

/// Lines with their runs of spaces made one.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn with(sample: &Sample, name: &str, change: impl FnOnce(&mut Value)) -> std::path::PathBuf {
    let mut config = sample.config.clone();
    change(&mut config);
    let path = sample.folder.join(name);
    std::fs::write(&path, config.to_string()).expect("written");
    path
}

#[test]
fn a_check_tells_what_is_there_and_what_is_broken() {
    run(async {
        let mut sample = Sample::unpack("s3-sample");
        let mongo = Mongo::start().await;
        let client = mongo.client().await;
        sample.load(&client, SUFFIX).await;
        sample.index(&client, SUFFIX).await;
        let s3 = S3::over(sample.folder.join("payload")).await;
        let tenant = &mut sample.config["databases"]["runtime"]["tenantDatabases"][0];
        tenant["dbName"] = format!("acme_s3_rt{SUFFIX}").into();
        let served = sample.configure(&mongo.uri, Some(&s3.endpoint()));
        sample.config = serde_json::from_slice(&std::fs::read(&served).expect("readable")).expect("JSON");
        let checked = async |path: std::path::PathBuf| tokio::task::spawn_blocking(move || check(&path)).await.expect("no panic");

        let (sound, table, _) = checked(served).await;
        assert!(sound, "{table}");
        let found = lines(&table);
        assert!(found.iter().any(|line| line.starts_with("ok MongoDB 127.0.0.1:") && line.contains(" version ")), "{table}");
        for expected in [
            &format!("ok bucket s3-acme-runtime there, in {}", s3.endpoint()),
            "ok acme.public.documents 10 items, 27 versions",
            "ok acme.public.users 10 items, 19 versions",
        ] {
            assert!(found.iter().any(|line| line == expected), "{expected:?} is not in\n{table}");
        }
        assert!(!table.contains("has no"), "every index is there\n{table}");
        assert!(table.trim_end().lines().last().is_some_and(|line| line.starts_with("0 problems")), "{table}");

        // What is missing or wrong is said, and fails the command where something would fail.
        let database = client.database(&format!("acme_s3_rt{SUFFIX}"));
        database.collection::<Document>("users_head").drop_index("meta_email_1").await.expect("dropped");
        database.collection::<Document>("documents_counter").delete_many(doc! {}).await.expect("deleted");
        let broken = with(&sample, "broken.json", |config| {
            let mut second = config["databases"]["runtime"]["tenantDatabases"][0].clone();
            second["tenantId"] = "globex".into();
            second["dbName"] = format!("globex_s3_rt{SUFFIX}").into();
            second["bucket"] = "locked".into();
            second["spaceConnRef"] = "wrong".into();
            let mut wrong = config["spacesConnections"]["s3"].clone();
            wrong["secretKey"] = "another".into();
            config["spacesConnections"]["wrong"] = wrong;
            config["databases"]["runtime"]["tenantDatabases"].as_array_mut().expect("a list").push(second);
        });
        let (sound, table, errors) = checked(broken).await;
        assert!(!sound && errors.contains("chronogate: the deployment has problems"), "{table}{errors}");
        let found = lines(&table);
        for expected in [
            "warning acme.public.users users_head has no meta_email_1: reads may be slow",
            "PROBLEM acme.public.documents its counter is missing, its newest version has 27: numbers would be given twice",
        ] {
            assert!(found.iter().any(|line| line == expected), "{expected:?} is not in\n{table}");
        }
        assert!(found.iter().any(|line| line.starts_with("PROBLEM bucket locked ")), "{table}");

        // A server that does not answer is a line of the table too, without the password of its connection string.
        let gone = with(&sample, "gone.json", |config| {
            let uri = "mongodb://somebody:not-to-be-shown@127.0.0.1:1/?serverSelectionTimeoutMS=300";
            config["dbConnections"]["mongo-main"] = json!({ "mongoUri": uri });
        });
        let (sound, table, errors) = checked(gone).await;
        assert!(!sound);
        assert!(lines(&table).iter().any(|line| line == "PROBLEM MongoDB 127.0.0.1:1 does not answer"), "{table}");
        assert!(!format!("{table}{errors}").contains("not-to-be-shown"), "a secret is shown");
        database.drop().await.expect("dropped");
    });
}
