//! Each rule by its line, and the table as it prints.

use std::path::Path;

use super::*;
use crate::config::ConfigFile;

fn deployment() -> Deployment {
    let file = r#"{
        "dbConnections": {"m": {"mongoUri": "mongodb://db"}},
        "localStorage": {"basePath": "p", "enabled": true},
        "databases": {"runtime": {"tenantDatabases": [{"tenantId": "acme", "dbConnRef": "m", "bucket": "b", "dbName": "rt"}]}},
        "collectionMaps": {"users": {"indexedProps": ["email", "tags[]"]}},
        "maxRetries": 3
    }"#;
    match ConfigFile::parse(Path::new("c.json"), file).expect("valid") {
        ConfigFile::Deployment(deployment) => *deployment,
        ConfigFile::Own(_) => panic!("a deployment"),
    }
}

fn users() -> CollectionFacts {
    let names = |indexes: Vec<indexes::Index>| indexes.into_iter().map(|index| index.name).collect();
    CollectionFacts {
        name: "users".to_owned(),
        items: 1_234_567,
        versions: Some(1),
        counter: Some(9),
        newest_cv: Some(9),
        head_indexes: names(indexes::head(deployment().collections.get("users"))),
        version_indexes: names(indexes::versions()),
    }
}

fn of_collection(change: impl FnOnce(&mut CollectionFacts)) -> Vec<String> {
    let mut facts = users();
    change(&mut facts);
    let place = PlaceFacts { database: "acme".to_owned(), schema: "public".to_owned(), collections: Ok(vec![facts]) };
    let report = Report::of(&deployment(), &Facts { places: vec![place], ..Facts::default() });
    let lines = report.lines().iter().filter(|line| line.subject == "acme.public.users");
    lines.map(|line| format!("{}: {}", line.level.name(), line.finding)).collect()
}

#[test]
fn a_collection_as_it_should_be_is_one_line() {
    assert_eq!(of_collection(|_| {}), ["ok: 1,234,567 items, 1 version"]);
    assert_eq!(of_collection(|facts| facts.counter = Some(12)).len(), 1, "numbers that were lost are no harm");
}

#[test]
fn what_is_missing_of_a_collection_is_said() {
    let lines = of_collection(|facts| {
        facts.head_indexes.remove("meta_tags_array_1");
        facts.head_indexes.remove("idx_head_cv");
    });
    assert_eq!(lines[1..], ["warning: users_head has no idx_head_cv, meta_tags_array_1: reads may be slow"]);
    let lines = of_collection(|facts| {
        facts.versions = None;
        facts.version_indexes.clear();
    });
    assert_eq!(lines, ["warning: 1,234,567 items, no versions: the past begins with the newest state"]);
    let lines = of_collection(|facts| facts.counter = Some(8));
    assert_eq!(lines[1..], ["PROBLEM: its counter is at 8, its newest version has 9: numbers would be given twice"]);
    assert!(of_collection(|facts| facts.counter = None)[1].starts_with("PROBLEM: its counter is missing"));
}

#[test]
fn the_table_prints_in_columns_and_ends_in_a_sum() {
    let server = |transactions, ahead_ms| Ok(MongoServer { version: "7.0.2".to_owned(), transactions, ahead_ms });
    let place = |schema: &str, collections| PlaceFacts { database: "acme".to_owned(), schema: schema.to_owned(), collections };
    let bucket = |bucket: &str, reached: Result<(), &str>| BucketFacts {
        bucket: bucket.to_owned(),
        holder: "https://s3.example".to_owned(),
        reached: reached.map_err(str::to_owned),
    };
    let facts = Facts {
        spread: vec!["databases are spread over 2 MongoDB servers".to_owned()],
        servers: vec![
            ("db:27017".to_owned(), server(true, Some(-3))),
            ("old:27017".to_owned(), server(false, Some(-1500))),
            ("gone:27017".to_owned(), Err("does not answer".to_owned())),
        ],
        places: vec![
            place("public", Ok(vec![users()])),
            place("metadata", Ok(vec![])),
            place("knowledge", Err("does not answer".to_owned())),
        ],
        buckets: vec![bucket("b", Ok(())), bucket("c", Err("no such bucket"))],
    };
    let report = Report::of(&deployment(), &facts);
    let expected = "\
warning  configuration       maxRetries is not known and is ignored
PROBLEM  configuration       databases are spread over 2 MongoDB servers, which is not supported
ok       MongoDB db:27017    version 7.0.2, with transactions
ok       MongoDB old:27017   version 7.0.2, without transactions
warning  MongoDB old:27017   is no replica set: a commit that is interrupted has to be repaired
warning  MongoDB old:27017   its clock is 1500 ms behind this machine's
PROBLEM  MongoDB gone:27017  does not answer
ok       bucket b            there, in https://s3.example
PROBLEM  bucket c            https://s3.example: no such bucket
ok       acme.public.users   1,234,567 items, 1 version
warning  acme.metadata       has no collections
PROBLEM  acme.knowledge      does not answer
4 problems, 4 warnings
";
    assert_eq!(report.to_string(), expected);
    assert!(!report.is_sound());
    assert!(Report::of(&deployment(), &Facts::default()).is_sound());
}
