//! Definitions: names that PostgreSQL gives, refusals in its words, what existing rows must agree to.

use super::*;

async fn client() -> (World, Client) {
    let world = World::new().await;
    let client = world.client().await;
    (world, client)
}

#[tokio::test]
async fn constraints_indexes_and_sequences_get_postgresqls_names() {
    let (_world, mut client) = client().await;
    client
        .run("CREATE TABLE t (id serial PRIMARY KEY, a int UNIQUE, b int CHECK (b > 0), c int, UNIQUE (a, b), CHECK (b < c))")
        .await;
    client.run("CREATE INDEX ON t (b, c)").await;
    let catalog = client.session.database.catalog();
    let table = catalog.tables.values().next().unwrap();
    assert_eq!(table.primary_key.as_ref().unwrap().0, "t_pkey");
    assert_eq!(table.uniques.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["t_a_key", "t_a_b_key"]);
    assert_eq!(table.checks.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["t_b_check", "t_check"]);
    assert_eq!(table.indexes[0].name, "t_b_c_idx");
    assert_eq!(catalog.sequences.keys().map(|q| q.name.as_str()).collect::<Vec<_>>(), ["t_id_seq"]);
    assert_eq!(client.rows("INSERT INTO t (b, c) VALUES (1, 2) RETURNING id").await, ["1"]);
}

#[tokio::test]
async fn what_is_there_already_or_not_at_all_is_said_in_postgresqls_words() {
    let (_world, mut client) = client().await;
    client.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    assert_eq!(client.refused("CREATE TABLE t (id int)").await, "42P07 relation \"t\" already exists");
    client.run("CREATE TABLE IF NOT EXISTS t (id int); DROP TABLE IF EXISTS u").await;
    assert_eq!(
        client.notices(),
        ["NOTICE relation \"t\" already exists, skipping", "NOTICE table \"u\" does not exist, skipping"]
    );
    for (statement, refused) in [
        ("DROP TABLE u", "42P01 table \"u\" does not exist"),
        ("DROP VIEW t", "42809 \"t\" is not a view"),
        ("DROP INDEX u", "42704 index \"u\" does not exist"),
        ("ALTER TABLE u ADD COLUMN a int", "42P01 relation \"u\" does not exist"),
        ("ALTER TABLE t ADD COLUMN id int", "42701 column \"id\" of relation \"t\" already exists"),
        ("ALTER TABLE t DROP COLUMN x", "42703 column \"x\" of relation \"t\" does not exist"),
        ("CREATE TABLE x (a int, a int)", "42701 column \"a\" specified more than once"),
        ("CREATE TABLE x (a int, PRIMARY KEY (b))", "42703 column \"b\" named in key does not exist"),
        ("CREATE TABLE nowhere.x (a int)", "3F000 schema \"nowhere\" does not exist"),
        ("CREATE TABLE t__history (a int)", "42939 relation name \"t__history\" is reserved"),
        ("CREATE TABLE x (_version int)", "42701 column name \"_version\" conflicts with a system column name"),
        ("CREATE INDEX ON t (x)", "42703 column \"x\" does not exist"),
    ] {
        assert_eq!(client.refused(statement).await, refused, "{statement}");
    }
}

#[tokio::test]
async fn definitions_are_part_of_their_transaction() {
    let (world, mut a) = client().await;
    let mut b = world.client().await;
    a.run("BEGIN; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    assert_eq!(a.rows("SELECT id FROM t").await, ["1"]);
    assert!(b.refused("SELECT id FROM t").await.starts_with("42P01"));
    a.run("ROLLBACK").await;
    assert!(a.refused("SELECT id FROM t").await.starts_with("42P01"));
    a.run("BEGIN; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); COMMIT").await;
    assert_eq!(b.rows("SELECT id FROM t").await, ["1"]);
}

#[tokio::test]
async fn an_added_column_reads_as_its_default_in_rows_from_before() {
    let (_world, mut client) = client().await;
    client.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    client.run("ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 7, ADD COLUMN b text").await;
    assert_eq!(client.rows("SELECT * FROM t").await, ["1|7|null"]);
    client.run("INSERT INTO t VALUES (2, 8, 'x')").await;
    assert_eq!(client.rows("SELECT a FROM t ORDER BY id").await, ["7", "8"]);
    assert_eq!(
        client.refused("ALTER TABLE t ADD COLUMN c int NOT NULL").await,
        "23502 column \"c\" of relation \"t\" contains null values"
    );
    client.run("ALTER TABLE t ADD COLUMN d float8 NOT NULL DEFAULT random()").await;
    assert_eq!(client.rows("SELECT count(DISTINCT d) FROM t").await, ["2"]);
    client.run("ALTER TABLE t DROP COLUMN a, DROP d").await;
    assert_eq!(client.rows("SELECT * FROM t ORDER BY id").await, ["1|null", "2|x"]);
}

#[tokio::test]
async fn existing_rows_must_agree_to_a_new_constraint() {
    let (_world, mut client) = client().await;
    client.run("CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (1, 5, NULL), (2, 5, 1)").await;
    for (statement, code) in [
        ("ALTER TABLE t ALTER COLUMN b SET NOT NULL", "23502"),
        ("ALTER TABLE t ADD CHECK (a > 5)", "23514"),
        ("ALTER TABLE t ADD UNIQUE (a)", "23505"),
        ("CREATE UNIQUE INDEX ON t (a)", "23505"),
        ("ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (a)", "42P16"),
    ] {
        assert!(client.refused(statement).await.starts_with(code), "{statement}");
    }
    let error = client.error("ALTER TABLE t ADD CONSTRAINT a_once UNIQUE (a)").await;
    assert_eq!(error.fields().detail.as_deref(), Some("Key (a)=(5) is duplicated."));
    client.run("UPDATE t SET a = 6 WHERE id = 2; ALTER TABLE t ADD CONSTRAINT a_once UNIQUE (a)").await;
    assert!(client.refused("INSERT INTO t VALUES (3, 6)").await.starts_with("23505"));
    client.run("ALTER TABLE t DROP CONSTRAINT a_once; INSERT INTO t VALUES (3, 6)").await;
}

#[tokio::test]
async fn a_new_index_answers_the_past_too() {
    let (_world, mut client) = client().await;
    client.run("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'old'), (2, 'x')").await;
    client.run("UPDATE t SET a = 'new' WHERE id = 1").await;
    client.run("BEGIN; INSERT INTO t VALUES (3, 'new'); CREATE INDEX ON t (a); COMMIT").await;
    assert_eq!(client.rows("SELECT id FROM t WHERE a = 'new' ORDER BY id").await, ["1", "3"]);
    client.run("SET chronogate.as_of = 'v1'").await;
    assert_eq!(client.rows("SELECT id FROM t WHERE a = 'old'").await, ["1"]);
}

#[tokio::test]
async fn types_that_read_stored_values_unchanged_change_no_row() {
    let (_world, mut client) = client().await;
    client.run("CREATE TABLE t (id int PRIMARY KEY, v varchar(3)); INSERT INTO t VALUES (1, 'abc')").await;
    client.run("ALTER TABLE t ALTER COLUMN id TYPE bigint, ALTER COLUMN v TYPE text").await;
    client.run("INSERT INTO t VALUES (5000000000, 'longer')").await;
    assert_eq!(client.rows("SELECT v FROM t WHERE id IN (1, 5000000000) ORDER BY id").await, ["abc", "longer"]);
    assert_eq!(client.rows("SELECT count(*) FROM t__history").await, ["2"]);
    assert!(client.refused("ALTER TABLE t ALTER COLUMN v TYPE int USING v::int").await.starts_with("22P02"));
    client.run("ALTER TABLE t ALTER COLUMN v TYPE int USING length(v)").await;
    assert_eq!(client.rows("SELECT v FROM t ORDER BY id").await, ["3", "6"]);
    assert_eq!(client.rows("SELECT count(*) FROM t__history").await, ["4"]);
    assert!(client.refused("ALTER TABLE t ALTER COLUMN id TYPE text").await.starts_with("0A000"));
}

#[tokio::test]
async fn views_keep_what_they_read_alive() {
    let (_world, mut client) = client().await;
    client
        .run("CREATE TABLE t (id int PRIMARY KEY, a int); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS SELECT a FROM v")
        .await;
    assert!(client.refused("CREATE VIEW v AS SELECT 1").await.starts_with("42P07"));
    let error = client.error("DROP TABLE t").await;
    assert_eq!(error.message(), "cannot drop table t because other objects depend on it");
    assert_eq!(error.code(), SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    assert!(client.refused("ALTER TABLE t DROP COLUMN a").await.starts_with("2BP01"));
    assert!(client.refused("CREATE OR REPLACE VIEW v AS SELECT id FROM t").await.starts_with("42P16"));
    client.run("CREATE OR REPLACE VIEW v AS SELECT a, id FROM t").await;
    client.run("DROP TABLE t CASCADE").await;
    assert_eq!(client.notices(), ["NOTICE drop cascades to 2 other objects"]);
    assert!(client.refused("SELECT * FROM v").await.starts_with("42P01"));
}

#[tokio::test]
async fn truncate_ends_every_row_and_may_restart_identity() {
    let (_world, mut client) = client().await;
    client
        .run("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int); INSERT INTO t (a) VALUES (1), (2)")
        .await;
    assert_eq!(client.tag("TRUNCATE t RESTART IDENTITY").await, "TRUNCATE TABLE");
    assert_eq!(client.rows("INSERT INTO t (a) VALUES (3) RETURNING id").await, ["1"]);
    assert!(client.refused("TRUNCATE nowhere").await.starts_with("42P01"));
}

#[tokio::test]
async fn databases_are_made_outside_blocks() {
    let (world, mut client) = client().await;
    assert_eq!(
        client.refused("BEGIN; CREATE DATABASE shop").await,
        "25001 CREATE DATABASE cannot run inside a transaction block"
    );
    client.run("ROLLBACK; ").await;
    assert_eq!(client.tag("CREATE DATABASE shop").await, "CREATE DATABASE");
    let mut shop = world.open("chief", "shop", &[]).await.unwrap();
    shop.run("CREATE TABLE t (id int)").await;
    assert!(client.refused("DROP DATABASE shop").await.starts_with("55006"));
    drop(shop);
    assert_eq!(client.tag("DROP DATABASE shop").await, "DROP DATABASE");
}

#[tokio::test]
async fn definitions_keep_references_comments_and_shapes_of_indexes() {
    use crate::history::{IndexPart, ReferentialAction};
    let world = World::new().await;
    let mut client = world.client().await;
    client.run("CREATE TABLE p (a int, b int, PRIMARY KEY (a, b))").await;
    client
        .run("CREATE TABLE c (x int, y int, CONSTRAINT r FOREIGN KEY (x, y) REFERENCES p (b, a) ON DELETE CASCADE DEFERRABLE)")
        .await;
    client.run("COMMENT ON TABLE c IS 'of c'; COMMENT ON COLUMN c.y IS 'of y'; COMMENT ON CONSTRAINT r ON c IS 'of r'").await;
    client.run("CREATE INDEX i ON c (x DESC, y); CREATE INDEX e ON c (abs(x)) WHERE y > 0; COMMENT ON INDEX i IS 'of i'").await;
    client.run("ALTER INDEX i RENAME TO j; ALTER TABLE c RENAME CONSTRAINT r TO s; ALTER TABLE c RENAME y TO z").await;
    let catalog = client.session.database.catalog();
    let table = |name: &str| catalog.tables.values().find(|t| t.name.name == name).unwrap();
    let (p, c) = (table("p"), table("c"));
    let key = &c.foreign_keys[0];
    let ids = |ids: &[crate::history::ColumnId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!((ids(&key.columns), ids(&key.referenced), ids(&key.entry)), (vec![1, 2], vec![2, 1], vec![2, 1]));
    assert_eq!((key.table, key.index, key.on_delete), (p.id, None, ReferentialAction::Cascade));
    assert_eq!((key.on_update, key.deferrable, key.deferred, key.validated), (ReferentialAction::NoAction, true, false, true));
    assert_eq!(catalog.references_to(p.id).len(), 1);
    assert_eq!(c.comments.table.as_deref(), Some("of c"));
    assert_eq!(c.comments.columns.values().collect::<Vec<_>>(), ["of y"]);
    assert_eq!(c.comments.constraints.get("s").map(String::as_str), Some("of r"));
    assert_eq!(c.comments.indexes.get("j").map(String::as_str), Some("of i"));
    assert!(c.indexes[0].shape.orders[0].descending && c.indexes[0].shape.orders[0].nulls_first);
    assert_eq!(c.computed_indexes[0].parts, [IndexPart::Expression("abs(x)".into())]);
    assert_eq!(c.computed_indexes[0].predicate.as_deref(), Some("z > 0"));
    client.run("DROP TABLE p CASCADE").await;
    assert_eq!(client.notices(), ["NOTICE drop cascades to constraint s on table c"]);
    assert!(client.session.database.catalog().tables.values().all(|t| t.foreign_keys.is_empty()));
}
