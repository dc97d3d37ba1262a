//! Indexes over members of documents: what MongoDB has of them, that reads stay right whoever wrote, and that no two
//! documents agree where none should, written through whichever gateway.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use tokio_postgres::Client;

use super::Served;
use super::format::{Library, Place};
use super::sample::paired;
use super::shared::update;
use super::writes::{bucket, rows};
use crate::harness::{TestServer, code, connect};

pub async fn check(served: &Served) {
    let client = served.mongo.client().await;
    let database = client.database("acme_rt");
    let folder = served.sample.folder.join("payload");
    let place = Place { database, collection: "users".into(), bucket: bucket(served), folder, indented: true };
    let world = World { sql: served.connect("acme").await, place };
    world.members_are_kept_beside_every_document().await;
    world.members_of_members_are_found().await;
    world.what_cannot_be_indexed_is_refused().await;
    world.documents_without_the_member_are_found_and_mended().await;
    let second = TestServer::of_deployment(&served.sample.configure(&served.mongo.uri, None)).await;
    let other = connect(second.config().dbname("acme")).await.expect("connects");
    world.no_two_documents_agree(&other).await;
    world.the_librarys_documents_count(&other).await;
    world.constraints_come_and_go(&other).await;
    world.a_build_can_be_watched(&served.connect("acme").await).await;
}

struct World {
    sql: Client,
    place: Place,
}

impl World {
    async fn run(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.sql, sql).await
    }

    async fn code(&self, sql: &str) -> String {
        code(self.sql.batch_execute(sql).await)
    }

    async fn documents(&self, part: &str, filter: Document) -> u64 {
        self.place.part(part).count_documents(filter).await.expect("counted")
    }

    /// Waits until something holds that another hears of later.
    async fn soon(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn members_are_kept_beside_every_document(&self) {
        let read = "SELECT _id, rev FROM users WHERE rev > 1 ORDER BY 1";
        let past = "SELECT _id, _version, rev FROM users__history WHERE rev = 2 ORDER BY 1, 2";
        let (before, before_past) = (self.rows(read).await, self.rows(past).await);
        assert!(before.len() > 2 && before_past.len() > 2, "{} and {}", before.len(), before_past.len());
        assert_eq!(self.documents("head", doc! { "metaIndexed.rev": { "$exists": true } }).await, 0);
        let tags = doc! { "metaIndexed.tags.tags": { "$exists": true } };
        let with_tags = self.documents("ver", tags.clone()).await;
        self.run("CREATE INDEX users_rev ON users (rev)").await;
        assert_eq!((self.rows(read).await, self.rows(past).await), (before, before_past));
        let told = "SELECT indexdef FROM pg_indexes WHERE indexname = 'users_rev'";
        assert_eq!(self.rows(told).await, ["CREATE INDEX users_rev ON public.users USING btree (rev)"]);
        for part in ["head", "ver"] {
            assert!(self.place.indexes(part).await.contains(&"meta_rev_1".to_owned()), "{part}");
        }
        for part in ["head", "ver"] {
            let found: Vec<Document> =
                self.place.part(part).find(doc! {}).await.expect("found").try_collect().await.expect("documents");
            for document in found {
                let (bucket, key) =
                    (document.get_str("jsonBucket").expect("a bucket"), document.get_str("jsonKey").expect("a key"));
                let Ok(payload) = std::fs::read_to_string(self.place.folder.join(bucket).join(key)) else { continue };
                let payload: serde_json::Value = serde_json::from_str(&paired(&payload)).expect("JSON");
                let kept = document.get_document("metaIndexed").expect("a document").get("rev").and_then(number);
                assert_eq!(kept, payload.get("rev").and_then(serde_json::Value::as_f64), "{document}");
            }
        }
        self.run("INSERT INTO users (email, rev, tags) VALUES ('rev@example.org', 77, '[\"a\"]')").await;
        for part in ["head", "ver"] {
            assert_eq!(self.documents(part, doc! { "metaIndexed.rev": 77, "metaIndexed.tags.tags": ["a"] }).await, 1, "{part}");
        }
        assert_eq!(self.documents("ver", tags).await, with_tags + 1, "what the library keeps there is as it was");
        self.run("DROP INDEX users_rev").await;
        self.soon("an index is left", async || !self.place.indexes("head").await.contains(&"meta_rev_1".to_owned())).await;
        assert_eq!(self.rows(told).await, Vec::<String>::new());
        self.run("INSERT INTO users (email, rev) VALUES ('rev@example.org', 78)").await;
        assert_eq!(self.documents("head", doc! { "metaIndexed.rev": 78 }).await, 0);
        self.run("CREATE INDEX users_rev ON users (rev)").await;
        assert_eq!(self.documents("head", doc! { "metaIndexed.rev": 78 }).await, 1);
    }

    async fn members_of_members_are_found(&self) {
        self.run("CREATE INDEX by_first ON users ((name->>'first'))").await;
        self.run(
            r#"INSERT INTO users (email, name) VALUES ('n', '{"first": "Ŵéñ"}'), ('n', '{"first": 5}'), ('n', '{"first": true}'),
               ('n', '{"first": [1]}'), ('n', '{"first": null}'), ('n', '{"other": 1}'), ('n', '[{"first": "Ŵéñ"}]'), ('n', NULL)"#,
        )
        .await;
        assert_eq!(self.documents("head", doc! { "metaIndexed.name.first": "Ŵéñ" }).await, 1);
        for (text, count) in [("Ŵéñ", "1"), ("5", "1"), ("5.0", "0"), ("true", "1"), ("[1]", "1"), ("null", "0")] {
            let counted = format!("SELECT count(*) FROM users WHERE email = 'n' AND name->>'first' = '{text}'");
            assert_eq!(self.rows(&counted).await, [count], "{text}");
        }
        let either = "SELECT count(*) FROM users WHERE name->>'first' IN ('Ŵéñ', '5')";
        assert_eq!(self.rows(either).await, ["2"]);
        let plan = self.rows(&format!("EXPLAIN {either}")).await.join("\n");
        assert!(plan.contains("members=[name.first in ('Ŵéñ', '5')]"), "{plan}");
    }

    async fn what_cannot_be_indexed_is_refused(&self) {
        for sql in [
            "CREATE INDEX ON users (lower(email))",
            "CREATE INDEX ON users (rev) WHERE rev > 1",
            "CREATE INDEX ON users (_id)",
            "CREATE INDEX ON users ((name->>0))",
            "CREATE INDEX ON users ((name->>'a.b'))",
            // The library keeps a part of these, in a form of its own.
            "CREATE INDEX ON users (tags)",
            "CREATE INDEX ON users (address)",
            "ALTER TABLE users ADD CONSTRAINT c CHECK (rev > 0)",
            "ALTER TABLE users DROP CONSTRAINT users_pkey",
        ] {
            assert_eq!(self.code(sql).await, "0A000", "{sql}");
        }
        assert_eq!(self.code("CREATE INDEX ON users (nothing)").await, "42703");
        assert_eq!(self.code("CREATE INDEX users_rev ON users (email)").await, "42P07");
    }

    async fn documents_without_the_member_are_found_and_mended(&self) {
        let without = doc! { "metaIndexed.rev": 77 };
        let changed = self.place.part("head").update_many(without, doc! { "$unset": { "metaIndexed.rev": "" } }).await;
        assert_eq!(changed.expect("changed").modified_count, 1);
        assert_eq!(self.rows("SELECT rev FROM users WHERE rev = 77").await, ["77"]);
        self.run("REINDEX INDEX users_rev").await;
        assert_eq!(self.documents("head", doc! { "metaIndexed.rev": 77 }).await, 1);
    }

    async fn no_two_documents_agree(&self, other: &Client) {
        self.run("INSERT INTO users (email, score) VALUES ('one', 1.25), ('two', 1.25), ('three', NULL), ('four', NULL)").await;
        let refused = self.sql.batch_execute("CREATE UNIQUE INDEX by_score ON users (score, email)").await;
        refused.expect("no two agree in both");
        self.run("DROP INDEX by_score").await;
        self.run("UPDATE users SET score = NULL WHERE email NOT IN ('one', 'two')").await;
        let refused = self.sql.batch_execute("CREATE UNIQUE INDEX by_score ON users (score)").await.expect_err("two agree");
        let refused = refused.as_db_error().expect("the server's");
        assert_eq!(refused.code().code(), "23505");
        assert_eq!(refused.detail(), Some("Key (score)=(1.25) is duplicated."));
        self.run("UPDATE users SET score = 2 WHERE email = 'two'").await;
        self.run("CREATE UNIQUE INDEX by_score ON users (score)").await;
        let double = "INSERT INTO users (email, score) VALUES ('five', 2)";
        assert_eq!(self.code(double).await, "23505");
        // Which learns of the index now.
        let knows = async || code(other.batch_execute(double).await) == "23505";
        self.soon("another gateway does not know the index", knows).await;
        assert_eq!(code(other.batch_execute("UPDATE users SET score = 2 WHERE email = 'one'").await), "23505");
        // Rows of one statement may change places, and what is given up is free.
        self.run("UPDATE users SET score = 3.25 - score WHERE email IN ('one', 'two')").await;
        self.run("BEGIN; DELETE FROM users WHERE email = 'one'; INSERT INTO users (email, score) VALUES ('six', 2); COMMIT")
            .await;
        let upsert = "INSERT INTO users (email, score) VALUES ('seven', 2) ON CONFLICT (score) DO UPDATE SET email = 'eight'";
        self.run(upsert).await;
        assert_eq!(self.rows("SELECT email FROM users WHERE score = 2").await, ["eight"]);
        // Of many who want the same at once, one gets it.
        for round in 0..5 {
            let insert = format!("INSERT INTO users (email, score) VALUES ('race', {})", 100 + round);
            let both = futures::future::join_all([&self.sql, other].map(|client| client.batch_execute(&insert))).await;
            let codes: Vec<String> = both.into_iter().map(code).collect();
            assert_eq!(codes.iter().filter(|code| *code == "23505").count(), 1, "{codes:?}");
            assert_eq!(self.rows(&format!("SELECT count(*) FROM users WHERE score = {}", 100 + round)).await, ["1"]);
        }
        self.run("CREATE UNIQUE INDEX by_code ON users ((name->>'code'))").await;
        self.run(r#"INSERT INTO users (email, name) VALUES ('c', '{"code": 5}')"#).await;
        let same = r#"INSERT INTO users (email, name) VALUES ('c', '{"code": "5"}')"#;
        assert_eq!(self.code(same).await, "23505");
        self.run(
            r#"INSERT INTO users (email, name) VALUES ('c', '{"code": "05"}'), ('c', '{"code": null}'), ('c', '{"code": null}')"#,
        )
        .await;
    }

    async fn the_librarys_documents_count(&self, other: &Client) {
        // Its configuration does not name the member, so it leaves it out of what it indexes: that is mended after it.
        let library = Library { place: self.place.clone(), server: "host-1-1".to_owned(), unindexed: Some("score") };
        let id: ObjectId =
            self.rows("INSERT INTO users (email, score) VALUES ('lib', 50) RETURNING _id").await[0].parse().expect("an id");
        update(&library, id, "score", 51.into()).await;
        let seen = async || rows(&self.sql, "SELECT 1 FROM users WHERE score = 51").await.len() == 1;
        self.soon("the library's write is not seen", seen).await;
        let kept = async || self.documents("head", doc! { "_id": id, "metaIndexed.score": 51 }).await == 1;
        self.soon("what the library left out is not added", kept).await;
        // What it gave up is free, what it took is not.
        self.run("INSERT INTO users (email, score) VALUES ('after', 50)").await;
        assert_eq!(self.code("INSERT INTO users (email, score) VALUES ('after', 51)").await, "23505");
        let heard = async || rows(other, "SELECT 1 FROM users WHERE email = 'after'").await.len() == 1;
        self.soon("a row of another gateway is not seen", heard).await;
        assert_eq!(code(other.batch_execute("UPDATE users SET score = 51 WHERE email = 'after'").await), "23505");
        // It knows of no index: what it doubles is told, and may be changed otherwise.
        update(&library, id, "score", 50.into()).await;
        let odd = "SELECT key = (SELECT _id FROM users WHERE email = 'lib'), detail FROM chronogate.anomalies
                   WHERE \"table\" = 'public.users' AND kind = 'not_unique' ORDER BY 1";
        self.soon("two agree, and nobody says so", async || self.rows(odd).await.len() == 2).await;
        let told = self.rows(odd).await;
        assert!(told[0].starts_with(&format!("f|score: the same as in {id}")), "{told:?}");
        self.soon("the library's write is not seen", async || {
            self.sql.batch_execute("UPDATE users SET status = 'doubled' WHERE score = 50").await.is_ok()
                && self.rows("SELECT 1 FROM users WHERE status = 'doubled'").await.len() == 2
        })
        .await;
        assert_eq!(self.code("INSERT INTO users (email, score) VALUES ('third', 50)").await, "23505");
        self.run("UPDATE users SET score = 52 WHERE email = 'after'").await;
        assert_eq!(self.rows(odd).await, Vec::<String>::new());
    }

    async fn constraints_come_and_go(&self, other: &Client) {
        self.run("DELETE FROM users WHERE email IN (SELECT email FROM users GROUP BY email HAVING count(*) > 1)").await;
        self.run("ALTER TABLE users ADD CONSTRAINT one_email UNIQUE (email)").await;
        let double = "INSERT INTO users (email) SELECT email FROM users LIMIT 1";
        assert_eq!(self.code(double).await, "23505");
        let before = self.rows("SELECT count(*) FROM users").await;
        self.run("BEGIN; DELETE FROM users WHERE rev > 0; ROLLBACK").await;
        let again = "BEGIN; CREATE TEMP TABLE kept AS SELECT email FROM users; TRUNCATE users;
                     INSERT INTO users (email) SELECT email FROM kept; COMMIT";
        self.run(again).await;
        assert_eq!(self.rows("SELECT count(*) FROM users").await, before);
        self.run("ALTER TABLE users DROP CONSTRAINT one_email").await;
        self.run(double).await;
        self.soon("another gateway keeps the constraint", async || other.batch_execute(double).await.is_ok()).await;
        // The configuration has this member too.
        assert!(self.place.indexes("head").await.contains(&"meta_email_1".to_owned()));
    }

    async fn a_build_can_be_watched(&self, other: &Client) {
        self.run("INSERT INTO users (email, status) SELECT 'many', n::text FROM generate_series(1, 3000) n").await;
        self.run("ALTER TABLE users ADD COLUMN late bigint; UPDATE users SET late = 1 WHERE email = 'many'").await;
        let watch = "SELECT command, phase, tuples_done <= tuples_total, relid::regclass FROM pg_stat_progress_create_index";
        let build = self.sql.batch_execute("CREATE INDEX by_late ON users (late)");
        let watched = async {
            let begun = Instant::now();
            loop {
                let seen = rows(other, watch).await;
                if !seen.is_empty() || begun.elapsed() > Duration::from_secs(20) {
                    return seen;
                }
            }
        };
        let (built, seen) = futures::join!(build, watched);
        built.expect("built");
        assert_eq!(seen, ["CREATE INDEX|building index: scanning table|t|users"]);
        assert_eq!(self.rows(watch).await, Vec::<String>::new());
        assert_eq!(self.documents("head", doc! { "metaIndexed.late": 1 }).await, 3000);
        assert_eq!(self.documents("ver", doc! { "metaIndexed.late": 1 }).await, 3000);
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(x) => Some(*x),
        _ => None,
    }
}
