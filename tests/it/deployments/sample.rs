//! The deployments in `tests/data/chronos-public.tar.gz`, which the library itself wrote, put into servers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mongodb::Client;
use mongodb::bson::{Bson, DateTime, Document};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One of the four deployments, unpacked.
pub struct Sample {
    pub folder: PathBuf,
    pub expected: Value,
    pub config: Value,
    _unpacked: TempDir,
}

impl Sample {
    pub fn unpack(name: &str) -> Self {
        let unpacked = tempfile::tempdir().expect("a folder");
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chronos-public.tar.gz");
        let done = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(unpacked.path()).status().expect("tar runs");
        assert!(done.success(), "the sample cannot be unpacked");
        let folder = unpacked.path().join("chronos-public").join(name);
        let json = |file: &str| {
            let text = std::fs::read_to_string(folder.join(file)).expect(file);
            serde_json::from_str(&paired(&text)).expect("JSON")
        };
        Self { expected: json("expected.json"), config: json("config.json"), folder: folder.clone(), _unpacked: unpacked }
    }

    /// Puts every document into the server, under database names with this suffix.
    pub async fn load(&self, client: &Client, suffix: &str) {
        for database in entries(&self.folder.join("mongo")) {
            let to = client.database(&format!("{}{suffix}", name_of(&database)));
            to.drop().await.expect("dropped");
            for file in entries(&database).into_iter().filter(|file| file.extension().is_some_and(|e| e == "jsonl")) {
                let text = std::fs::read_to_string(&file).expect("readable");
                let documents: Vec<Document> = text.lines().map(document).collect();
                let collection = to.collection::<Document>(&file.file_stem().expect("named").to_string_lossy());
                match documents.is_empty() {
                    true => drop(to.create_collection(collection.name()).await),
                    false => drop(collection.insert_many(documents).await.expect("inserted")),
                }
            }
        }
    }

    /// Makes the indexes that the sample's collections had.
    pub async fn index(&self, client: &Client, suffix: &str) {
        for database in entries(&self.folder.join("mongo")) {
            let to = client.database(&format!("{}{suffix}", name_of(&database)));
            let text = std::fs::read_to_string(database.join("_indexes.json")).expect("readable");
            let collections: BTreeMap<String, Vec<Value>> = serde_json::from_str(&text).expect("JSON");
            for (collection, indexes) in collections {
                let indexes: Vec<_> = indexes.into_iter().filter(|index| index["name"] != "_id_").collect();
                if !indexes.is_empty() {
                    let command = mongodb::bson::serialize_to_document(&json!({ "indexes": indexes })).expect("BSON");
                    let mut named = mongodb::bson::doc! { "createIndexes": collection };
                    named.extend(command);
                    to.run_command(named).await.expect("indexes are made");
                }
            }
        }
    }

    /// The configuration with this MongoDB server and, where given, this S3 service; written beside the sample.
    pub fn configure(&self, uri: &str, s3: Option<&str>) -> PathBuf {
        let mut config = self.config.clone();
        if let Some(connections) = config["dbConnections"].as_object_mut() {
            connections.values_mut().for_each(|connection| connection["mongoUri"] = uri.into());
        }
        if config["mongoUris"].is_array() {
            config["mongoUris"] = vec![uri].into();
            config["counters"]["mongoUri"] = uri.into();
        }
        if let (Some(endpoint), Some(spaces)) = (s3, config["spacesConnections"].as_object_mut()) {
            for space in spaces.values_mut() {
                space["endpoint"] = endpoint.into();
                space["accessKey"] = super::servers::ACCESS_KEY.into();
                space["secretKey"] = super::servers::SECRET_KEY.into();
            }
        }
        let path = self.folder.join("served.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&config).expect("JSON")).expect("written");
        path
    }
}

/// JSON text with `\ufffd` for every escaped surrogate that stands alone, which serde does not read.
pub fn paired(text: &str) -> String {
    let escapes = regex::Regex::new(r#"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^u])"#);
    let replace = |found: &regex::Captures<'_>| match found[0].to_ascii_lowercase() {
        alone if alone.len() == 6 && alone.starts_with("\\ud") && alone.as_bytes()[3] >= b'8' => "\\ufffd".to_owned(),
        _ => found[0].to_owned(),
    };
    escapes.expect("valid").replace_all(text, replace).into_owned()
}

fn document(line: &str) -> Document {
    match bson(&serde_json::from_str(&paired(line)).expect("JSON")) {
        Bson::Document(document) => document,
        other => panic!("not a document: {other}"),
    }
}

/// A value of canonical Extended JSON, of the types that the library writes.
fn bson(value: &Value) -> Bson {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    match value {
        Value::Null => Bson::Null,
        Value::Bool(b) => Bson::Boolean(*b),
        Value::String(s) => Bson::String(s.clone()),
        Value::Number(n) => panic!("{n} is not canonical"),
        Value::Array(items) => Bson::Array(items.iter().map(bson).collect()),
        Value::Object(members) => match members.iter().next().filter(|(name, _)| name.starts_with('$') && members.len() == 1) {
            Some((name, value)) if name == "$oid" => Bson::ObjectId(text(value).parse().expect("an ObjectId")),
            Some((name, value)) if name == "$numberInt" => Bson::Int32(text(value).parse().expect("a number")),
            Some((name, value)) if name == "$numberLong" => Bson::Int64(text(value).parse().expect("a number")),
            Some((name, value)) if name == "$numberDouble" => Bson::Double(text(value).parse().expect("a number")),
            Some((name, value)) if name == "$date" => match bson(value) {
                Bson::Int64(millis) => Bson::DateTime(DateTime::from_millis(millis)),
                other => panic!("{other} is no date"),
            },
            _ => Bson::Document(members.iter().map(|(name, value)| (name.clone(), bson(value))).collect()),
        },
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("named").to_string_lossy().into_owned()
}
