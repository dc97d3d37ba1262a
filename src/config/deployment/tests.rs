//! The library's own configurations, and each rule by a small one.

use serde_json::{Value, json};

use super::*;

fn read(file: Value) -> Result<Deployment, ConfigError> {
    match ConfigFile::parse(Path::new("/etc/shop/chronos.json"), &file.to_string())? {
        ConfigFile::Deployment(deployment) => Ok(*deployment),
        ConfigFile::Own(_) => panic!("taken for our own configuration: {file}"),
    }
}

fn refused(file: Value) -> String {
    read(file).expect_err("refused").to_string()
}

/// A tenant `acme` with a runtime database, changed by `change`.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut file = json!({
        "dbConnections": {"m": {"mongoUri": "mongodb://u:hunter2@db"}, "n": {"mongoUri": {"$env": "MONGO"}}},
        "spacesConnections": {"s": {"endpoint": "https://s3.example/", "region": "r", "accessKey": "hunter2", "secretKey": "hunter2"}},
        "databases": {"runtime": {"tenantDatabases": [entry("acme_rt", "tenantId", "acme")]}},
    });
    change(&mut file);
    file
}

fn entry(database: &str, whose: &str, name: &str) -> Value {
    json!({"dbConnRef": "m", "spaceConnRef": "s", "bucket": format!("{database}-b"), "dbName": database, whose: name})
}

/// `database.schema: mongo database in bucket`, of all places.
fn places(deployment: &Deployment) -> Vec<String> {
    let Databases::Named(databases) = &deployment.databases else { panic!("a 1.x configuration") };
    let all = databases.iter().flat_map(|database| database.places.iter().map(move |place| (database, place)));
    all.map(|(database, place)| {
        let shared = if place.shared { ", shared" } else { "" };
        format!("{}.{}: {} in {}{shared}", database.name, place.schema, place.mongo_database, place.bucket)
    })
    .collect()
}

/// A configuration of the data set that the library wrote, as if it stood in `/data/<set>`.
fn sample(set: &str) -> Deployment {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chronos-public.tar.gz");
    let member = format!("chronos-public/{set}/config.json");
    let file = std::process::Command::new("tar").arg("xzOf").arg(archive).arg(member).output().expect("tar runs").stdout;
    let path = Path::new("/data").join(set).join("config.json");
    match ConfigFile::parse(&path, std::str::from_utf8(&file).expect("text")).unwrap_or_else(|e| panic!("{e}")) {
        ConfigFile::Deployment(deployment) => *deployment,
        ConfigFile::Own(_) => panic!("{set}"),
    }
}

#[test]
fn the_librarys_own_configurations_are_read_without_a_warning() {
    let main = sample("main");
    assert_eq!(
        places(&main),
        [
            "acme.public: acme_rt in acme-runtime",
            "acme.metadata_generic: shared_meta in shared-meta, shared",
            "globex.public: globex_rt in globex-runtime",
            "globex.metadata_generic: shared_meta in shared-meta, shared",
            "shared.metadata: shared_meta in shared-meta, shared",
        ]
    );
    let documents = &main.collections["documents"];
    assert_eq!(documents.indexed, ["title", "lang", "size", "meta.author", "meta.keywords"]);
    let latin = Base64Property {
        content_type: "application/octet-stream".to_owned(),
        preferred_text: true,
        charset: Some("latin1".to_owned()),
    };
    assert_eq!(
        documents.base64.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["content", "attachments.main", "latin", "binText"]
    );
    assert_eq!(documents.base64[2].1, latin);
    assert_eq!(main.collections["users"].required, ["email"]);
    let Databases::Named(databases) = &main.databases else { panic!("named") };
    assert!(matches!(&databases[0].places[0].objects, Objects::Folder(folder) if folder == Path::new("/data/main/./payload")));
    assert_eq!(databases[0].places[0].analytics.as_deref(), Some("acme_analytics"));

    let s3 = sample("s3-sample");
    assert_eq!(places(&s3), ["acme.public: acme_s3_rt in s3-acme-runtime"]);
    let Databases::Named(databases) = &s3.databases else { panic!("named") };
    let Objects::Service(service) = &databases[0].places[0].objects else { panic!("a service") };
    assert_eq!((service.endpoint.as_str(), service.path_style, service.is_plain()), ("http://127.0.0.1:9000", true, true));

    assert_eq!(places(&sample("race-sample")), ["shared.metadata: race_app in race-bucket, shared"]);
    for set in ["main", "s3-sample", "race-sample", "v1-sample"] {
        assert_eq!(sample(set).warnings, Vec::<String>::new(), "{set}");
    }
}

#[test]
fn rules_of_counting_are_where_each_version_has_them() {
    let rule = |name: &str, on: Option<&[&str]>, when: Value| {
        let on = on.map(|on| on.iter().map(|event| (*event).to_owned()).collect());
        CounterRule { name: name.to_owned(), on, when }
    };
    let active = rule("activeUsers", Some(&["CREATE", "UPDATE"]), json!({"status": "active"}));
    assert_eq!(sample("main").counter_rules, [active, rule("bigOrders", None, json!({"total": {"$gte": 500}}))]);
    let later = changed(|file| {
        file["analytics"] =
            json!({"counterRules": [{"name": "a.b", "countUnique": ["x"]}, {"name": "$a"}, {"name": "none", "on": []}]});
    });
    let deployment = read(later).expect("valid");
    assert_eq!(deployment.counter_rules, [rule("a.b", None, json!({})), rule("none", Some(&[]), json!({}))]);
    assert_eq!(
        deployment.warnings,
        [
            "analytics.counterRules[0].countUnique is not known and is ignored",
            "analytics.counterRules[1] cannot be counted under its name and is ignored",
        ]
    );
    let refused =
        |rule: Value| read(changed(|file| file["counterRules"] = json!({"rules": [rule]}))).expect_err("unfit").to_string();
    assert!(refused(json!({"when": {}})).contains("counterRules.rules[0].name"));
    assert!(refused(json!({"name": "a", "when": 3})).contains("counterRules.rules[0].when"));
}

#[test]
fn a_1_x_configuration_leaves_the_databases_to_the_servers() {
    let Databases::Found(backends) = sample("v1-sample").databases else { panic!("found") };
    let [backend] = backends.list.as_slice() else { panic!("one backend") };
    assert_eq!((backend.records_bucket.as_str(), backend.content_bucket.as_str()), ("json", "content"));
    assert_eq!(backend.identity().expect("an identity"), "mongodb://127.0.0.1:27017|localhost|local");
    let place = backend.place("v1app");
    assert_eq!((place.schema.as_str(), place.mongo_database.as_str(), place.bucket.as_str()), ("public", "v1app", "json"));

    let service = |n: u8| {
        json!({"endpoint": format!("https://s{n}.example"), "region": "r", "accessKey": "k", "secretKey": "hunter2",
               "backupsBucket": "b", "jsonBucket": format!("json{n}"), "contentBucket": "c"})
    };
    let mut file = json!({"mongoUris": ["mongodb://m0:27017", "mongodb://m1:27017"], "spacesConns": [service(0), service(1)],
                          "routing": {"hashAlgo": "rendezvous", "chooseKey": "tenantId"}});
    let Databases::Found(backends) = read(file.clone()).expect("valid").databases else { panic!("found") };
    assert_eq!(backends.list[1].identity().expect("an identity"), "mongodb://m1:27017|https://s1.example|json1");
    assert_eq!(backends.choose_key.as_deref(), Some("tenantId"));
    file["spacesConns"] = json!([service(0)]);
    assert!(refused(file.clone()).ends_with("spacesConns: found 1 of them, expected 2, one for each of mongoUris"));
    file["spacesConns"] = json!([service(0), service(1)]);
    file["routing"]["hashAlgo"] = json!("jump");
    assert!(refused(file.clone()).contains("routing.hashAlgo: found \"jump\", expected \"rendezvous\""));
    file["chronogate"] = json!({"tenants": {"acme": {}}});
    file["routing"] = json!({});
    assert!(refused(file).contains("chronogate.tenants.acme: found a tenant, expected none"));
    assert!(refused(json!({"mongoUris": []})).ends_with("mongoUris: found 0 of them, expected 1 to 10 connection strings"));
}

#[test]
fn tiers_become_schemas_and_domains_are_seen_by_the_tenants_that_name_them() {
    let file = changed(|file| {
        let tiers = |kind: &str| {
            json!({"genericDatabase": entry(&format!("{kind}_g"), "x-unused", "").as_object().map(|e| {
                    let mut e = e.clone(); e.shift_remove("x-unused"); e }),
                   "domainsDatabases": [entry(&format!("{kind}_retail"), "domain", "retail"), entry(&format!("{kind}_bank"), "domain", "bank")],
                   "tenantDatabases": [entry(&format!("{kind}_acme"), "tenantId", "acme")]})
        };
        file["databases"]["metadata"] = tiers("metadata");
        file["databases"]["knowledge"] = tiers("knowledge");
        file["databases"]["logs"] = json!({"dbConnRef": "m", "spaceConnRef": "s", "bucket": "l", "dbName": "logs"});
        let globex = entry("globex_rt", "tenantId", "globex");
        file["databases"]["runtime"]["tenantDatabases"].as_array_mut().expect("a list").push(globex);
        file["chronogate"] = json!({"listen": "127.0.0.1:6000", "tenants": {"acme": {"domains": ["retail"]}}});
    });
    let deployment = read(file).expect("valid");
    assert_eq!(deployment.warnings, Vec::<String>::new());
    assert_eq!(deployment.own.listen.0, "127.0.0.1:6000");
    assert_eq!(
        places(&deployment),
        [
            "acme.public: acme_rt in acme_rt-b",
            "acme.metadata: metadata_acme in metadata_acme-b",
            "acme.knowledge: knowledge_acme in knowledge_acme-b",
            "acme.knowledge_generic: knowledge_g in knowledge_g-b, shared",
            "acme.metadata_generic: metadata_g in metadata_g-b, shared",
            "acme.knowledge_retail: knowledge_retail in knowledge_retail-b, shared",
            "acme.metadata_retail: metadata_retail in metadata_retail-b, shared",
            "bank.knowledge: knowledge_bank in knowledge_bank-b, shared",
            "bank.metadata: metadata_bank in metadata_bank-b, shared",
            "globex.public: globex_rt in globex_rt-b",
            "globex.knowledge_generic: knowledge_g in knowledge_g-b, shared",
            "globex.metadata_generic: metadata_g in metadata_g-b, shared",
            "retail.knowledge: knowledge_retail in knowledge_retail-b, shared",
            "retail.metadata: metadata_retail in metadata_retail-b, shared",
            "shared.knowledge: knowledge_g in knowledge_g-b, shared",
            "shared.metadata: metadata_g in metadata_g-b, shared",
            "shared.logs: logs in l, shared",
        ]
    );
}

fn with_runtime(entries: Vec<Value>) -> Value {
    changed(|file| file["databases"]["runtime"]["tenantDatabases"] = json!(entries))
}

#[test]
fn a_database_has_one_spelling_and_one_owner() {
    let tenant = |database: &str, name: &str| entry(database, "tenantId", name);
    let error = refused(with_runtime(vec![tenant("a", "acme"), tenant("b", "Acme")]));
    assert!(error.contains("tenantDatabases[1].tenantId: found \"Acme\", expected a name unlike that of databases.runtime.tenantDatabases[0].tenantId"), "{error}");
    let error = refused(with_runtime(vec![tenant("a", "acme"), tenant("b", "acme")]));
    assert!(error.contains("found \"acme\", expected a name that databases.runtime.tenantDatabases[0] does not have"), "{error}");
    let error =
        refused(changed(|file| file["databases"]["metadata"] = json!({"domainsDatabases": [entry("d", "domain", "ACME")]})));
    assert!(error.contains("tenantDatabases[0].tenantId: found \"acme\", expected a name unlike that of databases.metadata.domainsDatabases[0].domain"), "{error}");

    let error = refused(with_runtime(vec![tenant("a", "acme"), tenant("a", "globex")]));
    assert!(
        error.contains(
            "tenantDatabases[1].dbName: found \"a\", expected another than that of databases.runtime.tenantDatabases[0]"
        ),
        "{error}"
    );
    let both = changed(|file| file["databases"]["metadata"] = json!({"tenantDatabases": [entry("acme_rt", "tenantId", "acme")]}));
    let warnings = read(both).expect("valid").warnings;
    assert!(
        matches!(warnings.as_slice(), [one] if one.contains("tenantDatabases[0].dbName is that of databases.metadata.tenantDatabases[0] too")),
        "{warnings:?}"
    );
    let mut elsewhere = tenant("a", "globex");
    elsewhere["dbConnRef"] = json!("n");
    assert!(read(with_runtime(vec![tenant("a", "acme"), elsewhere])).is_ok());
}

#[test]
fn a_name_that_nobody_could_connect_to_is_refused() {
    let long = "x".repeat(64);
    for name in ["shared", "Postgres", "a@b", " acme", "a\u{0}b", long.as_str()] {
        let error = refused(with_runtime(vec![entry("a", "tenantId", name)]));
        assert!(
            error.contains("tenantDatabases[0].tenantId: found") && error.contains("expected a name for a database"),
            "{error}"
        );
    }
    assert!(refused(with_runtime(vec![entry("a", "tenantId", "")])).ends_with("found an empty string, expected a tenant's name"));
    for domain in ["generic", "d".repeat(54).as_str()] {
        let error =
            refused(changed(|file| file["databases"]["knowledge"] = json!({"domainsDatabases": [entry("d", "domain", domain)]})));
        assert!(error.contains("domainsDatabases[0].domain: found") && error.contains("\"knowledge_\" can go before"), "{error}");
    }
    assert!(is_database_name("Kunden-2026") && is_database_name(&"x".repeat(63)) && !is_database_name(""));
}

#[test]
fn what_is_missing_or_unfit_is_named_with_what_was_expected() {
    let cases: [(&str, Value, &str); 9] = [
        (
            "/databases/runtime/tenantDatabases/0/dbConnRef",
            json!("x"),
            "databases.runtime.tenantDatabases[0].dbConnRef: found \"x\", expected one of dbConnections: \"m\", \"n\"",
        ),
        (
            "/databases/runtime/tenantDatabases/0/spaceConnRef",
            json!("x"),
            "spaceConnRef: found \"x\", expected one of spacesConnections: \"s\"",
        ),
        ("/databases/runtime/tenantDatabases/0/dbName", json!(null), "dbName: found nothing, expected a MongoDB database's name"),
        (
            "/databases/runtime/tenantDatabases/0/bucket",
            json!(7),
            "bucket: found a number, expected a bucket's name, here or as recordsBucket",
        ),
        (
            "/databases/runtime/tenantDatabases",
            json!({}),
            "databases.runtime.tenantDatabases: found an object, expected an array",
        ),
        (
            "/databases/runtime/tenantDatabases",
            json!([]),
            "databases: found an object, expected at least one of metadata, knowledge, runtime and logs",
        ),
        (
            "/spacesConnections/s/endpoint",
            json!("s3.example"),
            "spacesConnections.s.endpoint: found \"s3.example\", expected the URL of an S3 service, http://… or https://…",
        ),
        (
            "/spacesConnections/s/endpoint",
            json!("https://x.blob.core.windows.net"),
            "expected an S3 service; Azure's blobs are not served",
        ),
        ("/databases", json!([]), "databases: found an array, expected an object"),
    ];
    for (pointer, value, expected) in cases {
        let error = refused(changed(|file| *file.pointer_mut(pointer).expect(pointer) = value));
        assert!(error.starts_with("/etc/shop/chronos.json: ") && error.ends_with(expected), "{error}");
    }
}

#[test]
fn our_own_section_is_strict_and_the_rest_warns() {
    let section = |section: Value| changed(|file| file["chronogate"] = section);
    let error = refused(section(json!({"limits": {"max_conections": 3}})));
    assert!(error.contains("chronogate.limits.max_conections") && error.contains("unknown field"), "{error}");
    let error = refused(section(json!({"tenants": {"acme": {"domain": []}}})));
    assert!(error.contains("chronogate.tenants.acme.domain"), "{error}");
    let error = refused(section(json!({"tenants": {"globex": {}}})));
    assert!(error.ends_with("chronogate.tenants.globex: found \"globex\", expected a tenant of databases: \"acme\""), "{error}");
    let error = refused(section(json!({"tenants": {"acme": {"domains": ["retail"]}}})));
    assert!(
        error.ends_with("chronogate.tenants.acme.domains[0]: found \"retail\", expected no domain: databases names none"),
        "{error}"
    );
    assert!(refused(section(json!({"limits": {"max_connections": 0}}))).contains("limits.max_connections must be at least 1"));

    let odd = changed(|file| {
        file["maxRetries"] = json!(3);
        file["databases"]["messaging"] = json!({"dbConnRef": "m", "dbName": "msg"});
        file["databases"]["runtime"]["tenantDatabases"][0]["note"] = json!("hi");
        file["collectionMaps"] = json!({"users": {"indexedProps": ["a"], "indexProps": []}});
        file["versioning"] = json!({"enabled": false, "since": 3});
        file["retention"] = json!({"anything": "goes"});
    });
    let deployment = read(odd).expect("valid");
    assert_eq!(
        deployment.warnings,
        [
            "maxRetries is not known and is ignored",
            "databases.messaging is not served",
            "databases.runtime.tenantDatabases[0].note is not known and is ignored",
            "versioning.since is not known and is ignored",
            "collectionMaps.users.indexProps is not known and is ignored",
        ]
    );
    assert_eq!((deployment.versioning, deployment.logical_delete), (false, true));
}

#[test]
fn the_records_bucket_goes_before_the_bucket_and_the_variable_before_the_token() {
    let later = changed(|file| {
        let entry = &mut file["databases"]["runtime"]["tenantDatabases"][0];
        entry["recordsBucket"] = json!("records");
        entry["versionsBucket"] = json!("versions");
        entry["dbName"] = json!("ENV.CARGO_PKG_NAME");
        file["dbConnections"]["m"]["mongoUri"] = json!("ENV.MONGO_URI");
    });
    let deployment = read(later).expect("valid");
    let Databases::Named(databases) = &deployment.databases else { panic!("named") };
    let place = &databases[0].places[0];
    assert_eq!((place.bucket.as_str(), place.content_bucket.as_str()), ("records", "records"));
    assert_eq!(place.mongo_database, env!("CARGO_PKG_NAME"));
    assert!(matches!(&place.mongo, Secret::Environment(name) if name == "MONGO_URI"));
    let unset = changed(|file| file["databases"]["runtime"]["tenantDatabases"][0]["dbName"] = json!("ENV.CHRONOGATE_NO_SUCH"));
    assert!(refused(unset).contains("dbName: found ENV.CHRONOGATE_NO_SUCH, which is not set"));
}

#[test]
fn on_local_disk_no_service_is_needed() {
    let local = |enabled: Value| {
        changed(|file| {
            file["localStorage"] = json!({"basePath": "./payload", "enabled": enabled});
            let entry = file["databases"]["runtime"]["tenantDatabases"][0].as_object_mut().expect("an entry");
            entry.shift_remove("spaceConnRef");
        })
    };
    let Databases::Named(databases) = read(local(json!(true))).expect("valid").databases else { panic!("named") };
    assert!(matches!(&databases[0].places[0].objects, Objects::Folder(folder) if folder == Path::new("/etc/shop/./payload")));
    assert!(refused(local(json!(false))).contains("spaceConnRef: found nothing, expected one of spacesConnections"));
}

#[test]
fn a_database_knows_its_server_and_its_buckets() {
    let with_metadata = |connection: &str| {
        let file = changed(|file| {
            let mut own = entry("meta", "tenantId", "acme");
            own["dbConnRef"] = json!(connection);
            file["databases"]["metadata"] = json!({"tenantDatabases": [own]});
        });
        let Databases::Named(mut databases) = read(file).expect("valid").databases else { panic!("named") };
        databases.remove(0)
    };
    let one = with_metadata("m");
    assert!(matches!(one.mongo(), Some(Secret::Plain(uri)) if uri.ends_with("@db")));
    assert_eq!(one.buckets().iter().map(|(bucket, _)| bucket.as_str()).collect::<Vec<_>>(), ["acme_rt-b", "meta-b"]);
    assert!(with_metadata("n").mongo().is_none());
}

#[test]
fn a_secret_is_never_shown() {
    let deployment = read(changed(|_| {})).expect("valid");
    assert!(!format!("{deployment:?}").contains("hunter2"));
    for pointer in ["/dbConnections/m/mongoUri", "/spacesConnections/s/accessKey", "/spacesConnections/s/secretKey"] {
        for value in [json!({"$fil": "hunter2"}), json!(["hunter2"]), json!({"$file": 3, "x": "hunter2"})] {
            let error = refused(changed(|file| *file.pointer_mut(pointer).expect(pointer) = value));
            assert!(!error.contains("hunter2") && error.contains("or {\"$env\": name}"), "{error}");
        }
    }
}

#[test]
fn our_own_configuration_is_told_apart() {
    let own = |text: &str| ConfigFile::parse(Path::new("c.json"), text);
    assert!(matches!(own("{\"listen\": \"127.0.0.1:1\"}"), Ok(ConfigFile::Own(config)) if config.listen.0 == "127.0.0.1:1"));
    assert!(own("{\"databases\": {}}").expect_err("unknown").to_string().contains("unknown field `databases`"));
    assert!(own("{\"dbConnections\": {").expect_err("no JSON").to_string().contains("line 1"));
}

#[test]
fn databases_of_our_own_may_be_kept_in_mongodb() {
    let with = |own: Value| changed(|file| file["chronogate"] = json!({"databases": own}));
    let own = json!({"dbConnRef": "m", "spaceConnRef": "s", "bucket": "own-b", "dbName": "own"});
    let deployment = read(with(own.clone())).expect("valid");
    let home = deployment.home.expect("a home");
    assert_eq!((home.mongo_database.as_str(), home.bucket.as_str()), ("own", "own-b"));
    assert_eq!(places(&read(with(own.clone())).expect("valid")), ["acme.public: acme_rt in acme_rt-b"], "nothing else is new");
    let alone = changed(|file| {
        file["databases"] = json!({});
        file["chronogate"] = json!({"databases": own});
    });
    assert!(read(alone).is_ok_and(|deployment| deployment.home.is_some()));
    let error = refused(with(json!({"dbConnRef": "m", "spaceConnRef": "s", "bucket": "b", "dbName": "acme"})));
    assert!(error.contains("chronogate.databases.dbName: found \"acme\", expected a name that the dbName of"), "{error}");
    let error = refused(with(json!({"dbConnRef": "x", "spaceConnRef": "s", "bucket": "b", "dbName": "own"})));
    assert!(error.contains("chronogate.databases.dbConnRef: found \"x\""), "{error}");
    let error = refused(with(json!({"dbConnRef": "m", "tenantId": "acme"})));
    assert!(error.contains("chronogate.databases.tenantId"), "{error}");
    let old = refused(json!({"mongoUris": ["mongodb://m"], "chronogate": {"databases": {}}}));
    assert!(old.contains("chronogate.databases: found an object, expected nothing"), "{old}");
}
