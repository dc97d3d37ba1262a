//! Collections written to in SQL: what becomes of documents, member by member, and what SQL then says of them.
//!
//! Payloads are read where they are stored, without the gateway.

use mongodb::bson::{Document, doc};
use regex::Regex;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::Served;
use crate::harness::code;

/// The collection that is written to.
const TABLE: &str = "users";

pub async fn check(served: &Served) {
    let client = served.connect("acme").await;
    let world = World { served, client, bucket: bucket(served) };
    world.writes_are_counted_by_the_rules().await;
    world.untouched_members_stay_byte_for_byte().await;
    world.inserted_rows_are_new_documents().await;
    world.a_document_has_all_its_past().await;
    world.changes_of_one_transaction_are_one_version().await;
    world.every_statement_that_writes_does().await;
    world.what_a_document_cannot_keep_is_refused().await;
    world.columns_may_be_added().await;
    world.all_documents_may_end().await;
}

pub fn bucket(served: &Served) -> String {
    let contexts = served.sample.expected["contexts"].as_array().expect("contexts");
    let of_users = contexts.iter().find(|c| c["tenantId"] == "acme" && c["collection"] == TABLE).expect("a collection");
    of_users["bucket"].as_str().expect("a name").to_owned()
}

struct World<'a> {
    served: &'a Served,
    client: Client,
    bucket: String,
}

impl World<'_> {
    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The rows of a query as text, `-` for NULL, columns apart by `|`.
    async fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.client, sql).await
    }

    async fn one(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.into_iter().next().unwrap_or_default()
    }

    async fn code(&self, sql: &str) -> String {
        code(self.client.batch_execute(sql).await)
    }

    /// The stored document without the header that the library keeps in it, white space left out.
    async fn stored(&self, id: &str) -> String {
        without_header(&self.payload(&self.one(&format!("SELECT _payload_key FROM users WHERE _id = '{id}'")).await))
    }

    fn payload(&self, key: &str) -> String {
        let path = self.served.sample.folder.join("payload").join(&self.bucket).join(key);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// As the configuration's rules have it; where it has none, writes alone are counted.
    async fn writes_are_counted_by_the_rules(&self) {
        let config = &self.served.sample.config;
        let tenants = config["databases"]["runtime"]["tenantDatabases"].as_array().expect("tenants");
        let acme = tenants.iter().find(|tenant| tenant["tenantId"] == "acme").expect("a tenant");
        let name = |member: &str| acme[member].as_str().expect("a name");
        let id = format!("tenant:acme|db:{}|coll:users", name("dbName"));
        let mongo = self.served.mongo.client().await;
        let counters = mongo.database(name("analyticsDbName")).collection::<Document>("cnt_total");
        let counts = async || {
            let found = counters.find_one(doc! { "_id": &id }).await.expect("found").unwrap_or_default();
            let rule =
                found.get_document("rules").and_then(|rules| rules.get_document("activeUsers")).cloned().unwrap_or_default();
            let of = |document: &Document| ["create", "update", "delete"].map(|name| document.get_i32(name).unwrap_or(0));
            (of(&found), of(&rule))
        };
        let (all, active) = counts().await;
        for sql in [
            "INSERT INTO users (email, status) VALUES ('counted', 'active'), ('counted', 'active'), ('counted', 'new')",
            "UPDATE users SET status = 'active' WHERE email = 'counted' AND status = 'new'",
            "DELETE FROM users WHERE email = 'counted'",
        ] {
            self.run(sql).await;
        }
        let is_ruled = config["counterRules"]["rules"].as_array().is_some_and(|rules| !rules.is_empty());
        let more = if is_ruled { [2, 1, 0] } else { [0; 3] };
        let added = |counts: [i32; 3], more: [i32; 3]| std::array::from_fn(|at| counts[at] + more[at]);
        assert_eq!(counts().await, (added(all, [3, 1, 3]), added(active, more)));
    }

    async fn untouched_members_stay_byte_for_byte(&self) {
        let status = Regex::new("\"status\":\"[^\"]*\"").expect("valid");
        let before = self.rows("SELECT _id, _payload_key FROM users ORDER BY 1").await;
        assert!(before.len() > 5, "{} documents", before.len());
        self.run("UPDATE users SET status = 'changed', email = email").await;
        for row in before {
            let (id, key) = row.split_once('|').expect("two columns");
            let old = without_header(&self.payload(key));
            assert_eq!(status.find_iter(&old).count(), 1, "{old}");
            assert_eq!(self.stored(id).await, status.replace(&old, "\"status\":\"changed\""), "{id}");
        }
        assert_eq!(self.one("SELECT count(*) FROM users WHERE status <> 'changed'").await, "0");
    }

    async fn inserted_rows_are_new_documents(&self) {
        let insert = "INSERT INTO users (email, age, status, name, score, verified, rev)
                      VALUES ('a@example.org', '7', NULL, '{\"last\": \"É\", \"first\": \"A\"}', 1.5, DEFAULT, 9007199254740992)
                      RETURNING _id, _version, email, verified";
        let (id, rest) = self.one(insert).await.split_once('|').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("columns");
        assert_eq!(rest, "0|a@example.org|-");
        assert!(Regex::new("^[0-9a-f]{24}$").expect("valid").is_match(&id), "{id}");
        // In the order of the table's columns; a NULL that was given is there, one that was not is not.
        let mut members = [
            ("email", "\"a@example.org\""),
            ("name", "{\"last\":\"É\",\"first\":\"A\"}"),
            ("status", "null"),
            ("age", "7"),
            ("score", "1.5"),
            ("rev", "9007199254740992"),
        ];
        let columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 ORDER BY attnum";
        let order = self.rows(columns).await;
        members.sort_by_key(|(name, _)| order.iter().position(|column| column == name));
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        assert_eq!(self.stored(&id).await, format!("{{{}}}", members.join(",")));
        let read = format!("SELECT email, age, status, name, score, verified, rev FROM users WHERE _id = '{id}'");
        assert_eq!(self.one(&read).await, "a@example.org|7|-|{\"last\": \"É\", \"first\": \"A\"}|1.5|-|9007199254740992");
        // A member that was not there and is set to NULL is there; new ones follow the others.
        self.run(&format!("UPDATE users SET verified = NULL, score = 2 WHERE _id = '{id}'")).await;
        let stored = self.stored(&id).await;
        assert!(stored.contains("\"score\":2,") || stored.contains("\"score\":2}"), "{stored}");
        assert!(stored.ends_with(",\"verified\":null}"), "{stored}");
        let given = "INSERT INTO users (_id, email) VALUES ('00112233445566778899AABB', 'b@example.org') RETURNING _id";
        assert_eq!(self.one(given).await, "00112233445566778899aabb");
        assert_eq!(self.code(given).await, "23505");
        assert_eq!(self.stored("00112233445566778899aabb").await, "{\"email\":\"b@example.org\"}");
    }

    async fn a_document_has_all_its_past(&self) {
        let id = "0a0a0a0a0a0a0a0a0a0a0a01";
        let mut instants = Vec::new();
        for sql in [
            format!("INSERT INTO users (_id, email, rev) VALUES ('{id}', 'p', 1)"),
            format!("UPDATE users SET rev = 2 WHERE _id = '{id}'"),
            format!("DELETE FROM users WHERE _id = '{id}'"),
            format!("INSERT INTO users (_id, email) VALUES ('{id}', 'again')"),
        ] {
            self.run(&sql).await;
            instants.push(self.one("SELECT clock_timestamp()::text").await);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let history =
            format!("SELECT _version, _op, rev, email, _end_op FROM users__history WHERE _id = '{id}' ORDER BY _version");
        assert_eq!(self.rows(&history).await, ["0|CREATE|1|p|UPDATE", "1|UPDATE|2|p|DELETE", "3|CREATE|-|again|-"]);
        for (instant, expected) in instants.iter().zip([&["1|p"][..], &["2|p"], &[], &["-|again"]]) {
            let sql = format!("SELECT rev, email FROM users FOR SYSTEM_TIME AS OF '{instant}' WHERE _id = '{id}'");
            assert_eq!(self.rows(&sql).await, expected, "as of {instant}");
        }
        // Nothing of the document before its end has come back.
        assert_eq!(self.stored(id).await, "{\"email\":\"again\"}");
        // Others see it, a gateway that starts anew among them.
        let other = self.served.connect("acme").await;
        assert_eq!(rows(&other, &history).await.len(), 3);
    }

    async fn changes_of_one_transaction_are_one_version(&self) {
        let id = "0a0a0a0a0a0a0a0a0a0a0a02";
        self.run("BEGIN").await;
        self.run(&format!("INSERT INTO users (_id, email, status) VALUES ('{id}', 't', NULL)")).await;
        self.run(&format!("UPDATE users SET rev = 1 WHERE _id = '{id}'")).await;
        self.run("SAVEPOINT s").await;
        self.run(&format!("UPDATE users SET rev = 2, email = 'lost' WHERE _id = '{id}'")).await;
        self.run("ROLLBACK TO s").await;
        let read = format!("SELECT email, status, rev FROM users WHERE _id = '{id}'");
        assert_eq!(self.one(&read).await, "t|-|1");
        self.run("COMMIT").await;
        assert_eq!(self.one(&read).await, "t|-|1");
        assert_eq!(self.one(&format!("SELECT count(*) FROM users__history WHERE _id = '{id}'")).await, "1");
        let stored = self.stored(id).await;
        assert!(stored.contains("\"status\":null") && stored.contains("\"rev\":1"), "{stored}");
        // What is deleted and inserted in one transaction begins anew.
        self.run(&format!(
            "BEGIN; DELETE FROM users WHERE _id = '{id}'; INSERT INTO users (_id, email) VALUES ('{id}', 'u'); COMMIT"
        ))
        .await;
        assert_eq!(self.stored(id).await, "{\"email\":\"u\"}");
        self.run(&format!("BEGIN; UPDATE users SET rev = 5 WHERE _id = '{id}'; ROLLBACK")).await;
        assert_eq!(self.one(&read).await, "u|-|-");
    }

    async fn every_statement_that_writes_does(&self) {
        let id = |n: u32| format!("0b0b0b0b0b0b0b0b0b0b0b{n:02x}");
        let copy = self.client.copy_in("COPY users (_id, email, rev, tags) FROM STDIN").await.expect("COPY begins");
        let lines: Vec<String> = (0..20).map(|n| format!("{}\tcopied\t{n}\t[\"x\", {n}]\n", id(n))).collect();
        let mut copy = std::pin::pin!(copy);
        futures::SinkExt::send(&mut copy, bytes::Bytes::from(lines.concat())).await.expect("sent");
        assert_eq!(copy.finish().await.expect("copied"), 20);
        assert_eq!(
            self.stored(&id(3)).await.replace("\"rev\":3", "R").replace("\"tags\":[\"x\",3]", "T").len(),
            "{\"email\":\"copied\",T,R}".len()
        );
        let on_conflict = format!(
            "INSERT INTO users (_id, email, rev) VALUES ('{}', 'new', 100), ('{}', 'new', 101)
             ON CONFLICT (_id) DO UPDATE SET rev = users.rev + excluded.rev RETURNING email, rev",
            id(1),
            id(30)
        );
        assert_eq!(self.rows(&on_conflict).await, ["copied|101", "new|101"]);
        let nothing = format!("INSERT INTO users (_id, email) VALUES ('{}', 'x') ON CONFLICT DO NOTHING RETURNING _id", id(1));
        assert_eq!(self.rows(&nothing).await, Vec::<String>::new());
        self.run(&format!(
            "MERGE INTO users u USING (VALUES ('{}', 7), ('{}', 8), ('{}', 9)) AS s (id, n) ON u._id = s.id
             WHEN MATCHED AND s.n = 8 THEN DELETE
             WHEN MATCHED THEN UPDATE SET email = 'merged', rev = s.n
             WHEN NOT MATCHED THEN INSERT (_id, email, rev) VALUES (s.id, 'merged', s.n)",
            id(2),
            id(3),
            id(31)
        ))
        .await;
        assert_eq!(self.rows("SELECT rev FROM users WHERE email = 'merged' ORDER BY rev").await, ["7", "9"]);
        assert_eq!(self.rows(&format!("SELECT 1 FROM users WHERE _id = '{}'", id(3))).await, Vec::<String>::new());
        let from = "UPDATE users u SET status = v.s FROM (VALUES (4, 'four'), (5, 'five')) AS v (n, s)
                    WHERE u.email = 'copied' AND u.rev = v.n RETURNING u.status";
        let mut updated = self.rows(from).await;
        updated.sort();
        assert_eq!(updated, ["five", "four"]);
        let moved = "WITH gone AS (DELETE FROM users WHERE email = 'copied' AND rev >= 15 RETURNING rev)
                     INSERT INTO users (email, rev) SELECT 'moved', rev FROM gone RETURNING rev";
        assert_eq!(self.rows(moved).await.len(), 6, "those of 15 to 19, and the one that has met another");
        assert_eq!(self.one("SELECT count(*), count(DISTINCT _id) FROM users WHERE email = 'moved'").await, "6|6");
        let prepared = self.client.prepare("UPDATE users SET rev = $2 WHERE _id = $1 RETURNING rev").await.expect("prepared");
        for n in 0..3_i64 {
            let row = self.client.query_one(&prepared, &[&id(6), &n]).await.expect("updated");
            assert_eq!(row.get::<_, i64>(0), n);
        }
        let versions = format!("SELECT array_agg(_version ORDER BY _version) FROM users__history WHERE _id = '{}'", id(6));
        assert_eq!(self.one(&versions).await, "{0,1,2,3}");
    }

    async fn what_a_document_cannot_keep_is_refused(&self) {
        let id = "0c0c0c0c0c0c0c0c0c0c0c01";
        self.run(&format!("INSERT INTO users (_id, email) VALUES ('{id}', 'r')")).await;
        for (sql, expected) in [
            ("INSERT INTO users (_id, email) VALUES ('short', 'x')", "22P02"),
            ("INSERT INTO users (_id, email) VALUES (NULL, 'x')", "23502"),
            ("INSERT INTO users (email, rev) VALUES ('x', 9007199254740993)", "22003"),
            ("INSERT INTO users (email, score) VALUES ('x', 'NaN')", "22003"),
            ("INSERT INTO users (email, name) VALUES ('x', '[9007199254740993]')", "22003"),
            ("INSERT INTO users (email, name) VALUES ('x', 'null')", "0A000"),
            ("INSERT INTO users (email, rev) VALUES ('x', 1.5::text)", "42804"),
            ("INSERT INTO users (email, rev) VALUES ('x', 'abc')", "22P02"),
            ("INSERT INTO users (email, nothing) VALUES ('x', 1)", "42703"),
            ("INSERT INTO users (email, _doc) VALUES ('x', '{}')", "428C9"),
            ("UPDATE users SET _doc = '{}'", "428C9"),
            ("UPDATE users SET _cv = 1", "428C9"),
            ("UPDATE users SET _version = 1", "0A000"),
            ("UPDATE users SET _id = '0c0c0c0c0c0c0c0c0c0c0c02' WHERE _id = '0c0c0c0c0c0c0c0c0c0c0c01'", "0A000"),
            ("UPDATE users SET rev = 9007199254740993 WHERE _id = '0c0c0c0c0c0c0c0c0c0c0c01'", "22003"),
            ("ALTER TABLE users DROP COLUMN rev", "0A000"),
            ("CREATE INDEX ON users (lower(email))", "0A000"),
            ("DROP TABLE users", "0A000"),
        ] {
            assert_eq!(self.code(sql).await, expected, "{sql}");
        }
        assert_eq!(self.stored(id).await, "{\"email\":\"r\"}");
        assert_eq!(self.one("SELECT count(*) FROM users WHERE email = 'x'").await, "0");
    }

    async fn columns_may_be_added(&self) {
        assert_eq!(self.code("ALTER TABLE users ADD COLUMN note varchar(5)").await, "0A000");
        assert_eq!(self.code("ALTER TABLE users ADD COLUMN note text NOT NULL").await, "0A000");
        self.run("ALTER TABLE users ADD COLUMN note text").await;
        let id = "0d0d0d0d0d0d0d0d0d0d0d01";
        self.run(&format!("INSERT INTO users (_id, email, note) VALUES ('{id}', 'n', 'first')")).await;
        assert_eq!(self.stored(id).await, "{\"email\":\"n\",\"note\":\"first\"}");
        assert_eq!(self.one("SELECT count(*) FROM users WHERE note IS NOT NULL").await, "1");
    }

    async fn all_documents_may_end(&self) {
        let before = self.one("SELECT count(*) FROM users__history").await;
        let was = self.one("SELECT clock_timestamp()::text || '|' || count(*) FROM users").await;
        let (instant, count) = was.split_once('|').expect("two values");
        self.run("BEGIN; INSERT INTO users (email) VALUES ('short-lived'); TRUNCATE users").await;
        assert_eq!(self.one("SELECT count(*) FROM users").await, "0");
        self.run("INSERT INTO users (email) VALUES ('last'); COMMIT").await;
        assert_eq!(self.rows("SELECT email FROM users").await, ["last"]);
        let then = format!("SELECT count(*) FROM users FOR SYSTEM_TIME AS OF '{instant}'");
        assert_eq!(self.one(&then).await, count);
        let after: u64 = before.parse::<u64>().expect("a number") + 1;
        assert_eq!(self.one("SELECT count(*) FROM users__history").await, after.to_string());
    }
}

pub async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|at| row.get(at).unwrap_or("-")).collect::<Vec<_>>().join("|")).collect()
}

/// The members of a stored document but `_system`, compact.
fn without_header(text: &str) -> String {
    let header = Regex::new(r#",?"_system":\{[^}]*\}"#).expect("valid");
    header.replace(&compacted(text), "").replace("{,", "{")
}

/// Without the white space outside of strings.
fn compacted(text: &str) -> String {
    let parts = Regex::new(r#""(?:[^"\\]|\\.)*"|\s+"#).expect("valid");
    parts
        .replace_all(
            text,
            |found: &regex::Captures<'_>| if found[0].starts_with('"') { found[0].to_owned() } else { String::new() },
        )
        .into_owned()
}
